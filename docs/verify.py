#!/usr/bin/env python3
"""Verifies what Attestore hands out: .tlog-proof and .slot-proof files, signed receipts, evidence bundles. Shares no code with it.

    verify.py VKEY FILE...        exit code 3 if one does not hold. Needs `blake3` from PyPI, nothing else.
    verify.py "VKEY VKEY" FILE... for slot proofs: the key of the tenant's log, then that of the log of heads.

Follows docs/proofs.md and docs/evidence.md. Reads files whole; `attestore-verify` streams, knows witnesses, and says more."""
import base64, hashlib, hmac, io, json, re, struct, sys, zipfile
from blake3 import blake3

KINDS = "event erasure purge hold policy key checkpoint_import fork restriction incident".split()
GROUP, RECORD = "attestore 2026 group v1", "attestore 2026 record v1"
sha256 = lambda *parts: hashlib.sha256(b"".join(parts)).digest()
big = lambda data: int.from_bytes(data, "big")


class Refused(Exception):
    pass


def need(condition, why):
    if not condition:
        raise Refused(why)


def number(text):
    need(text.isascii() and text.isdigit() and str(int(text)) == text and int(text) < 1 << 63, "number")
    return int(text)


def unbase64(text):
    data = base64.b64decode(text, validate=True)
    need(base64.b64encode(data).decode() == text, "base64 has one spelling")
    return data


def load(data):
    def unique(pairs):
        need(len(dict(pairs)) == len(pairs), "a name stands twice")
        need(all(is_text(name) for name, _ in pairs), "a name is no Unicode")
        return dict(pairs)
    text = data.decode() if isinstance(data, bytes) else data
    integer = lambda digits: float(digits) if digits == "-0" or len(digits) > 99 else int(digits)
    return json.loads(text, object_pairs_hook=unique, parse_int=integer, parse_constant=lambda name: need(False, "no number of JSON"))


def load_group(data):
    """An object that is nested at most 256 deep."""
    level = [told := load(data)]
    for _ in range(256):
        level = [v for outer in level if type(outer) in (dict, list) for v in (outer.values() if type(outer) is dict else outer)]
    need(type(told) is dict and not any(type(v) in (dict, list) for v in level), "no object, or nested too deep")
    return told


def is_text(value):
    return type(value) is str and not re.search("[\ud800-\udfff]", value)


def is_number(value, bits):
    return type(value) is int and 0 <= value < 1 << bits


def is_list(value, most, of):
    return type(value) is list and len(value) <= most and all(map(of, value))


# Ed25519, RFC 8032 section 5.1, in affine coordinates: slow and short.
P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def add(a, b):
    k = D * a[0] * b[0] * a[1] * b[1] % P
    return ((a[0] * b[1] + b[0] * a[1]) * pow(1 + k, -1, P) % P, (a[1] * b[1] + a[0] * b[0]) * pow(1 - k, -1, P) % P)


def times(n, point):
    total = (0, 1)
    while n:
        total, point, n = add(total, point) if n & 1 else total, add(point, point), n >> 1
    return total


