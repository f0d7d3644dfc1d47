#!/usr/bin/env python3
"""Earthquakes out of a GeoJSON feed of the USGS, oldest first.

An ingester for the container contract (WC-5.2) in plain Python: it reads `config.json` and the `session.json` that it left last
time, writes at most OSA_LIMIT records to `records.jsonl`, keeps each event as a file, and leaves a session if there are more. Nothing
beyond the standard library.

config: {"url": "https://earthquake.usgs.gov/earthquakes/feed/v1.0/summary/4.5_month.geojson"}

Its place in the feed is the last event's time and id, and not a number: events appear in the middle of a feed while it is read.
OSA_SINCE leaves out what the feed says was updated before.
"""

import json
import os
import sys
from datetime import datetime, timezone
from pathlib import Path
from urllib.request import urlopen

IN, OUT, FILES = (Path(os.environ[name]) for name in ("OSA_IN", "OSA_OUT", "OSA_FILES"))


def read(name):
    path = IN / name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def main():
    url = read("config.json")["url"]
    limit = int(os.environ["OSA_LIMIT"])
    since = os.environ.get("OSA_SINCE")
    # Times before 1970 are negative: without OSA_SINCE everything is new.
    since_ms = datetime.fromisoformat(since.replace("Z", "+00:00")).timestamp() * 1000 if since else float("-inf")
    after = tuple(read("session.json").get("after", (float("-inf"), "")))

    with urlopen(url, timeout=60) as feed:
        events = json.load(feed)["features"]

    def place(event):
        return (event["properties"]["time"], event["id"])

    wanted = [
        event
        for event in sorted(events, key=place)
        if place(event) > after
        and event["properties"]["type"] == "earthquake"
        and event["properties"]["mag"] is not None
        and event["properties"].get("updated", float("inf")) > since_ms
    ]
    batch = wanted[:limit]
    with open(OUT / "records.jsonl", "w", encoding="utf-8") as records:
        for event in batch:
            properties, (longitude, latitude, depth) = event["properties"], event["geometry"]["coordinates"]
            directory = FILES / event["id"]
            directory.mkdir()
            content = json.dumps(event)
            (directory / "event.json").write_text(content, encoding="utf-8")
            at = datetime.fromtimestamp(properties["time"] / 1000, timezone.utc)
            record = {
                "source_id": event["id"],
                "metadata": {
                    "place": properties["place"],
                    "date": at.date().isoformat(),
                    "magnitude": float(properties["mag"]),
                    "magnitude_type": properties.get("magType"),
                    "longitude": float(longitude),
                    "latitude": float(latitude),
                    "depth_km": float(depth),
                },
                "files": [
                    {
                        "name": "event.json",
                        "relative_path": f"{event['id']}/event.json",
                        "size_mb": len(content) / 1048576,
                    }
                ],
                "fetched_at": datetime.now(timezone.utc).isoformat(),
            }
            print(json.dumps(record), file=records)
    if len(wanted) > len(batch):
        (OUT / "session.json").write_text(json.dumps({"after": list(place(batch[-1]))}), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
