"""Edit pictures, and show what was done to them: before, after and what changed, side by side."""
from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import nn

from ...core import outputs
from ...core.types import StemmaError, at_least, is_seed
from ...data.images import read_image
from ..running import checkpoint
from ..running.asked import Asked, find_pictures
from ..running.devices import pick_device
from ..running.progress import counting
from ..running.runs import Run
from .measure import Made, reading, scales

TALL = 192  # least height of a strip, pixels: small pictures are enlarged by whole numbers
GAP = 4  # pixels between pictures, white: grounds are often grey
VARIED = 0.2  # share by which scales are drawn apart: 6 to 9 and 1.2 to 1.8 of InstructPix2Pix's


def fitted(picture: np.ndarray, size: int, step: int) -> np.ndarray:
    """A picture, uint8 (H, W, 3), as large as `size` allows with both sides multiples of `step`: its shape is kept but
    for what is cut off to get there (InstructPix2Pix, released `edit_cli.py`)."""
    image = Image.fromarray(picture)
    w, h = image.size
    factor = size / max(w, h)
    factor = math.ceil(min(w, h) * factor / step) * step / min(w, h)
    wide, high = (max(int(side * factor + 1e-6) // step, 1) * step for side in (w, h))
    return np.asarray(ImageOps.fit(image, (wide, high), method=Image.Resampling.LANCZOS))


def strip(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Before, after, and how far each pixel changed (white: by all that it can), uint8 (H, W, 3)."""
    apart = np.abs(after.astype(np.int16) - before).max(-1, keepdims=True).astype(np.uint8).repeat(3, -1)
    return beside((before, after, apart), TALL)


def beside(parts: Sequence[np.ndarray], tall: int) -> np.ndarray:
    """Pictures of one size, uint8 (H, W, 3), in a row; small ones enlarged by whole numbers to at least `tall`."""
    k = max(1, -(-tall // parts[0].shape[0]))
    return spaced([x.repeat(k, 0).repeat(k, 1) for x in parts], 1)


def spaced(parts: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """Pictures along an axis with a white line between."""
    shape = list(parts[0].shape)
    shape[axis] = GAP
    line = np.full(shape, 255, np.uint8)
    return np.concatenate([x for part in parts for x in (line, part)][1:], axis)


def put(path: Path, picture: np.ndarray) -> None:
    """Write a picture, uint8 (H, W, 3), as PNG. Raises `StemmaError` in the place of a file that is not ours."""
    outputs.put(path, lambda p: Image.fromarray(picture).save(p, "PNG"), prediction=True)


def _bytes(x: torch.Tensor) -> np.ndarray:
    return np.asarray((x.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy())


def predict(
    model: nn.Module | Run | str | Path, images: Any = None, out: str | Path | None = None, *, instruction: str
    | None = None, text_guidance: float | None = None, image_guidance: float | None = None, steps: int | None = None,
    seed: int = 0, size: int | None = None, vary: bool = False, which: str = "best", device: str = "auto",
    pictures: bool = True, progress: bool = False, tokenizer: str | Path | None = None,
) -> list[dict[str, Any]]:
    """Edit pictures as `instruction` says. One dict a picture: `file`, `file_name`, `instruction`, `before` and `after`
    uint8 (H, W, 3) at the network's size, `changed` (mean change of a colour, 0..1), `size` and `whole` ([width,
    height] of both, and of the file), and the scales, steps and seed.

    size: of the longer side, about (`fitted`); that at which it learned where not given. vary: each picture has scales
    of its own, up to a fifth less or more, that the seed draws (the released `edit_app.py`).
    tokenizer: the folder of CLIP's vocabulary, where the model knows none or it lies elsewhere (`measure.reading`).
    out: a folder for NAME.png (before, after, what changed), NAME-edited.png and predictions.json. An empty instruction
    gives the picture back. Raises `StemmaError` without pictures or instruction, for a scale that is no number of 0 or
    more, and where something stands in the way of a result.
    """
    m: Any = checkpoint.resolve(model, which)
    if instruction is None:
        raise StemmaError(f"{m.paper.cli_name} changes a picture as it is told: say what is to be done with "
                          "--instruction")
    if images is None or isinstance(images, (list, tuple)) and not images:
        raise StemmaError(f"{m.paper.cli_name} edits pictures; name pictures: files, a folder, or a pattern in quotes")
    reading(m, tokenizer)
    text, image = scales(m, text_guidance, image_guidance)
    is_seed(seed)
    at_least(1, size=size)
    asked = find_pictures(images)
    files = _claimed(Path(out), asked, pictures) if out is not None else []
    m.to(pick_device(device)).eval()
    count = m.spec.sampler.steps if steps is None else steps
    found = []
    with counting("editing", len(asked), progress) as bar:
        for i, source in enumerate(asked.sources):
            raw = read_image(source) if isinstance(source, (str, Path)) else np.asarray(source)
            before = fitted(raw, size or m.recipe.resize.size, m.step)
            by = np.random.default_rng([seed, i]).uniform(1 - VARIED, 1 + VARIED, 2) if vary else np.ones(2)
            told = {"text_guidance": round(text * by[0], 2) if vary else text,
                    "image_guidance": round(image * by[1], 2) if vary else image, "steps": count, "seed": seed}
            after = _edited(m, before, instruction, told) if instruction.strip() else before
            found.append({"file": str(source) if isinstance(source, (str, Path)) else asked.names[i],
                          "file_name": asked.names[i], "instruction": instruction, **told, "before": before,
                          "after": after, "size": [*before.shape[1::-1]], "whole": [*raw.shape[1::-1]],
                          "changed": float(np.abs(after.astype(np.float32) - before).mean() / 255)})
            if files and pictures:
                for path, drawn in zip(files[i], (strip(before, after), after)):
                    put(path, drawn)
            if bar is not None:
                bar(i + 1)
    if out is not None:
        outputs.put_text(Path(out) / "predictions.json", json.dumps(plain(found), indent=1), prediction=True)
    return found


def _edited(model: Any, before: np.ndarray, instruction: str, told: dict[str, Any]) -> np.ndarray:
    x = torch.from_numpy(before.copy()).permute(2, 0, 1)[None].float() / 255
    made = model.edit(x.to(next(model.parameters()).device), [instruction], told["text_guidance"],
                      told["image_guidance"], told["steps"], told["seed"])
    return _bytes(made[0])


def _claimed(out: Path, asked: Asked, pictures: bool) -> list[tuple[Path, Path]]:
    """(strip, edited picture) of each, none of them in the place of a file that is not ours."""
    stems = [out / Path(name).with_suffix("") for name in asked.names]
    files = [(s.with_name(f"{s.name}.png"), s.with_name(f"{s.name}-edited.png")) for s in stems]
    outputs.claim([out / "predictions.json", *(p for pair in files for p in pair if pictures)])
    return files


def plain(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was done, without the pictures."""
    return [{k: v for k, v in one.items() if k not in ("before", "after")} for one in found]


def examples(make: Made, pairs: Any, size: int, folder: Path, count: int = 6) -> list[dict[str, Any]]:
    """Strips of a few edits with truth, NAME.png in `folder`: before, as it should become, as `make` made it."""
    from ...data.editing.loading import At, readable

    at, done = At(pairs, size), []
    chosen = [k * len(at) // min(count, len(at)) for k in range(min(count, len(at)))]
    for k, (i, pair) in enumerate(readable(at, chosen).items()):
        both = torch.from_numpy(at.sized(pair)).float() / 255
        made = make(both[None, 0], [pair], [i])[0].cpu()
        name = f"edit_{k}.png"
        put(folder / name, beside([_bytes(x) for x in (both[0], both[1], made)], 96))
        done.append({"file": name, "instruction": pair.instruction, "kind": pair.kind})
    return done


__all__ = ["beside", "examples", "fitted", "plain", "predict", "spaced", "strip"]
