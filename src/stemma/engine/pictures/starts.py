"""What a training begins from: a backbone's weights put where they belong, and what must not stay random.

    begin(model, source)   a run, a weights file of ours, a model, or a backbone's state dict as other libraries have it
    sound(model, taken)    refuses a net that would keep random weights as they are
    needed(model)          the backbones of a model, and what each of them begins from

Weights fit by their names and shapes, and must fit by what they mean: strides on another convolution of a block give
another net with the same shapes. The first convolution is written anew where the system gives it other colours than
those that the weights were trained on.
"""
from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...core.paper import Paper
from ...core.part import diff, from_nothing, leaves
from ...core.types import StemmaError
from ...core.values import keywords
from ...parts.backbones.alexnet import CaffeNet, ZFNet
from ...parts.backbones.chain import Chain
from ...parts.backbones.darknet import Darknet19, Darknet24, Darknet53
from ...parts.backbones.googlenet import GoogLeNet
from ...parts.backbones.resnet import Bottleneck, FrozenBatchNorm, ResNet
from ...parts.backbones.timm_backbone import Timm
from ...parts.backbones.vgg import VGG16, VGGAtrous, VGGLevels, VGGReduced
from ...parts.backbones.vgg_fcn import VGGFCN
from ...parts.maps.decoders import ASPP
from ...parts.maps.upsample import fc_to_conv
from ...parts.preprocess import Preprocess
from ...parts.regions.feature_layers import FeatureLayers
from ...parts.regions.heads import FCHead, Res5Head
from ..running import checkpoint
from ..running.foreign import read_state
from ..running.layouts import PREFIXES, Source, darknet, kept, recognised, where_from
from ..running.optim import matches
from ..running.worded import worded

State = dict[str, Tensor]
FC = ("classifier.0", "classifier.3")  # of VGG: the layers on its 7 x 7 map


# ---------------------------------------------------------------- which weights go where


class Another(StemmaError):
    """Weights of another net than this one; a system may stand on several."""


def _resnet(body: ResNet, s: Source, where: str) -> State:
    built = [n for n, _ in body.named_children() if n.startswith("layer")]
    depth = sum(len(list(body.get_submodule(n).children())) for n in built)
    theirs = sum(len({k.split(".")[1] for k in s.state if k.startswith(f"{n}.")}) for n in built)
    if depth != theirs:
        raise Another(f"they are of {s.says}, which has {theirs} blocks where this backbone has {depth}")
    _strides(body, s, where)
    own = set(body.state_dict())
    return {k: v for k, v in s.state.items() if k in own}


def _res5(head: Res5Head, s: Source, where: str) -> State:
    if not isinstance(head.stage[0], Bottleneck):
        return {}
    _strides(head, s, where)
    found = {k.replace("layer4", "stage", 1): v for k, v in s.state.items() if k.startswith("layer4.")}
    return {k: v for k, v in found.items() if k in set(head.state_dict())}


def _strides(body: nn.Module, s: Source, where: str) -> None:
    """Raises `StemmaError` where strides sit on other convolutions of the blocks than in the weights."""
    first = next((m.conv1.stride[0] > 1 for m in body.modules() if isinstance(m, Bottleneck)
                  and max(m.conv1.stride[0], m.conv2.stride[0]) > 1), s.stride_first)
    if first != s.stride_first:
        said = {True: "on the first 1x1", False: "on the 3x3"}
        mend = ("take MSRA's weights, in detectron2's names" if first else "take torchvision's or timm's weights")
        setting = "" if isinstance(body, Res5Head) else (f", or give it the net of these: --set {where}.stride_first="
                                                         f"{str(s.stride_first).lower()}")
        raise StemmaError("they fit by their shapes and mean another net: theirs has the strides "
                          f"{said[s.stride_first]} of a block, {where} has them {said[first]}; {mend}{setting}")


