"""What a training begins from: other libraries' backbones in ours, held against those libraries; what fits by its shape
alone is refused, and so is a net that would keep random weights."""
from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

import stemma
from engine_help import scenes, short
from stemma.core import paper as cards
from stemma.core.part import In
from stemma.core.types import StemmaError
from stemma.engine.pictures import starts
from stemma.engine.running.foreign import read_state
from stemma.engine.running.layouts import CAFFE, recognised
from stemma.parts.backbones.alexnet import CaffeNet
from stemma.parts.backbones.darknet import Darknet19
from stemma.parts.backbones.googlenet import GoogLeNet
from stemma.parts.backbones.resnet import ResNet
from stemma.parts.backbones.timm_backbone import Timm
from stemma.parts.backbones.vgg import VGG16, VGGReduced
from stemma.parts.backbones.vgg_fcn import VGGFCN
from stemma.parts.preprocess import UNIT, Preprocess

PICTURES = [n for n in cards.names() if cards.get(n).task not in ("world", "editing", "transfer", "language")]
THINGS = {"panoptic_fpn", "panoptic_segmentation"}  # whose settings list the classes that are objects
PUBLISHED = [(n, p) for n in PICTURES for p in cards.get(n).presets if not p.endswith(("small", "pretrained"))]
RGB = In((3,), (1,), 3)


@functools.cache
def theirs(name: str) -> nn.Module:
    """torchvision's net with drawn weights, its batch norms with drawn statistics."""
    torch.manual_seed(0)
    more: dict[str, Any] = {"init_weights": False, "aux_logits": False} if name == "googlenet" else {}
    net: nn.Module = getattr(torchvision.models, name)(**more)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            nn.init.normal_(m.running_mean, std=0.1)  # type: ignore[arg-type]
            nn.init.uniform_(m.running_var, 0.5, 1.5)  # type: ignore[arg-type]
            nn.init.uniform_(m.weight, 0.5, 1.0)
    return net.eval()


@functools.cache
def model_of(name: str, preset: str) -> Any:
    """A published system without memory for its weights."""
    with torch.device("meta"):
        return stemma.build(name, preset=preset, classes=133 if name in THINGS else 20)


def caffe(depth: str = "resnet101") -> dict[str, Tensor]:
    """MSRA's weights in detectron2's names: scales and shifts alone."""
    out: dict[str, Tensor] = {}
    for k, v in theirs(depth).state_dict().items():
        if "running" in k or "batches" in k or k.startswith("fc"):
            continue
        head, *rest = k.split(".")
        k = ".".join([f"res{int(head[5:]) + 1}" if head.startswith("layer") else f"stem.{head}", *rest])
        k = k.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
        for i in "123":
            k = k.replace(f"bn{i}.", f"conv{i}.norm.")
        out[k] = v
    return out


def wanting(net: str) -> list[tuple[str, str]]:
    return [(n, p) for n, p in PUBLISHED if n not in THINGS and net in dict(starts.needed(model_of(n, p))).values()]


@pytest.mark.whole
@pytest.mark.parametrize("net", ["resnet50", "vgg16", "vgg11"])
def test_torchvisions_weights_go_into_every_preset_that_wants_them(net: str) -> None:
    source, wanted = recognised(theirs(net).state_dict()), wanting(net)
    assert len(wanted) >= {"resnet50": 15, "vgg16": 15, "vgg11": 1}[net]
    for name, preset in wanted:
        model = model_of(name, preset)
        new, _ = starts.placed(model, source)
        own = model.state_dict()
        assert all(own[k].shape == v.shape for k, v in new.items())
        bodies = tuple(f"{n}." for n, w in starts.needed(model) if w == net)
        others = tuple(f"{n}." for n, w in starts.needed(model) if w != net)
        # what no phase of a plug-in wakes besides comes from a trained detector
        frozen = [k for k in starts.asleep(model) if k not in new and not k.startswith(others or ("-",))
                  and (k.startswith(bodies) or not model.recipe.phases)]
        assert not frozen, (name, preset, frozen[:3])
        fresh = [k for k in own if k.startswith(bodies) and k not in new and "offset" not in k
                 and not k.endswith(("batches_tracked", "norm.weight"))]
        assert not fresh, (name, preset, fresh[:3])


