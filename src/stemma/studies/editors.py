"""What an editor's two scales trade, and how many steps its answers take.

    python -m stemma.studies.editors scales runs/editor --data edits:16 --out runs/scales
    python -m stemma.studies.editors scales RUN --data FOLDER --clip CLIP --texts 7.5 --images 1,1.2,1.4,1.6,1.8,2,2.2
    python -m stemma.studies.editors scales RUN --data edits:16 --clip drawn
    python -m stemma.studies.editors steps runs/answers --data edits:16 --out runs/steps

`scales`: edits made and change beside them over both scales of the guidance. Does what else changes fall, at every
scale of the sentence, as the picture's scale rises? Rises are told from chance edit by edit. With the folder of a CLIP
also how alike pictures are to it before and after, against how far they change as their captions do (InstructPix2Pix's
curves; the second line); `drawn` is a small one that learns of drawn pictures first (`pairs.judge`). `steps`: masks and
points by the number of denoising steps, in milliseconds of processor time and in accuracy, beside one pass that is not
iterated: a linear reading, fitted to the same net's features (the input of its last layers, of pure noise beside the
picture and the sentence).
"""
from __future__ import annotations

import base64
import io
import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ..core import interrupts, outputs
from ..core.types import StemmaError
from ..data.editing.loading import At, mask_at, readable
from ..data.editing.open import restricted, spread
from ..engine.editing import measure
from ..engine.editing.clip import Clip
from ..engine.editing.show import beside, spaced
from ..engine.running import checkpoint
from ..engine.running.progress import going
from ..metrics.resample import interval, seed_of, weights
from ..report import charts
from ..report.sheet import grid, leaf, remark
from ..report.tags import tag, text
from . import Asked, keep, natural
from . import pairs as origins

JUDGED = ("clip_picture", "clip_direction")
SIGNS = {"background": -1, "clip_picture": 1, "clip_direction": -1}  # of the way they go as the picture's scale rises
JUDGE = 600  # steps in which a judge of drawn pictures learns
STEPS = (1, 2, 3, 5, 20, 100)
FITTED, ROUNDS = 400, 60  # edits that a linear reading is fitted to, and its steps of L-BFGS


def scales(run: str | Path, data: str, out: str | Path, texts: Sequence[float] = (1.0, 1.5, 2.0, 4.0, 7.5),
           images: Sequence[float] = (0.6, 0.8, 1.0, 1.5, 2.2), limit: int = 60, split: str = "val",
           clip: str | Path | None = None) -> dict[str, Any]:
    """The study's record and page: a row for each pair of scales. clip: the folder of a CLIP that judges too, or
    "drawn"."""
    m, pairs = _opened(run, data, split, limit, out, "scales")
    judge: Any = None
    if clip is not None:
        judge = origins.judge(m.recipe.resize.size, JUDGE, 0) if clip == "drawn" else Clip(clip, "cpu")
    rows, each = [], dict[tuple[float, float], list[float]]()
    for t, i in going(itertools.product(texts, images), "pairs of scales"):
        own: list[dict[str, float | None]] = []
        found = measure.measure(pairs, m.recipe.resize.size, measure.editing(m, text=t, image=i), judge=judge, rows=own)
        each[t, i] = [float("nan") if (v := x["background"]) is None else v for x in own]
        rows.append({"text": t, "image": i, "right": found.get("right"), "background": found["background"],
                     **{k: found[k] for k in JUDGED if k in found}})
    steady = {key: {str(t): _steady([sign * r[key] for r in rows if r["text"] == t]) for t in texts}
              for key, sign in SIGNS.items() if all(key in r for r in rows)}
    rises = [rise(t, i, j, np.subtract(each[t, j], each[t, i])) for t in texts for i, j in zip(images, images[1:])]
    record = {"study": "scales", "run": str(run), "paper": m.paper.label, "data": data, "split": split,
              "edits": len(pairs), "rows": rows, "steady": steady, "rises": rises,
              "picture": _grid(m, pairs, texts, images)}
    return _written(record, Path(out), "scales", scales_page(record))


def rise(text: float, image: float, then: float, more: np.ndarray) -> dict[str, Any]:
    """What one rise of the picture's scale adds to the change beside the edits, by edit in `more` [N], the same noise
    under both: its mean and, where there are edits enough, its interval over edits (`metrics.resample.interval`)."""
    more = more[~np.isnan(more)]
    drawn = weights(len(more), seed_of("scales")) @ more / len(more) if len(more) else np.zeros(0)
    return {"text": text, "from": image, "to": then, "more": float(more.mean()) if len(more) else None,
            "interval": interval(drawn, len(more))}