def _in_order(body: nn.Module, s: Source, where: str, whole: bool = True) -> State:
    """Convolutions, and batch norms where there are some, in the order in which they stand."""
    kinds = (nn.Conv2d, nn.BatchNorm2d)
    ours = [n for n, m in body.named_modules() if isinstance(m, kinds)]
    theirs = list(dict.fromkeys(k.rpartition(".")[0] for k in s.state if k.startswith("features.")))
    ours = [n for n in ours if not n.startswith("fc")][: len(theirs)]
    found: State = {}
    for mine, other in zip(ours, theirs):
        found |= {f"{mine}.{k.rpartition('.')[2]}": v for k, v in s.state.items() if k.rpartition(".")[0] == other}
    own = body.state_dict()
    if wrong := [k for k, v in found.items() if k not in own or own[k].shape != v.shape]:
        raise Another(f"they are of {s.says}, and layer {wrong[0].rpartition('.')[0]} of {where} is another")
    return found


def _reduced(body: VGGReduced, s: Source, where: str) -> State:
    at = [n for n, m in body.named_modules() if isinstance(m, nn.Conv2d)][-2:]
    return _in_order(body, s, where) | _cut_down(body, s, at)


def _cut_down(net: nn.Module, s: Source, at: Sequence[str]) -> State:
    """fc6 and fc7 become the convolutions named `at`, every fourth output and every third place of the first kept
    (DeepLab v1 sec. 3.2, SSD sec. 3); {} where the file has no such layers or they are of other sizes."""
    if f"{FC[0]}.weight" not in s.state or net.get_parameter(f"{at[0]}.weight").shape != (1024, 512, 3, 3):
        return {}
    six, seven = (s.state[f"{k}.weight"] for k in FC)
    return {f"{at[0]}.weight": fc_to_conv(six, 512)[::4, :, ::3, ::3], f"{at[1]}.weight": seven[::4, ::4, None, None],
            **{f"{a}.bias": s.state[f"{k}.bias"][::4] for a, k in zip(at, FC)}}


def _branches(decoder: ASPP, s: Source, where: str) -> State:
    """Every branch begins alike."""
    return {k: v for i in range(len(decoder.fc6)) for k, v in _cut_down(decoder, s, (f"fc6.{i}", f"fc7.{i}")).items()}


def _fcn(body: VGGFCN, s: Source, where: str) -> State:
    found = _in_order(body, s, where)
    if f"{FC[0]}.weight" in s.state and body.fc6.weight.shape == (4096, 512, 7, 7):
        for ours, k, c in (("fc6", FC[0], 512), ("fc7", FC[1], 4096)):
            found |= {f"{ours}.weight": fc_to_conv(s.state[f"{k}.weight"], c), f"{ours}.bias": s.state[f"{k}.bias"]}
    return found


def _connected(head: FCHead | FeatureLayers, s: Source, where: str) -> State:
    """A classifier's fully connected layers at the head of regions (Fast R-CNN sec. 2.2), where it has such layers."""
    names = FC if s.kind == "vgg" else ("classifier.1", "classifier.4")
    layers = [f"body.{n}" for n, m in head.body.named_children() if isinstance(m, nn.Linear)]
    own = head.state_dict()
    found: State = {}
    for mine, theirs in zip(layers, names):
        pair = {f"{mine}.{leaf}": s.state[k] for leaf in ("weight", "bias") if (k := f"{theirs}.{leaf}") in s.state}
        if any(own[k].shape != v.shape for k, v in pair.items()):
            return {}
        found |= pair
    return found


def _alexnet(body: CaffeNet, s: Source, where: str) -> State:
    if body.form != "torchvision":
        raise StemmaError(f"they are of {s.says}, a later AlexNet than Caffe's, which {where} is; --set {where}.form="
                          "torchvision gives it theirs")
    return _in_order(body, s, where)


