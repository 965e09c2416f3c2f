// Command interop checks a running Attestore log with Go's reference code for
// transparency logs, golang.org/x/mod/sumdb/{note,tlog}. It shares no line
// with Attestore.
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go run main.go \
//	    -log http://127.0.0.1:8080/v1/tenants/x/log -vkey 'name+id+key'
//
// The log's URL, the vkey and the bearer credential are also read from
// ATTESTORE_LOG, ATTESTORE_VKEY and ATTESTORE_CREDENTIAL; the credential only
// from there. It prints one line for each check and exits with 1 if any
// failed, with 2 on wrong usage.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	tileHeight   = 8
	bundleWidth  = 1 << tileHeight
	entryBytes   = 44
	responseMax  = 1 << 20
	treeHeadText = 3 // lines: origin, size, root
)

func main() {
	prefix := flag.String("log", os.Getenv("ATTESTORE_LOG"), "URL prefix of the log")
	vkey := flag.String("vkey", os.Getenv("ATTESTORE_VKEY"), "verifier key of the log")
	old := flag.String("old", "", "file with an older checkpoint of the log")
	save := flag.String("save", "", "file to save the checkpoint to, for a later -old")
	records := flag.Int("records", 16, "number of random records to prove")
	seed := flag.Int64("seed", 0, "seed of the choice of records; 0 takes one from the clock")
	tamper := flag.Bool("tamper", false, "flip bytes in what was fetched and require refusal")
	flag.Parse()
	if *prefix == "" || *vkey == "" || flag.NArg() != 0 {
		flag.Usage()
		os.Exit(2)
	}
	if *seed == 0 {
		*seed = time.Now().UnixNano()
	}
	fmt.Printf("seed %d\n", *seed)

	verifier, err := note.NewVerifier(*vkey)
	if !report("vkey", err) {
		os.Exit(1)
	}
	log := &logClient{
		prefix:     strings.TrimSuffix(*prefix, "/"),
		credential: os.Getenv("ATTESTORE_CREDENTIAL"),
		verifier:   verifier,
		cache:      map[string][]byte{},
	}
	random := rand.New(rand.NewSource(*seed))

	text, err := log.get("/checkpoint")
	if !report("fetch checkpoint", err) {
		os.Exit(1)
	}
	head, err := log.open(text)
	if !report("checkpoint note", err) {
		os.Exit(1)
	}
	fmt.Printf("     %s: %d leaves, root %s\n", verifier.Name(), head.N, head.Hash)
	if *save != "" {
		report("save checkpoint", os.WriteFile(*save, text, 0o600))
	}

	reader := tlog.TileHashReader(head, log)
	report("root from tiles", checkRoot(head, reader))
	if head.N == 0 && *records > 0 {
		report("records", errors.New("the log is empty, so no record can be proven"))
	}
	for i := 0; i < *records && head.N > 0; i++ {
		index := random.Int63n(head.N)
		report(fmt.Sprintf("inclusion of record %d", index), log.checkRecord(head, reader, index))
	}
	for i := 0; i < *records && head.N > 1; i++ {
		size := 1 + random.Int63n(head.N-1)
		report(fmt.Sprintf("consistency with size %d", size), checkPrefix(head, reader, size))
	}
	if *old != "" {
		report("consistency with "+*old, log.checkOld(*old, head, reader))
	}
	report("consistency with the newest checkpoint", log.checkNewest(head))

	if *tamper {
		report("refusal of an altered checkpoint", log.tamperCheckpoint(text, random))
		for i := 0; i < *records && head.N > 1; i++ {
			index := random.Int63n(head.N)
			report(fmt.Sprintf("refusal of an altered tile under record %d", index), log.tamperTile(head, index, random))
			report(fmt.Sprintf("refusal of an altered entry %d", index), log.tamperEntry(head, reader, index, random))
		}
	}
	if failed > 0 {
		fmt.Printf("%d checks failed\n", failed)
		os.Exit(1)
	}
	fmt.Println("all checks passed")
}

var failed int

// report prints the outcome of a check and tells whether it passed.
func report(check string, err error) bool {
	if err != nil {
		failed++
		fmt.Printf("FAIL %s: %v\n", check, err)
		return false
	}
	fmt.Printf("ok   %s\n", check)
	return true
}