def _steady(values: Sequence[float]) -> bool:
    return all(a <= b for a, b in zip(values, values[1:]))


def steps(run: str | Path, data: str, out: str | Path, counts: Sequence[int] = STEPS, limit: int = 60,
          split: str = "val") -> dict[str, Any]:
    """The study's record and page: a row for each number of steps, and one for a single pass through the features."""
    m, pairs = _opened(run, data, split, limit, out, "steps")
    if m.reader is None or not hasattr(m.net, "last"):
        raise StemmaError(f"{run} is no small instruct-diffusion, which is asked for masks and points; train one")
    rows = []
    for count in going(counts, "numbers of steps"):
        start = time.process_time()
        found = measure.measure(pairs, m.recipe.resize.size, measure.editing(m, steps=count))
        rows.append({"way": f"{count} step{'s' * (count > 1)}", "passes": count,
                     "ms": 1000 * (time.process_time() - start) / len(pairs)} | _answers(found))
    rows.append(_one_pass(m, data, split, limit))
    record = {"study": "steps", "run": str(run), "paper": m.paper.label, "data": data, "split": split,
              "edits": len(pairs), "rows": rows}
    return _written(record, Path(out), "steps", steps_page(record))


def _opened(run: str | Path, data: str, split: str, limit: int, out: str | Path, name: str) -> tuple[Any, Any]:
    outputs.claim([Path(out) / f"{name}.json", Path(out) / f"{name}.html"])
    m: Any = checkpoint.load(run).eval()
    if m.paper.task_of(m.preset) != "editing":
        raise StemmaError(f"{run} is a run of {m.paper.cli_name}, and this is about editors")
    return m, measure.held_out(data, m.spec.tasks, split, limit)


def _answers(found: dict[str, Any]) -> dict[str, Any]:
    return {k: found.get(k) for k in ("right", "iou", "found", "false_area")}


def features(m: Any, pictures: Tensor, sentences: Sequence[str]) -> Tensor:
    """What the network's last layers see at the first step, [B, C, H, W]: of noise, the picture and the sentence."""
    kept: list[Tensor] = []
    hook = m.net.last.register_forward_pre_hook(lambda _, given: kept.append(given[0]))
    try:
        with torch.no_grad():
            given = m.codec.given(pictures)
            noise = torch.randn(given.shape, generator=torch.Generator().manual_seed(0))
            m(noise, torch.full((len(given),), float(len(m.alphas) - 1)), given, m.text(m.text.tokens(sentences)))
    finally:
        hook.remove()
    return kept[0]