def _googlenet(body: GoogLeNet, s: Source, where: str) -> State:
    if body.form != "torchvision":
        raise StemmaError(f"they are of {s.says}, with batch norm and 3x3 where the paper has 5x5, and {where} is the "
                          f"paper's; --set {where}.form=torchvision gives it theirs")
    own = set(body.state_dict())
    named = {_inception(k): v for k, v in s.state.items()}
    return {k: v for k, v in named.items() if k in own}


def _inception(key: str) -> str:
    """Our name for one of torchvision's: inception3a.branch2.0.conv.weight -> inceptions.3a.before3.conv.weight."""
    places = {"branch1": "one", "branch2.0": "before3", "branch2.1": "three", "branch3.0": "before5",
              "branch3.1": "five", "branch4.1": "pooled"}
    found = re.fullmatch(r"inception(\d\w)\.(branch1|branch\d\.\d)\.(.*)", key)
    return f"inceptions.{found[1]}.{places[found[2]]}.{found[3]}" if found else key


def _timm(body: Timm, s: Source, where: str) -> State:
    return body.own(s.state)


def _same(body: nn.Module, s: Source, where: str) -> State:
    return s.state


Place = tuple[type[nn.Module], str, Callable[[Any, Source, str], State]]
PLACES: tuple[Place, ...] = (  # a class of modules, the kind of weights that it takes, and how
    (ResNet, "resnet", _resnet), (Res5Head, "resnet", _res5),
    (VGG16, "vgg", _in_order), (VGGLevels, "vgg", _in_order), (VGGAtrous, "vgg", _in_order),
    (VGGReduced, "vgg", _reduced), (VGGFCN, "vgg", _fcn), (ASPP, "vgg", _branches),
    (Chain, "vgg", _in_order), (FCHead, "vgg", _connected), (FeatureLayers, "alexnet", _connected),
    (CaffeNet, "alexnet", _alexnet), (GoogLeNet, "googlenet", _googlenet),
    (Timm, "timm", _timm), (Darknet19, "darknet", _same), (Darknet24, "darknet", _same), (Darknet53, "darknet", _same),
)
VGGS = (VGG16, VGGAtrous, VGGLevels, VGGReduced, VGGFCN)
BODIES = (ResNet, *VGGS, Chain, CaffeNet, ZFNet, GoogLeNet, Darknet19, Darknet24, Darknet53)


