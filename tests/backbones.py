"""One member of every family of timm's: which of our smallest systems trains on it, or why none does.

`python tests/backbones.py` tries all (some minutes) and writes docs/backbones.md, whose rows tests/test_backbone.py
holds.
"""
from __future__ import annotations

import contextlib
import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import timm
import torch

from stemma.core.types import StemmaError
from stemma.data.loader import Loader
from stemma.data.scenes import Scenes
from stemma.engine.running import checkpoint
from stemma.parts.backbones.timm_shape import examined, outline

PAGE = Path(__file__).parents[1] / "docs" / "backbones.md"
SYSTEMS = ("ssd", "yolo-v1")  # maps of stride 8 and 16, and of stride 16 alone
SMALL = ("test_", "atto", "femto", "pico", "nano", "tiny", "_ti", "xxs", "xs", "_s0", "_s", "small", "18", "m0", "b0",
         "050", "025", "035", "t0", "t1")
ROW = re.compile(r"\| (\w+) \| `([^`]*)` \| ([^|]*) \| ([^|]*) \| ([^|]*) \|")


@dataclass(frozen=True)
class Row:
    """A family, its member, what it hands out, the pictures that it takes, and what came of it."""

    family: str
    name: str
    strides: str
    pictures: str
    outcome: str

    def line(self) -> str:
        return f"| {self.family} | `{self.name}` | {self.strides} | {self.pictures} | {self.outcome} |"


def rows() -> list[Row]:
    """What the page says."""
    return [Row(*found.groups()) for found in ROW.finditer(PAGE.read_text())]


def member(family: str) -> str:
    """A small network of a family, one that hands out features where there is one among the first few by name."""
    rank = lambda n: (next((i for i, p in enumerate(SMALL) if p in n), 99), len(n), n)  # noqa: E731
    names = sorted(timm.list_models(module=family), key=rank)
    for name in names[:6]:
        with contextlib.suppress(StemmaError):
            outline(name, features_only=True)
            return name
    return names[0]


def step(system: str, name: str, side: int) -> None:
    """One step of a system on a network: finite losses, a gradient in the network, a prediction; and the maps are of
    the channels and strides that were promised."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    sets = {"backbone": name} | ({"size": side} if side else {})
    data = Scenes(2, size=side or 128)
    model = checkpoint.build(system, "small", sets=sets, info=data.info)
    batch = next(iter(Loader(data, model.recipe, train=False, batch=2).epoch(0)))  # type: ignore[arg-type]
    xs, out = model.backbone(model.spec.preprocess(batch.images)), model.backbone.out  # type: ignore
    for x, c, s in zip(xs, out.channels, out.strides, strict=True):
        assert x.shape == (2, c, *(-(-v // s) for v in batch.images.shape[-2:])), (x.shape, c, s)
    loss = sum(model.loss(batch).values())  # type: ignore[operator]
    loss.backward()
    grads = [p.grad for p in model.backbone.parameters() if p.grad is not None]  # type: ignore[union-attr]
    assert torch.isfinite(loss) and grads and all(bool(torch.isfinite(g).all()) for g in grads)
    assert sum(float(g.abs().sum()) for g in grads) > 0
    with torch.no_grad():
        optimiser = torch.optim.SGD(model.parameters(), 1e-4)
        optimiser.step()
    model.eval().predict(batch.images)  # type: ignore[operator]


def tried(family: str, name: str) -> Row:
    """What comes of a member. Anything but a step or one line is an error, which is raised."""
    try:
        shape = examined(name)
    except StemmaError as error:
        return Row(family, name, "–", "–", "refused: " + one_line(error))
    pictures = f"{shape.side} x {shape.side} alone" if shape.side else "any" if shape.uneven else (
        f"multiples of {max(shape.strides)}")
    strides = ", ".join(map(str, shape.strides))
    said = ""
    for system in SYSTEMS:
        try:
            step(system, name, shape.side)
            return Row(family, name, strides, pictures, f"trains under {system}")
        except StemmaError as error:
            said = one_line(error)
    return Row(family, name, strides, pictures, "refused: " + said)


LONGEST = 220  # letters of a cell


def one_line(error: StemmaError) -> str:
    """What a mistake is told by, as a cell of a table."""
    said = str(error)
    assert "\n" not in said, said
    return said.replace("|", "/") if len(said) <= LONGEST else said.replace("|", "/")[: LONGEST - 1].rstrip() + "…"


def main() -> None:
    warnings.simplefilter("ignore")
    families = [f for f in sorted(timm.list_modules()) if timm.list_models(module=f)]
    found = []
    for family in families:
        found.append(tried(family, member(family)))
        sys.stderr.write(found[-1].line() + "\n")
    trains = sum(r.outcome.startswith("trains") for r in found)
    PAGE.write_text(f"""# timm's networks as backbones

`--backbone NAME` puts a network of [timm](https://github.com/huggingface/pytorch-image-models) under a system. What
the paper did to its own network is done to the other: maps of the same strides, dilation (`output_stride`), deformable
convolutions in the same places, a pyramid of sizes around it, layers that sleep by their place; or the command says in
one line what would be lost. Maps whose channels come last are turned.

Of each of the {len(found)} families of timm {timm.__version__} one small member: {trains} train. SSD's `small` reads
maps of stride 8 and 16, YOLOv1's of stride 16 alone. `python tests/backbones.py` writes this page, and
`tests/test_backbone.py` holds its rows (`make test-slow`).

| family | member | strides | pictures | outcome |
|---|---|---|---|---|
""" + "\n".join(r.line() for r in found) + "\n")


if __name__ == "__main__":
    main()
