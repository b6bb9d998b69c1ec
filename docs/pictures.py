"""The pictures of the README, made anew: the report and the lineage as a browser shows them, and drawn predictions.

    make pictures                                # after `make demo`, whose report and systems it takes (and makes)
    python docs/pictures.py runs/demo --budget 60s

What is missing is trained first: Mask R-CNN and Panoptic FPN, on the scenes of the demo. Pages are photographed by a
headless Chromium; without one their pictures stay as they are, which is said. A picture has at most 150 kB.
"""
from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import stemma
from stemma.report import lineage

HERE = Path(__file__).resolve().parent / "pictures"
SHOWN = {
    "fpn": "boxes: FPN", "mask-rcnn": "masks: Mask R-CNN", "panoptic-fpn": "every pixel: Panoptic FPN",
}
MOST = 150_000  # bytes of a picture
SCENES = "scenes:128:6000"  # the demo's
GAP = 10


def browser() -> str | None:
    """A headless Chromium, where there is one."""
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    return next((path for path in found if path), None)


def photographed(page: Path, width: int, height: int) -> Image.Image:
    """What a browser of `width` x `height` pixels shows of a file, from its top: of what is scrolled it shows nothing
    (`findings/`)."""
    chromium = browser()
    assert chromium is not None
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        subprocess.run(
            [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
             "--force-device-scale-factor=1", "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=5000",
             f"--user-data-dir={folder}/profile", f"--window-size={width},{height}", f"--screenshot={shot}",
             page.resolve().as_uri()],
            check=True, capture_output=True, timeout=180,
        )
        return Image.open(shot).convert("RGB")


def kept(image: Image.Image, name: str) -> Path:
    """The picture in docs/pictures, as good as its size allows. Raises `SystemExit` where it would look bad."""
    path = HERE / f"{name}.webp"
    for quality in (90, 80, 70, 60):
        data = io.BytesIO()
        image.save(data, "WEBP", quality=quality, method=6)
        if data.tell() <= MOST:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data.getvalue())
            print(f"{path.relative_to(HERE.parents[1])}: {image.width} x {image.height}, {data.tell() / 1000:.0f} kB")
            return path
    raise SystemExit(f"{path} would be larger than {MOST // 1000} kB: take a smaller part of the page")


def sections(report: Path, width: int = 1200, height: int = 1290) -> Image.Image:
    """A report as two columns: its answer and table; then how systems err and on which pictures
    they disagree."""
    others = "body > header, nav, footer, main > :not(section), section:not(#errors):not(#pictures)"
    style = f"<style>{others} {{ display: none !important }}</style>"
    sheet = Image.new("RGB", (2 * width, height), "white")
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part.html"
        part.write_text(report.read_text(encoding="utf-8").replace("</head>", style + "</head>", 1), encoding="utf-8")
        for x, page in enumerate((report, part)):
            sheet.paste(photographed(page, width, height), (x * width, 0))
    return sheet.resize((1500, height * 1500 // (2 * width)), Image.Resampling.LANCZOS)


def predictions(runs: dict[str, Path], scenes: int = 4, size: int = 256) -> Image.Image:
    """Held-out scenes, a column each, and what each system says of them, a row each."""
    data = stemma.Scenes(scenes, size=size, seed=11, split="test")
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        photos.mkdir()
        for i in range(scenes):
            Image.fromarray(np.asarray(data[i].image)).save(photos / f"{i}.png")
        rows = [[photos / f"{i}.png" for i in range(scenes)]]
        for name, run in runs.items():
            out = Path(folder) / name
            stemma.predict(run, str(photos), out, threshold=0.5)
            rows.append([out / f"{i}.jpg" for i in range(scenes)])  # a map's ids lie beside them, as PNG
        font = ImageFont.load_default(18)
        sheet = Image.new("RGB", (scenes * (size + GAP) + GAP, len(rows) * (size + 34) + GAP), "white")
        for y, (title, row) in enumerate(zip(("held-out scenes", *(SHOWN[n] for n in runs)), rows)):
            top = y * (size + 34)
            ImageDraw.Draw(sheet).text((GAP, top + 6), title, "black", font)
            for x, file in enumerate(row):
                sheet.paste(Image.open(file).convert("RGB").resize((size, size)), (GAP + x * (size + GAP), top + 32))
    return sheet


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("demo", nargs="?", type=Path, default=Path("runs/demo"), help="a comparison (%(default)s)")
    ap.add_argument("--runs", type=Path, default=Path("runs/pictures"), help="other systems' runs (%(default)s)")
    ap.add_argument("--budget", default="175s", help="how long each of them is trained (%(default)s)")
    args = ap.parse_args()
    report = args.demo / "report.html"
    if not report.is_file():
        sys.exit(f"no report at {report}; `make demo` writes one")
    runs = {}
    for name in SHOWN:
        runs[name] = args.demo / f"{name}-s0"
        if not (runs[name] / "run.json").is_file():
            runs[name] = args.runs / name
        there = (runs[name] / "run.json").is_file()
        if not there or stemma.Run.open(runs[name]).state != "finished":
            stemma.train(name, SCENES, args.budget, out=runs[name], resume=True, val_every=0)
    kept(predictions(runs), "predictions")
    if browser() is None:
        print("no Chromium on this machine: the report's and the lineage's stay as they are")
        return
    kept(sections(report), "report")
    with tempfile.TemporaryDirectory() as folder:
        file = lineage.write(Path(folder) / "lineage.html")
        whole = "<style>header, main, footer { max-width: none !important }</style>"  # the drawing is not scrolled
        drawn = file.read_text(encoding="utf-8").replace("</head>", whole + "</head>", 1)
        file.write_text(drawn, encoding="utf-8")
        width = max(int(w) for w in re.findall(r'<svg[^>]* width="(\d+)"', drawn)) + 80  # with the page's edges
        page = photographed(file, width, width * 905 // 1302)
    kept(page.resize((1302, 905), Image.Resampling.LANCZOS), "lineage")


if __name__ == "__main__":
    main()
