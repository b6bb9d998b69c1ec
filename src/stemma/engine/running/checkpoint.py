"""Weights on disk: safetensors with JSON metadata, written whole or not at all. Nothing is ever unpickled.

A weights file holds what is needed to load and predict: paper, preset, edits, the data's classes and keypoints,
preprocessing, recipe, versions. It holds no clock and no path, so equal trainings write equal files.
"""
from __future__ import annotations

import functools
import json
import math
import os
import re
from dataclasses import asdict, fields, is_dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ...core import memory, outputs
from ...core import paper as papers
from ...core.nearest import preset_of
from ...core.part import edit, from_nothing, leaves
from ...core.recipe import Augment, Life, Phase, ProposalSource, Recipe, Resize, Stage
from ...core.training import trained_as
from ...core.types import Classes, DataError, Info, Points, StemmaError, at_least
from ...data.proposals import sourced
from ...parts.backbones.onto import onto_timm
from ...parts.backbones.timm_backbone import no_pretrained
from ...parts.packaged import DEPTHS
from .places import KEY, checked, find

FORMAT = 1


# ---------------------------------------------------------------- writing


def write_tensors(path: str | Path, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write `tensors` and `meta` (JSON) as one safetensors file, atomically.
    Raises `StemmaError` when the disk does not take it."""
    plain: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, t in tensors.items():
        t = t.detach().to("cpu").contiguous()
        if t.untyped_storage().data_ptr() in seen:
            t = t.clone()
        seen.add(t.untyped_storage().data_ptr())
        plain[name] = t
    header = {KEY: json.dumps(meta, sort_keys=True)}  # one key: the file format does not keep the order of several
    def write(fresh: Path) -> None:
        try:
            save_file(plain, fresh, metadata=header)
        except SafetensorError as error:  # what a full disk is to safetensors
            code = re.search(r"\(os error (\d+)\)", str(error))
            raise OSError(int(code[1]) if code else None, str(error)) from error

    outputs.replace(path, write)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file of a folder that is ours, atomically. Raises `StemmaError` when the disk does not take it."""
    outputs.replace(path, lambda p: p.write_text(text, encoding="utf-8"))


# ---------------------------------------------------------------- reading


def read_meta(path: str | Path) -> dict[str, Any]:
    """The metadata of a file of ours. Raises `StemmaError` when it is a pickle, cut short, or not ours."""
    return _read(Path(path), None)[1]


def read_tensors(path: str | Path, device: str = "cpu") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata of a file of ours. Raises as `read_meta`."""
    return _read(Path(path), device)


def _read(path: Path, device: str | None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with open(checked(path), "rb") as f:
        head = f.read(16)
    if (head[:2] == b"\x80\x02" or head[:2] in (b"\x80\x03", b"\x80\x04", b"\x80\x05") or head[:4] == b"PK\x03\x04"
        or b"ustar" in head):
        raise StemmaError(
            f"{path} is a pickle (a .pt or .pth file), and unpickling can run any code, so Stemma does not open it. "
            "If you trust it, read it yourself with torch.load(path, weights_only=True) and hand the tensors to "
            "stemma.from_torchvision(paper, state_dict)"
        )
    try:
        with safe_open(path, framework="pt", device=device or "cpu") as f:
            text = (f.metadata() or {}).get(KEY)
            tensors = {k: f.get_tensor(k) for k in f.keys()} if device else {}
    except (SafetensorError, OSError, UnicodeDecodeError) as error:
        raise StemmaError(f"{path} is not a whole safetensors file ({error}); it may have been cut short while it "
                          "was copied") from error
    if text is None:
        raise StemmaError(f"{path} is a safetensors file, but not one that Stemma wrote: it does not say which paper "
                          "its weights belong to")
    meta = json.loads(text)
    if meta.get("format", 0) > FORMAT:
        raise StemmaError(f"{path} has format {meta['format']}, and this Stemma reads up to {FORMAT}; install a newer "
                          "stemma-vision")
    return tensors, meta


# ---------------------------------------------------------------- values <-> JSON


def jsonable(x: Any) -> Any:
    """Anything of a spec or a record as JSON: dataclasses become objects, tuples lists, NaN null, the rest its text."""
    if is_dataclass(x) and not isinstance(x, type):
        return {f.name: jsonable(getattr(x, f.name)) for f in fields(x)}
    if isinstance(x, dict):
        return {str(k): jsonable(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [jsonable(v) for v in x]
    if isinstance(x, (frozenset, set)):
        return sorted(jsonable(v) for v in x)
    if isinstance(x, float) and not math.isfinite(x):
        return None if math.isnan(x) else str(x)
    return x if x is None or isinstance(x, (bool, int, float, str)) else str(x)


def _tuples(x: Any) -> Any:
    return tuple(_tuples(v) for v in x) if isinstance(x, list) else x


def info_from(d: dict[str, Any]) -> Info:
    """An `Info` from its JSON."""
    def of(cls: Any, v: dict[str, Any] | None) -> Any:
        return None if v is None else cls(**{k: _tuples(x) for k, x in v.items()})

    return Info(
        name=d["name"], format=d["format"], classes=of(Classes, d["classes"]), kinds=tuple(d["kinds"]),
        semantic=of(Classes, d.get("semantic")),
        panoptic=of(Classes, d.get("panoptic")), points=of(Points, d.get("points")),
        white=d.get("white"), inputs=_tuples(d.get("inputs", [])), choices=_tuples(d.get("choices", [])),
        numbers=_tuples(d.get("numbers", [])),
    )


def recipe_from(d: dict[str, Any]) -> Recipe:
    """A `Recipe` from its JSON."""
    plain = {k: _tuples(v) for k, v in d.items() if k not in ("resize", "augment", "proposals", "phases", "life")}
    resize = Resize(**{k: _tuples(v) for k, v in d["resize"].items()})
    proposals = ProposalSource(**{k: _tuples(v) for k, v in d.get("proposals", {}).items()})
    life = d.get("life")
    if life is not None:
        life = Life(**life | {k: tuple(Stage(**s) for s in life[k]) for k in ("first", "then")})
    augment, phases = (Augment(**{k: _tuples(v) for k, v in d["augment"].items()}),
                       tuple(Phase(**{k: _tuples(v) for k, v in p.items()}) for p in d["phases"]))
    return Recipe(**plain, resize=resize, augment=augment, proposals=proposals, phases=phases, life=life)


@functools.cache
def _versions() -> tuple[tuple[str, str], ...]:
    out = {"torch": str(torch.__version__)}
    for name in ("stemma-vision", "torchvision", "timm", "lightning-fabric"):
        try:
            out[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            out[name] = "not installed"
    return tuple(out.items())


def versions() -> dict[str, str]:
    """Versions of what a run depends on."""
    return dict(_versions())


# ---------------------------------------------------------------- models


def split_sets(sets: dict[str, Any] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Edits of the spec and edits of the recipe ("recipe.lr")."""
    sets = sets or {}
    return ({k: v for k, v in sets.items() if not k.startswith("recipe.")},
            {k[7:]: v for k, v in sets.items() if k.startswith("recipe.")})


def plan(paper: str | papers.Paper, preset: str = "paper", sets: dict[str, Any] | None = None,
         info: Info | None = None) -> tuple[papers.Paper, Any, Recipe]:
    """The card, the spec and the recipe of a paper's preset, prepared for the data of `info` and edited by `sets`.

    The setting "backbone" takes a timm name, with its builder's settings behind it in brackets where it has some, and
    ":imagenet" at the end for its ImageNet weights; "size" a number of
    pixels, which changes what the card says; "upright" yes or no, whether pictures are mirrored alone or seen in all
    symmetries; "proposals" the name of a source of boxes or a file of them; "trained-as" PAPER:PRESET, whose recipe is
    taken as far as the system's shape allows (`training.trained_as`). These are put in before other edits.
    Raises `StemmaError` for a paper, preset or setting that does not exist.
    """
    card = papers.get(paper) if isinstance(paper, str) else paper
    preset = preset_of(card, preset)
    spec, recipe = card.spec(preset), card.recipe(preset)
    if card.prepare is not None and info is not None:
        spec = card.prepare(spec, info)
    of_spec, of_recipe = split_sets(sets)
    try:
        if scratch := yes(of_spec.pop("from_scratch", "no"), "from_scratch"):
            spec = from_nothing(spec)
        other = of_spec.pop("backbone", None)
        if (size := of_spec.pop("size", None)) is not None:
            spec, recipe = card.at(spec, recipe, size)
        if (whose := of_spec.pop("trained-as", None)) is not None:
            name, _, own = str(whose).partition(":")
            recipe = trained_as(recipe, papers.get(name).recipe(own or preset))
        if scratch:
            recipe = recipe.from_nothing()
        if isinstance(other, str):
            spec, recipe = _on_timm(card, spec, recipe, other)
        if (upright := of_spec.pop("upright", None)) is not None:
            recipe = recipe.standing(yes(upright, "upright"))
        recipe = sourced(recipe, of_spec.pop("proposals", None))
        for path, value in of_spec.items():
            spec = edit(spec, path, value)
        for path, value in of_recipe.items():
            recipe = edit(recipe, path, value)
    except ValueError as error:
        raise StemmaError(f"{card.cli_name}: {error}") from error
    if (recipe.proposals.kind == "none") != (card.recipe(preset).proposals.kind == "none"):
        raise StemmaError(f"{card.cli_name} " + ("takes its boxes from outside; name a source, such as "
                          "recipe.proposals.kind=selective-search"
                          if recipe.proposals.kind == "none" else "makes its own boxes; recipe.proposals means "
                          "nothing to it"))
    return card, spec, recipe


def yes(said: Any, name: str) -> bool:
    """"yes" or "no" as a truth. Raises `StemmaError` for anything else."""
    if said not in ("yes", "no"):
        raise StemmaError(f"{name} takes yes or no, not {said}")
    return bool(said == "yes")


def _on_timm(card: papers.Paper, spec: Any, recipe: Recipe, given: str) -> tuple[Any, Recipe]:
    """The spec and the recipe on the timm network `given`, "NAME", "NAME(SETTINGS)" or "NAME:imagenet" (from the
    installed package where that is the network it has)."""
    name, _, weights = given.partition(":")
    name, _, how = name.partition("(")
    if weights not in ("", "imagenet"):
        raise StemmaError(f"backbone: '{given}' ends in ':{weights}'; write NAME for random weights or NAME:imagenet")
    try:
        return onto_timm(spec, recipe, name, "none" if not weights else "package" if name in DEPTHS else "timm",
                         how.removesuffix(")"))
    except StemmaError as error:
        raise StemmaError(f"{card.cli_name} on {name}: {error}") from error


def build(paper: str | papers.Paper, preset: str = "paper", classes: int = 80, sets: dict[str, Any] | None = None,
          info: Info | None = None) -> nn.Module:
    """An untrained model of a paper: an `nn.Module` with `loss(batch)` and `predict(images)`, and with `.paper`,
    `.preset`, `.recipe`, `.info`.

    `sets` edits settings by path: {"head.width": 128, "recipe.lr": 0.01}. With `info` the classes are the data's.
    Raises `StemmaError` for a paper, preset or setting that does not exist.
    """
    card, spec, recipe = plan(paper, preset, sets, info)
    if info is not None:
        classes = len(info.classes_for(card.task_of(preset)))
    at_least(1, classes=classes)
    try:
        model = spec.build(classes)
    except Exception as error:  # a part says in its own way what it cannot be
        if (told := told_of_sets(card.cli_name, sets, error, "built")) is None:
            raise
        raise told from error
    assert isinstance(model, nn.Module)
    return adorn(model, card, preset, recipe, info, sets)


def told_of_sets(name: str, sets: dict[str, Any] | None, error: Exception, what: str) -> StemmaError | None:
    """What is said where a system that somebody changed cannot be built, or not take its first step; None where it is
    as its paper has it, where the memory is full, and of an error that is said in a line already."""
    changed = split_sets(sets)[0]
    if not changed or memory.full(error) or isinstance(error, StemmaError | OSError):
        return None
    why = " ".join(str(error).split())[:200] or type(error).__name__
    return StemmaError(f"{name} with {', '.join(f'{k}={v}' for k, v in changed.items())} cannot be {what}: {why}")


def adorn(model: nn.Module, card: papers.Paper, preset: str, recipe: Recipe, info: Info | None,
          sets: dict[str, Any] | None = None) -> nn.Module:
    """Give a built model the attributes that the engine and the report read."""
    m: Any = model
    m.paper, m.preset, m.recipe, m.info, m.sets = card, preset, recipe, info, dict(sets or {})
    return model


def describe(model: nn.Module) -> dict[str, Any]:
    """The metadata of a model's weights: what `load` needs, and what a reader wants to see.
    Nothing in it depends on a clock."""
    m: Any = model
    for key, value in m.sets.items():
        if jsonable(value) is not value and not isinstance(value, (tuple, list)):
            raise StemmaError(f"the setting '{key}' is a {type(value).__name__}; a checkpoint carries numbers, texts "
                              "and tuples of them alone")
    task = m.paper.task_of(m.preset)
    pre = getattr(m.spec, "preprocess", None)
    return {
        "format": FORMAT, "paper": m.paper.name, "preset": m.preset, "sets": jsonable(m.sets), "task": task,
        "classes": m.classes, "info": None if m.info is None else asdict(m.info), "preprocess": jsonable(pre),
        "recipe": m.recipe.as_dict(), "spec": {k: jsonable(v) for k, v in leaves(m.spec)}, "versions": versions(),
    }


def save(path: str | Path, model: nn.Module, state: dict[str, Tensor] | None = None, **more: Any) -> None:
    """Write a model's weights with what is needed to load them. `more` is added to the metadata (step, score).

    Raises `StemmaError` when the disk does not take it; an earlier file then stays as it was. A file that holds
    no weights of ours is not replaced.
    """
    outputs.claim([path], "file", _written)
    write_tensors(path, state if state is not None else model.state_dict(), describe(model) | jsonable(more))


def _written(path: Path) -> bool:
    """Whether a file holds weights that `save` wrote, be they whole or cut short: its header is looked at alone."""
    with open(path, "rb") as f:
        head = f.read(8)
        return f'"{KEY}":'.encode() in f.read(min(int.from_bytes(head, "little"), 1 << 24))


def load(where: str | os.PathLike[str], which: str = "best", device: str = "cpu") -> nn.Module:
    """The trained model of a run folder or weights file, in eval mode, with `.paper`, `.preset`, `.recipe`,
    `.info` and `.meta`.

    Raises `StemmaError` when the file is no checkpoint of ours, or does not fit the paper as this version builds it.
    """
    path = find(where, which)
    tensors, meta = read_tensors(path)
    if "paper" not in meta:
        raise StemmaError(f"{path} holds the state of a training, not weights to predict with; load best.safetensors "
                          "or last.safetensors beside it")
    info = None if meta["info"] is None else info_from(meta["info"])
    with no_pretrained():
        model = build(meta["paper"], meta["preset"], meta["classes"], meta["sets"], info)
    m: Any = model
    expected = model.state_dict()
    wrong = ([k for k in expected if k not in tensors or expected[k].shape != tensors[k].shape]
             + [k for k in tensors if k not in expected])
    if wrong:
        now = {k: jsonable(v) for k, v in leaves(m.spec)}
        then = meta["spec"]
        changed = [f"{k} {then.get(k, '-')} -> {now.get(k, '-')}" for k in sorted(now.keys() | then.keys())
                   if now.get(k, "-") != then.get(k, "-")]
        why = (f"its settings differ from those of this version: {'; '.join(changed[:3])}" if changed
               else f"it was written by {meta['versions']}")
        raise StemmaError(f"{path} does not fit {m.paper.cli_name} (preset {m.preset}): {len(wrong)} tensors differ, "
                          f"first '{wrong[0]}'; {why}")
    model.load_state_dict(tensors, strict=True)
    m.meta, m.recipe = meta, recipe_from(meta["recipe"])
    return model.to(device).eval()


def resolve(model: Any, which: str = "best") -> nn.Module:
    """A model from a model, a run, a run's folder or a weights file. Raises `StemmaError` when it has no card (built by
    hand)."""
    if not isinstance(model, nn.Module):
        model = load(getattr(model, "path", model), which)
    if not hasattr(model, "paper"):
        raise StemmaError("this model does not say which paper it is; build it with stemma.build or load it with "
                          "stemma.load")
    return model  # type: ignore[no-any-return]


def card_of(model: Any, which: str = "best") -> papers.Paper:
    """The card of a model, a run, a run's folder or a weights file, without building anything."""
    if isinstance(model, nn.Module):
        card: papers.Paper = resolve(model).paper  # type: ignore[assignment]
        return card
    meta = read_meta(find(getattr(model, "path", model), which))
    if "paper" not in meta:
        raise StemmaError(f"{model} holds the state of a training, not weights; name its folder, or "
                          "best.safetensors beside it")
    return papers.get(meta["paper"])


def at_size(model: nn.Module, size: int | str) -> nn.Module:
    """A copy of a model, weights and all, for pictures of `size` pixels, as its paper's card has it.

    Raises `StemmaError` for a size that the paper cannot have, or where layers are as large as the picture they saw.
    """
    m: Any = model
    spec, recipe = m.paper.at(m.spec, m.recipe, size)
    with no_pretrained():
        other: Any = spec.build(m.classes)
    state, own = m.state_dict(), other.state_dict()
    if wrong := [k for k in own if k not in state or state[k].shape != own[k].shape]:
        raise StemmaError(f"{m.paper.cli_name} learned {wrong[0]} for pictures of {m.recipe.resize.size} pixels, and "
                          f"it fits no others; train it with --size {size}")
    return _taking(other, m, recipe, {"size": int(size)})


def _taking(other: Any, m: Any, recipe: Recipe, sets: dict[str, Any]) -> nn.Module:
    """Another build of a model with its weights, mode, device and what is said of it; `sets`: the settings that are
    new."""
    state = m.state_dict()
    other.load_state_dict(state)
    other.train(m.training).to(next(iter(state.values())).device)
    adorn(other, m.paper, m.preset, recipe, m.info, m.sets | sets)
    if hasattr(m, "meta"):
        other.meta = m.meta
    return cast(nn.Module, other)


TESTED = ("score", "nms", "keep", "pre", "iterations")  # what acts at test alone, where it is a setting of a last step


def as_published(model: nn.Module) -> tuple[nn.Module, dict[str, tuple[Any, Any]]]:
    """A copy of a model, weights and all, that answers by its paper's test-time settings (least score, NMS, how many
    are kept, steps of a CRF), and which of them that changed: {path: (before, after)}."""
    m: Any = model
    published, changed = dict(leaves(m.paper.spec("paper"))), {}
    for path, value in leaves(m.spec):
        other = published.get(path, value)
        if path.rpartition(".")[2] in TESTED and other != value and type(other) is type(value):
            changed[path] = (value, other)
    return with_settings(m, {k: v for k, (_, v) in changed.items()}), changed


def with_settings(model: nn.Module, sets: dict[str, Any]) -> nn.Module:
    """A copy of a model, weights and all, with other settings {path of its spec: value} that no weight depends on."""
    m: Any = model
    spec = m.spec
    for path, value in sets.items():
        spec = edit(spec, path, value)
    with no_pretrained():
        other = spec.build(m.classes)
    return _taking(other, m, m.recipe, sets)


def start_from(model: nn.Module, source: str | Path | nn.Module) -> dict[str, Any]:
    """Copy the weights of a run, a weights file or a model into `model` where name and shape agree; says how many did.
    A model that says which are `taken`, by a pattern of their names, gets no others.

    Raises `StemmaError` when none does.
    """
    given = source.state_dict() if isinstance(source, nn.Module) else read_tensors(find(source))[0]
    own = model.state_dict()
    taken = re.compile(getattr(model, "taken", ""))
    fit = {k: v for k, v in given.items() if taken.match(k) and k in own and own[k].shape == v.shape}
    if not fit:
        raise StemmaError("no tensor of the weights to start from fits this model; they belong to another system")
    model.load_state_dict(fit, strict=False)
    return {"from": "a model" if isinstance(source, nn.Module) else str(source), "taken": len(fit),
            "left": sorted(k for k in own if k not in fit)}


def check_classes(model: nn.Module, info: Info, where: str = "the data") -> None:
    """Hold a model's class list against the data's. Raises `DataError` that names the first difference."""
    m: Any = model
    if m.info is None:
        have: tuple[str, ...] = ()
        count = m.classes
    else:
        have = m.info.classes_for(m.paper.task_of(m.preset)).names
        count = len(have)
    want = info.classes_for(m.paper.task_of(m.preset)).names
    mend = "Evaluate on the data set that it was trained for, or train a model on this one"
    if have and have != want:
        at = next((i for i, (a, b) in enumerate(zip(have, want)) if a != b), min(len(have), len(want)))
        mine, theirs = (x[at] if at < len(x) else "nothing" for x in (have, want))
        raise DataError(where, f"the class list disagrees with the checkpoint's: class {at} is '{theirs}' in the "
                        f"data ({len(want)} classes) and '{mine}' in the checkpoint ({len(have)} classes)", mend,
                        field="classes")
    if count != len(want):
        raise DataError(where, f"{len(want)} classes, but the model was built for {count}", mend, field="classes")


__all__ = [
    "adorn", "as_published", "build", "card_of", "check_classes", "describe", "find", "info_from", "jsonable",
    "load", "plan", "read_meta", "read_tensors",
    "recipe_from", "resolve", "save", "split_sets", "start_from", "told_of_sets", "versions", "write_tensors",
    "write_text",
]
