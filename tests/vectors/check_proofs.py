#!/usr/bin/env python3
"""Holds docs/verify.py against the published vectors in proofs/: it must say of each what the vector says."""
import base64
import importlib.util
import json
import pathlib
import sys

here = pathlib.Path(__file__).parent
spec = importlib.util.spec_from_file_location("verify", here.parent.parent / "docs" / "verify.py")
verify = importlib.util.module_from_spec(spec)
spec.loader.exec_module(verify)

wrong, checked = [], 0
for path in sorted((here / "proofs").glob("*.json")):
    vectors, base = json.loads(path.read_text("utf-8")), None
    for case in vectors["cases"]:
        if "bytes" in case:
            data = base64.b64decode(case["bytes"])
        else:
            at, end = case["at"], case["at"] + case["remove"]
            data = base[:at] + base64.b64decode(case["insert"]) + base[end:]
        base = base or data
        try:
            said, valid = verify.verify(data, vectors["vkey"]), True
        except verify.Refused as why:
            said, valid = str(why), False
        checked += 1
        if valid != case["valid"]:
            wrong.append(f"{vectors['format']}: {case['name']}: {said}")
        elif "-v" in sys.argv:
            print(f"{vectors['format']}: {case['name']}: {said}")
print(f"{checked} vectors, {len(wrong)} with another verdict")
print("\n".join(wrong))
sys.exit(1 if wrong or checked < 80 else 0)