// logClient reads a log over HTTP. It is a tlog.TileReader.
type logClient struct {
	prefix     string
	credential string
	verifier   note.Verifier
	cache      map[string][]byte
	flip       func(tiles []tlog.Tile, data [][]byte) // alters what ReadTiles returns
}

func (c *logClient) get(path string) ([]byte, error) {
	request, err := http.NewRequest(http.MethodGet, c.prefix+path, nil)
	if err != nil {
		return nil, err
	}
	if c.credential != "" {
		request.Header.Set("Authorization", "Bearer "+c.credential)
	}
	client := http.Client{Timeout: 30 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, responseMax))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s: %.200s", path, response.Status, body)
	}
	return body, nil
}

// immutable gets a tile or bundle, once.
func (c *logClient) immutable(path string) ([]byte, error) {
	if body, ok := c.cache[path]; ok {
		return body, nil
	}
	body, err := c.get(path)
	if err == nil {
		c.cache[path] = body
	}
	return body, err
}

// open verifies a checkpoint and returns its tree head.
func (c *logClient) open(text []byte) (tlog.Tree, error) {
	opened, err := note.Open(text, note.VerifierList(c.verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(strings.TrimSuffix(opened.Text, "\n"), "\n")
	if len(lines) != treeHeadText {
		return tlog.Tree{}, fmt.Errorf("checkpoint has %d lines", len(lines))
	}
	if lines[0] != c.verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("origin %q is not the key's name", lines[0])
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return tlog.Tree{}, fmt.Errorf("tree size %q", lines[1])
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return tlog.Tree{}, fmt.Errorf("root %q", lines[2])
	}
	head := tlog.Tree{N: size}
	copy(head.Hash[:], root)
	return head, nil
}

func (c *logClient) Height() int { return tileHeight }

func (c *logClient) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		path := strings.TrimPrefix(tile.Path(), "tile/8")
		body, err := c.immutable("/tile" + path)
		if err != nil {
			return nil, err
		}
		if len(body) != tile.W*tlog.HashSize {
			return nil, fmt.Errorf("%s has %d bytes", tile.Path(), len(body))
		}
		data[i] = append([]byte(nil), body...)
	}
	if c.flip != nil {
		c.flip(tiles, data)
	}
	return data, nil
}

func (c *logClient) SaveTiles([]tlog.Tile, [][]byte) {}

// entry returns the content of a leaf, from its bundle.
func (c *logClient) entry(size, index int64) ([]byte, error) {
	tile := tlog.Tile{H: tileHeight, L: 0, N: index / bundleWidth, W: bundleWidth}
	if left := size - tile.N*bundleWidth; left < bundleWidth {
		tile.W = int(left)
	}
	body, err := c.immutable("/tile/entries" + strings.TrimPrefix(tile.Path(), "tile/8/0"))
	if err != nil {
		return nil, err
	}
	var found []byte
	for i := 0; i < tile.W; i++ {
		if len(body) < 2 {
			return nil, errors.New("entry bundle ends early")
		}
		length := int(binary.BigEndian.Uint16(body))
		if length != entryBytes || len(body) < 2+length {
			return nil, fmt.Errorf("entry %d of the bundle has %d bytes", i, length)
		}
		if int64(i) == index%bundleWidth {
			found = body[2 : 2+length]
		}
		body = body[2+length:]
	}
	if len(body) != 0 {
		return nil, fmt.Errorf("%d bytes after the last entry of the bundle", len(body))
	}
	return found, nil
}

func (c *logClient) checkRecord(head tlog.Tree, reader tlog.HashReader, index int64) error {
	entry, err := c.entry(head.N, index)
	if err != nil {
		return err
	}
	proof, err := tlog.ProveRecord(head.N, index, reader)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(proof, head.N, head.Hash, index, tlog.RecordHash(entry))
}

func checkRoot(head tlog.Tree, reader tlog.HashReader) error {
	if head.N == 0 {
		return nil // no tiles; x/mod knows no empty tree
	}
	root, err := tlog.TreeHash(head.N, reader)
	if err != nil {
		return err
	}
	if root != head.Hash {
		return fmt.Errorf("tiles give %s", root)
	}
	return nil
}

