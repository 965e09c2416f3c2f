#!/usr/bin/env python3
"""Checks the golden vectors in this folder without any code of the project. Needs `blake3` from PyPI."""
import hashlib
import hmac
import json
import pathlib
import sys

from blake3 import blake3

GROUP, RECORD = "attestore 2026 group v1", "attestore 2026 record v1"
failures = []


def check(what, expected, actual):
    if expected != actual:
        failures.append(f"{what}: expected {expected}, computed {actual}")


def derive(context, message):
    return blake3(message, derive_key_context=context).digest()


def commit(version, context, message):
    if version == 1:
        return derive(context, message)
    return hmac.new(context.encode(), message, hashlib.sha256).digest()


def salt(key, record_id, label):
    return blake3(record_id + label, key=derive("attestore 2026 salt v1", key)).digest()


def sized(data):
    return len(data).to_bytes(8, "big") + data


def leaf_hash(entry):
    return hashlib.sha256(b"\x00" + entry).digest()


def root(leaves):
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + root(leaves[:split]) + root(leaves[split:])).digest()


def load(name):
    return json.loads((pathlib.Path(__file__).parent / name).read_text("utf-8"))


for n, record in enumerate(load("commitments.json")):
    version, record_id = record["version"], bytes.fromhex(record["id_bytes"])
    check(f"record {n} id", record["id"].replace("-", ""), record_id.hex())
    groups = []
    for k, group in enumerate(record["groups"]):
        subjects = sorted((bytes.fromhex(s["handle"]), bytes.fromhex(s["key"])) for s in group["subjects"])
        set_key = derive("attestore 2026 subject set key v1", b"".join(key for _, key in subjects))
        label = b"".join(handle for handle, _ in subjects)
        group_salt = salt(set_key, record_id, label)
        c_k = commit(version, GROUP, group_salt + sized(group["bytes"].encode()))
        groups.append(c_k)
        for name, actual in (("set_key", set_key), ("label", label), ("salt", group_salt), ("commitment", c_k)):
            check(f"record {n} group {k} {name}", group[name], actual.hex())
    salt_0 = salt(bytes.fromhex(record["salt_key"]), record_id, b"public")
    message = salt_0 + sized(record["public"].encode()) + len(groups).to_bytes(4, "big") + b"".join(sorted(groups))
    commitment = commit(version, RECORD, message)
    entry = bytes([version, record["kind"]]) + record["class"].to_bytes(2, "big")
    entry += record["time_ms"].to_bytes(8, "big") + commitment
    check(f"record {n} salt", record["salt"], salt_0.hex())
    check(f"record {n} commitment", record["commitment"], commitment.hex())
    check(f"record {n} entry", record["entry"], entry.hex())
    check(f"record {n} leaf", record["leaf"], leaf_hash(entry).hex())

tree = load("tree.json")
leaves = [leaf_hash(bytes.fromhex(entry)) for entry in tree["entries"]]
check("leaves", tree["leaves"], [leaf.hex() for leaf in leaves])
check("roots", tree["roots"], [root(leaves[: size + 1]).hex() for size in range(len(leaves))])

for n, event in enumerate(load("events.json")):
    public = json.loads(event["public"])
    fields = {p: v for group in event["personal"] for p, v in json.loads(group["bytes"])["fields"].items()}
    check(f"event {n} withheld", sorted(public.get("withheld", [])), sorted(fields))
    for pointer, value in fields.items():
        at = json.loads(event["normalised"])
        for part in pointer[1:].split("/"):
            at = at[int(part)] if isinstance(at, list) else at[part.replace("~1", "/").replace("~0", "~")]
        check(f"event {n} {pointer}", value, at)

print("\n".join(failures) if failures else "all vectors hold")
sys.exit(1 if failures else 0)
