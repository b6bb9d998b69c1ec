"""GHM's figure 2 and 3 for any trained dense detector: how many (anchor, class) examples have a gradient of which size,
and how much each size pulls in all.

    python benchmarks/gradient_density.py runs/retinanet runs/ghm --data scenes:128:2000 --out docs/gradients.svg

Prints the counts of thirty bins of g = |sigmoid(x) - y| and the share of the whole gradient that each bin sends under
cross entropy, the focal loss (gamma 2, alpha .25) and GHM-C, and draws the counts on a logarithmic scale as an SVG.
"""
from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import torch

import stemma
from stemma.core.part import In
from stemma.data.loader import Loader
from stemma.data.open import open_split, spread
from stemma.papers.localization.ghm import GHMC
from stemma.parts.dense.losses import Focal

BINS = 30
WIDE, HIGH, LEFT, BOTTOM = 640, 320, 60, 40
COLOURS = ("#1f6f8b", "#c8553d", "#588157", "#6d597a")


def histogram(run: str, data: Any, images: int) -> dict[str, torch.Tensor]:
    """Counts of the bins and, by loss, the share of the summed size of gradients that comes from each, over `images`
    pictures of `data`."""
    model: Any = stemma.load(run, "last")
    loader = Loader(spread(data, images), model.recipe, train=False, batch=8, mean=model.spec.preprocess.mean)
    counts = torch.zeros(BINS, dtype=torch.float64)
    pulls = {name: torch.zeros(BINS, dtype=torch.float64) for name in ("cross entropy", "focal", "ghm-c")}
    loss = GHMC(In((3,), (1,)), BINS, 0.0)
    for batch in loader.epoch(0):
        with torch.no_grad():
            raw = model(batch.images)
            state, _, label = model.rule.targets(raw, batch.targets, model.classes, batch.sizes)
        used = (state >= 0)[..., None].expand_as(raw.logits)
        g = loss.cost(raw.logits, label)[1]
        beta, _ = loss.weigh(g, used)
        x = raw.logits.clone().requires_grad_(True)
        Focal()(x, label).sum().backward()
        assert x.grad is not None
        at = (g * BINS).long().clamp(max=BINS - 1)[used]
        counts += torch.bincount(at, minlength=BINS)
        for name, size in (("cross entropy", g), ("focal", x.grad.abs()), ("ghm-c", beta * g)):
            pulls[name] += torch.bincount(at, size[used].double(), BINS)
    return {"count": counts} | {k: v / v.sum().clamp(min=1e-12) for k, v in pulls.items()}


def draw(found: dict[str, torch.Tensor], path: Path) -> None:
    """The counts of every run as steps over g, on a logarithmic scale."""
    top = max(math.ceil(math.log10(max(float(v.max()), 10.0))) for v in found.values())
    x = lambda g: LEFT + g * (WIDE - LEFT - 20)
    y = lambda n: HIGH - BOTTOM - (math.log10(max(n, 1.0)) / top) * (HIGH - BOTTOM - 20)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" font-family="sans-serif" '
             'font-size="12">']
    parts.append('<rect width="100%" height="100%" fill="white"/>')
    for k in range(top + 1):
        parts.append(f'<line x1="{LEFT}" x2="{WIDE - 20}" y1="{y(10**k):.1f}" y2="{y(10**k):.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(10**k) + 4:.1f}" text-anchor="end">{10**k:,}</text>')
    for k in range(11):
        parts.append(f'<text x="{x(k / 10):.1f}" y="{HIGH - BOTTOM + 16}" text-anchor="middle">{k / 10:g}</text>')
    parts.append(f'<text x="{x(0.5):.1f}" y="{HIGH - 6}" text-anchor="middle">size of the gradient g; examples in each '
                 f'of {BINS} bins</text>')
    for k, (name, counts) in enumerate(found.items()):
        points = " ".join(f"{x((i + j) / BINS):.1f},{y(float(n)):.1f}" for i, n in enumerate(counts) for j in (0, 1))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[k % 4]}" stroke-width="2"/>')
        parts.append(f'<text x="{WIDE - 26}" y="{34 + 16 * k}" text-anchor="end" fill="{COLOURS[k % 4]}">{name}</text>')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*parts, "</svg>"]), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+",
                        help="run folders of RetinaNet, GHM or another dense detector with one class against all")
    parser.add_argument("--data", default="scenes")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--out", type=Path, default=Path("gradients.svg"))
    told = parser.parse_args()
    data = open_split(told.data, "val")
    found = {Path(run).name: histogram(run, data, told.images) for run in told.runs}
    for name, values in found.items():
        print(f"{name}: bin of g, examples, share of the gradient under " + ", ".join(list(values)[1:]))
        for i in range(BINS):
            print(f"  {i / BINS:.3f}  {int(values['count'][i]):>10,}  "
                  + "  ".join(f"{float(values[k][i]):.4f}" for k in list(values)[1:]))
    draw({k: v["count"] for k, v in found.items()}, told.out)
    print(told.out)


if __name__ == "__main__":
    main()