def _one_pass(m: Any, data: str, split: str, limit: int) -> dict[str, Any]:
    """Masks by a linear reading of frozen features, fitted to edits of the training split."""
    size = m.recipe.resize.size

    def read(part: str, count: int) -> tuple[Tensor, list[Any], np.ndarray]:
        at = At(spread(restricted(data, ["mark"], part), count), size)
        pairs = list(readable(at, range(len(at))).values())
        before = torch.from_numpy(np.stack([at.sized(p)[0] for p in pairs])).float() / 255
        return before, pairs, np.stack([mask_at(p.mask, (size, size)) for p in pairs if p.mask is not None])

    before, pairs, masks = read("train", FITTED)
    x, y = features(m, before, [p.instruction for p in pairs]), torch.from_numpy(masks).float()
    weight, bias = torch.zeros(1, x.shape[1], 1, 1, requires_grad=True), torch.zeros(1, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=ROUNDS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        value = F.binary_cross_entropy_with_logits(F.conv2d(x, weight, bias)[:, 0], y) + 1e-4 * weight.square().sum()
        value.backward()
        return value

    solver.step(loss)
    before, pairs, masks = read(split, limit)
    start = time.process_time()
    with torch.no_grad():
        said = (F.conv2d(features(m, before, [p.instruction for p in pairs]), weight, bias)[:, 0] > 0).numpy()
    ms = 1000 * (time.process_time() - start) / len(pairs)
    found = measure.means([("mark", measure.marked_well(a, b)) for a, b in zip(said, masks, strict=True)])
    return {"way": "one pass, linear reading of features", "passes": 1, "ms": ms} | _answers(found)


# ---------------------------------------------------------------- pages


def _grid(m: Any, pairs: Any, texts: Sequence[float], images: Sequence[float]) -> str:
    """One edit under every pair of scales, the picture as it was first in each row: PNG, base64."""
    at = At(pairs, m.recipe.resize.size)
    pair = at.truth(0)
    before = torch.from_numpy(at.sized(pair)[0])[None].float() / 255
    bytes_of = lambda x: (x[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    lines = [beside([bytes_of(before), *(bytes_of(m.edit(before, [pair.instruction], t, i)) for i in images)], 96)
             for t in texts]
    file = io.BytesIO()
    Image.fromarray(spaced(lines, 0)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _written(record: dict[str, Any], out: Path, name: str, page: str) -> dict[str, Any]:
    keep(out / f"{name}.json", {k: v for k, v in record.items() if k != "picture"})
    outputs.put_text(out / f"{name}.html", page)
    return record


def _page(title: str, answer: str, note: str, *parts: str) -> str:
    return leaf(title, tag("div", tag("p", text(answer), cls="head"), cls="answer"), remark(note), *parts)


def _rows(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    show = lambda v: "–" if v is None else f"{v:.3f}" if isinstance(v, float) else str(v)
    return grid(heads, [[show(v) for v in r] for r in rows])


def scales_answer(r: dict[str, Any]) -> str:
    """What came of it, in a sentence."""
    falls = r["steady"]["background"]
    best = max(r["rows"], key=lambda x: (x["right"] or 0.0, -x["background"]))
    least = [min((x for x in r["rows"] if str(x["text"]) == t), key=lambda x: x["background"])["image"]
             for t in falls]
    return (f"What else changes falls with every rise of the picture's scale at {sum(falls.values())} of {len(falls)} "
            f"scales of the sentence, and is least at {', '.join(f'{x:g}' for x in least)}; most edits were made at "
            f"{best['text']:g} and {best['image']:g}: {best['right']:.3f}, with a change of {best['background']:.3f} "
            "beside them." + _turns(r["rises"]) + _judged(r["steady"]))


def _turns(rises: Sequence[dict[str, Any]]) -> str:
    """How many rises are more than chance, either way."""
    known = [x["interval"] for x in rises if x["interval"] is not None]
    if not known:
        return ""
    down, up = sum(high < 0 for _, high in known), sum(low > 0 for low, _ in known)
    return (f" Edit by edit, of {len(known)} rises {down} lessen it and {up} add to it beyond chance (intervals of "
            "95 % over edits).")


def _judged(steady: dict[str, dict[str, bool]]) -> str:
    """What a CLIP says of the trade, where one judged."""
    if "clip_picture" not in steady:
        return ""
    alike, along = (sum(steady[k].values()) for k in JUDGED)
    return (f" To the judge pictures grow more alike with every rise at {alike} of {len(steady['clip_picture'])} "
            f"scales of the sentence, and change less as their captions do at {along}.")


def scales_page(r: dict[str, Any]) -> str:
    """The study as one page."""
    parts = []
    for key, name in (("right", "edits made, share"), ("background", "change beside them, 0 to 1")):
        lines = [charts.Line(k, f"sentence {float(t):g}", tuple((x["image"], float(x[key])) for x in r["rows"]
                                                       if str(x["text"]) == t and x[key] is not None))
                 for k, t in enumerate(r["steady"]["background"])]
        parts.append(tag("div", charts.line_chart(lines, "scale of the picture", name, f"{name} by both scales",
                                                  x_min=min(x["image"] for x in r["rows"]))))
    if all(k in x for x in r["rows"] for k in JUDGED):
        lines = [charts.Line(k, f"sentence {float(t):g}", tuple((float(x["clip_picture"]), float(x["clip_direction"]))
                                                       for x in r["rows"] if str(x["text"]) == t))
                 for k, t in enumerate(r["steady"]["background"])]
        (left, right), (low, high) = (charts.around([p[k] for x in lines for p in x.points]) for k in (0, 1))
        parts.append(tag("div", charts.line_chart(lines, "how alike to CLIP before and after",
                                                  "change along the captions", "What CLIP says by both scales",
                                                  high, right, y_min=low, x_min=left)))
    scaled = lambda key: ", ".join(dict.fromkeys(f"{x[key]:g}" for x in r["rows"]))
    image = (f'<img src="data:image/png;base64,{r["picture"]}" alt="one edit under all scales" '
             'style="max-width:100%;image-rendering:pixelated">')
    caption = ("One edit: the picture as it was, then the picture's scale rising to the right "
               f"({scaled('image')}) and the sentence's downwards ({scaled('text')}).")
    figure = tag("figure", image, tag("figcaption", caption))
    judged = {"clip_picture": "alike before and after", "clip_direction": "change along the captions"}
    judged = {k: v for k, v in judged.items() if k in r["steady"]}
    heads = ("sentence", "picture", "edits made", "change beside them", *judged.values())
    return _page("What two scales trade", scales_answer(r), f"{r['paper']}, {r['edits']} edits of {r['data']} "
                 f"({r['split']}).", charts.legend(lines), tag("div", *parts, cls="two"), figure,
                 _rows(heads, [(f"{x['text']:g}", f"{x['image']:g}", x["right"], x["background"],
                                *(x[k] for k in judged))
                               for x in r["rows"]]),
                 remark("What each rise of the picture's scale adds to the change beside the edits, edit by edit:"),
                 _rows(("sentence", "picture from", "to", "more change", "interval"),
                       [(*(f"{x[k]:g}" for k in ("text", "from", "to")),
                         None if x["more"] is None else f"{x['more']:+.4f}",
                         x["interval"] and f"{x['interval'][0]:+.4f} to {x['interval'][1]:+.4f}")
                        for x in r["rises"]]))


def steps_answer(r: dict[str, Any]) -> str:
    """What came of it, in a sentence."""
    known = [x for x in r["rows"][:-1] if x["iou"] is not None]
    best, most = max(x["iou"] for x in known), max(known, key=lambda x: x["passes"])
    enough = min((x for x in known if x["iou"] >= best - 0.01), key=lambda x: x["passes"])
    one = r["rows"][-1]
    return (f"Masks are as good as they get ({enough['iou']:.3f} IoU) at {enough['way']}; {most['way']} have "
            f"{most['iou']:.3f}, and one pass read linearly {one['iou']:.3f}, in {one['ms']:.1f} ms of the processor "
            f"against {enough['ms']:.1f} of {enough['way']}.")


def steps_page(r: dict[str, Any]) -> str:
    """The study as one page."""
    lines = [charts.Line(k, name, tuple((float(np.log10(x["passes"])), float(x[key])) for x in r["rows"][:-1]
                                        if x[key] is not None))
             for k, (key, name) in enumerate((("iou", "mask IoU"), ("found", "points found"),
                                              ("false_area", "false area")))]
    heads = ("way", "ms of processor", "edits made", "mask IoU", "points found", "false area")
    return _page("How many steps does an answer take?", steps_answer(r), f"{r['paper']}, {r['edits']} edits of "
                 f"{r['data']} ({r['split']}). The linear reading is asked for masks alone.", charts.legend(lines),
                 tag("div", charts.line_chart(lines, "steps, by their logarithm", "share", "Answers by steps",
                                          at={float(np.log10(x["passes"])): str(x["passes"])
                                              for x in r["rows"][:-1]}),
                     style="max-width:40rem"),
                 _rows(heads, [(x["way"], f"{x['ms']:.1f}", x["right"], x["iou"], x["found"], x["false_area"])
                               for x in r["rows"]]))


def main(argv: list[str] | None = None) -> None:
    """The commands of this file's head."""
    parser = Asked("editors", __doc__)
    parser.add_argument("what", choices=("scales", "steps"),
                        help="what the two scales of guidance trade, or how many steps an answer takes")
    parser.add_argument("run")
    parser.add_argument("--data", default="edits:16")
    parser.add_argument("--out", default="")
    parser.add_argument("--limit", type=natural, default=60)
    parser.add_argument("--split", default="val")
    parser.add_argument("--clip", metavar="FOLDER", help="a CLIP, which judges what the scales trade as published; "
                        "`drawn`: a small one that first learns of drawn pictures")
    for name in ("texts", "images"):
        parser.add_argument(f"--{name}", type=lambda s: [float(v) for v in s.split(",")], metavar="SCALE,SCALE",
                            help=f"scales of the {name[:-1]} that are swept")
    a = parser.parse_args(argv)
    out = a.out or f"runs/{a.what}"
    chosen = {k: v for k in ("texts", "images", "clip") if (v := getattr(a, k)) is not None}
    if chosen and a.what == "steps":
        parser.error(f"--{next(iter(chosen))} is a matter of scales")
    record = (scales(a.run, a.data, out, limit=a.limit, split=a.split, **chosen) if a.what == "scales" else
              steps(a.run, a.data, out, limit=a.limit, split=a.split))
    print((scales_answer if a.what == "scales" else steps_answer)(record))
    print(Path(out) / f"{a.what}.html")


if __name__ == "__main__":
    interrupts.command(main)


__all__ = ["features", "scales", "scales_answer", "scales_page", "steps", "steps_answer", "steps_page"]
