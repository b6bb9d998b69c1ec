"""A system on another network: what its paper did to the old one is done to the new one, or it is said what would be
lost."""
from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import nn

from ...core.part import In, Part, part
from ...core.recipe import Recipe
from ...core.types import StemmaError
from ..packaged import PACKAGED
from ..trunk import Trunk
from .timm_backbone import Timm, Weights
from .timm_shape import SIDES, examined, outline, places

INNER = ("of", "body")  # what parts that stand around a backbone call it


def onto_timm(spec: Any, recipe: Recipe, name: str = PACKAGED, weights: Weights = "none",
              how: str = "") -> tuple[Any, Recipe]:
    """`with_timm`, and the recipe beside it: layers whose rate was 0 sleep by their place in the network, and pictures
    come in sides that the network takes.

    Raises `StemmaError` in one line where the network has no maps of the strides that the system reads, cannot be
    dilated or deformed as its parts say, takes pictures of one size alone, or where a phase trains a share of the old
    network's layers.
    """
    still, rates = asleep(spec, recipe)
    if still and weights == "none":
        warnings.warn(f"the first layers of this preset do not learn, and {name} comes without weights: all of it "
                      "learns", stacklevel=2)
    new = with_timm(spec, name, weights, still=still if weights != "none" else 0, how=how)
    return new, replace(recipe, lr_mult=rates, resize=_sides(recipe, name, _scaled(spec)))


def with_timm(spec: Any, name: str = PACKAGED, weights: Weights = "none", levels: tuple[int, ...] | None = None,
              frozen_norm: bool = False, still: int = 0, how: str = "") -> Any:
    """A copy of a spec on a timm backbone that hands out the maps that the old one did (or `levels`), dilated where
    they were, with the parts that stood around it, deformable layers at the same places, all levels of one scale. Batch
    norm is frozen where it was and weights come. how: as of `Timm`.

    The preprocessing is set to the network's own mean and deviation. In a spec that is made of others (a detector and a
    segmenter), each of them has its backbone replaced. Raises `StemmaError` where there is none, or the network cannot
    do what the old one did.
    """
    if not isinstance(getattr(spec, "backbone", None), Part):
        inner = {k: getattr(spec, k) for k in _inner(spec)}
        if not inner:
            raise StemmaError(f"a {type(spec).__name__} has no backbone to replace")
        return replace(spec, **{k: with_timm(v, name, weights, levels, frozen_norm, still, how)
                                for k, v in inner.items()})
    shape = examined(name)
    mean, std = ((0.5,) * 3, (0.5,) * 3) if weights == "package" else (shape.mean, shape.std)
    more = {"weights": weights, "frozen_norm": frozen_norm, "still": still, "how": how}
    backbone = _in_its_place(spec.backbone, name, levels, more)
    return replace(spec, backbone=backbone, preprocess=replace(spec.preprocess, mean=mean, std=std))


def _inner(spec: Any) -> list[str]:
    """The fields of a spec that are systems with backbones themselves."""
    return [f.name for f in fields(spec) if isinstance(getattr(getattr(spec, f.name), "backbone", None), Part)]


def backbones(spec: Any) -> Iterable[Part[Trunk]]:
    """Every backbone of a spec, also of the systems that it is made of."""
    if isinstance(getattr(spec, "backbone", None), Part):
        yield spec.backbone
    elif is_dataclass(spec):
        for k in _inner(spec):
            yield from backbones(getattr(spec, k))


