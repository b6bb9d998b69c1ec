"""How well an editor does what it is told: edits that were made, what else it changed, and what can be read back out of
its pictures (masks, points). Beside it the baselines: the picture as it was, and a net that has learned nothing."""
from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...core.types import StemmaError
from ...data.editing.drawn import COLOURS, RADIUS, is_drawn, open_drawn
from ...data.editing.hard import HARD
from ...data.editing.loading import At, mask_at, readable
from ...data.editing.open import Tasks, mixed, restricted, spread
from ...data.editing.pairs import ANSWERS, RESTORED, Pair, Pairs
from ...data.editing.sessions import sessions, spread_out
from ...metrics import edits as by
from ...metrics.detection import box_iou
from ...ops.edits import centre, frames, read_disc, read_mask, share_of
from ..running import checkpoint
from ..running.clock import Stopwatch
from ..running.devices import pick_device
from ..running.places import learned_from
from ..running.runs import Run
from . import derive
from .clip import Clip
from .sessions import in_turn

Made = Callable[[torch.Tensor, list[Pair], list[int]], torch.Tensor]
FALSE = 0.25  # share of a colour from which a pixel of something that is not there counts as marked
BARE = 64  # edits on which an untrained net, and one that is shown no picture, are measured


def scored(pair: Pair, before: np.ndarray, after: np.ndarray, made: np.ndarray,
           read: np.ndarray | None = None) -> dict[str, float | None]:
    """The measures of one edit, all pictures float [3, H, W] in 0..1; None where a measure means nothing of it.
    read: how likely its reader thinks that each pixel was painted, [H, W]."""
    size = before.shape[-2:]
    mask = mask_at(pair.mask, size) if pair.mask is not None else None
    out: dict[str, float | None] = {
        "background": by.background_error(before, after, made), "direction": by.direction(before, after, made),
        "right": _number(by.done(before, after, made)),
    }
    if pair.kind in RESTORED:
        out |= {"right": float(by.mended(before, after, made)), "psnr": by.psnr(made, after),
                "ssim": by.ssim(made, after)}
    elif pair.kind in ("recolour", "unsteady") and mask is not None and pair.colour is not None:
        out["right"] = _number(by.coloured(made, mask, pair.colour, list(COLOURS.values())))
    elif pair.kind in HARD and mask is not None and pair.colour is not None:
        out["right"] = _number(_hard(pair, mask, before, after, made))
    elif pair.kind in ANSWERS and mask is not None and pair.colour is not None:
        if not mask.any():
            return out | marked_well(share_of(before, made, pair.colour) >= FALSE, mask)
        if pair.kind != "encircle":
            out |= marked_well(read_mask(before, made, pair.colour), mask)
            if read is not None:
                out["framed"] = _framed(read > 0.5, mask)
            out["iou_read"] = by.iou(read > 0.5, mask) if read is not None else None
        elif pair.point is not None:
            ratio, radius = size[1] / pair.before.shape[1], (pair.radius or RADIUS) * size[0]
            far = lambda at: (float(np.hypot(at[0] - pair.point[0] * ratio, at[1] - pair.point[1] * ratio)) if at
                              else np.inf)
            found = read_disc(before, made, pair.colour, radius)
            out["found"] = out["right"] = _number(far(found) <= by.FOUND * radius)
            out["distance"] = far(found) if found else None
            if pair.body is not None:
                root, longer, sigma = pair.body
                out["pck"] = _number(far(found) <= by.NEAR_BODY * longer * ratio)
                out["oks"] = by.keypoint_similarity(far(found), root * ratio, sigma) if sigma else None
            if read is not None:
                out["found_read"] = _number(far(centre(read, read > 0.5, radius)) <= by.FOUND * radius)
    return out


def _hard(pair: Pair, mask: np.ndarray, before: np.ndarray, after: np.ndarray, made: np.ndarray) -> bool:
    """Whether a drawn edit of the harder sorts was made."""
    assert pair.colour is not None
    if pair.kind == "viewpoint":
        return bool(by.done(before, after, made))
    right = {"count": lambda c: by.as_many(after, made, c), "move": lambda c: by.moved(before, after, made, c),
             "spatial": lambda c: bool(by.coloured(made, mask, c, list(COLOURS.values())))}[pair.kind]
    return right(pair.colour) and by.left_alone(before, after, made)


