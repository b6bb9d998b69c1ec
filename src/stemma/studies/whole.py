"""What is bought by completing what is seen, and by letting boxes grow? Whole objects as three answers of one net say
them (Amodal Instance Segmentation sec. 4).

    python -m stemma.studies.whole runs/amodal-instance runs/expand --data scenes --limit 100

takes runs of nets that say whole masks and writes whole.json and whole.html: recall of whole masks by how much of
an object is hidden, and of the boxes around them, of

    seen      the first net's masks and boxes, as they are: the modal answer
    at once   the second net's map, looked at once around the seen box
    grown     the same, where boxes grow while the map runs over their edge

and of nets that say whole masks alone (AmodalMask) the one answer that they have, "whole".
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MethodType
from typing import Any

from torch import Tensor, nn

from ..core import interrupts, outputs
from ..core.types import Dataset, Detections, StemmaError
from ..data.open import open_split, spread
from ..engine.pictures.measure import run_over
from ..engine.running import checkpoint
from ..engine.running.devices import pick_device
from ..engine.running.progress import going
from ..metrics import Evaluator
from ..metrics.amodal import OCCLUSION
from ..metrics.detection import Record
from ..metrics.recall import average_recall
from ..parts.windows.complete import Grow
from ..skeletons.complete import CompletionModel
from . import Asked, keep, natural

ANSWERS = ("seen", "at once", "grown")
SMALL = Grow(2, 0.15)  # of a net that was made without
MEASURES = ("mask_AR100", *(f"mask_AR100_{name}" for name in OCCLUSION), "AR100", "AR100 of hidden")


@contextmanager
def answering(model: nn.Module, how: str) -> Iterator[None]:
    """The model with one of `ANSWERS`; "whole": as it is."""
    m: Any = model
    was = m.rule

    def modal(self: Any, images: Tensor, sizes: Tensor | None = None) -> Detections:
        found: Detections = self.modal.rule.predict(self.modal, self.modal(images), sizes)
        return found

    if how == "whole":
        yield
        return
    if how == "seen":
        m.predict = MethodType(modal, m)
    else:
        m.rule = replace(was, grow=None if how == "at once" else was.grow or SMALL)
    try:
        yield
    finally:
        m.rule = was
        m.__dict__.pop("predict", None)


def measured(model: nn.Module, data: Dataset, device: str) -> dict[str, float]:
    """`MEASURES` of the answers that the model gives now."""
    m: Any = model
    found = Evaluator(data.info, "amodal", kinds=("boxes", "masks"))
    for part in run_over(m, data, m.recipe, batch=8, device=device, precision="fp32", needs=frozenset()):
        for i, said in zip(part.batch.index.tolist(), part.predictions, strict=True):
            found.add(data.truth(i), said, i)
    return numbers(found)


def numbers(found: Evaluator) -> dict[str, float]:
    """`MEASURES` of what was found: "AR100" is that of the boxes around whole objects, "of hidden" of those of which
    something is hidden."""
    hidden = Record(found.record.names, ("boxes",))
    for one in found.record:
        hidden.add(replace(one.only(found.hidden[one.order].rates > 0, slice(None)), masks=None, found_masks=None))
    said = found.result() | average_recall(found.record, (100,))
    return {k: float("nan" if said[k] is None else said[k]) for k in MEASURES[:-1]} | {
        MEASURES[-1]: average_recall(hidden, (100,))["AR100"]}


def study(runs: Sequence[str | Path], data: Any, out: str | Path, split: str = "test", limit: int | None = None,
          which: str = "last", device: str = "auto") -> dict[str, Any]:
    """The study's record, and its page in `out`. Raises `StemmaError` for a run of another kind of net, before any is
    measured."""
    outputs.claim([Path(out) / "whole.json", Path(out) / "whole.html"])
    where, pictures, rows = pick_device(device), spread(open_split(data, split), limit), []
    for run in runs:
        card = checkpoint.card_of(run)
        if card.task_of(checkpoint.read_meta(checkpoint.find(run, which))["preset"]) != "amodal":
            raise StemmaError(f"{run}: {card.cli_name} says nothing of whole objects; name runs of semantic-amodal or "
                              "amodal-instance")
    for run in runs:
        m: Any = checkpoint.load(run, which, device=where).eval()
        label = f"{m.paper.label} ({Path(run).name})"
        for how in going(ANSWERS if isinstance(m, CompletionModel) else ("whole",), label):
            with answering(m, how):
                rows.append({"run": str(run), "name": label, "answer": how, **measured(m, pictures, where)})
    record = {"data": pictures.info.name, "split": split, "pictures": len(pictures), "rows": rows}
    keep(Path(out) / "whole.json", record)
    outputs.put_text(Path(out) / "whole.html", page(record))
    return record


def table(record: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """(heads, rows)"""
    return (["run", "answer", *MEASURES],
            [[r["name"], r["answer"], *(f"{r[k]:.3f}" for k in MEASURES)] for r in record["rows"]])


def page(record: dict[str, Any]) -> str:
    """The study as one page."""
    from ..report.sheet import grid, leaf, remark

    note = remark(f"{record['pictures']} pictures of {record['data']} ({record['split']}). Masks are whole ones: of "
                  "objects of which nothing, up to a quarter, and more is hidden.")
    return leaf("Whole objects", note, grid(*table(record)), heading="What is bought by completing what is seen?")


def main(argv: list[str] | None = None) -> None:
    """The command of this file's head."""
    parser = Asked("whole", __doc__)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=natural)
    parser.add_argument("--which", choices=("best", "last"), default="last")
    parser.add_argument("--out", default="runs/whole")
    parser.add_argument("--device", default="auto")
    a = parser.parse_args(argv)
    heads, rows = table(study(a.runs, a.data, a.out, a.split, a.limit, a.which, a.device))
    for row in (heads, *rows):
        print("  ".join(row))
    print(Path(a.out) / "whole.html")


if __name__ == "__main__":
    interrupts.command(main)


__all__ = ["answering", "measured", "numbers", "page", "study", "table"]