@pytest.mark.whole
def test_a_resnet_101_of_torchvisions_is_another_net_than_msras() -> None:
    wanted = wanting("resnet101-caffe")
    assert {n for n, _ in wanted} >= {"r_fcn", "deformable_convnets", "deeplab"}
    other, right = recognised(theirs("resnet101").state_dict()), recognised(caffe())
    assert (other.net, right.net) == ("resnet101", "resnet101-caffe")
    for name, preset in wanted:
        model = model_of(name, preset)
        with pytest.raises(StemmaError, match="fit by their shapes and mean another net.*3x3.*stride_first=false"):
            starts.placed(model, other)
        new, _ = starts.placed(model, right)
        mine = [n for n, w in starts.needed(model) if w == "resnet101-caffe"]
        assert not [k for k in starts.asleep(model) if k not in new and k.startswith(tuple(f"{n}." for n in mine))]
    with torch.device("meta"):
        given = stemma.build("r-fcn", sets={"backbone.stride_first": "false"})
    assert len(starts.placed(given, other)[0]) == len(starts.placed(model_of("r_fcn", "paper"), right)[0])


@pytest.mark.parametrize("name,wrong", [("fpn", "resnet101"), ("fpn", "vgg16"), ("fast-rcnn", "vgg11"), ("r-cnn", "alexnet"),
                                        ("reinspect", "googlenet"), ("retinanet", "resnet18"), ("fpn", "resnext50_32x4d")])
def test_weights_of_another_net_are_refused_in_words(name: str, wrong: str) -> None:
    with pytest.raises(StemmaError, match="they are of|these weights are of"):
        starts.placed(model_of(cards.get(name).name, "paper"), recognised(theirs(wrong).state_dict()))


def put(body: nn.Module, net: str) -> tuple[nn.Module, starts.Begun]:
    return body.eval(), starts.begin(body, recognised(theirs(net).state_dict()))


@pytest.mark.oracle("torchvision's ResNet, VGG, AlexNet and GoogLeNet", "faster_rcnn", "fcn", "r_cnn", "reinspect", "fast_rcnn")
@torch.no_grad()
def test_a_backbone_says_what_the_library_says() -> None:
    x = torch.randn(1, 3, 96, 96)
    body, begun = put(ResNet(RGB), "resnet50")
    t: Any = theirs("resnet50")
    y = t.layer2(t.layer1(t.maxpool(t.relu(t.bn1(t.conv1(x))))))
    torch.testing.assert_close(body(x)[1], y)
    assert not begun.random and begun.left == ("fc.bias", "fc.weight")
    torch.testing.assert_close(put(VGG16(RGB), "vgg16")[0](x)[0], theirs("vgg16").features[:-1](x))  # type: ignore[index]
    y = torch.randn(1, 3, 227, 227)
    torch.testing.assert_close(put(CaffeNet(RGB, "torchvision"), "alexnet")[0](y)[0], theirs("alexnet").features(y))  # type: ignore[operator]
    g: Any = theirs("googlenet")
    z = g.maxpool2(g.conv3(g.conv2(g.maxpool1(g.conv1(x)))))
    z = g.inception3b(g.inception3a(z))
    body, begun = put(GoogLeNet(RGB, (0,), "torchvision"), "googlenet")
    # its weights are for colours of mean and deviation .5, a bare backbone here for ImageNet's
    at = starts.recoloured(g.state_dict() | {}, "conv1.conv", "conv1.bn", Preprocess(), Preprocess((0.5,) * 3, (0.5,) * 3))
    g.load_state_dict(at)
    z = g.inception3b(g.inception3a(g.maxpool2(g.conv3(g.conv2(g.maxpool1(g.conv1(x)))))))
    theirs.cache_clear()
    torch.testing.assert_close(body(x)[0], z)


@torch.no_grad()
def test_fully_connected_layers_become_convolutions_or_are_cut_down() -> None:
    t: Any = theirs("vgg16")
    body, _ = put(VGGFCN(RGB, pad=0), "vgg16")
    x = torch.randn(1, 3, 224, 224)
    y = t.classifier[4](t.classifier[3](t.classifier[1](t.classifier[0](t.features(x).flatten(1)))))
    torch.testing.assert_close(body(x)[-1][0, :, 3, 3], y[0], rtol=1e-3, atol=1e-4)
    body, begun = put(VGGReduced(RGB), "vgg16")
    six = t.classifier[0].weight.view(4096, 512, 7, 7)
    assert torch.equal(body.high[8].weight, six[::4, :, ::3, ::3]) and begun.random == ("norm.weight",)  # type: ignore[index]
    assert set(begun.left) == {"classifier.6.weight", "classifier.6.bias"}