def marked_well(marked: np.ndarray, mask: np.ndarray) -> dict[str, float | None]:
    """The measures of a mask [H, W] that was read out of an answer, beside the true one, which may be empty."""
    if not mask.any():
        area = float(marked.mean())
        return {"false_area": area, "right": _number(area <= 0.02)}
    iou = by.iou(marked, mask)
    return {"iou": iou, "framed": _framed(marked, mask), "right": _number((iou or 0) >= 0.5),
            "common": float((marked & mask).sum()), "either": float((marked | mask).sum())}


def _framed(marked: np.ndarray, mask: np.ndarray) -> float:
    """Whether the box of the largest patch that was marked overlaps the thing's own by half (detection)."""
    boxes, truth = frames(marked), frames(mask, 1)
    return float(len(boxes) > 0 and float(box_iou(boxes[:1], truth[:1])[0, 0]) >= 0.5)


def _number(said: bool | None) -> float | None:
    return None if said is None else float(said)


def by_kind(model: nn.Module, **options: Any) -> dict[str, dict[str, float]]:
    """The scales of the kinds of instruction that have their own; none where scales are given."""
    m: Any = model
    given = {"text", "image"} & {k for k, v in options.items() if v is not None}
    return {} if given else {kind: {"text": t, "image": i} for kind, t, i in m.spec.scales}


def editing(model: nn.Module, **options: Any) -> Made:
    """`model.edit` as what makes pictures, each kind by its own scales where none are given; the noise of an edit is
    that of its number."""
    m: Any = model
    own = by_kind(model, **options)

    def make(before: torch.Tensor, pairs: list[Pair], index: list[int]) -> torch.Tensor:
        before, groups = before.to(next(m.parameters()).device), defaultdict(list)
        for k, p in enumerate(pairs):
            groups[p.kind if p.kind in own else ""].append(k)
        made = [m.edit(before[at], [pairs[k].instruction for k in at], seed=[index[k] for k in at],
                       **options | own.get(kind, {})) for kind, at in groups.items()]
        return torch.cat(made)[np.argsort(np.concatenate([*groups.values()]))]

    return make


def copying(before: torch.Tensor, pairs: list[Pair], index: list[int]) -> torch.Tensor:
    """The picture as it was."""
    return before


def _batches(pairs: Pairs, size: int, batch: int) -> Iterator[tuple[list[int], list[Pair], torch.Tensor]]:
    """Edits by their numbers; those that cannot be read are left out, and it is said."""
    at = At(pairs, size)
    for first in range(0, len(pairs), batch):
        there = readable(at, range(first, min(first + batch, len(pairs))))
        if there:
            both = np.stack([at.sized(p) for p in there.values()])
            yield list(there), list(there.values()), torch.from_numpy(both).float() / 255


def measure(pairs: Pairs, size: int, make: Made, batch: int = 50, device: str = "cpu",
            watch: Stopwatch | None = None, reader: nn.Module | None = None,
            judge: Clip | None = None, rows: list[dict[str, float | None]] | None = None) -> dict[str, Any]:
    """Means over edits, in all and by kind ("by_kind"). right: share that was made. background: mean change of what
    should stay. direction: cosine with the change that was asked for. iou, found, distance (pixels of the network),
    false_area: of masks, of points, of what is not there; framed: share of marked things whose box is found; iou_read,
    found_read: what `reader` sees of them; ciou: pixels that were marked rightly in all over those that either is.
    pck, oks: of joints, within a fifth of the longer side of the person's box, and COCO's similarity. psnr, ssim: of
    pictures that were mended. clip_direction, clip_picture: whether pictures changed as their captions
    did, and how alike they are before and after, where a `judge` is there and captions are. rows: to which the measures
    of each edit are put."""
    each: list[tuple[str, dict[str, float | None]]] = []
    count = 0
    for index, read, both in _batches(pairs, size, batch):
        if watch is not None:
            watch.start()
        made = make(both[:, 0].to(device), read, index)
        seen = _seen(reader, both[:, 0].to(device), made, read) if reader is not None else [None] * len(read)
        made = made.cpu()
        if watch is not None:
            watch.lap()
        said = _judged(judge, read, both[:, 0], made) if judge is not None else {}
        for k, pair in enumerate(read):
            own = scored(pair, both[k, 0].numpy(), both[k, 1].numpy(), made[k].numpy(), seen[k]) | said.get(k, {})
            each.append((pair.kind, own))
            if rows is not None:
                rows.append(own)
        count += len(read)
    return {**means(each), "edits": count}