// checkPrefix proves that the first size leaves are a prefix of the tree.
func checkPrefix(head tlog.Tree, reader tlog.HashReader, size int64) error {
	root, err := tlog.TreeHash(size, reader)
	if err != nil {
		return err
	}
	return checkConsistency(tlog.Tree{N: size, Hash: root}, head, reader)
}

func checkConsistency(old, head tlog.Tree, reader tlog.HashReader) error {
	if old.N > head.N {
		return fmt.Errorf("rollback from %d to %d leaves", old.N, head.N)
	}
	if old.N == head.N {
		if old.Hash != head.Hash {
			return errors.New("split view: same size, another root")
		}
		return nil
	}
	if old.N == 0 {
		return nil
	}
	proof, err := tlog.ProveTree(head.N, old.N, reader)
	if err != nil {
		return err
	}
	return tlog.CheckTree(proof, head.N, head.Hash, old.N, old.Hash)
}

func (c *logClient) checkOld(path string, head tlog.Tree, reader tlog.HashReader) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	old, err := c.open(text)
	if err != nil {
		return err
	}
	return checkConsistency(old, head, reader)
}

// checkNewest fetches the checkpoint again; the log may have grown meanwhile.
func (c *logClient) checkNewest(head tlog.Tree) error {
	text, err := c.get("/checkpoint")
	if err != nil {
		return err
	}
	newest, err := c.open(text)
	if err != nil {
		return err
	}
	return checkConsistency(head, newest, tlog.TileHashReader(newest, c))
}

func (c *logClient) tamperCheckpoint(text []byte, random *rand.Rand) error {
	// Text only: a flipped byte in the key name or id makes the signature unknown, which is refused as well.
	end := strings.Index(string(text), "\n\n")
	altered := append([]byte(nil), text...)
	altered[random.Intn(end)] ^= 1
	if _, err := note.Open(altered, note.VerifierList(c.verifier)); err == nil {
		return errors.New("accepted")
	}
	return nil
}

// tamperTile proves a record while one byte of one tile is wrong. Either the
// reader refuses the tile or the proof does not verify.
//
// TileHashReader of x/mod 0.7 does not hold every tile against its parent when
// several subtrees of the root lie in one tile, so the proof has to be checked,
// and the hashes on the record's own path, which no proof contains, are spared.
func (c *logClient) tamperTile(head tlog.Tree, index int64, random *rand.Rand) error {
	entry, err := c.entry(head.N, index)
	if err != nil {
		return err
	}
	flipped := ""
	c.flip = func(tiles []tlog.Tile, data [][]byte) {
		for _, which := range random.Perm(len(tiles)) {
			tile := tiles[which]
			own := index>>uint(tile.H*tile.L) - tile.N<<uint(tile.H)
			at := random.Intn(len(data[which]))
			if flipped == "" && int64(at/tlog.HashSize) != own {
				data[which][at] ^= 1 << uint(random.Intn(8))
				flipped = fmt.Sprintf("byte %d of %s", at, tile.Path())
			}
		}
	}
	defer func() { c.flip = nil }()
	for flipped == "" {
		var proof tlog.RecordProof
		proof, err = tlog.ProveRecord(head.N, index, tlog.TileHashReader(head, c))
		if err == nil {
			err = tlog.CheckRecord(proof, head.N, head.Hash, index, tlog.RecordHash(entry))
		}
		if flipped == "" && err != nil {
			return err
		}
	}
	if err == nil {
		return fmt.Errorf("accepted with %s flipped", flipped)
	}
	return nil
}

func (c *logClient) tamperEntry(head tlog.Tree, reader tlog.HashReader, index int64, random *rand.Rand) error {
	entry, err := c.entry(head.N, index)
	if err != nil {
		return err
	}
	proof, err := tlog.ProveRecord(head.N, index, reader)
	if err != nil {
		return err
	}
	altered := append([]byte(nil), entry...)
	altered[random.Intn(len(altered))] ^= 1
	if tlog.CheckRecord(proof, head.N, head.Hash, index, tlog.RecordHash(altered)) == nil {
		return errors.New("accepted")
	}
	return nil
}
