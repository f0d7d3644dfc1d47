#!/usr/bin/env python3
"""What an earthquake's magnitude means: seismic moment, radiated energy, and how deep it was.

A hook for the container contract (WC-5.1) in plain Python: it reads `records.jsonl`, and writes a line for every record to
`features.jsonl`, `rejections.jsonl` or `errors.jsonl`. Nothing beyond the standard library.

Moment: M0 = 10^(1.5 Mw + 9.1) N m (Hanks and Kanamori 1979, in SI). Energy: log10 Es = 1.5 M + 4.8, in J (Gutenberg and Richter 1956).
Depth classes as the USGS has them: shallow to 70 km, intermediate to 300 km, deep below.
"""

import json
import math
import os
import sys
from pathlib import Path

IN, OUT, FILES = (Path(os.environ[name]) for name in ("OSA_IN", "OSA_OUT", "OSA_FILES"))


def measured(metadata, stations):
    """The row of one earthquake."""
    magnitude, depth = metadata["magnitude"], metadata["depth_km"]
    if depth <= 70:
        depth_class = "shallow"
    elif depth <= 300:
        depth_class = "intermediate"
    else:
        depth_class = "deep"
    return {
        "moment_nm": 10 ** (1.5 * magnitude + 9.1),
        "energy_j": 10 ** (1.5 * magnitude + 4.8),
        "depth_class": depth_class,
        "reported_by": stations,
    }


def reporters(record):
    """How many networks reported it, from the event file that the ingester kept; none if there is no file."""
    path = FILES / record["id"] / "event.json"
    if not path.exists():
        return None
    event = json.loads(path.read_text(encoding="utf-8"))
    sources = event.get("properties", {}).get("sources") or ""
    return len([source for source in sources.split(",") if source])


def main():
    with (
        open(IN / "records.jsonl", encoding="utf-8") as records,
        open(OUT / "features.jsonl", "w", encoding="utf-8") as features,
        open(OUT / "rejections.jsonl", "w", encoding="utf-8") as rejections,
        open(OUT / "errors.jsonl", "w", encoding="utf-8") as errors,
    ):
        for line in records:
            record = json.loads(line)
            metadata = record["metadata"]
            try:
                if not math.isfinite(metadata["magnitude"]) or metadata["magnitude"] < 0:
                    told = {"id": record["id"], "reason": "the magnitude is negative: its moment means nothing here"}
                    print(json.dumps(told), file=rejections)
                    continue
                row = measured(metadata, reporters(record))
                print(json.dumps({"id": record["id"], "features": [row]}), file=features, flush=True)
            except Exception as error:  # One record that cannot be judged is no reason to lose the others.
                told = {"id": record["id"], "error": f"{type(error).__name__}: {error}", "retryable": False}
                print(json.dumps(told), file=errors)


if __name__ == "__main__":
    sys.exit(main())
