"""How two recipes differ, in sentences: the idea of a paper is told by its card, how it is trained besides by this."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from .part import MISSING, diff, leaves
from .recipe import Recipe


@dataclass(frozen=True)
class Group:
    """Fields of a recipe that are told together, and in which words: (old, new, names of those that differ)."""

    fields: tuple[str, ...]
    says: Callable[[Recipe, Recipe, list[str]], str]


def _listed(told: dict[str, str]) -> Callable[[Recipe, Recipe, list[str]], str]:
    """ "a 1 in the place of 2, b 3 in the place of 4" of those that differ, each called by its words."""
    def says(old: Recipe, new: Recipe, names: list[str]) -> str:
        a, b = dict(leaves(old)), dict(leaves(new))
        known = [n for n in told if any(n == x or x.startswith(n + ".") for x in names)]
        rest = [x for x in names if not any(x == n or x.startswith(n + ".") for n in known)]
        return ", ".join(f"{told.get(n, n.rpartition('.')[2])} {_value(b.get(n, MISSING))} in the place of "
                         f"{_value(a.get(n, MISSING))}" for n in (*known, *rest))

    return says


def _value(v: Any) -> str:
    if isinstance(v, bool):
        return "yes" if v else "no"
    if isinstance(v, float):
        return f"{v:.4g}"
    if isinstance(v, tuple):
        return "(" + ", ".join(map(_value, v)) + ")" if v else "nothing"
    return "nothing" if v in ("", MISSING, None) else str(v)


def _rate(old: Recipe, new: Recipe, names: list[str]) -> str:
    of = lambda r: f"{r.optimizer} at {r.lr:g} for {r.batch} pictures"  # noqa: E731
    more = [n for n in names if n not in ("optimizer", "lr", "batch")]
    said = f"{of(new)} in the place of {of(old)}" if len(more) < len(names) else ""
    rest = _listed({"momentum": "momentum", "eps": "epsilon", "other_lr": "rate of what is no matrix"})(old, new, more)
    return ", ".join(x for x in (said, rest) if x)


def _course(old: Recipe, new: Recipe, names: list[str]) -> str:
    def of(r: Recipe) -> str:
        shape = {"step": f"steps of {_value(r.gammas or r.gamma)} at {_value(r.milestones)}",
                 "poly": f"a fall of power {r.power:g}",
                 "linear": f"a linear fall from {_value(r.milestones[:1])} on"}.get(r.schedule, r.schedule)
        rise = {0.0: "at", 1.0: "from"}.get(r.warmup_power, f"by the power {r.warmup_power:g} from")
        return f"{shape}, warm-up {r.warmup:g} {rise} {r.warmup_factor:g}"

    return f"{of(new)} in the place of {of(old)}"


def _boxes(old: Recipe, new: Recipe, names: list[str]) -> str:
    of = lambda r: "boxes of its own" if r.proposals.kind == "none" else (  # noqa: E731
        f"{r.proposals.count} boxes from outside by {r.proposals.kind}")
    if "none" in (old.proposals.kind, new.proposals.kind):
        return f"{of(new)} in the place of {of(old)}"
    return _listed({"proposals.kind": "boxes from outside by", "proposals.count": "at most"})(old, new, names)


def _phases(old: Recipe, new: Recipe, names: list[str]) -> str:
    of = lambda r: _value(tuple(f"{p.name} {p.share:.3g}" for p in r.phases)) if r.phases else "one"  # noqa: E731
    if of(old) != of(new):
        return f"phases {of(new)} in the place of {of(old)}"
    rates = all("milestones" in n or "warmup" in n for n in names)
    return f"in its phases {'rates go otherwise' if rates else 'other parts learn'}"


GROUPS: tuple[Group, ...] = (
    Group(("optimizer", "lr", "batch", "momentum", "eps", "other_lr"), _rate),
    Group(("length",), lambda a, b, _: f"published for {b.length} in the place of {a.length}"),
    Group(("schedule", "milestones", "gamma", "gammas", "power", "warmup", "warmup_factor", "warmup_power"), _course),
    Group(("weight_decay", "no_decay"), _listed({"weight_decay": "weight decay", "no_decay": "none on"})),
    Group(("lr_mult",), _listed({"lr_mult": "rates of single layers"})),
    Group(("clip", "clip_value", "clips", "agc", "warmup_steps", "ema", "accumulate", "precision", "channels_last"),
          _listed({"clip": "gradient norm cut at", "clip_value": "gradients cut at", "clips": "gradient norms cut at",
                   "agc": "gradients cut at shares of their tensors,", "warmup_steps": "updates of warm-up",
                   "ema": "averaged weights' decay", "accumulate": "steps added up",
                   "channels_last": "channels last"})),
    Group(("loss_weights",), _listed({"loss_weights": "weights of the losses"})),
    Group(("resize",), _listed({"resize.kind": "pictures come", "resize.size": "pixels", "resize.longest": "at most",
                                "resize.scales": "sizes drawn", "resize.hold": "batches of a size"})),
    Group(("augment",), _listed({"augment.flip": "mirrored", "augment.vertical": "upside down",
                                 "augment.quarter": "turned", "augment.colour": "colours", "augment.window": "cut to",
                                 "augment.zoom": "zoomed"})),
    Group(("difficult",),
          lambda a, b, _: f"what Pascal VOC calls difficult is {'learned' if b.difficult else 'left aside'}"),
    Group(("proposals",), _boxes),
    Group(("phases",), _phases),
    Group(("life",), lambda a, b, names: "another life: " + _listed({})(a, b, names)),
)
OWN = ("resize", "proposals", "phases", "lr_mult", "loss_weights", "life", "length")  # what a system's shape asks for


def differences(old: Recipe, new: Recipe) -> tuple[tuple[tuple[str, ...], str], ...]:
    """((fields that differ, the sentence that tells them), ...): nothing of two recipes differs that is not told."""
    changed = [k.removesuffix(".()") or "()" for k in diff(old, new)]
    out = []
    for group in GROUPS:
        names = [n for n in changed if any(n == f or n.startswith(f + ".") for f in group.fields)]
        if names:
            out.append((tuple(f"recipe.{n}" for n in names), group.says(old, new, names)))
    return tuple(out)


def untold(old: Recipe, new: Recipe) -> list[str]:
    """The fields of two recipes that differ and that no sentence tells: of a field that no group has, say."""
    said = {slot for slots, _ in differences(old, new) for slot in slots}
    return [k for k in diff(old, new) if f"recipe.{k.removesuffix('.()') or '()'}" not in said]


def trained_as(own: Recipe, other: Recipe) -> Recipe:
    """`own` with all of `other` but what a system's shape asks for: how pictures come, boxes from outside, phases,
    rates of its own layers."""
    phases = tuple(replace(p, milestones=(), warmup=0.0) for p in own.phases)  # they are of the schedule
    return replace(own, phases=phases, **{f.name: getattr(other, f.name) for f in fields(Recipe) if f.name not in OWN})


__all__ = ["GROUPS", "differences", "trained_as", "untold"]
