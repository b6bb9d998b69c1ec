"""Where do editors fail: to count, to move, to swap, to know which one is meant, to see from elsewhere?

    python -m stemma.studies.failures runs/editor runs/taught --out runs/failures

Sixty fixed edits of drawn pictures, twelve of each class that InstructPix2Pix names among its failures (sec. 5), each
with its exact picture (`data.editing.hard`). A run beside another that was taught such edits says whether a failure is
one of data or of the network: --set tasks=[['recolour',1.0],['swap',1.0],['count',1.0],['move',1.0],['spatial',1.0],
['viewpoint',1.0]] teaches them. An edit is right as `engine.editing.measure` has it: as many of its colour as there
should be; where it should stand; the colour in the right thing; otherwise more than half of the way, pixel by pixel;
other things left alone.
"""
from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.stats import binomtest

from ..core import interrupts, outputs
from ..core.types import StemmaError
from ..data.editing.drawn import KINDS
from ..data.editing.hard import Hard
from ..data.editing.loading import At
from ..engine.editing import measure
from ..engine.editing.show import spaced
from ..engine.running import checkpoint
from ..engine.running.progress import going
from ..report.sheet import grid, leaf, remark
from ..report.tags import tag, text
from . import Asked, keep

CLASSES = ("count", "move", "swap", "spatial", "viewpoint")
EACH, SIDE = 12, 64  # prompts of a class, and the pixels that they are drawn at
SHOWN = 2  # of each class in the picture


def prompts() -> Hard:
    """The sixty edits."""
    return Hard(SIDE, EACH * len(CLASSES), "test", kinds=CLASSES)


def study(runs: Sequence[str | Path], out: str | Path, **options: Any) -> dict[str, Any]:
    """Ask each run for the sixty edits and write failures.json and failures.html. options: of `edit`. Raises
    `StemmaError` for a run that is no editor."""
    out = Path(out)
    outputs.claim([out / "failures.json", out / "failures.html"])
    edits, systems = prompts(), []
    pairs = [edits.pair(i) for i in range(len(edits))]
    for run in going(runs, "runs"):
        m: Any = checkpoint.load(run).eval()
        if m.paper.task_of(m.preset) != "editing":
            raise StemmaError(f"{run} is a run of {m.paper.cli_name}, and this is about editors")
        at = At(edits, m.recipe.resize.size)
        both = torch.from_numpy(np.stack([at.sized(p) for p in pairs])).float() / 255
        made = measure.editing(m, **options)(both[:, 0], pairs, list(range(len(pairs))))
        right = [bool(measure.scored(p, x.numpy(), y.numpy(), z.numpy())["right"])
                 for p, x, y, z in zip(pairs, both[:, 0], both[:, 1], made, strict=True)]
        systems.append({"run": str(run), "paper": m.paper.label, "taught": taught(m), "size": at.size, "right": right,
                        "rate": {c: rate(right, pairs, c) for c in CLASSES}, "made": made})
    record = {"prompts": [{"says": p.instruction, "class": p.kind} for p in pairs], "options": options,
              "systems": [{k: v for k, v in s.items() if k != "made"} for s in systems]}
    keep(out / "failures.json", record)
    outputs.put_text(out / "failures.html", page(record, picture(edits, [s["made"] for s in systems])))
    return record


def taught(m: Any) -> list[str]:
    """The kinds of edit that a model learned from."""
    kinds = [k for k, _ in m.spec.tasks] or list(m.info.kinds if m.info else KINDS)
    return [*kinds, *(["mirrored"] if m.recipe.augment.flip else [])]


def rate(right: Sequence[bool], pairs: Sequence[Any], name: str) -> dict[str, Any]:
    """How many of a class are right, with the share's interval (Wilson, 95 %)."""
    own = [r for r, p in zip(right, pairs, strict=True) if p.kind == name]
    interval = binomtest(sum(own), len(own)).proportion_ci(method="wilson")
    return {"right": sum(own), "asked": len(own), "low": float(interval.low), "high": float(interval.high)}


def picture(edits: Hard, made: Sequence[torch.Tensor]) -> str:
    """Some edits of each class: before, as it should become, by each run; PNG, base64."""
    rows = []
    for k in (i for c in range(len(CLASSES)) for i in (c, c + len(CLASSES))[:SHOWN]):
        pair = edits.pair(k)
        cells = [pair.before, pair.after]
        for m in made:
            image = (m[k].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
            cells.append(np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.NEAREST)))
        rows.append(spaced(cells, 1))
    file = io.BytesIO()
    Image.fromarray(spaced(rows, 0)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def answer(r: dict[str, Any]) -> str:
    """What came of it, in a sentence for each run."""
    said = []
    for s in r["systems"]:
        new = [c for c in CLASSES if c not in s["taught"]]
        told = ", ".join(f"{c} {s['rate'][c]['right']}" for c in CLASSES)
        said.append(f"{s['paper']} ({s['run']}; not taught: {', '.join(new) or 'none of these'}) made "
                    f"{sum(s['right'])} of {len(s['right'])}, of {EACH} each: {told}.")
    return " ".join(said)


def page(r: dict[str, Any], png: str) -> str:
    """The study as one page."""
    heads = ("class", *(f"{s['paper']}, {Path(s['run']).name}" for s in r["systems"]))
    body = [[c, *(f"{s['rate'][c]['right']} of {s['rate'][c]['asked']} ({s['rate'][c]['low']:.2f} to "
                  f"{s['rate'][c]['high']:.2f})" for s in r["systems"])] for c in CLASSES]
    each = [[p["class"], p["says"], *("made" if s["right"][i] else "–" for s in r["systems"])]
            for i, p in enumerate(r["prompts"])]
    learned = [[Path(s["run"]).name, ", ".join(s["taught"]), f"{s['size']} pixels"] for s in r["systems"]]
    image = (f'<img src="data:image/png;base64,{png}" alt="edits of each class" '
             'style="max-width:100%;image-rendering:pixelated">')
    return leaf("Where do editors fail?", tag("div", tag("p", text(answer(r)), cls="head"), cls="answer"),
                remark("Sixty fixed edits; the share's 95 % interval in brackets."), grid(heads, body),
                grid(("run", "learned from", "at"), learned),
                tag("figure", image, tag("figcaption", "Before, as it should become, then by each run.")),
                grid(("class", "asked for", *(Path(s["run"]).name for s in r["systems"])), each))


def main(argv: list[str] | None = None) -> None:
    """The command of this file's head."""
    parser = Asked("failures", __doc__)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--out", default="runs/failures")
    a = parser.parse_args(argv)
    print(answer(study(a.runs, a.out)))
    print(Path(a.out) / "failures.html")


if __name__ == "__main__":
    interrupts.command(main)


__all__ = ["CLASSES", "answer", "page", "prompts", "rate", "study", "taught"]
