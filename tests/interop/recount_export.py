"""Recounts a downloaded export with nothing of Attestore: hashes, lines and seqs by the standard library, and the rows of CSV
and Parquet files once more by DuckDB. Prints one JSON document.

    python recount_export.py DIR
"""

import csv
import gzip
import hashlib
import json
import pathlib
import sys

import duckdb


def opened(path):
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return open(path, encoding="utf-8", newline="")


def seqs_of(path, form):
    if form == "parquet":
        rows = duckdb.sql(f"select seq from read_parquet('{path}') order by file_row_number").fetchall()
        return [row[0] for row in rows]
    with opened(path) as file:
        if form == "csv":
            return [int(row["seq"]) for row in csv.DictReader(file)]
        key = (lambda line: line["seq"]) if form == "ndjson" else (lambda line: line["metadata"]["sequence"])
        return [key(json.loads(line)) for line in file]


def main(folder):
    manifest = json.loads((folder / "manifest.json").read_bytes())
    csv.field_size_limit(1 << 30)
    records, ordered, last, total, hashed, by_duckdb = 0, True, -1, 0, 0, 0
    for entry in manifest["files"]:
        path = folder / entry["name"]
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            while some := file.read(1 << 20):
                digest.update(some)
        hashed += digest.hexdigest() == entry["sha256"] and path.stat().st_size == entry["bytes"]
        if path.suffix == ".zst":
            continue
        seqs = seqs_of(path, manifest["format"])
        for seq in seqs:
            ordered = ordered and seq > last
            last = seq
            total += seq
        records += len(seqs)
        if manifest["format"] == "csv":
            table = f"read_csv('{path}', header=true, all_varchar=true)"
            by_duckdb += duckdb.sql(f"select count(*) from {table}").fetchone()[0]
        elif manifest["format"] == "parquet":
            by_duckdb += duckdb.sql(f"select count(*) from read_parquet('{path}')").fetchone()[0]
    print(
        json.dumps(
            {
                "files": len(manifest["files"]),
                "hashed": hashed,
                "records": records,
                "manifest_records": manifest["records"],
                "ordered": ordered,
                "seq_sum": total,
                "duckdb_rows": by_duckdb,
            }
        )
    )


main(pathlib.Path(sys.argv[1]))
