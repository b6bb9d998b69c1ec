#!/usr/bin/env bash
# Guess: a map of classes, an image of mode P, comes back from every format that keeps mode P without loss as it went.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check pillow==13.0.0
cat > show.py <<'PY'
import PIL
from PIL import Image

classes = [0, 5, 7, 5]
plain = Image.new("P", (2, 2))
plain.putdata(classes)
plain.putpalette([v for k in range(8) for v in (30 * k, 0, 0)])
seen = {}
for ending in ("png", "bmp", "tiff", "gif"):
    plain.save(f"map.{ending}")
    with Image.open(f"map.{ending}") as back:
        seen[ending] = back.mode, list(back.tobytes())
plain.save("kept.gif", optimize=False)
with Image.open("kept.gif") as back:
    kept = list(back.tobytes())
print(f"pillow {PIL.__version__}")
print("Guess: the classes 0, 5 and 7 are 0, 5 and 7 again.")
print("Seen: in a GIF the colours that are not used are left out and the rest are numbered anew: the picture is the same, the classes are not:")
for ending, (mode, numbers) in seen.items():
    print(f"    {ending:4}  mode {mode}  {numbers}")
print(f"    gif   with optimize=False  {kept}")
raise SystemExit(not (all(seen[k] == ("P", classes) for k in ("png", "bmp", "tiff"))
                      and seen["gif"] == ("P", [0, 1, 2, 1]) and kept == classes))
PY
env/bin/python -W ignore show.py