def means(each: Iterable[tuple[str, dict[str, float | None]]]) -> dict[str, Any]:
    """Means of the measures of (kind, measures), in all and "by_kind"; those that are None mean nothing of an edit."""
    values: dict[str, list[float]] = defaultdict(list)
    kinds: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for kind, measures in each:
        for name, v in measures.items():
            if v is not None:
                values[name].append(v)
                kinds[kind][name].append(v)

    def mean(of: dict[str, list[float]]) -> dict[str, float]:
        found = {k: float(np.mean(v)) for k, v in of.items()}
        if found.pop("either", 0.0):
            found["ciou"] = sum(of["common"]) / sum(of["either"])
        found.pop("common", None)
        return found

    return {**mean(values), "by_kind": {k: mean(v) for k, v in kinds.items()}}


def _judged(judge: Clip, pairs: list[Pair], before: torch.Tensor, made: torch.Tensor) -> dict[int, dict[str, Any]]:
    """What CLIP says of the edits whose pictures are known in words and differ in them, by position."""
    at = [k for k, p in enumerate(pairs) if p.captions and p.captions[0] != p.captions[1]]
    if not at:
        return {}
    rows = [judge.pictures(list((x[at].clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()))
            for x in (before, made)]
    words = [judge.sentences([(pairs[k].captions or ("", ""))[i] for k in at]) for i in (0, 1)]
    along, alike = by.directional_similarity(*rows, *words), by.cosine(*rows)
    return {k: {"clip_direction": float(a), "clip_picture": float(b)} for k, a, b in zip(at, along, alike, strict=True)}


def _seen(reader: nn.Module, before: torch.Tensor, made: torch.Tensor, pairs: list[Pair]) -> list[np.ndarray]:
    colours = torch.tensor([p.colour or (0.5,) * 3 for p in pairs], device=before.device)
    with torch.no_grad():
        return list(reader(before, made, colours).sigmoid().cpu().numpy())


def held_out(data: Any, tasks: Tasks, split: str, limit: int | None) -> Pairs:
    """The edits of a split that a system is asked for, evenly spread where they are too many."""
    pairs = restricted(data, [k for k, _ in tasks], split) if tasks else restricted(data, (), split)
    even = tuple((k, 1.0) for k, _ in tasks)
    return spread(mixed(pairs, even), limit)


def untrained(model: nn.Module) -> Any:
    """The same net before it has learned anything."""
    m: Any = model
    torch.manual_seed(0)
    bare = checkpoint.build(m.paper, m.preset, m.classes, m.sets, m.info)
    return bare.to(next(m.parameters()).device).eval()


def scales(model: nn.Module, text: float | None, image: float | None) -> tuple[float, float]:
    """The guidance's scales of sentence and picture: the model's own where none is given. Raises `StemmaError` for one
    that is no finite number of 0 or more."""
    m: Any = model
    own = m.spec.guidance
    for name, value in (("text", text), ("image", image)):
        if value is not None and not 0 <= value < math.inf:
            raise StemmaError(f"--{name}-guidance is a number of 0 or more, not {value:g}; {m.paper.cli_name}'s own "
                              f"is {getattr(own, name):g}")
    return own.text if text is None else text, own.image if image is None else image


def reading(m: Any, tokenizer: str | Path | None) -> None:
    """Let an editor read sentences with the vocabulary in a folder, where one is named. Raises `StemmaError` where it
    cannot be read, or this editor reads without one."""
    if tokenizer is None:
        return
    if not hasattr(m.text, "read_with"):
        raise StemmaError(f"{m.paper.cli_name}, preset {m.preset}, reads sentences without a vocabulary; leave "
                          "--tokenizer out")
    m.text.read_with(tokenizer)


def evaluate(
    model: nn.Module | Run | str | Path, data: Any = None, *, split: str = "val", limit: int | None = None,
    which: str = "best", batch: int = 50, device: str = "auto", text_guidance: float | None = None,
    image_guidance: float | None = None, steps: int | None = None, progress: bool = False,
    clip: str | Path | None = None, tokenizer: str | Path | None = None,
) -> dict[str, Any]:
    """Measure an editor on the edits of `split` of `data`, of the kinds that it is trained on (`measure`), beside the
    picture as it was ("copy"), the sentence alone ("words": it is shown no picture) and a net that has learned nothing
    ("untrained"). clip: the folder of a CLIP that judges. tokenizer: of CLIP's vocabulary (`reading`).
    Of one that marks things on drawn pictures also what comes out of its masks (`derive.derived`). Where edits follow
    upon each other, also what becomes of their sessions ("in_turn": `sessions.in_turn`, with what the pictures as they
    were would have as its "copy").

    Without `data`, the edits that a run was trained on. Raises `StemmaError` where none are known, for a scale that is
    no number of 0 or more, and as `open_edits` does.
    """
    m: Any = checkpoint.resolve(model, which)
    if (data := learned_from(model) if data is None else data) is None:
        raise StemmaError("name the edits to measure on with --data: drawn ones (edits:64), or a folder")
    reading(m, tokenizer)
    given = text_guidance is not None or image_guidance is not None
    text, image = scales(m, text_guidance, image_guidance) if given else (None, None)
    whole = held_out(data, m.spec.tasks, split, None)
    pairs, turns = spread(whole, limit), spread_out(sessions(whole), limit)
    device = pick_device(device)
    judge = Clip(clip, device) if clip is not None else None
    m.to(device).eval()
    options = {"text": text, "image": image, "steps": steps}
    size, watch = m.recipe.resize.size, Stopwatch(device)
    watch.work = watch.wall = watch.own = 0.0
    found = measure(pairs, size, editing(m, **options), batch, device, watch, m.reader, judge)
    fresh: Any = untrained(m)
    bare = measure(spread(pairs, BARE), size, editing(fresh, **options), batch, device, None, fresh.reader, judge)
    if is_drawn(data) and "mark" in pairs.info.kinds:
        edits = open_drawn(str(data), split, ["mark"])
        for net, said in ((m, found), (fresh, bare)):
            asked = options | by_kind(net, **options).get("mark", {})
            said |= derive.derived(derive.by_marking(net, size, device, **asked), edits,
                                   min(limit or derive.PICTURES, derive.PICTURES))
    if turns:
        of = {k: in_turn(whole, turns, size, made, batch, device, judge)
              for k, made in (("all", editing(m, **options)), ("copy", copying))}
        found["in_turn"] = of["all"] | {"copy": {k: of["copy"][k] for k in ("alone", "all", "final")}}
    return {
        "paper": m.paper.name, "task": m.paper.task_of(m.preset), "split": split, "fingerprint": pairs.fingerprint,
        "size": size, "steps": steps or m.spec.sampler.steps, "ms": 1000 * watch.seconds / max(len(pairs), 1), **found,
        "copy": measure(pairs, size, copying, batch, judge=judge), "untrained": bare,
        "words": measure(spread(pairs, BARE), size, editing(m, **options, seen=False), batch, device, None, m.reader,
                         judge),
    }


__all__ = ["BARE", "Made", "by_kind", "copying", "editing", "evaluate", "held_out", "marked_well", "means", "measure",
           "reading", "scales", "scored", "untrained"]