def bodies(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The networks in `model` of which classifiers are made, by name."""
    yield from ((n, m) for n, m in model.named_modules() if isinstance(m, BODIES))


# ---------------------------------------------------------------- colours


def colours_at(model: nn.Module, name: str) -> Preprocess:
    """What is done to the colours before the module of that name sees them."""
    parts = name.split(".") if name else []
    for n in range(len(parts), -1, -1):
        spec = getattr(model.get_submodule(".".join(parts[:n])), "spec", None)
        if isinstance(pre := getattr(spec, "preprocess", None), Preprocess):
            return pre
    return Preprocess()


def recoloured(state: State, conv: str, norm: str, has: Preprocess, wants: Preprocess) -> State:
    """The first convolution for pictures of colours `has` in the place of `wants`: (x - m) / s each. What is constant
    goes to its bias, or into the mean of the batch norm behind it. Equal but for the zeros around the picture."""
    if has == wants:
        return state
    (m, s), (mine, own) = ((torch.tensor(p.mean), torch.tensor(p.std)) for p in (wants, has))
    w, out = state[f"{conv}.weight"], dict(state)
    out[f"{conv}.weight"] = w * (own / s)[:, None, None].to(w)
    constant = (w.sum((2, 3)) * ((mine - m) / s).to(w)).sum(1)
    if f"{conv}.bias" in state:
        out[f"{conv}.bias"] = state[f"{conv}.bias"] + constant
    elif f"{norm}.running_mean" in state:
        out[f"{norm}.running_mean"] = state[f"{norm}.running_mean"] - constant
    return out


# ---------------------------------------------------------------- beginning


@dataclass(frozen=True)
class Begun:
    """What a model took of the weights that it began from."""

    where: str
    net: str
    taken: tuple[str, ...]
    left: tuple[str, ...]  # tensors of the file that nothing took
    random: tuple[str, ...]  # tensors of the model that stay as they were drawn

    @property
    def says(self) -> str:
        """One line."""
        def some(names: tuple[str, ...]) -> str:
            tops = list(dict.fromkeys(".".join(n.split(".")[:2]) for n in names))
            return f"{len(names)} ({', '.join(tops[:4])}{', ...' * (len(tops) > 4)})" if names else "none"

        return (f"began from {self.where}, {self.net}: {len(self.taken)} tensors taken; left in the file: "
                f"{some(self.left)}; random: {some(self.random)}")

    def as_dict(self) -> dict[str, Any]:
        return {"from": self.where, "net": self.net, "taken": len(self.taken), "left": list(self.random),
                "not taken": list(self.left), "says": self.says}


def all_of(model: nn.Module, start: Any) -> Begun | None:
    """`begin` from one source or from each of several: a system may stand on two networks. None from none."""
    each = [begin(model, s) for s in (start if isinstance(start, (list, tuple)) else [start]) if s is not None]
    if len(each) < 2:
        return each[0] if each else None
    return Begun(" and ".join(b.where for b in each), " and ".join(b.net for b in each),
                 tuple(sorted({k for b in each for k in b.taken})), tuple(k for b in each for k in b.left),
                 tuple(sorted(set.intersection(*(set(b.random) for b in each)))))


def shared(sources: Sequence[str], systems: dict[str, Callable[[], nn.Module]]) -> dict[str, list[str]]:
    """Which of several systems begin from which of `sources`, each for those that it fits, "fpn:FILE" for one; {} for
    none. systems: how each is built, by "paper:preset". Raises `StemmaError` for a source that fits none of those that
    it is meant for, and where weights that never learn would stay random."""
    out: dict[str, list[str]] = {}
    why: dict[tuple[str, str], str] = {}  # (source, system) -> why it does not fit
    for ident, build in systems.items() if sources else ():
        model: Any = build()
        out[ident], begun = [], None
        for source in sources:
            whose, path = _meant(source)
            if whose in ("", model.paper.name):
                try:
                    one = begin(model, path)
                except StemmaError as error:
                    why[source, ident] = f"{ident}: {error}"
                    continue
                out[ident].append(path)
                begun = one if begun is None else replace(begun, taken=(*begun.taken, *one.taken))
        sound(model, begun)
    if unused := [s for s in sources if not any(_meant(s)[1] in v for v in out.values())]:
        raise StemmaError(next((v for (source, _), v in why.items() if source == unused[0]),
                               f"{unused[0]} is meant for a paper that is not compared"))
    for ident, files in out.items():
        if not files:
            reason = next((v for (_, whose), v in why.items() if whose == ident), f"{ident}: no file is meant for it")
            warnings.warn(f"begun from random weights, {reason}", stacklevel=2)
    return out


def _meant(source: str) -> tuple[str, str]:
    """(the paper that a source is meant for, "" for all; its path)."""
    if Path(source).is_absolute():
        return "", source
    whose, _, path = source.partition(":")
    return whose, path


def begin(model: nn.Module, source: str | Path | nn.Module | Source, name: str = "") -> Begun:
    """Copy weights into `model`, in place. Raises `StemmaError` where none fits, or fits by its shape alone."""
    if isinstance(source, nn.Module) or not isinstance(source, Source) and _ours(source):
        told = checkpoint.start_from(model, source)
        rest = tuple(told["left"])
        return Begun(told["from"], "weights of ours", tuple(k for k in model.state_dict() if k not in set(rest)), (),
                     rest)
    where = name or (source.says if isinstance(source, Source) else str(source))
    try:
        read = source if isinstance(source, Source) else _read(Path(source), model)
        new, used = placed(model, read)
    except StemmaError as error:
        raise StemmaError(str(error) if where in str(error) else f"{where}: {error}") from error
    own = model.state_dict()
    with torch.no_grad():
        for k, v in new.items():
            own[k].copy_(v)
        for _, body in _on_timm(model):
            body.settle()
    left = tuple(sorted([*(k for k in read.state if _memory(read.state[k]) not in used), *read.left]))
    return Begun(where, read.says, tuple(sorted(new)), left,
                 tuple(sorted(k for k in own if k not in new and not k.endswith("batches_tracked"))))


def _ours(source: str | Path) -> bool:
    """Whether it is a run, or weights that Stemma wrote of a whole system."""
    path = Path(source)
    if path.is_dir() or not path.is_file():
        return True  # or nothing: `start_from` says so
    try:
        return "paper" in checkpoint.read_meta(path)
    except StemmaError:
        return False


def _read(path: Path, model: nn.Module) -> Source:
    if path.suffix == ".weights" or ".conv." in path.name:  # darknet19_448.conv.23
        body = next((m for _, m in bodies(model) if isinstance(m, (Darknet19, Darknet24, Darknet53))), None)
        if body is None:
            raise StemmaError("it is a file of Darknet's, and this system stands on no network of Darknet's")
        return darknet(path, body)
    if (mine := kept(path)) is not None:
        return mine
    state, on = read_state(path), [b for _, b in _on_timm(model)]
    try:
        return _of_timm(path, state, on[0]) if on else recognised(state)
    except Another:
        if not any(True for _ in bodies(model)):
            raise
        return recognised(state)


def _on_timm(model: nn.Module) -> list[tuple[str, Timm]]:
    return [(n, m) for n, m in model.named_modules() if isinstance(m, Timm)]


def _of_timm(path: Path, state: State, body: Timm) -> Source:
    """Weights for a network of timm, under timm's own names. Raises `StemmaError` where the file says that it is of
    another, or of one that is built otherwise."""
    said = worded(path)
    if said is not None and (said.kind, said.name) != ("timm", body.name):
        raise Another(f"it holds weights of {said.kind}'s {said.name}, and the backbone is timm's {body.name}")
    if said is not None and keywords(said.how) != keywords(body.how):
        raise StemmaError(f"it holds weights of {body.name}({said.how}), and the backbone is {body.name}({body.how}), "
                          f"of the same shapes; write --backbone \"{body.name}({said.how})\"")
    for prefix in PREFIXES:
        if all(k.startswith(prefix) for k in state):
            state = {k[len(prefix):]: v for k, v in state.items()}
    try:
        body.own(state)
    except StemmaError as error:
        raise Another(str(error)) from error
    return Source(body.name, "timm", f"timm's {body.name}", state)


def built_for(sets: dict[str, Any] | None, start: Any) -> dict[str, Any]:
    """The settings with the backbone built as the file that it begins from says: {"backbone": "NAME(SETTINGS)"} in the
    place of NAME. `start`: as of `all_of`."""
    sets = dict(sets or {})
    given = start if isinstance(start, (list, tuple)) else [start]
    for one in (x for x in given if isinstance(x, (str, Path))):
        path = Path(one) if Path(one).is_file() else Path(_meant(str(one))[1])
        said = worded(path) if path.is_file() else None
        if said is not None and said.how and said.kind == "timm" and sets.get("backbone") == said.name:
            sets["backbone"] = f"{said.name}({said.how})"
    return sets


def placed(model: nn.Module, s: Source) -> tuple[State, set[int]]:
    """(weights of `model` under its own names, where those of the source lie that were used). Raises `StemmaError`
    where no module takes them."""
    new: State = {}
    used: set[int] = set()
    stood, other = False, None
    for name, module in model.named_modules():
        for cls, kind, place in PLACES:
            if isinstance(module, cls) and kind == s.kind:
                try:
                    found = place(module, s, _setting(model, name))
                except Another as error:
                    other = error
                    continue
                own = module.state_dict()
                if wrong := [k for k, v in found.items() if k not in own or own[k].shape != v.shape]:
                    raise StemmaError(f"they are of {s.says}, and {wrong[0]} of {name} has another shape")
                used |= {_memory(v) for v in found.values()}
                stood = stood or isinstance(module, (*BODIES, Timm)) and bool(found)
                if isinstance(module, BODIES) and found:
                    conv, norm = _first(module)
                    found = recoloured(found, conv, norm, colours_at(model, name), s.colours)
                new |= {f"{name}.{k}" if name else k: v for k, v in found.items()}
    if not stood and other is not None:
        raise other
    if not stood:
        has = ", ".join(f"{n or 'it'} is a {type(m).__name__}" for n, m in bodies(model)) or "none stands on such a net"
        raise StemmaError(f"they are of {s.says}, which this system does not stand on: {has}")
    return new, used


def _memory(v: Tensor) -> int:
    """Where a tensor's numbers lie, whatever view of them it is."""
    return v.untyped_storage().data_ptr()


def _first(body: nn.Module) -> tuple[str, str]:
    """Names of the first convolution and of the norm behind it ("" where there is none)."""
    names = [(n, m) for n, m in body.named_modules() if isinstance(m, (nn.Conv2d, nn.BatchNorm2d, FrozenBatchNorm))]
    return names[0][0], "" if isinstance(names[1][1], nn.Conv2d) else names[1][0]


def _setting(model: nn.Module, name: str) -> str:
    """The path of a module's settings: what a wrapper calls its body may be its setting `of`."""
    known = {k.rpartition(".")[0] for k, _ in leaves(getattr(model, "spec", None))}
    return next((p for p in (name, name.replace(".body", ".of")) if p in known),
                re.sub(r"^heads\.(\d+)", r"stages.\1.head", name))


# ---------------------------------------------------------------- soundness


def asleep(model: Any) -> Iterator[str]:
    """Names of the backbone's and the neck's weights that never learn, by their rate or because no phase wakes them,
    and of the norms that keep their statistics."""
    awake = [p.train for p in model.recipe.phases if not p.run]
    for name, p in model.named_parameters():
        factor = next((v for pattern, v in model.recipe.lr_mult if matches(pattern, name, "lr_mult")), 1.0)
        still = awake and not any(matches(pattern, name, "phases") for pattern in awake)
        if (not p.requires_grad or factor == 0 or still) and re.search(r"(^|\.)(backbone|neck)\.", name):
            yield name
    for name, m in model.named_modules():
        if isinstance(m, FrozenBatchNorm):
            yield from (f"{name}.{k}" for k, _ in m.named_buffers())


def sound(model: Any, begun: Begun | None) -> None:
    """Raises `StemmaError` where weights that nothing was loaded into would never learn."""
    given = set(begun.taken) if begun is not None else set()
    brought = tuple(f"{n}." for n, m in model.named_modules() if getattr(m, "brought", False))
    random = [n for n in asleep(model) if n not in given and not n.startswith(brought or ("\0",))]
    if not random:
        return
    name = model.paper.cli_name
    norms = {n.rpartition(".")[0] for n in random if n.endswith("running_mean")}
    fixed = [n for n in random if n.rpartition(".")[0] not in norms]
    parts = [*([f"{len(fixed)} weights ({fixed[0]}, ...)"] if fixed else []),
             *([f"the statistics of {len(norms)} batch norms"] if norms else [])]
    nets = " and ".join(dict.fromkeys(w for _, w in needed(model))) or "its backbone"
    if any(re.search(r"(^|\.)neck\.", n) for n in random):  # which no classifier has
        nets = "a trained detector"
    raise StemmaError(f"{name} (preset {model.preset}) keeps {' and '.join(parts)} as they are, and they are random: "
                      f"begin from weights of {nets} with --start FILE (`stemma weights {name} --preset "
                      f"{model.preset}` says where people get them), or train everything from nothing with "
                      "--from-scratch")


def needed(model: Any) -> list[tuple[str, str]]:
    """(name of a backbone in `model`, the net whose weights it begins from)."""
    found = []
    for name, m in bodies(model):
        if isinstance(m, ResNet):
            sizes = [len(getattr(m, f"layer{i}")) for i in (1, 2, 3) if hasattr(m, f"layer{i}")]
            depth = {6: 50, 23: 101, 36: 152}.get(sizes[-1] if len(sizes) == 3 else 6, 50)
            first = any(b.conv1.stride[0] > 1 for b in m.modules() if isinstance(b, Bottleneck))
            found.append((name, f"resnet{depth}{'-caffe' * first}"))
        elif isinstance(m, VGGS):
            deep = isinstance(m, VGGLevels) and sum(isinstance(x, nn.Conv2d) and x.out_channels == 256
                                                    for x in m.modules()) == 4
            normed = any(isinstance(x, nn.BatchNorm2d) for x in m.modules())
            found.append((name, f"vgg{19 if deep else 16}{'-bn' * normed}" if _published(m, (64, 64)) else "chain"))
        elif isinstance(m, Chain):
            convs = [x.kernel_size[0] for x in m.modules() if isinstance(x, nn.Conv2d)]
            plain = len(convs) == 8 and set(convs) == {3} and _published(m, (64, 128))
            found.append((name, "vgg11" if plain else "chain"))
        elif isinstance(m, CaffeNet):
            found.append((name, "alexnet" if m.form == "torchvision" else "caffenet"))
        else:
            kinds = {GoogLeNet: "googlenet", ZFNet: "zf", Darknet19: "darknet19", Darknet24: "darknet24",
                     Darknet53: "darknet53"}
            found.append((name, next(v for k, v in kinds.items() if isinstance(m, k))))
    return found


def _published(body: nn.Module, first: tuple[int, int]) -> bool:
    """Whether a VGG reads pictures of three colours and is as wide as published."""
    convs = [m for m in body.modules() if isinstance(m, nn.Conv2d)][:2]
    return convs[0].in_channels == 3 and tuple(m.out_channels for m in convs) == first


def weights(card: Paper, preset: str, sets: dict[str, Any] | None = None) -> dict[str, Any]:
    """What a preset begins from, where people get such a file, and what there is without one."""
    with torch.device("meta"):
        model: Any = checkpoint.build(card, preset, sets=sets, info=None, classes=classes_of(card, preset, sets))
    random = list(asleep(model))
    nets = [{"backbone": name, "net": net, "from": where_from(net, name)} for name, net in needed(model)]
    _, spec, recipe = checkpoint.plan(card, preset, sets)
    changed = {**diff(spec, from_nothing(spec)),
               **{f"recipe.{k}": v for k, v in diff(recipe, recipe.from_nothing()).items()}}
    makers = [p for p, task in card.tasks if task == "weak" and p != preset and not p.endswith("small")]
    return {"paper": card.cli_name, "preset": preset, "begins": card.begins, "backbones": nets, "asleep": len(random),
            "classifiers": makers, "from_scratch": {k: list(map(str, v)) for k, v in changed.items()}}


def classes_of(card: Paper, preset: str, sets: dict[str, Any] | None) -> int:
    """A number of classes with which a preset can be built: one that lists its classes has as many."""
    _, spec, _ = checkpoint.plan(card, preset, sets)
    listed = [v for k, v in leaves(spec) if k.rpartition(".")[2] == "things" and isinstance(v, tuple)]
    return max((max(v) + 1 for v in listed if v), default=20) + (1 if listed else 0)


__all__ = ["Begun", "all_of", "asleep", "begin", "bodies", "built_for", "needed", "placed", "recoloured", "sound",
           "weights"]