@pytest.mark.parametrize("preset,branches", [("large-fov", 1), ("vgg-aspp", 4)])
def test_deeplabs_fc6_and_fc7_begin_as_vggs_cut_down(preset: str, branches: int) -> None:
    """v1 sec. 3.2: fc6 by decimation; in the released first weights the classifier alone is new."""
    t: Any = theirs("vgg16")
    model = model_of("deeplab", preset)
    new, _ = starts.placed(model, recognised(t.state_dict()))
    six, seven = t.classifier[0].weight.view(4096, 512, 7, 7), t.classifier[3].weight
    for i in range(branches):
        assert torch.equal(new[f"decoder.fc6.{i}.weight"], six[::4, :, ::3, ::3])
        assert torch.equal(new[f"decoder.fc7.{i}.weight"], seven[::4, ::4, None, None])
        assert torch.equal(new[f"decoder.fc6.{i}.bias"], t.classifier[0].bias[::4])
    assert {k.split(".")[1] for k in model.state_dict() if k not in new} == {"score"}


@torch.no_grad()
def test_the_first_convolution_is_written_anew_for_other_colours() -> None:
    picture = torch.rand(1, 3, 64, 64)
    has, wants = Preprocess((0.4, 0.5, 0.3), (0.2, 0.1, 0.3)), CAFFE
    for net, conv, norm in (("vgg16", "features.0", ""), ("resnet50", "conv1", "bn1")):
        state = {k: v for k, v in theirs(net).state_dict().items() if k.startswith((f"{conv}.", "bn1."))}
        new = starts.recoloured(state, conv, norm, has, wants)

        def said(s: dict[str, Tensor], x: Tensor, conv: str = conv, norm: str = norm) -> Tensor:
            y = torch.conv2d(x, s[f"{conv}.weight"], s.get(f"{conv}.bias"))
            return y if not norm else torch.batch_norm(y, s["bn1.weight"], s["bn1.bias"], s["bn1.running_mean"],
                                                       s["bn1.running_var"], False, 0.0, 1e-5, False)

        torch.testing.assert_close(said(new, has(picture)), said(state, wants(picture)), rtol=1e-3, atol=1e-3)


def test_timms_names_are_read_too() -> None:
    r = recognised(timm.create_model("resnet50").state_dict())
    assert r.net == "resnet50" and set(r.left) >= {"fc.weight", "fc.bias"}
    v = recognised({k: v for k, v in timm.create_model("vgg11").state_dict().items()})
    assert v.net == "vgg11" and v.state["classifier.0.weight"].shape == (4096, 25088)


def test_the_trunks_of_torchvisions_segmenters_fit() -> None:
    net = torchvision.models.segmentation.fcn_resnet50(weights=None, weights_backbone=None)
    source = recognised(net.state_dict())
    assert source.net == "resnet50" and any(k.startswith("classifier") for k in source.left)
    assert starts.placed(model_of("fpn", "paper"), source)[0]


def test_darknets_files_are_read_in_the_order_of_the_layers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    there = Darknet19(RGB)
    for m in there.modules():
        if isinstance(m, nn.BatchNorm2d):
            nn.init.uniform_(m.running_var, 0.5, 2.0)  # type: ignore[arg-type]
    convs = [m for m in there.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in there.modules() if isinstance(m, nn.BatchNorm2d)]
    rows = [v for c, n in zip(convs, norms) for v in (n.bias, n.weight, n.running_mean, n.running_var, c.weight)]
    values = np.concatenate([v.detach().numpy().ravel() for v in rows if v is not None])
    file = tmp_path / "darknet19_448.conv.23"
    file.write_bytes(np.array([0, 2, 0], np.int32).tobytes() + np.array([7], np.int64).tobytes() + values.tobytes())
    here: Any = Darknet19(RGB)
    here.spec = SimpleNamespace(preprocess=UNIT)  # the colours that Darknet's nets are given
    begun = starts.begin(here, file)
    assert not begun.random and all(torch.equal(v, here.state_dict()[k]) for k, v in there.state_dict().items())
    file.write_bytes(file.read_bytes()[:-400])
    with pytest.raises(StemmaError, match="end within a layer"):
        starts.begin(here, file)


def test_a_preset_that_would_keep_random_weights_refuses_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(StemmaError, match="resnet50 with --start FILE.*stemma weights fpn.*--from-scratch") as said:
        short(tmp_path / "run", "1steps", "fpn", preset="paper", size=64)
    assert "statistics of 53 batch norms" in str(said.value) and not (tmp_path / "run").exists()


