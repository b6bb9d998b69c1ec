"""Does it matter where an editor's examples come from: drawn exactly, made by a model, or made and then filtered?

    python -m stemma.studies.pairs --budget 90s --out runs/pairs

The making of InstructPix2Pix (sec. 3.1) in the small: InstructDiffusion's first stage learns to draw pictures from
captions, a network of two towers learns which picture belongs to which caption (CLIP's loss, Radford et al. 2021, arXiv
2103.00020), and pairs are drawn with shared noise. Of all pairs of a prompt the filter keeps those that changed as
their captions did. Then one editor learns from exact pairs, one from as many that the model made, one from as many that
the filter kept; all three have equal steps and are asked for the same exact edits.

What the model draws has a truth too: a pair is true where the colours that its captions say, and no others, are there.
"""
from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from ..core import interrupts, outputs
from ..core.part import In
from ..core.samples import Info
from ..core.types import StemmaError
from ..data.editing.captions import Told
from ..data.editing.drawn import COLOURS, Edits
from ..data.editing.open import spread
from ..data.editing.pairs import Pair, info_of
from ..engine.editing import fit, making, measure
from ..engine.running.progress import going
from ..metrics import edits as by
from ..ops.edits import patches
from ..parts.editing.nets import Words
from ..report.sheet import grid, leaf, remark
from ..report.tags import tag, text
from . import Asked, keep, natural, seed

ARMS = {"rendered": "drawn exactly", "made": "made by a model", "filtered": "made, and kept by the filter"}
KIND = "recolour"
SAMPLES, KEPT = 8, 2  # pairs that are drawn of a prompt, and that are learned from
ALIKE = (0.5, 0.2, 0.2)  # the filter's floors: of pictures to one another, to their captions, of directions
PICTURES = 2000  # that the judge learns from


@dataclass
class Made:
    """Pairs in memory."""

    split: str
    pairs: list[Pair]
    info: Info = info_of("pairs", "edits", (KIND,))

    @property
    def fingerprint(self) -> str:
        said = hashlib.blake2b(digest_size=16)
        for p in self.pairs:
            said.update(p.before.tobytes() + p.after.tobytes() + p.instruction.encode())
        return said.hexdigest()

    def __len__(self) -> int:
        return len(self.pairs)

    def kind(self, i: int) -> str:
        return self.pairs[i].kind

    def versions(self, i: int) -> int:
        return 1

    def pair(self, i: int, version: int = 0) -> Pair:
        return self.pairs[i]


Two = tuple[np.ndarray, np.ndarray]  # pictures before and after, uint8 (H, W, 3)
Drawn = dict[str, list[tuple[Told, Two]]]  # of each sort, with what was asked for