def _in_its_place(old: Part[Any], name: str, levels: tuple[int, ...] | None, more: dict[str, Any]) -> Part[Any]:
    kw = dict(old.kw)
    if why := getattr(old.cls, "alone", ""):
        raise StemmaError(f"nothing can stand in the place of {old.name}: {why}")
    inner = next((k for k in INNER if isinstance(kw.get(k), Part)), None)
    if inner is not None:
        new = _in_its_place(kw[inner], name, levels, more)
        moved = {"at": _same_places(kw[inner], kw["at"], name, kw.get("groups", 1))} if "at" in kw else {}
        return old.but(**{inner: new, **moved})
    first: tuple[int, ...] = getattr(old.cls, "first", ())  # a network whose first layers another may stand for
    wanted, kept = (first, first) if first else maps_of(old)
    have = examined(name).strides
    if levels is None:
        if missing := [s for s in wanted if s not in have]:
            raise StemmaError(f"'{name}' has maps of stride {', '.join(map(str, have))}, none of stride "
                              f"{', '.join(map(str, missing))}, which {old.name} hands out here")
        levels = tuple((s // 4).bit_length() - 1 for s in wanted)
        if odd := [s for s in wanted if s < 4 or s & (s - 1)]:
            raise StemmaError(f"levels begin at stride 4, and {old.name} hands out maps of stride {odd[0]} here")
        if len(set(levels)) < len(levels):
            raise StemmaError(f"{old.name} hands out {len(wanted)} maps of stride {wanted[0]} here, and '{name}' one")
    stride = max(kept) if kept != wanted else 0
    more = dict(more)
    more["frozen_norm"] = more["frozen_norm"] or (kw.get("norm") == "frozen" and more["weights"] != "none")
    new = part(Timm, name=name, levels=levels, even=True, stride=stride, **more)
    if stride:
        examined(name, stride)  # or it says that the dilation would be lost
    return old.but(of=new) if first else new


def bare(backbone: Part[Any], **more: Any) -> Trunk:
    """A backbone without memory for its weights. With `stride` among `more`, as it would be with that."""
    more = {k: v for k, v in more.items() if k in dict(backbone.kw)}
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trunk: Trunk = backbone.but(**more).build(In((3,), (1,), 1))
        return trunk


def maps_of(old: Part[Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(strides that a backbone's levels would have were nothing dilated, those that they have).

    A row of layers of its own strides says by `levels` which of another network's maps stand in for its own.
    """
    kw = dict(old.kw)
    kept = tuple(bare(old).out.strides)
    if "levels" not in kw:
        return tuple(getattr(old.cls, "undilated", kept)), kept
    nominal = tuple(4 * 2**i for i in kw["levels"])
    return nominal, kept if "stride" in kw else nominal


def _same_places(old: Part[Any], at: str, name: str, groups: int) -> str:
    """The names of the convolutions of a timm network that stand where those named `at` do in the old one: undivided
    ones of the same side whose maps have the same stride."""
    body: nn.Module = bare(old, stride=32)
    strides, modules = places(body, *SIDES), dict(body.named_modules())
    picked = [n for n, m in modules.items() if isinstance(m, nn.Conv2d) and re.fullmatch(at, n)]
    kernel = lambda m: int(m.kernel_size[0])  # noqa: E731
    wanted = sorted({(strides[n], kernel(modules[n])) for n in picked})
    shape = examined(name)
    net = outline(name, features_only=True, **dict(shape.how))
    theirs = places(net, *((shape.side,) * 2 if shape.side else SIDES))
    found = [n for n, m in net.named_modules()
             if type(m) is nn.Conv2d and m.groups == 1 and m.kernel_size[0] == m.kernel_size[1]
             and m.in_channels % groups == 0 and (theirs[n], kernel(m)) in wanted]
    missing = [s for s, k in wanted if not any((theirs[n], kernel(net.get_submodule(n))) == (s, k) for n in found)]
    if missing:
        k = wanted[0][1]
        raise StemmaError(f"the deformable convolutions would be lost: '{name}' has no undivided {k} x {k} of stride "
                          f"{', '.join(map(str, missing))} that could be one")
    every = [n for n, m in net.named_modules() if isinstance(m, nn.Conv2d)]
    short = "|".join(dict.fromkeys(re.sub(r"(?<=\.)\d+(?=\\\.)", r"\\d+", re.escape(n)) for n in found))
    exact = {n for n in every if re.fullmatch(short, n)} == set(found)
    return rf"body\.({short if exact else '|'.join(map(re.escape, found))})"


def asleep(spec: Any, recipe: Recipe) -> tuple[int, tuple[tuple[str, float], ...]]:
    """(the coarsest stride at which the old network's first layers do not learn, 0 where all do; the recipe's rates
    without those that put a share of its layers to sleep).

    Raises `StemmaError` for a phase that trains a share of the old network's layers.
    """
    still, rates = 0, recipe.lr_mult
    for b in backbones(spec):
        body = bare(b, stride=32)
        every = {f"backbone.{n}": p for n, p in body.named_parameters()}
        shares = [k for k, v in recipe.lr_mult if v == 0 and 0 < sum(bool(re.search(k, n)) for n in every) < len(every)]
        still_ones = [n for n, p in every.items() if not p.requires_grad or any(re.search(k, n) for k in shares)]
        if still_ones and len(still_ones) < len(every):
            at = places(body, *SIDES)
            still = max(still, *(at.get(n.removeprefix("backbone.").rpartition(".")[0], 1) for n in still_ones))
            rates = tuple(r for r in rates if r[0] not in shares)
        for phase in recipe.phases:
            hit = sum(bool(re.search(phase.train, n)) for n in every)
            if 0 < hit < len(every):
                raise StemmaError(f"the phase '{phase.name}' trains a share of {b.name}'s layers, and would not know "
                                  "those of another network")
    return still, rates


def _scaled(spec: Any) -> bool:
    """Whether a system looks at a picture at several sizes."""
    return any(isinstance(dict(b.kw).get("body"), Part) for b in backbones(spec))


def _sides(recipe: Recipe, name: str, several: bool) -> Any:
    """The recipe's sizes as a network takes them. Raises `StemmaError` where it takes one and gets others."""
    shape, r = examined(name), recipe.resize
    if shape.side and (several or r.kind not in ("square", "letterbox") or r.scales or r.size != shape.side):
        raise StemmaError(f"'{name}' takes pictures of {shape.side} x {shape.side} pixels alone, and here they come "
                          + ("at several sizes" if several or r.scales else f"'{r.kind}', at {r.size}")
                          + "; choose a network of free size")
    coarsest = max(shape.strides)
    if shape.side or shape.uneven:
        return r
    if r.kind in ("shortest", "keep"):
        return replace(r, divisor=max(r.divisor, coarsest) if r.divisor % coarsest else r.divisor)
    if any(s % coarsest for s in (r.size, *r.scales)):
        raise StemmaError(f"'{name}' takes sides that are multiples of {coarsest}, and here they are {r.size}; choose "
                          "another with --size")
    return r


__all__ = ["asleep", "backbones", "maps_of", "onto_timm", "with_timm"]
