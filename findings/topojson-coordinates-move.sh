#!/usr/bin/env bash
# Guess: a topology shares borders and loses nothing: polygons go in and the same polygons come out.
# (Its page: `prequantize` is "`True` (which correspond to a quantize factor of `1e5`)", over the bounding box of all.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check topojson==2.2 numpy==2.4.6 shapely==2.1.2
cat > show.py <<'PY'
import json
from importlib.metadata import version

import topojson


def square(x, y, side):
    return {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [[
        [x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]]}}


tile = [square(500.25, 300.5, 20), square(520.25, 300.5, 20)]
far = [*tile, square(4_000_000, 0, 20)]  # one object that lies far away


def back(features, **options):
    out = json.loads(topojson.Topology({"type": "FeatureCollection", "features": features}, **options).to_geojson())
    return [sorted({tuple(p) for p in f["geometry"]["coordinates"][0]}) if f["geometry"] else None for f in out["features"]]


def across(corners):
    return "no geometry" if corners is None else f"x from {corners[0][0]:.3f} to {corners[-1][0]:.3f}"


true = [sorted({tuple(p) for p in f["geometry"]["coordinates"][0]}) for f in far]
found = {"two neighbours": back(tile), "and one far away": back(far), "the same, prequantize=False": back(far, prequantize=False)}
print(f"topojson {version('topojson')}")
print("Guess: two squares come out as they went in, whatever else there is.")
print("Seen: corners are moved to a grid over all features, so that with one that is far away a square becomes twice as wide and its")
print("    neighbour loses its geometry:")
print(f"    {'as written':28} {across(true[0])}; {across(true[1])}")
for name, (first, second, *_) in found.items():
    print(f"    {name:28} {across(first)}; {across(second)}")
wide = found["and one far away"]
raise SystemExit(not (wide[1] is None and wide[0][-1][0] > 540 and found["the same, prequantize=False"] == true))
PY
env/bin/python -W ignore show.py