class Towers(nn.Module):
    """A picture and a sentence as vectors of one length: what `engine.editing.clip.Clip` is, for small pictures."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.looks = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.SiLU(), nn.Conv2d(32, 64, 3, 2, 1), nn.SiLU(),
                                   nn.Conv2d(64, 64, 3, 2, 1), nn.SiLU(), nn.Flatten(), nn.LazyLinear(width))
        self.reads = Words(In((), ()), out=width)
        self.scale = nn.Parameter(torch.tensor(2.7))

    def loss(self, pictures: Tensor, sentences: Sequence[str]) -> Tensor:
        """Cross-entropy of which sentence is a picture's and the other way, where equal sentences are all right."""
        u, v = F.normalize(self.looks(2 * pictures - 1)), F.normalize(self.reads(self.reads.tokens(sentences)))
        same = torch.tensor([[a == b for b in sentences] for a in sentences], dtype=torch.float32)
        truth = same / same.sum(1, keepdim=True)
        said = self.scale.exp() * u @ v.T
        return (F.cross_entropy(said, truth) + F.cross_entropy(said.T, truth)) / 2

    @torch.no_grad()
    def pictures(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """Features [N, D] of pictures, uint8 (H, W, 3)."""
        x = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
        return np.asarray(self.looks(2 * x - 1))

    @torch.no_grad()
    def sentences(self, sentences: Sequence[str]) -> np.ndarray:
        """Features [N, D] of sentences."""
        return np.asarray(self.reads(self.reads.tokens(sentences)))


def judge(size: int, steps: int, seed: int) -> Towers:
    """Both towers, learned from drawn pictures and their captions, before and after an edit."""
    edits = Edits(size, PICTURES, "train", seed, kinds=(KIND,))
    each = [edits.pair(i) for i in range(PICTURES // 2)]
    said = [s for p in each for s in (p.captions or ("", ""))]
    x = torch.from_numpy(np.stack([q for p in each for q in (p.before, p.after)])).permute(0, 3, 1, 2).float() / 255
    torch.manual_seed(seed)
    towers = Towers()
    towers.loss(x[:2], said[:2])  # its last layer finds its size
    optimizer, rng = torch.optim.AdamW(towers.parameters(), 2e-3), np.random.default_rng([seed, 41])
    for k in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * (1 - k / steps)
        at = rng.integers(len(said), size=64)
        optimizer.zero_grad()
        towers.loss(x[at], [said[i] for i in at]).backward()
        optimizer.step()
    return towers.eval()


def prompts(count: int, seed: int) -> list[Told]:
    """Edits in words that give a thing another colour."""
    found = [t for t in making.told(4 * count, seed) if "into a" not in t.instruction]
    return found[:count]


def true_to(one: Told, before: np.ndarray, after: np.ndarray) -> bool:
    """Whether both pictures, uint8 (H, W, 3), hold the two colours that their captions say, a patch each."""
    for caption, picture in ((one.before, before), (one.after, after)):
        x = picture.transpose(2, 0, 1) / 255
        there = [c for c in COLOURS if len(patches(by.near(x, COLOURS[c])))]
        if sorted(there) != sorted(c for c in COLOURS if f" {c} " in caption):
            return False
    return True


def drawn(drawer: Any, towers: Towers, asked: Sequence[Told], size: int, seed: int) -> Drawn:
    """Of each prompt two pairs as they come ("made"), and the two best of eight that the filter keeps ("filtered")."""
    rng, out = np.random.default_rng([seed, 22]), Drawn(made=[], filtered=[])
    for one in asked:
        seeds = rng.integers(2**31, size=SAMPLES).tolist()
        scales = rng.uniform(1.0, 3.0, SAMPLES).tolist()  # small networks keep together under less guidance
        first, second = making.drawn(drawer, one, seeds, rng.uniform(*making.SHARE, SAMPLES).tolist(), scales, size)
        both = [(making.as_bytes(x), making.as_bytes(y)) for x, y in zip(first, second, strict=True)]
        out["made"] += [(one, b) for b in both[:KEPT]]
        looks = [towers.pictures([b[k] for b in both]) for k in (0, 1)]
        reads = [towers.sentences([s]) for s in (one.before, one.after)]
        best = by.kept_by_filter(looks[0], looks[1], reads[0], reads[1], *ALIKE, KEPT)
        out["filtered"] += [(one, both[int(k)]) for k in best]
    return out


def learned_from(arm: str, seed: int, size: int, kept: Drawn, count: int) -> Made:
    """As many pairs of each sort."""
    if arm == "rendered":
        edits = Edits(size, count, "train", seed, kinds=(KIND,))
        return Made("train", [edits.pair(i) for i in range(count)])
    at = np.random.default_rng([seed, 43]).permutation(len(kept[arm]))[:count]
    chosen = [kept[arm][i] for i in at]
    return Made("train", [Pair(x, y, one.instruction, KIND, captions=(one.before, one.after))
                          for one, (x, y) in chosen])


def told(pairs: Sequence[tuple[Told, Two]], towers: Towers) -> dict[str, float]:
    """What pairs are like: the share that is true, how far they changed as their captions did, and how much changed
    where no thing of either picture stands."""
    along, aside, right = [], [], []
    for one, (x, y) in pairs:
        along.append(float(by.directional_similarity(towers.pictures([x]), towers.pictures([y]),
                                                     towers.sentences([one.before]), towers.sentences([one.after]))[0]))
        right.append(true_to(one, x, y))
        u, v = (p.transpose(2, 0, 1) / 255 for p in (x, y))
        ground = ((u.max(0) - u.min(0)) < by.NEAR) & ((v.max(0) - v.min(0)) < by.NEAR)
        aside.append(float(np.abs(u - v)[:, ground].mean()) if ground.any() else 0.0)
    return {"true": float(np.mean(right)), "direction": float(np.mean(along)), "ground": float(np.mean(aside))}


def study(out: str | Path, budget: str = "90s", count: int = 250, seed: int = 0, size: int = 16,
          limit: int = 150, judged: int = 600, pictures: int = 6000) -> dict[str, Any]:
    """Run all of it and write pairs.json and pairs.html. budget: of the drawer, and of each editor; count: prompts;
    judged: steps of the judge; pictures: that the drawer learns from. Raises `StemmaError` where nothing passes the
    filter."""
    out = Path(out)
    outputs.claim([out / "pairs.json", out / "pairs.html"])
    common: dict[str, Any] = {"seed": seed, "resume": True, "device": "cpu", "progress": False, "val_every": 0,
                              "val_edits": 1}
    only = {f"recipe.phases.{k}.share": float(k == 0) for k in range(4)}
    drawer: Any = fit.train("instruct-diffusion", f"edits:{size}:{pictures}", budget, out=out / "drawer", sets={
        "tasks": f"[['{KIND}',1.0]]", "recipe.resize.size": size, **only}, **common).load("last").eval()
    towers, asked = judge(size, judged, seed), prompts(count, seed)
    kept = drawn(drawer, towers, asked, size, seed)
    if not (number := min(len(kept["filtered"]), len(kept["made"]))):
        raise StemmaError(f"of {SAMPLES * len(asked)} pairs none passes the filter; give the drawer a longer --budget")
    held = spread(Edits(64, limit, "val", seed, kinds=(KIND,)), limit)
    exact = Edits(size, min(number, 200), "train", seed, kinds=(KIND,))
    rendered = [(Told(p.captions[0], p.instruction, p.captions[1]), (p.before, p.after))
                for p in map(exact.pair, range(len(exact))) if p.captions]
    looks = {k: told(v, towers) for k, v in (*kept.items(), ("rendered", rendered))}
    rows = []
    for arm in going(ARMS, "editors"):
        data = learned_from(arm, seed, size, kept, number)
        m: Any = fit.train("instruct-pix2pix", data, budget, out=out / arm, val=f"edits:{size}",
                           sets={"recipe.resize.size": size}, **common).load("last").eval()
        found = measure.measure(held, size, measure.editing(m))
        rows.append({"arm": arm, "pairs": len(data), **looks[arm],
                     **{k: found[k] for k in ("right", "background")}, "learned_direction": found["direction"]})
    record = {"budget": budget, "size": size, "seed": seed, "prompts": len(asked), "samples": SAMPLES,
              "edits": len(held), "rows": rows}
    keep(out / "pairs.json", record)
    outputs.put_text(out / "pairs.html", page(record, picture(kept)))
    return record


def picture(kept: Drawn, wide: int = 12, times: int = 4) -> str:
    """Pairs as they were made, and those that were kept; PNG, base64."""
    rows = [np.concatenate([np.concatenate(both, 0) for _, both in of[:wide]], 1) for of in kept.values() if of]
    least = min(r.shape[1] for r in rows)
    file = io.BytesIO()
    Image.fromarray(np.concatenate([r[:, :least] for r in rows]).repeat(times, 0).repeat(times, 1)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def answer(r: dict[str, Any]) -> str:
    """What came of it, in a sentence."""
    best = sorted(r["rows"], key=lambda x: -x["right"])
    told_ = ", ".join(f"{x['right']:.3f} from pairs {ARMS[x['arm']]}" for x in best)
    return (f"Of {r['edits']} exact edits an editor makes {told_} ({r['rows'][0]['pairs']} each, {r['budget']} of "
            f"training). Of what the model made {_of(r, 'made')['true']:.2f} is true to its captions, of what the "
            f"filter kept {_of(r, 'filtered')['true']:.2f}.")


def _of(r: dict[str, Any], arm: str) -> dict[str, Any]:
    return next(x for x in r["rows"] if x["arm"] == arm)


def page(r: dict[str, Any], png: str) -> str:
    """The study as one page."""
    heads = ("learned from", "pairs", "of them true", "change along the captions", "change of the ground", "edits made",
             "change beside them", "direction")
    body = [[ARMS[x["arm"]], x["pairs"], *(f"{x[k]:.3f}" for k in ("true", "direction", "ground", "right", "background",
                                                                  "learned_direction"))] for x in r["rows"]]
    image = f'<img src="data:image/png;base64,{png}" alt="pairs" style="max-width:100%;image-rendering:pixelated">'
    return leaf("Where do examples come from?", tag("div", tag("p", text(answer(r)), cls="head"), cls="answer"),
                remark(f"{r['prompts']} prompts, {r['samples']} pairs drawn of each, one seed."), grid(heads, body),
                tag("figure", image, tag("figcaption", "Above, before and after as the model made them; below, those "
                                                       "that the filter kept.")))


def main(argv: list[str] | None = None) -> None:
    """The command of this file's head."""
    parser = Asked("pairs", __doc__)
    parser.add_argument("--budget", default="90s")
    parser.add_argument("--prompts", type=natural, default=250, help="that pairs are made of")
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--out", default="runs/pairs")
    a = parser.parse_args(argv)
    print(answer(study(a.out, a.budget, a.prompts, a.seed)))
    print(Path(a.out) / "pairs.html")


if __name__ == "__main__":
    interrupts.command(main)


__all__ = ["ARMS", "Made", "Towers", "answer", "drawn", "judge", "page", "prompts", "study", "true_to"]