def point(data):
    y, sign = int.from_bytes(data, "little") & 2**255 - 1, data[31] >> 7
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if x * x % P == square else x * pow(2, (P - 1) // 4, P) % P
    need(y < P and x * x % P == square and not (x == 0 and sign), "no point of the curve")
    x = P - x if x & 1 != sign else x
    need(times(8, (x, y)) != (0, 1), "point of small order")
    return x, y


BASE = point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def ed25519(public, message, signature):
    s, h = int.from_bytes(signature[32:], "little"), hashlib.sha512(signature[:32] + public + message).digest()
    need(len(signature) == 64 and s < L, "signature is malformed")
    h = int.from_bytes(h, "little") % L
    need(times(s, BASE) == add(point(signature[:32]), times(h, point(public))), "signature does not verify")


def open_note(note, vkey):
    """The text of a note that the key signed."""
    name, key_id, key = vkey.split("+", 2)
    kind, public = unbase64(key)[:1], unbase64(key)[1:]
    need(kind == b"\1" and sha256(name.encode(), b"\n\1", public)[:4].hex() == key_id, "vkey")
    need(all(c >= " " or c == "\n" for c in note) and "\n\n" in note and note.endswith("\n"), "note is malformed")
    text, lines = note.rsplit("\n\n", 1)
    signed = False
    for line in lines[:-1].split("\n"):
        need(line.startswith("\u2014 ") and line.count(" ") == 2, "signature line")
        _, signer, blob = line.split(" ")
        blob = unbase64(blob)
        need(len(blob) > 4 and signer and "+" not in signer, "signature line")
        if signer == name and blob[:4].hex() == key_id:
            ed25519(public, (text + "\n").encode(), blob[4:])
            signed = True
    need(signed, "note is not signed by the key")
    return text + "\n"


def open_checkpoint(note, vkey):
    """Origin, size and root."""
    lines = open_note(note, vkey).split("\n")
    need(len(lines) >= 4 and lines[0] == vkey.split("+")[0] and all(lines[:-1]), "checkpoint")
    root = unbase64(lines[2])
    need(len(root) == 32, "root")
    return lines[0], number(lines[1]), root


def split(length):
    return 1 << (length - 1).bit_length() - 1


def included(index, size, leaf, proof, root):
    def up(start, end):
        if end - start == 1:
            return leaf
        middle = start + split(end - start)
        side = proof.pop() if proof else need(False, "proof is too short")
        return sha256(b"\1", up(start, middle), side) if index < middle else sha256(b"\1", side, up(middle, end))
    need(index < size, "index is beyond the tree")
    proof = list(proof)
    need(up(0, size) == root and not proof, "proof does not lead to the root")


def read(data, count):
    part = data.read(count)
    need(len(part) == count, "opening is cut off")
    return part


def open_record(opening):
    """Entry, public group and number of opened personal groups of a record whose bytes open its commitment."""
    data = io.BytesIO(opening)
    need(read(data, 1) == b"\1", "version of the opening")
    entry, salt, public = read(data, 44), read(data, 32), read(data, big(read(data, 4)))
    need(entry[0] in (1, 2) and 1 <= entry[1] <= len(KINDS), "entry")

    def commit(context, message):
        if entry[0] == 1:
            return blake3(message, derive_key_context=context).digest()
        return hmac.new(context.encode(), message, hashlib.sha256).digest()

    commitments, groups = [], []
    for _ in range(big(read(data, 4))):
        tag, first = read(data, 1)[0], read(data, 32)
        need(tag in (1, 2), "tag of a group")
        if tag == 1:
            groups.append(read(data, big(read(data, 4))))
            first = commit(GROUP, first + len(groups[-1]).to_bytes(8, "big") + groups[-1])
        commitments.append(first)
    need(not data.read(1) and commitments == sorted(set(commitments)), "groups are in order, and nothing follows")
    message = salt + len(public).to_bytes(8, "big") + public + len(commitments).to_bytes(4, "big")
    need(commit(RECORD, message + b"".join(commitments)) == entry[12:], "record is not what its entry commits to")
    told = load_group(public)
    known = {"v", "id", "tenant", "protocol", "credential", "privacy", "event", "control"} | ({"withheld"} if commitments else set())
    need(set(told) == known - {"control" if entry[1] == 1 else "event"} and type(told["v"]) is int and told["v"] == 1, "public group")
    need(re.fullmatch("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", told["id"]), "id")
    need(re.fullmatch("[0-9a-f]{32}", told["tenant"]) and is_text(told["protocol"]) and is_text(told["credential"]), "public group")
    need(is_number(told["privacy"], 32) and type(told["event" if entry[1] == 1 else "control"]) is dict, "public group")
    need(entry[1] == 1 or not commitments, "a control record has no personal groups")
    withheld, fields = told.get("withheld", []), []
    need(is_list(withheld, len(opening), is_text) and len(set(withheld)) == len(withheld), "withheld")
    need(bool(withheld) == bool(commitments), "a record with personal groups names their fields")
    for group in map(load_group, groups):
        need(set(group) == {"v", "subjects", "fields"} and type(group["v"]) is int and group["v"] == 1, "personal group")
        subjects = group["subjects"]
        need(subjects and is_list(subjects, len(opening), lambda s: is_text(s) and re.fullmatch("[0-9a-f]{32}", s)), "subjects")
        need(subjects == sorted(set(subjects)) and type(group["fields"]) is dict and group["fields"], "personal group")
        fields += group["fields"]
    need(len(set(fields)) == len(fields) and set(fields) <= set(withheld), "fields of personal groups")
    need(len(groups) < len(commitments) or len(fields) == len(withheld), "a field is withheld that no group has")
    return entry, told, len(groups)


def tlog_proof(text, vkey):
    head, rest = text.split("\n\n", 1)
    lines = head.split("\n")
    need(lines[0] == "c2sp.org/tlog-proof@v1" and lines[1].startswith("extra ") and lines[2].startswith("index "), "tlog-proof")
    hashes = [unbase64(line) for line in lines[3:]]
    need(all(len(h) == 32 for h in hashes), "hash")
    opening, index = unbase64(lines[1][6:]), number(lines[2][6:])
    origin, size, root = open_checkpoint(rest, vkey)
    entry, told, _ = open_record(opening)
    included(index, size, sha256(b"\0", entry), hashes, root)
    return opening, index, f"record {index} of {origin} is in its signed tree of {size}: {told['id']}"


def slot_proof(text, vkeys):
    tenant, heads = vkeys.split(" ")
    head, body, signatures, record = text.split("\n\n", 3)
    lines = head.split("\n")
    need(lines[0] == "attestore slot-proof v1" and lines[1][:5] == "salt " and all(line[:5] == "hash " for line in lines[2:]), "slot-proof")
    salt, *siblings = [unbase64(line[5:]) for line in lines[1:]]
    need(all(len(h) == 32 for h in (salt, *siblings)) and len(siblings) <= 256, "salt or hash")
    origin, size, root = open_checkpoint(f"{body}\n\n{signatures}\n", tenant)
    slot, said = sha256(origin.encode()), f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"
    node = sha256(b"\0", slot, sha256(b"attestore 2026 tenant head v1\n", salt, said.encode()))
    for depth, sibling in zip(reversed(range(len(siblings))), siblings):
        node = sha256(b"\1", *((sibling, node) if slot[depth // 8] >> 7 - depth % 8 & 1 else (node, sibling)))
    entry, told, _ = open_record(tlog_proof(record, heads)[0])
    control = told.get("control", {})
    need(heads.split("+")[0] != origin and KINDS[entry[1] - 1] == "checkpoint_import" and control.get("type") == "tenant_heads"
         and set(control) == {"type", "round", "root", "tenants"}
         and all(type(control[n]) is int and control[n] >= 0 for n in ("round", "tenants")), "no round of heads")
    need(control["root"] == node.hex(), "the round holds another head for the log, or none")
    return f"in round {control['round']} of {heads.split('+')[0]} the head of {origin} is the tree of {size}"


def receipt(text, vkey):
    answer = load(text)
    origin, size, root = open_checkpoint(answer["checkpoint"], vkey)
    items = [item for item in answer.get("items", [answer]) if "seq" in item]
    if "seq" in answer:
        need([{key: item.get(key) for key in ("seq", "entry", "proof")} for item in items]
             == [{key: answer.get(key) for key in ("seq", "entry", "proof")}], "receipt contradicts itself")
    need(items, "receipt holds no entry")
    for item in items:
        entry, hashes = bytes.fromhex(item["entry"]), [unbase64(h) for h in item["proof"]]
        need(entry.hex() == item["entry"] and len(entry) == 44 and entry[0] in (1, 2) and 1 <= entry[1] <= len(KINDS), "entry")
        included(item["seq"], size, sha256(b"\0", entry), hashes, root)
    return f"{len(items)} entries are in the signed tree of {size} of {origin}"


def members(data):
    """The members of a bundle; it is written again from them and compared, as it has one spelling."""
    out, directory, found, most = b"", b"", [], 2**32 - 1
    archive = zipfile.ZipFile(io.BytesIO(data))
    for info in archive.infolist():
        name, body = info.filename.encode(), archive.read(info)
        head, n, fixed = len(out), len(body), (45, 8, 0, 0, 33)
        directory += struct.pack("<IH5H3I5H2I", 0x02014B50, 813, *fixed, info.CRC, most, most, len(name), 28, 0, 0, 0, 0o100644 << 16, most)
        directory += name + struct.pack("<2H3Q", 1, 24, n, n, head)
        out += struct.pack("<I5H3I2H", 0x04034B50, *fixed, 0, most, most, len(name), 20) + name + struct.pack("<2H2Q", 1, 16, 0, 0)
        out += body + struct.pack("<2I2Q", 0x08074B50, info.CRC, n, n)
        found.append((info.filename, body))
    count, size, at = len(found), len(directory), len(out)
    out += directory + struct.pack("<IQ2H2I4Q", 0x06064B50, 44, 813, 45, 0, 0, count, count, size, at)
    out += struct.pack("<2IQI", 0x07064B50, 0, at + size, 1) + struct.pack("<I4H2IH", 0x06054B50, 0, 0, 65535, 65535, most, most, 0)
    need(out == data and len(dict(found)) == count, "bundle is no archive as bundles are")
    return dict(found)


def bundle(data, vkey):
    member = members(data)
    manifest, note = load(member["manifest.json"]), member["checkpoint"].decode()
    origin, size, root = open_checkpoint(note, vkey)
    signed = ["attestore export manifest v1", "sha256 " + sha256(member["manifest.json"]).hex(), "log " + origin,
              f"tree {size} {base64.b64encode(root).decode()}", ""]
    need(open_note(member["manifest.note"].decode(), vkey).split("\n") == signed, "manifest.note is about something else")
    claim, files = manifest["claim"], {file["name"]: file for file in manifest["files"]}
    need((manifest["version"], manifest["format"], manifest["origin"], manifest["tree_size"], manifest["root"], manifest["checkpoint"])
         == ("attestore export v1", "evidence", origin, size, root.hex(), note), "manifest differs from the checkpoint")
    is_range = claim["kind"] == "range"
    need(claim["complete"] is is_range is ("first_seq" in claim) is ("end_seq" in claim), "claim")
    need(is_range or claim["kind"] in ("set", "query"), "claim")
    need(is_range or "entries.bin" not in files, "only ranges have entries")
    proofs = [name for name in member if name.startswith("proofs/")]
    order = [n for n in ("entries.bin", "proof.bin", "checkpoint", "policy", "vkeys", "summary.html") if n in files]
    need([*member] == ["records.bin", *order, *proofs, "manifest.json", "manifest.note"] and [*files] == order, "members")
    need({"proof.bin", "vkeys", "summary.html"} <= set(files), "members")
    for name, file in files.items():
        need((sha256(member[name]).hex(), len(member[name])) == (file["sha256"], file["bytes"]), f"{name} is not as the manifest says")

    records, openings, last, data, digest = {}, {}, -1, io.BytesIO(member["records.bin"]), b""
    while head := data.read(12):
        need(len(head) == 12 and big(head[:8]) > last, "records are out of order")
        last = big(head[:8])
        openings[last] = read(data, big(head[8:]))
        records[last] = open_record(openings[last])
        digest += head[:8] + records[last][0]
    need(records and sha256(digest).hex() == claim["records_sha256"] and len(records) == manifest["records"], "other records")
    entries, runs, data = {}, [], io.BytesIO(member.get("entries.bin", b""))
    while head := data.read(16):
        first, count = big(head[:8]), big(head[8:])
        need(len(head) == 16 and count and (not runs or first > runs[-1][1]), "runs of entries")
        entries.update((first + n, read(data, 44)) for n in range(count))
        runs.append((first, first + count))
    need(all(entries.get(seq, record[0]) == record[0] for seq, record in records.items()), "a record is another than its entry")
    leaves = {**entries, **{seq: record[0] for seq, record in records.items()}}
    known, hashes = sorted(leaves), io.BytesIO(member["proof.bin"])

    def walk(start, end):
        if not known or known[0] >= end:
            return read(hashes, 32)
        if end - start == 1:
            return sha256(b"\0", leaves[known.pop(0)])
        middle = start + split(end - start)
        return sha256(b"\1", walk(start, middle), walk(middle, end))

    need(walk(0, size) == root and not known and not hashes.read(1), "records and proof do not lead to the root")
    for name in proofs:
        opening, index, _ = tlog_proof(text := member[name].decode(), vkey)
        need(name == f"proofs/{index}.tlog-proof" and openings.get(index) == opening and text.endswith("\n\n" + note), name)
    controls = read_controls(records)
    if is_range:
        first, end = claim["first_seq"], claim["end_seq"]
        need(first < end and any(run[0] <= first and end <= run[1] for run in runs), "entries of the range are missing")
        complete({seq: entries[seq] for seq in range(first, end) if seq not in records}, controls)
    return f"{len(records)} records are in the signed tree of {size} of {origin}" + (", and the range is complete" if is_range else "")


def is_ranges(value):
    pair = lambda p: is_list(p, 2, lambda n: is_number(n, 64)) and len(p) == 2 and p[0] < p[1]
    return is_list(value, 100_000, pair) and all(a[1] < b[0] for a, b in zip(value, value[1:]))


CLASS, MILLIS = (lambda v: is_number(v, 16)), (lambda v: is_number(v, 64))
PEOPLE, CLASSES = (lambda v: is_list(v, 1024, is_text)), (lambda v: is_list(v, 1024, CLASS))
one_of, maybe = (lambda *names: lambda v: type(v) is str and v in names), (lambda test: lambda v: v is None or test(v))
CONTROLS = {  # type: kind, fields, fields that may be absent
    "retention_policy": ("policy", {"class": CLASS, "name": is_text, "keep_min_ms": MILLIS, "basis": is_text,
                                    "mode": one_of("none", "governance", "compliance"), "erasable": one_of("yes", "personal_only", "no")},
                         {"keep_max_ms": maybe(MILLIS), "approved_by": PEOPLE}),
    "purge": ("purge", {"class": CLASS, "policy": MILLIS, "reason": one_of("expired", "ordered", "override"), "ranges": is_ranges,
                        "records": MILLIS}, {"approved_by": PEOPLE}),
    "erasure": ("erasure", {"scope": one_of("subject", "records"), "records": MILLIS, "basis": is_text, "approved_by": PEOPLE},
                {"policy": maybe(MILLIS), "ranges": is_ranges}),
    "hold": ("hold", {"hold": is_text, "reason": is_text}, {"ranges": is_ranges, "classes": CLASSES}),
    "hold_release": ("hold", {"hold": is_text, "reason": is_text, "approved_by": PEOPLE}, {}),
}


def read_controls(records):
    """Seq, time and control of the records that decide about what may go."""
    found = []
    for seq, (entry, told, _) in records.items():
        kind, control = KINDS[entry[1] - 1], told.get("control")
        if kind in ("policy", "purge", "erasure", "hold"):
            need(is_text(control.get("type")), f"control record {seq}")
            if shape := CONTROLS.get(control["type"]):
                own, fields, optional = shape
                fields = {**fields, **{name: test for name, test in optional.items() if name in control}}
                need(kind == own and set(control) == {"type", *fields}, f"control record {seq} has other fields or is of another kind")
                need(all(test(control[name]) for name, test in fields.items()), f"control record {seq} is malformed")
                found.append((seq, big(entry[4:12]), control))
    return found


def complete(gone, controls):
    """Everything that is gone was purged or erased later, as the class's policy allowed, under no hold that the bundle shows."""
    inside = lambda seq, ranges: any(a <= seq < b for a, b in ranges)
    reach = lambda seq, removal: min(removal[0], max(b for a, b in removal[2]["ranges"] if a <= seq < b))
    for seq, entry in gone.items():
        kind, cls = entry[1], big(entry[2:4])
        need(kind == 1, f"control record {seq} is gone")
        removals = [(at, when, c) for at, when, c in controls if at > seq and inside(seq, c.get("ranges", [])) and (
            c["type"] == "purge" and c["class"] == cls or c["type"] == "erasure" and c["scope"] == "records")]
        need(removals, f"record {seq} is gone without a reason")
        furthest = max(reach(seq, removal) for removal in removals)
        for removal in removals:
            if reach(seq, removal) == furthest:
                permitted(seq, cls, big(entry[4:12]), removal, controls)


def permitted(seq, cls, time, removal, controls):
    (at, when, by), inside = removal, lambda ranges: any(a <= seq < b for a, b in ranges)
    policies = [(p, c) for p, _, c in controls if c["type"] == "retention_policy" and c["class"] == cls and p < at]
    need(policies and policies[-1][0] == by.get("policy"), f"record {seq} went by a policy that was not in force")
    policy, people = policies[-1][1], len(set(by.get("approved_by", [])))
    old, expired = time + policy["keep_min_ms"] <= when, policy.get("keep_max_ms") is not None and time + policy["keep_max_ms"] <= when
    if by["type"] == "erasure":
        allowed = policy["erasable"] == "yes" and people > 0 and (old or policy["mode"] != "compliance")
    else:
        override = old or policy["mode"] != "compliance" and people > 1
        allowed = {"expired": expired and old, "ordered": old, "override": override}[by["reason"]]
    need(allowed, f"the policy did not allow that record {seq} went")
    firm, soft, rank = (0, 0), (0, 0), ("yes", "personal_only", "no").index  # what earlier policies locked: least age, what may be erased
    more = lambda lock, p: (max(lock[0], p["keep_min_ms"]), max(lock[1], rank(p["erasable"])))
    for _, p in policies:
        firm = more(firm, p) if p["mode"] == "compliance" else firm
        soft = (0, 0) if len(set(p.get("approved_by", []))) > 1 else soft
        soft = more(soft, p) if p["mode"] != "none" else soft
    old, erasure = lambda lock: not lock[0] or time + lock[0] <= when, by["type"] == "erasure"
    need(old(firm) and not (erasure and firm[1]), f"record {seq} was locked in mode compliance by an earlier policy")
    need((erasure or old(soft) or by["reason"] == "override" and people > 1) and not (erasure and soft[1]),
         f"record {seq} was locked in mode governance by an earlier policy")
    for placed, _, hold in controls:
        if hold["type"] == "hold" and placed < at and (cls in hold.get("classes", []) or inside(hold.get("ranges", []))):
            need(any(c["type"] == "hold_release" and c["hold"] == hold["hold"] and placed <= r < at for r, _, c in controls),
                 f"record {seq} was held")


def verify(data, vkey):
    """What the bytes prove, in a sentence; raises Refused."""
    try:
        if data.startswith(b"PK"):
            return bundle(data, vkey)
        text = data.decode()
        if text.startswith("attestore slot-proof"):
            return slot_proof(text, vkey)
        return receipt(text, vkey) if text.lstrip().startswith("{") else tlog_proof(text, vkey)[2]
    except Refused:
        raise
    except Exception as error:  # whatever a doctored file makes of the parsers
        raise Refused(f"malformed: {error!r}") from error


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    failed = False
    for path in sys.argv[2:]:
        try:
            with open(path, "rb") as file:
                print(f"{path}: {verify(file.read(), sys.argv[1])}")
        except Refused as why:
            failed = True
            print(f"{path}: DOES NOT VERIFY: {why}", file=sys.stderr)
    sys.exit(3 if failed else 0)
