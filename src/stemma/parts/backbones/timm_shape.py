"""What a `timm` network gives as a backbone, found out without memory for its weights: maps, strides, where
layers stand."""
from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...core.types import StemmaError

SIDES = (256, 320)  # of the picture that it is tried on: of unlike sides, so that rows are told from columns
UNEVEN = (250, 333)  # and one whose sides no stride divides
FREE: tuple[dict[str, Any], ...] = ({}, {"dynamic_img_size": True}, {"strict_img_size": False})  # pictures of any size


@dataclass(frozen=True)
class Shape:
    """A network as it was tried. `strides` are those of its maps as it is made, finest first, `at` timm's indices of
    them. `how` is what it is built with. A network of one `side` takes no other pictures (0: any), and one that is not
    `uneven` none but those whose sides its strides divide."""

    strides: tuple[int, ...]
    at: tuple[int, ...]
    channels_last: bool
    how: tuple[tuple[str, Any], ...]
    side: int
    uneven: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def indices(self, wanted: tuple[int, ...]) -> tuple[int, ...]:
        """timm's indices of the maps of these strides as the network is made, of equal ones the deepest."""
        return tuple(self.at[len(self.strides) - 1 - self.strides[::-1].index(s)] for s in wanted)


def outline(name: str, **how: Any) -> Any:
    """The network without memory for its weights. Raises `StemmaError` in one line where timm has no such network, or
    none that hands out its maps."""
    import timm

    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a weight that is copied into no memory
            return timm.create_model(name, **how)
    except Exception as error:  # each of a thousand networks refuses in its own way
        said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        if timm.is_model(name.split(".")[0]):
            raise StemmaError(f"'{name}' is no backbone: timm says of it: {said[:200]}") from error
        near = timm.list_models(f"*{name.split('.')[0].split('_')[0]}*")[:5]
        raise StemmaError(f"timm cannot build '{name}' as a backbone: {said[:200]}. Similar names: "
                          f"{', '.join(near) or 'none'}") from error


def maps(body: Any, height: int, width: int, channels: int = 3) -> list[Tensor]:
    """What a network without memory would hand out of a picture; raises what it raises."""
    with torch.device("meta"), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(body.eval()(torch.empty(1, channels, height, width)))


def told(body: Any, xs: list[Tensor], height: int, width: int, cut: bool = False) -> bool | None:
    """Whether channels come last in the maps that a network hands out; None where the maps are not of the channels and
    strides that it tells. `cut`: a cell that the picture fills in part may be there or not."""
    last: set[bool] = set()
    for x, c, s in zip(xs, body.feature_info.channels(), body.feature_info.reduction(), strict=True):
        rows, columns = ({math.ceil(side / s), *([side // s] if cut else [])} for side in (height, width))
        fits = {k for k, at in ((False, (1, 2, 3)), (True, (3, 1, 2)))
                if x.ndim == 4 and x.shape[at[0]] == c and x.shape[at[1]] in rows and x.shape[at[2]] in columns}
        last = (last & fits if last else fits) if fits else set()
        if not last:
            return None
    return True in last and False not in last


@functools.cache
def examined(name: str, stride: int = 0) -> Shape:
    """A network tried at two sizes, and where it takes none but its own, at that. With `stride` coarser maps are not
    made coarser than that, and layers are dilated.

    Raises `StemmaError` in one line where it is no backbone, or its maps are not what it says.
    """
    plain = outline(name, features_only=True)
    strides, config = tuple(plain.feature_info.reduction()), plain.default_cfg
    if stride and stride < max(strides):
        _dilated(name, stride, strides)
    held = {"output_stride": stride} if stride and stride < max(strides) else {}
    why, side, uneven, last, found = "", 0, True, False, None
    for how in FREE:
        try:
            body = outline(name, features_only=True, **how, **held)
            found = told(body, maps(body, *SIDES), *SIDES)
            why = "" if found is not None else _said(body, *SIDES)
        except Exception as error:  # as above
            why = why or " ".join(str(error).split())[:160] or type(error).__name__
            continue
        if found is not None:
            last, uneven = found, _works(body, *UNEVEN)
            break
    if found is None:
        how, side = {}, int(config["input_size"][-1])
        body = outline(name, features_only=True, **held)
        try:
            found = told(body, maps(body, side, side), side, side)
        except Exception as error:
            why = " ".join(str(error).split())[:160] or type(error).__name__
        if found is None:
            raise StemmaError(f"'{name}' is no backbone: {why}")
        last, uneven = found, False
    return Shape(strides, tuple(plain.feature_info.out_indices), last, tuple((how | held).items()), side, uneven,
                 tuple(config["mean"]), tuple(config["std"]))


def _dilated(name: str, stride: int, strides: tuple[int, ...]) -> None:
    """Raises `StemmaError` where a network cannot keep its maps as fine as `stride`."""
    lost = f"the dilation that keeps maps at stride {stride} would be lost: timm's '{name}'"
    try:
        body = outline(name, features_only=True, output_stride=stride)
    except StemmaError as error:
        raise StemmaError(f"{lost} has strides {strides} and takes no other") from error
    now = tuple(body.feature_info.reduction())
    if now != tuple(min(s, stride) for s in strides):
        raise StemmaError(f"{lost} gives maps of strides {now} then")


def _works(body: Any, height: int, width: int) -> bool:
    try:
        return told(body, maps(body, height, width), height, width, cut=True) is not None
    except Exception:  # as above
        return False


def _said(body: Any, height: int, width: int) -> str:
    shapes = ", ".join(str(tuple(x.shape[1:])) for x in maps(body, height, width))
    return (f"of a picture of {height} x {width} pixels it gives maps of {shapes}, which are not its channels "
            f"{tuple(body.feature_info.channels())} at its strides {tuple(body.feature_info.reduction())}")


def places(body: nn.Module, height: int, width: int, channels: int = 3) -> dict[str, int]:
    """By name, the stride at which each layer of a network without memory works: that of what it gives, or of the layer
    before where it gives no map."""
    found: dict[str, int] = {}
    now = 1

    def note(name: str) -> Any:
        def hook(_: nn.Module, __: Any, out: Any) -> None:
            nonlocal now
            if isinstance(out, Tensor) and out.ndim == 4:
                for h, w in ((out.shape[2], out.shape[3]), (out.shape[1], out.shape[2])):
                    steps = round(math.log2(height / h)), round(math.log2(width / w))
                    if min(h, w) > 1 and steps[0] == steps[1] >= 0 and abs(h * 2 ** steps[0] - height) < height / 4:
                        now = 2 ** steps[0]
                        break
            found[name] = now

        return hook

    with _hooked(body, note):
        maps(body, height, width, channels)
    return found


@contextmanager
def _hooked(body: nn.Module, note: Any) -> Iterator[None]:
    handles = [m.register_forward_hook(note(n)) for n, m in body.named_modules() if not list(m.children())]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


__all__ = ["Shape", "examined", "maps", "outline", "places", "told"]