def test_what_no_phase_wakes_must_come_from_somewhere(tmp_path: Path) -> None:
    """Guided anchors plugged in train on a pyramid that sleeps from the first step to the last."""
    kw: dict[str, Any] = {"preset": "plug-in-small", "size": 64, "data": scenes(2), "val": scenes(2), "batch": 2}
    with pytest.raises(StemmaError, match="keeps .*of a trained detector with --start FILE.*--from-scratch"):
        short(tmp_path / "run", "1steps", "ga_rpn", **kw)
    assert not (tmp_path / "run").exists() and starts.weights(cards.get("ga_rpn"), "plug-in-small")["asleep"]
    scratch = stemma.build("ga_rpn", preset="plug-in-small", classes=3, sets={"from_scratch": "yes"})
    assert not list(starts.asleep(scratch))
    with pytest.raises(StemmaError, match="recipe.phases: '\\(' is not a regular expression"):
        short(tmp_path / "run", "1steps", "ga_rpn", sets={"recipe.phases.0.train": "("}, **kw)
    there = stemma.build("fpn", preset="small", classes=3)
    run = short(tmp_path / "run", "1steps", "ga_rpn", start=there, val_every=0, **kw)
    old, new = dict(there.named_parameters()), dict(run.load("last").named_parameters())
    assert any(n.startswith("neck.") for n in old)
    for part, slept in (("backbone.", True), ("neck.", True), ("heads.", False)):
        assert all(torch.equal(v, new[n]) for n, v in old.items() if n.startswith(part)) == slept, part


@pytest.mark.whole
def test_from_scratch_leaves_nothing_asleep() -> None:
    for name, preset in PUBLISHED:
        if name in THINGS:
            continue
        with torch.device("meta"):
            model = stemma.build(name, preset=preset, classes=20, sets={"from_scratch": "yes"})
        starts.sound(model, None)
        assert not list(starts.asleep(model)), (name, preset)


def test_a_file_is_taken_and_the_run_says_what_of_it(tmp_path: Path) -> None:
    file = tmp_path / "resnet50.safetensors"
    save_file(theirs("resnet50").state_dict(), file)
    run = short(tmp_path / "run", "1steps", "retinanet", preset="paper", size=64, start=file, batch=2, val_every=0,
                data=scenes(2), val=scenes(2))
    said = run.record["start"]
    assert said["taken"] == 265 and said["net"].startswith("ResNet-50") and said["not taken"] == ["fc.bias", "fc.weight"]
    assert all(k.startswith(("neck", "head")) for k in said["left"])
    kept, given = run.load("last").state_dict(), theirs("resnet50").state_dict()
    assert torch.equal(kept["backbone.layer1.0.conv1.weight"], given["layer1.0.conv1.weight"])
    assert not torch.equal(kept["backbone.layer4.0.conv1.weight"], given["layer4.0.conv1.weight"])


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050", "convnext_atto", "hrnet_w18_small"])
def test_a_timm_network_finds_its_own_weights_in_those_of_the_whole(name: str) -> None:
    whole: Any = timm.create_model(name).eval()
    trunk: Any = Timm(RGB, name, (3,), even=True).eval()
    found = trunk.own(whole.state_dict())
    trunk.load_state_dict(found | {"scale": trunk.scale})
    trunk.settle()
    with torch.no_grad():
        x = torch.rand(1, 3, 64, 64)
        seen = trunk(x)[0] / trunk.scale[0]
        assert torch.allclose(seen, whole.forward_intermediates(x, intermediates_only=True)[-1], atol=1e-5)
    with pytest.raises(StemmaError, match=f"not those of {name}.*tensors are missing"):
        trunk.own({k: v for k, v in whole.state_dict().items() if "bn" not in k and "norm" not in k})


