#!/usr/bin/env bash
# Guess: a word's box by pdfplumber is where the word is in the picture that pdfplumber makes of the page.
# (pdfplumber counts from the upper left corner of the MediaBox; `to_image`, as every viewer, shows the CropBox, unless `force_mediabox=True`.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check pdfplumber==0.11.10 reportlab==5.1.0 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
import pdfplumber
from reportlab.pdfgen import canvas

seen = {}
for name, box in (("no CropBox", None), ("with one", (100, 60, 200, 160))):
    sheet = canvas.Canvas("page.pdf", pagesize=(200, 200))
    if box:
        sheet.setCropBox(box)
    sheet.setFont("Helvetica", 20)
    sheet.drawString(110, 130, "HHHH")
    sheet.save()
    with pdfplumber.open("page.pdf") as document:
        page = document.pages[0]
        (word,) = page.extract_words()
        picture = np.asarray(page.to_image(resolution=72).original.convert("L"))
        rows, columns = np.nonzero(picture < 128)
        seen[name] = {"size": [(page.width, page.height), picture.shape[::-1]], "left": [round(word["x0"]), int(columns.min())], "right": [round(word["x1"]), int(columns.max()) + 1],
                      "top": [round(word["top"]), int(rows.min())], "bottom": [round(word["bottom"]), int(rows.max()) + 1]}
print(f"pdfplumber {version('pdfplumber')}, pypdfium2 {version('pypdfium2')}")
print("Guess: at 72 dots an inch a word's box is around its letters, in points as in pixels.")
print("Seen: where the page has a CropBox they are apart by its corner, and the page's size is not the picture's:")
for name, row in seen.items():
    print(f"    a page {name}:")
    print(f"        page {row['size'][0][0]:g} x {row['size'][0][1]:g}, picture {row['size'][1][0]} x {row['size'][1][1]}")
    for which, what in enumerate(("the word's box", "its pixels")):
        print(f"        {what:15} columns {row['left'][which]} to {row['right'][which]}, rows {row['top'][which]} to {row['bottom'][which]}")
plain, cropped = seen.values()
near = all(abs(box - pixel) <= 5 for side, (box, pixel) in plain.items() if side != "size")
raise SystemExit(not (near and cropped["left"][0] - cropped["left"][1] > 90 and cropped["top"][0] - cropped["top"][1] > 30 and cropped["size"] == [(200, 200), (100, 100)]))
PY
env/bin/python -W ignore show.py
