"""A network as what comes before its classifier: `features(pictures)`, one row a picture."""
from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..core.modes import evaluating
from ..core.part import In
from ..core.types import StemmaError
from ..core.values import keywords
from .backbones.darknet import Darknet19, Darknet53
from .backbones.resnet import ResNet
from .backbones.tiny import TinyResNet
from .backbones.vgg import VGG16

OWN: dict[str, Any] = {"resnet": ResNet, "vgg16": VGG16, "darknet19": Darknet19, "darknet53": Darknet53,
                       "tiny": TinyResNet}


class Network(nn.Module):
    """A network by its name, without its last layer; `features` are the mean over the last map where it has one.

    name: timm's ("resnet50"); "torchvision:squeezenet1_1"; one of this project's backbones, "stemma:resnet"; one that
    was put into `OWN`, any module with `features(x)` (rows, or a map); or "tiny-W", a small residual network of widths
    W, 2 W, 4 W. how: what its builder is told besides, written as in
    Python: "pad_type='same', bn_eps=1e-3". Raises `StemmaError` for a name that none of them knows.
    """

    def __init__(self, inp: In, name: str = "resnet50", how: str = "") -> None:
        super().__init__()
        self.name, self.kind = name, name.partition(":")[0] if ":" in name else "timm"
        self.body: Any
        more = keywords(how)
        if name.startswith("tiny-") and name[5:].isdecimal():
            w = int(name[5:])
            self.kind = "stemma"
            self.body = TinyResNet(inp, **{"widths": (w, 2 * w, 4 * w), "levels": (2,)} | more)
        elif self.kind == "stemma":
            own = name.partition(":")[2]
            if own not in OWN:
                raise StemmaError(f"no backbone of ours is called '{own}'; there are {', '.join(OWN)}")
            self.body = OWN[own](inp, **more)
        else:
            self.body = _foreign(self.kind, name.partition(":")[2] or name, more)
        self.width = self._width(inp.channels[0])

    def _width(self, channels: int) -> int:
        if self.kind == "stemma" and not hasattr(self.body, "features"):
            return int(self.body.out.channels[-1])
        if self.kind == "timm":
            body: Any = self.body
            return int(getattr(body, "head_hidden_size", None) or body.num_features)
        with evaluating(self.body), torch.no_grad():
            like = next(self.body.parameters())
            wide = self.features(torch.zeros(1, channels, 64, 64, device=like.device)).shape[1]
        return int(wide)

    def features(self, x: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        """What the last layer would have been shown."""
        if self.kind == "stemma" and not hasattr(self.body, "features"):
            return self.body(x)[-1].mean((2, 3))  # type: ignore[no-any-return]
        if self.kind == "timm":
            return self.body(x)  # type: ignore[no-any-return]
        body: Any = self.body
        maps: Tensor = body.features(x) if hasattr(body, "features") else body(x)
        return maps.mean((2, 3)) if maps.ndim == 4 else maps

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        return self.features(x)

    def take(self, state: dict[str, Tensor]) -> list[str]:
        """Fill the network with the tensors of a file, whose classifier is left. Names of what was left.

        Raises `StemmaError` where a tensor of the network is missing or has another shape.
        """
        own = self.body.state_dict()
        lost = [k for k, v in own.items() if not k.endswith("num_batches_tracked")
                and (k not in state or state[k].shape != v.shape)]
        if lost:
            raise StemmaError(f"the weights are not those of {self.name}: {len(lost)} of {len(own)} tensors are "
                              f"missing or of another shape, first '{lost[0]}'")
        self.body.load_state_dict({k: state.get(k, v) for k, v in own.items()})
        return sorted(k for k in state if k not in own)


def _foreign(kind: str, name: str, more: dict[str, Any]) -> nn.Module:
    if kind == "timm":
        import timm

        if not timm.is_model(name):
            near = timm.list_models(f"*{name.split('_')[0]}*")[:3]
            raise StemmaError(f"timm knows no network '{name}'" + (f"; it has {', '.join(near)}" if near else ""))
        try:
            return timm.create_model(name, num_classes=0, **more)
        except TypeError as error:
            raise StemmaError(f"{name} cannot be built so: {error}") from error
    if kind == "torchvision":
        from torchvision import models

        if name not in models.list_models():
            raise StemmaError(f"torchvision knows no network '{name}'")
        net: Any = models.get_model(name, **more)
        if hasattr(net, "features"):
            net.classifier = nn.Identity()
        elif hasattr(net, "fc"):
            net.fc = nn.Identity()
        else:
            raise StemmaError(f"it is not known where the classifier of torchvision's {name} begins; take one with "
                              "`features` or `fc`")
        return net  # type: ignore[no-any-return]
    raise StemmaError(f"'{kind}:{name}' is no network; write a name of timm, torchvision:NAME, stemma:NAME or tiny-W")


__all__ = ["OWN", "Network"]
