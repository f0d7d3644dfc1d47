"""PROV-JSON gate: parses with PyPI `prov`, then closes the holes the parser leaves open
(it accepts dangling references and silently drops names whose prefix is not declared).
usage: check_prov.py FILE.json ; exit 0 valid, 1 not."""
import json, sys, warnings
from prov.model import ProvDocument
warnings.simplefilter("error")                       # dropped qualified names become errors
with open(sys.argv[1]) as file:                       # left open it would be a warning, so an error
    text = file.read()
try:
    doc = ProvDocument.deserialize(content=text, format="json")
    assert ProvDocument.deserialize(content=doc.serialize(format="json"), format="json") == doc, "round trip differs"
    raw = json.loads(text)
    declared = {k for t in ("entity", "activity", "agent") for k in raw.get(t, {})}
    edges = []
    for rel, recs in raw.items():
        if rel in ("prefix", "entity", "activity", "agent", "bundle"):
            continue
        for rid, r in recs.items():
            for one in (r if isinstance(r, list) else [r]):
                refs = {k: v for k, v in one.items() if k.startswith("prov:") and isinstance(v, str)
                        and k not in ("prov:type", "prov:role", "prov:label", "prov:time", "prov:location", "prov:value")}
                missing = [v for v in refs.values() if v not in declared]
                assert not missing, f"{rel} {rid}: undeclared {missing}"
                if rel == "wasDerivedFrom":
                    edges.append((refs["prov:generatedEntity"], refs["prov:usedEntity"]))
                if rel == "used":
                    edges.append((refs["prov:activity"], refs["prov:entity"]))
                if rel == "wasGeneratedBy":
                    edges.append((refs["prov:entity"], refs["prov:activity"]))
    out = {}
    for a, b in edges:
        out.setdefault(a, set()).add(b)
    state = {}
    for start in list(out):
        stack = [(start, iter(out.get(start, ())))]
        state.setdefault(start, 1)
        while stack:
            node, it = stack[-1]
            nxt = next(it, None)
            if nxt is None:
                state[node] = 2; stack.pop()
            elif state.get(nxt) == 1 and any(n == nxt for n, _ in stack):
                raise AssertionError(f"cycle through {nxt}")
            elif nxt not in state:
                state[nxt] = 1; stack.append((nxt, iter(out.get(nxt, ()))))
except Exception as e:
    print("INVALID", type(e).__name__, str(e)[:160]); sys.exit(1)
print("valid", len(list(doc.get_records())), "records"); sys.exit(0)