def test_a_system_on_a_timm_network_begins_from_its_file(tmp_path: Path) -> None:
    """A file that says how its network is built has the backbone built so; one of another network is refused."""
    whole: Any = timm.create_model("mobilenetv3_small_050", pad_type="same")
    for m in whole.modules():
        if isinstance(m, nn.BatchNorm2d):
            nn.init.uniform_(m.running_var, 0.5, 2.0)
    says = "timm mobilenetv3_small_050(pad_type='same'), 1000 classes"
    save_file(whole.state_dict(), file := tmp_path / "mine.safetensors", metadata={"network": says})
    save_file(whole.state_dict(), plain := tmp_path / "plain.safetensors")
    run = short(tmp_path / "run", "1steps", "retinanet", preset="small", size=64, start=file, batch=2, val_every=0,
                data=scenes(2), val=scenes(2), sets={"backbone": "mobilenetv3_small_050"})
    said, model = run.record["start"], run.load("last")
    assert run.record["sets"]["backbone"] == "mobilenetv3_small_050(pad_type='same')"
    assert said["taken"] > 100 and all(k.startswith(("neck", "head", "backbone.scale")) for k in said["left"])
    body: Any = next(m for m in model.modules() if isinstance(m, Timm))
    stem = whole.state_dict()["conv_stem.weight"]
    assert (body.body.conv_stem.weight - stem).abs().max() < 0.05 * stem.abs().max()  # one step away
    on = lambda name: stemma.build("retinanet", "small", classes=2, sets={"backbone": name})  # noqa: E731
    assert starts.begin(on("mobilenetv3_small_050"), plain).taken
    with pytest.raises(StemmaError, match=r"mine.*mobilenetv3_small_050\(pad_type='same'\), and the backbone is"):
        starts.begin(on("mobilenetv3_small_050"), file)
    with pytest.raises(StemmaError, match="timm's mobilenetv3_small_050, and the backbone is timm's resnet10t"):
        starts.begin(on("resnet10t"), file)
    with pytest.raises(StemmaError, match="not those of resnet10t: .* first"):
        starts.begin(on("resnet10t"), plain)


@pytest.mark.parametrize("write", [
    lambda f: torch.save(object, f), lambda f: f.write_bytes(b"no weights"), lambda f: torch.save({"a": 1}, f),
    lambda f: torch.save({"odd.weight": torch.zeros(2)}, f),
])
def test_a_file_that_holds_no_backbone_is_told_in_a_line(tmp_path: Path, write: Callable[[Path], Any]) -> None:
    write(file := tmp_path / "x.pth")
    with pytest.raises(StemmaError, match="x.pth"):
        starts.begin(model_of("fpn", "paper"), file)


def test_checkpoints_keep_their_weights_one_level_down(tmp_path: Path) -> None:
    state = theirs("resnet18").state_dict()
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}, tmp_path / "x.pth")
    assert len(read_state(tmp_path / "x.pth")) == len(state)


def test_several_systems_begin_from_the_files_that_fit_them(tmp_path: Path) -> None:
    """A file goes to each that it fits; what begins from none says why; weights asleep and random are refused."""
    file = str(tmp_path / "resnet50.safetensors")
    save_file(theirs("resnet50").state_dict(), file)
    systems: dict[str, Callable[[], nn.Module]] = {
        "retinanet": lambda: stemma.build("retinanet", preset="paper", classes=3),
        "yolo-v1:small": lambda: stemma.build("yolo_v1", preset="small", classes=3)}
    with pytest.warns(UserWarning, match="begun from random weights, yolo-v1:small: .*resnet50.safetensors"):
        assert starts.shared([file], systems) == {"retinanet": [file], "yolo-v1:small": []}
    with pytest.warns(UserWarning, match="no file is meant for it"):
        assert starts.shared([f"retinanet:{file}"], systems) == {"retinanet": [file], "yolo-v1:small": []}
    assert starts.shared([], systems) == {}
    with pytest.raises(StemmaError, match="retinanet.* keeps .*they are random"):
        starts.shared([f"yolo_v1:{file}"], systems)
    del systems["retinanet"]
    with pytest.raises(StemmaError, match="yolo-v1:small: .*resnet50.safetensors"):
        starts.shared([file], systems)
    with pytest.raises(StemmaError, match="is meant for a paper that is not compared"):
        starts.shared([f"fpn:{file}"], systems)


@pytest.mark.whole
def test_a_comparison_begins_from_weights_and_says_so(tmp_path: Path) -> None:
    """Both begin from one run's weights: the net that is called untrained is the one that has them."""
    begun = short(tmp_path / "begun", "2steps", "retinanet")
    said: list[str] = []
    done = stemma.compare(["retinanet"], "scenes:64:32", "1steps", preset="small", out=tmp_path / "c", limit=4,
                          start=[f"retinanet:{begun.path}"], say=said.append, size=64, jobs=1)
    assert "retinanet begins from begun" in said
    assert done.results["starts"] == {"retinanet": [str(begun.path)]} and "--start" in done.results["command"]
    record = json.loads((tmp_path / "c" / "retinanet-s0" / "run.json").read_text())
    assert record["start"]["from"] == str(begun.path)
    with pytest.raises(StemmaError, match="holds a comparison with start = "):
        stemma.compare(["retinanet"], "scenes:64:32", "1steps", preset="small", out=tmp_path / "c", limit=4, jobs=1,
                       size=64)
