"""Darknet's files: the layers of a cfg run by a plain reading of it, both headers, ours written and read, and every
fault with its line."""
from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import stemma
from stemma.cli import main
from stemma.core import paper as cards
from stemma.core.samples import Classes, Info
from stemma.core.types import StemmaError
from stemma.engine.pictures import darknet, starts
from stemma.engine.running import layouts
from stemma.parts.dense.word_tree import WordTree

NARROW: dict[str, Any] = {"backbone.width": 0.25}
SETS = {
    "yolo-v3": NARROW | {"neck.widths": (32, 64, 128)},
    "yolo-v2": NARROW | {"neck.width": 256, "neck.narrow": 16, "neck.order": "darknet"},
    "yolo-v2:yolo9000": NARROW,
}
TREE = Info("t", "yolo", Classes(("thing", "animal", "big dog", "cat", "cup"),
                                 parent=("", "", "animal", "animal", "thing")), ("boxes",))


def a_net(which: str, classes: int = 3) -> Any:
    """A narrow net with numbers of its own everywhere."""
    torch.manual_seed(0)
    name, _, preset = which.partition(":")
    m: Any = stemma.build(name, preset or "paper", classes, SETS[which], TREE if preset else None)
    for c in m.modules():
        if isinstance(c, nn.BatchNorm2d):
            for v in (c.weight, c.running_var):
                nn.init.uniform_(v, 0.7, 1.4)
            for v in (c.bias, c.running_mean):
                nn.init.normal_(v, std=0.3)
    for c in m.head.last:
        nn.init.normal_(c.bias)
    return m.eval()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A narrow net of each kind and its files, written once."""
    @functools.cache
    def write(which: str) -> tuple[Any, Path]:
        model, folder = a_net(which), tmp_path_factory.mktemp("net")
        darknet.to_darknet(model, folder / "net.weights")
        return model, folder

    return write


@pytest.fixture
def files(made: Any, tmp_path: Path) -> Any:
    """(net, cfg, weights), the files a test's own."""
    def copied(which: str) -> tuple[Any, Path, Path]:
        model, folder = made(which)
        for f in folder.glob("net.*"):
            shutil.copy(f, tmp_path)
        return model, tmp_path / "net.cfg", tmp_path / "net.weights"

    return copied


def command(*words: object) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(w) for w in words])
    assert end.value.code == 0


# ---------------------------------------------------------------- the layers, by a plain reading of both files


