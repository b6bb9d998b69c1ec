"""How far does a cell of a detector's maps see? The effective receptive field, measured by gradients (Luo et al., 2016,
arXiv 1701.04128): how much the middle cell of each map changes with each pixel of real pictures.

    stemma train rfb-net --data scenes --out runs/rfb
    stemma train rfb-net --data scenes --set neck.kind=inception --out runs/inception
    python -m stemma.studies.fields runs/rfb runs/inception --data scenes --out runs/fields

takes runs of detectors with a backbone and a neck, and writes fields.json and fields.html: of each map the sides of the
squares about the cell in which half and nine tenths of the squared gradient lie, and how far any of it reaches.
"""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..core import interrupts, outputs
from ..core.types import StemmaError
from ..data.open import open_split, spread
from ..engine.pictures import outside
from ..engine.running import checkpoint
from ..engine.running.devices import pick_device
from ..engine.running.progress import going
from ..report import charts
from . import Asked, keep, natural, say

SHARES = (0.5, 0.9, 1.0)
POINTS = 40  # of a curve


def energies(model: nn.Module, images: Float[Tensor, "B 3 H W"],
             seed: int = 0) -> list[tuple[Float[Tensor, "H W"], tuple[int, int]]]:
    """Of each map, with its cells, how much its middle cell changes with each pixel: the squared gradient, over colours
    and pictures, along a direction of the cell's channels that is drawn by chance, so that none cancels another. Raises
    `StemmaError` for a model without backbone and neck."""
    m: Any = model
    if not all(hasattr(m, k) for k in ("backbone", "neck")):
        raise StemmaError("fields are those of the maps of a backbone and a neck: train a detector such as rfb-net")
    x = m.spec.preprocess(images).detach().requires_grad_()
    out, draw = [], torch.Generator().manual_seed(seed)
    maps = m.neck(m.backbone(x))
    for k, y in enumerate(maps):
        along = torch.randn(y.shape[:2], generator=draw).to(y)
        seen, = torch.autograd.grad((y[..., y.shape[2] // 2, y.shape[3] // 2] * along).sum(), x,
                                    retain_graph=k < len(maps) - 1)
        out.append((seen.double().square().sum((0, 1)).cpu(), (y.shape[2], y.shape[3])))
    return out


def within(energy: Float[Tensor, "H W"], cells: tuple[int, int]) -> Float[Tensor, " S"]:
    """Share of the energy in squares about the middle cell of a map of (h, w) cells, by their half side in whole pixels
    from 1 on; the last holds all of the picture."""
    far = []
    for n, c in zip(energy.shape, cells):
        middle = (c // 2 + 0.5) * n / c
        far.append((torch.arange(n) + 0.5 - middle).abs() + 0.5)
    half = torch.maximum(far[0][:, None], far[1][None]).ceil().long()
    mass = torch.zeros(int(half.max()) + 1, dtype=torch.float64).index_add_(0, half.flatten(), energy.flatten())
    return mass.cumsum(0)[1:] / mass.sum().clamp(min=1e-300)


def side(shares: Float[Tensor, " S"], share: float) -> int:
    """The side in pixels, an even number, of the least of these squares that holds a share; 1 - 1e-9 of it is all."""
    return 2 * (int((shares < share * (1 - 1e-9)).sum()) + 1)


def measured(model: nn.Module, batches: Sequence[Tensor]) -> list[dict[str, Any]]:
    """Of each map its cells and stride, the sides that hold `SHARES`, and the share by half side."""
    m: Any = model
    found, rows = [energies(m, images) for images in batches], []
    for of, stride in zip(zip(*found, strict=True), m.out.strides, strict=True):
        shares = within(torch.stack([energy for energy, _ in of]).sum(0), of[0][1])
        rows.append({"stride": int(stride), **{f"side{round(100 * s)}": side(shares, s) for s in SHARES},
                     "within": shares.tolist()})
    return rows


def study(runs: Sequence[str | Path], data: Any, out: str | Path, split: str = "val", limit: int = 16, batch: int = 4,
          device: str = "auto") -> dict[str, Any]:
    """The study's record, and its page in `out`: the fields of every run on the same pictures."""
    outputs.claim([Path(out) / "fields.json", Path(out) / "fields.html"])
    where, pictures, rows = pick_device(device), spread(open_split(data, split), limit), []
    for run in going(runs, "runs"):
        model: Any = checkpoint.load(run, device=where).eval()
        checkpoint.check_classes(model, pictures.info, pictures.info.name)
        loader = outside.loader(model, pictures, model.recipe, batch=batch, needs=frozenset({"boxes"}))
        images = [b.images.to(where) for b in loader.epoch(0)]
        same = [x for x in images if x.shape[-2:] == images[0].shape[-2:]]
        rows.append({"run": str(run), "name": f"{model.paper.label} ({Path(run).name})",
                     "pictures": sum(map(len, same)), "size": list(images[0].shape[-2:]),
                     "maps": measured(model, same)})
    record = {"data": pictures.info.name, "split": split, "rows": rows}
    keep(Path(out) / "fields.json", record)
    outputs.put_text(Path(out) / "fields.html", page(record))
    return record


def table(record: dict[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """(heads, a row a map)."""
    heads = ("run", "stride", "half within", "nine tenths within", "any within", "picture")
    return heads, [(r["name"], str(m["stride"]), *(str(m[f"side{round(100 * s)}"]) for s in SHARES),
                    f"{r['size'][1]} x {r['size'][0]}") for r in record["rows"] for m in r["maps"]]


def page(record: dict[str, Any]) -> str:
    """The study as one page: a table, and a plot for each map that all runs have."""
    from ..report.sheet import grid, leaf, remark

    plots = []
    for k in range(min(len(r["maps"]) for r in record["rows"])):
        lines = []
        for i, r in enumerate(record["rows"]):
            shares = r["maps"][k]["within"]
            points = range(0, len(shares), max(1, len(shares) // POINTS))
            lines.append(charts.Line(i, r["name"], tuple((2.0 * (d + 1), shares[d]) for d in points)))
        title = f"Map of stride {record['rows'][0]['maps'][k]['stride']}"
        plots.append(charts.legend(lines) + charts.line_chart(lines, "side of the square, pixels", "share within",
                                                              title))
    note = remark(f"Pictures of {record['data']} ({record['split']}). Sides in pixels of squares about the middle "
                  "cell; a field that is wider than the picture is cut by it.")
    return leaf("Receptive fields", note, grid(*table(record)), *plots, heading="How far does a cell see?")


def main(argv: list[str] | None = None) -> None:
    """The command of this file's head."""
    parser = Asked("fields", __doc__)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--limit", type=natural, default=16)
    parser.add_argument("--out", default="runs/fields")
    parser.add_argument("--device", default="auto")
    a = parser.parse_args(argv)
    heads, rows = table(study(a.runs, a.data, a.out, a.split, a.limit, device=a.device))
    say((heads, *rows), 20)
    print(Path(a.out) / "fields.html")


if __name__ == "__main__":
    interrupts.command(main)


__all__ = ["energies", "measured", "page", "side", "study", "table", "within"]