def run(cfg: Path, weights: Path, x: Tensor) -> list[Tensor]:
    """What the last layers say: the cfg read line by line, each layer computed as Darknet does, the file's numbers
    taken one after another."""
    sections: list[tuple[str, dict[str, str]]] = []
    for line in cfg.read_text().splitlines():
        if line.startswith("["):
            sections.append((line[1:-1], {}))
        elif "=" in line:
            key, value = line.split("=")
            sections[-1][1][key] = value
    values = np.fromfile(weights, np.float32, offset=20)
    at, outs, said = 0, list[Tensor](), list[Tensor]()

    def take(*shape: int) -> Tensor:
        nonlocal at
        n = int(np.prod(shape))
        at += n
        return torch.from_numpy(values[at - n : at].copy()).view(shape)

    for kind, s in sections[1:]:
        if kind == "convolutional":
            n, k, c = int(s["filters"]), int(s["size"]), x.shape[1]
            shift = take(n)
            if "batch_normalize" in s:
                scale, mean, var = take(n), take(n), take(n)
            x = F.conv2d(x, take(n, c, k, k), None, int(s["stride"]), k // 2)
            if "batch_normalize" in s:
                x = (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt() * scale[:, None, None]
            x = x + shift[:, None, None]
            x = torch.where(x > 0, x, 0.1 * x) if s["activation"] == "leaky" else x
        elif kind == "maxpool":
            b, c, h, w = x.shape
            x = x.view(b, c, h // 2, 2, w // 2, 2).amax((3, 5))
        elif kind == "route":
            x = torch.cat([outs[int(i)] for i in s["layers"].split(",")], 1)
        elif kind == "shortcut":
            x = x + outs[int(s["from"])]
        elif kind == "upsample":
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        elif kind == "reorg":
            x = reorg(x, int(s["stride"]))
        else:
            said.append(x)
        outs.append(x)
    assert at == len(values)
    return said


def reorg(x: Tensor, stride: int) -> Tensor:
    """The released loop, number by number (reorg_cpu, not forward)."""
    b, c, h, w = x.shape
    flat, out, less = x.reshape(b, -1).numpy(), np.zeros((b, c * h * w), np.float32), c // stride**2
    for n in range(b):
        for k in range(c):
            for j in range(h):
                for i in range(w):
                    c2, off = k % less, k // less
                    place = i * stride + off % stride + w * stride * (j * stride + off // stride + h * stride * c2)
                    out[n, i + w * (j + h * k)] = flat[n, place]
    return torch.from_numpy(out).view(b, c * stride**2, h // stride, w // stride)


@pytest.mark.parametrize("which", list(SETS))
@pytest.mark.oracle("the files run layer by layer", "yolo_v2", "yolo_v3")
def test_a_net_says_what_its_files_say(which: str, files: Any) -> None:
    model, cfg, weights = files(which)
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        raw = model(x)
    rows = []
    for y in run(cfg, weights, x):  # entries of an anchor: x, y, w, h, objectness, classes
        b, c, h, w = y.shape
        k = model.head.k
        rows.insert(0, y.view(b, c // k, k, h, w).permute(0, 3, 4, 1, 2).reshape(b, -1, k))
    want = torch.cat(rows, 1)
    for got, part in ((raw.codes, want[..., :4]), (raw.object, want[..., 4]), (raw.logits, want[..., 5:])):
        torch.testing.assert_close(got, part, rtol=1e-3, atol=1e-3)
    again: Any = darknet.from_darknet(cfg, weights)
    assert again.classes == model.classes and again.spec.rule.anchors == model.spec.rule.anchors
    for k, v in model.state_dict().items():
        assert k.endswith("batches_tracked") or torch.equal(v, again.state_dict()[k]), k


def test_the_published_nets_hold_as_many_numbers_as_their_files_say() -> None:
    """Weights, and the statistics of batch norms; the layers of the released cfgs."""
    for name, preset, classes, layers in (("yolo-v2", "paper", 20, 32), ("yolo-v2", "coco", 80, 32),
                                          ("yolo-v2", "yolo9000", 9_418, 25), ("yolo-v3", "paper", 80, 107)):
        with torch.device("meta"):
            model: Any = stemma.build(name, preset, classes, {"neck.order": "darknet"} if preset in ("paper", "coco")
                                      and name == "yolo-v2" else None)
        found = darknet.layers_of(model)
        norms = sum(2 * m.num_features for m in model.modules() if isinstance(m, nn.BatchNorm2d))
        assert len(found) == layers, (name, preset, len(found))
        assert sum(t.numel() for la in found for t in la.tensors()) == norms + sum(p.numel()
                                                                                   for p in model.parameters())


@pytest.mark.parametrize("paper", ["yolo-v2", "yolo-v3"])
def test_averages_of_norms_keep_what_darknet_keeps(paper: str) -> None:
    """.99 a step; the nets for two cores, which see hundreds of steps, .9."""
    for preset, keeps in (("paper", 0.99), ("classifier", 0.99), ("small", 0.9)):
        with torch.device("meta"):
            m = stemma.build(paper, preset, 4)
        norms = [n for n in m.modules() if isinstance(n, nn.BatchNorm2d)]
        assert norms and {(n.momentum, n.eps) for n in norms} == {(round(1 - keeps, 6), 1e-5)}
    assert all(cards.get(p).recipe("paper").augment.shuffle for p in (paper, "yolo-v1"))
    assert cards.get("yolo-v3").recipe().augment.stretch == 0.3


def test_both_headers_are_read(files: Any, tmp_path: Path) -> None:
    _, cfg, weights = files("yolo-v2")
    old = tmp_path / "old.weights"
    old.write_bytes(np.array([0, 1, 0, 32_013], np.int32).tobytes() + weights.read_bytes()[20:])
    a, b = darknet.from_darknet(cfg, weights).state_dict(), darknet.from_darknet(cfg, old).state_dict()
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_a_tree_is_read_beside_the_cfg_and_named(files: Any, tmp_path: Path) -> None:
    model, cfg, weights = files("yolo-v2:yolo9000")
    again: Any = darknet.from_darknet(cfg, weights)
    assert isinstance(again.spec.rule.cls, WordTree) and again.spec.rule.cls == model.spec.rule.cls
    assert again.info.classes.names == ("thing", "animal", "big_dog", "cat", "cup")
    named: Any = darknet.from_darknet(cfg, weights, ["a", "b", "c", "d", "e"])
    assert named.info.classes.parent == ("", "", "b", "b", "a")
    moved = tmp_path / "elsewhere.tree"
    (tmp_path / "net.tree").rename(moved)
    with pytest.raises(StemmaError, match=r"hangs its classes on the tree 'net.tree', .* give it with --tree FILE"):
        darknet.from_darknet(cfg, weights)
    darknet.from_darknet(cfg, weights, tree=moved)
    moved.write_text("thing -1\nanimal\n")
    with pytest.raises(StemmaError, match="line 2 is no name and the line of its parent: 'animal'"):
        darknet.from_darknet(cfg, weights, tree=moved)
    moved.write_text("thing -1\nanimal 0\n")
    with pytest.raises(StemmaError, match="has 2 nodes, and .* has 5 classes"):
        darknet.from_darknet(cfg, weights, tree=moved)


# ---------------------------------------------------------------- faults


@pytest.mark.parametrize("old,new,said", [
    ("[upsample]", "[lrn]", r"line \d+ begins a section \[lrn\], which none of YOLOv2, YOLO9000 and YOLOv3 has"),
    ("stride=2", "stride 2", r"line \d+ is no setting of a section: 'stride2'"),
    ("[net]", "[convolutional]", "has to begin with one section"),
    ("filters=16", "filters=24",
     r"section 1, \[convolutional\] of line \d+, has filters=24 where YOLOv3 has filters=16"),
    ("from=-3", "from=-2", r"has from=2 where YOLOv3 has from=1"),
    ("from=-3", "from=three", r"has a setting that is no number"),
    ("activation=leaky", "activation=relu", "has activation=relu where YOLOv3 has activation=leaky"),
    ("mask=6,7,8", "mask=0,1,2", r"\[yolo\] of line \d+, has mask=0,1,2 where YOLOv3 has mask=6,7,8"),
    ("anchors=", "shapes=", r"the section \[yolo\] of line \d+ needs 'anchors' as numbers, and has none"),
    ("classes=3", "classes=three", r"needs 'classes' as numbers, and has 'three'"),
    ("classes=3", "classes=4", r"has filters=24 where YOLOv3 has filters=27"),
    ("width=608", "width=416", "is for pictures of 416 x 608; squares are read here"),
    ("[shortcut]", "[route]", r"stands where YOLOv3 has \[shortcut\]: this is the cfg of another net"),
])
def test_a_cfg_of_another_net(old: str, new: str, said: str, files: Any) -> None:
    _, cfg, weights = files("yolo-v3")
    text = cfg.read_text()
    assert old in text
    cfg.write_text(text.replace(old, new, 1))
    with pytest.raises(StemmaError, match=said) as error:
        darknet.from_darknet(cfg, weights)
    assert str(cfg) in str(error.value) and "\n" not in str(error.value)


def test_of_a_setting_said_twice_the_first_is_meant(tmp_path: Path) -> None:
    cfg = tmp_path / "twice.cfg"
    cfg.write_text("[net]\nwidth=416\nwidth=608\n")
    assert darknet.read_cfg(cfg)[0].settings == {"width": "416"}


@pytest.mark.parametrize("key", ["filters", "classes"])
@pytest.mark.parametrize("value", ["nan", "inf", "-4", "0"])
def test_numbers_that_no_layer_can_have(key: str, value: str, tmp_path: Path) -> None:
    has = {"filters": "4", "classes": "3"} | {key: value}
    cfg = tmp_path / "odd.cfg"
    cfg.write_text(f"[net]\n[convolutional]\nfilters={has['filters']}\n[region]\nclasses={has['classes']}\n"
                   "anchors=1,1\n")
    with pytest.raises(StemmaError, match=key):
        darknet.from_darknet(cfg, tmp_path / "none.weights")


def test_sections_too_few_and_too_many(files: Any, tmp_path: Path) -> None:
    _, cfg, weights = files("yolo-v3")
    text = cfg.read_text()
    parts = text.split("\n[")
    cfg.write_text("\n[".join(parts[:-1]))
    with pytest.raises(StemmaError, match="ends after 106 sections, and YOLOv3 has 107 layers"):
        darknet.from_darknet(cfg, weights)
    cfg.write_text(text + "\n[upsample]\nstride=2\n")
    with pytest.raises(StemmaError, match="is one more than YOLOv3 has: 108 sections for 107 layers"):
        darknet.from_darknet(cfg, weights)
    cfg.write_text(text.partition("[convolutional]")[0])
    with pytest.raises(StemmaError, match="is no detector"):
        darknet.from_darknet(cfg, weights)
    cfg.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StemmaError, match="cannot be read as a cfg of Darknet's"):
        darknet.from_darknet(cfg, weights)
    with pytest.raises(StemmaError, match="cannot be read as a cfg of Darknet's"):
        darknet.from_darknet(tmp_path / "none.cfg", weights)


def test_weights_that_are_none_of_the_cfgs(files: Any, tmp_path: Path) -> None:
    _, cfg, weights = files("yolo-v2")
    whole = weights.read_bytes()
    assert (len(whole) - 20) % 4 == 0
    text, layer = cfg.read_text().splitlines(), "line "

    def fails(data: bytes, said: str) -> None:
        weights.write_bytes(data)
        with pytest.raises(StemmaError, match=said) as error:
            darknet.from_darknet(cfg, weights)
        assert str(weights) in str(error.value) and "\n" not in str(error.value)

    fails(whole[:-4],
          r"ends within section 30, line \d+ of .*: it holds [\d,]+ numbers of [\d,]+; it is cut off, or of")
    fails(whole[: len(whole) // 3 // 4 * 4], "it is cut off, or of another net")
    fails(whole[:-1], "is cut off within a number")
    fails(whole[:10], "is no file of Darknet's weights: 10 bytes hold no header")
    fails(whole + bytes(400), "100 are too many; it is of another net")
    fails(b"PK\x03\x04" + whole[4:], "it does not begin with a version, but with b'PK")
    odd = bytearray(whole)
    first = 20 + 4 * 3 * 8  # the variances of the first layer of eight
    odd[first : first + 4] = np.float32(-1).tobytes()
    fails(bytes(odd), r"has variances below 0 where section 0, line \d+ of")
    odd[first : first + 4] = np.float32("nan").tobytes()
    fails(bytes(odd), "has numbers that are none where section 0")
    with pytest.raises(StemmaError, match="cannot be read: No such file"):
        darknet.from_darknet(cfg, tmp_path / "none.weights")
    assert text and layer


def test_a_cfg_and_the_weights_of_two_nets(files: Any, tmp_path: Path) -> None:
    _, cfg, _ = files("yolo-v2")
    other = tmp_path / "three"
    other.mkdir()
    found = darknet.to_darknet(a_net("yolo-v3"), other / "net.weights")
    with pytest.raises(StemmaError, match="it is of another net"):
        darknet.from_darknet(cfg, found[0])
    with pytest.raises(StemmaError, match="2 class names are given, and .* has 3 classes"):
        darknet.from_darknet(found[1], found[0], ["a", "b"])
    with pytest.raises(StemmaError, match="class names appear twice: a"):
        darknet.from_darknet(found[1], found[0], ["a", "a", "b"])


def test_what_darknet_has_not_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(StemmaError, match=r"folds them otherwise: train it with --set neck.order=darknet"):
        darknet.to_darknet(stemma.build("yolo-v2", "paper", 3, NARROW), tmp_path / "a.weights")
    for name in ("ssd", "yolo-v3"):
        with pytest.raises(StemmaError, match=rf"{name} \(preset small\) is no net that Darknet's files can hold"):
            darknet.to_darknet(stemma.build(name, "small", 3), tmp_path / "a.weights")
    (tmp_path / "a.cfg").write_text("mine")
    with pytest.raises(StemmaError, match="a.cfg is there, and it is not as Stemma wrote it"):
        darknet.to_darknet(a_net("yolo-v2"), tmp_path / "a.weights")
    assert not (tmp_path / "a.weights").exists()
    odd = stemma.build("yolo-v3", "paper", 3, NARROW | {"neck.widths": (32, 64, 96)})
    with pytest.raises(StemmaError, match="this is the cfg of another net"):
        darknet.to_darknet(odd, tmp_path / "b.weights")
    assert not (tmp_path / "b.weights").exists()


# ---------------------------------------------------------------- commands, and beginning from a backbone


def test_from_the_command_line_and_back(files: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, cfg, weights = files("yolo-v3")
    names = tmp_path / "three.names"
    names.write_text("cat\ndog\n\ncup\n")
    command("import", "darknet", cfg, weights, "--classes", names, "--json")
    said = json.loads(capsys.readouterr().out)
    assert said["paper"] == "yolo-v3" and said["classes"] == 3 and said["path"].endswith("net.safetensors")
    model: Any = stemma.load(said["path"])
    assert model.info.classes.names == ("cat", "dog", "cup") and model.recipe.resize.size == 608
    assert model.predict(torch.rand(1, 3, 64, 64)).boxes.shape[-1] == 4
    command("export", said["path"], tmp_path / "again.weights")
    assert "again.cfg" in capsys.readouterr().out
    assert (tmp_path / "again.weights").read_bytes() == weights.read_bytes()
    written = stemma.export(model, tmp_path / "once.weights", "darknet")
    assert written["difference"] == 0 and len(written["files"]) == 2
    with pytest.raises(StemmaError, match="a file of the format 'darknet' ends in .weights"):
        stemma.export(model, tmp_path / "once.bin", "darknet")


def numbers_of(body: nn.Module) -> np.ndarray:
    """A backbone as Darknet writes it."""
    out = []
    for conv, norm in zip(*[[m for m in body.modules() if isinstance(m, k)] for k in (nn.Conv2d, nn.BatchNorm2d)]):
        assert norm.running_mean is not None and norm.running_var is not None
        out += [norm.bias, norm.weight, norm.running_mean, norm.running_var, conv.weight]
    return np.concatenate([t.detach().numpy().ravel() for t in out])


@pytest.mark.parametrize("rest", ["nothing", "classifier", "detector", "half", "more"])
def test_a_detector_begins_from_darknet_53(rest: str, tmp_path: Path) -> None:
    """As darknet53.conv.74, as the whole classifier, as yolov3.weights; and what is none of these. A narrow body stands
    for the published one, whose lengths are held below."""
    layouts_of = layouts.darknet
    body = layouts.DARKNETS["darknet53"](layouts.In((3,), (1,)), width=0.25)
    values = numbers_of(body)
    more = {"nothing": 0, "classifier": 1000 * 257, "half": -1000, "more": 777, "detector": -1}[rest]
    if rest == "detector":
        with torch.device("meta"):
            whole: Any = stemma.build("yolo-v3", "paper", 6)
            assert layouts._of_detector(whole.backbone, sum(
                t.numel() for la in darknet.layers_of(whole)[75:] for t in la.tensors()))
            two: Any = stemma.build("yolo-v2", "paper", 7, {"neck.order": "darknet"})
            assert layouts._of_detector(two.backbone, sum(
                t.numel() for la in darknet.layers_of(two)[23:] for t in la.tensors()))
            assert not layouts._of_detector(whole.backbone, 12_345_678)
        return
    values = np.concatenate([values, np.zeros(max(more, 0), np.float32)])[: len(values) + more or None]
    path = tmp_path / "darknet53.conv.74"
    path.write_bytes(np.array([0, 2, 0, 0, 0], np.int32).tobytes() + values.tobytes())
    if rest in ("half", "more"):
        with pytest.raises(StemmaError, match="which end within a layer of this backbone; it is of another net"):
            layouts_of(path, body)
        return
    model = stemma.build("yolo-v3", "paper", 3, SETS["yolo-v3"])
    began = starts.begin(model, path)
    assert len(began.taken) == 5 * 52 and not began.left and all(not k.startswith("backbone.") for k in began.random)
    assert torch.equal(model.backbone.stages[4][4].body[1][0].weight,  # type: ignore[union-attr,index]
                       body.stages[4][4].body[1][0].weight)
    assert starts.needed(model) == [("backbone", "darknet53")]


def test_a_backbone_is_kept_with_what_it_means(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(layouts.DARKNETS, "darknet53", lambda inp, levels: layouts.Darknet53(inp, levels, 0.25))
    body = layouts.DARKNETS["darknet53"](layouts.In((3,), (1,)), levels=(3,))
    path, out = tmp_path / "darknet53.conv.74", tmp_path / "body.safetensors"
    values = numbers_of(body)
    path.write_bytes(np.array([0, 2, 0, 0, 0], np.int32).tobytes() + values.tobytes())
    command("import", "backbone", "darknet53", path, out, "--json")
    assert json.loads(capsys.readouterr().out)["tensors"] == 5 * 52
    model = stemma.build("yolo-v3", "paper", 3, SETS["yolo-v3"])
    assert "Darknet's weights of 52 convolutions" in starts.begin(model, out).says
    last = body.stages[4][4].body[1][0].weight.numel()  # type: ignore[index]
    path.write_bytes(np.array([0, 2, 0, 0, 0], np.int32).tobytes() + values[: -last - 4 * 256].tobytes())
    with pytest.raises(StemmaError, match="holds 51 of darknet53's 52 convolutions"):
        layouts.of_darknet(path, "darknet53")
