"""Export and operation counts: what is written computes what the model does, and counts are those of the layers."""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import stemma
from stemma.core.types import StemmaError
from stemma.engine.pictures import export as exports
from stemma.engine.pictures.flops import flops
from stemma.engine.running import checkpoint
from stemma.ops import deform
from stemma.ops.nms import nms, soft_nms
from stemma.ops.region_max import RegionMax


@pytest.mark.parametrize("name", ["fcn", "retinanet"])
def test_a_network_is_written_read_back_and_equal(tmp_path: Path, name: str) -> None:
    model = stemma.build(name, "small", 3)
    done = exports.export(model, tmp_path / "m.pt2", "torch", (64, 64), "raw")
    assert done["difference"] < 1e-5 and done["bytes"] == (tmp_path / "m.pt2").stat().st_size and done["outputs"]


def with_onnx() -> None:
    for package in ("onnxruntime", "onnxscript"):
        pytest.importorskip(package, reason="export to ONNX: pip install 'stemma-vision[onnx]'")


def test_onnx_runs_elsewhere_and_is_equal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with_onnx()
    done = exports.export(stemma.build("retinanet", "small", 3), tmp_path / "m.onnx", "onnx", (64, 64), "raw")
    assert done["difference"] < 1e-4
    assert len(done["outputs"]) > 1
    assert capfd.readouterr() == ("", ""), "what the exporters say of their steps is kept from the user"


def test_a_stable_sort_of_numbers_and_of_truths_in_onnx(tmp_path: Path) -> None:
    with_onnx()

    class Sorts(nn.Module):
        def forward(self, images: Tensor) -> tuple[Tensor, ...]:
            rows = (images[0, 0] * 4).floor()
            live = rows > 1
            return (*rows.sort(dim=1, stable=True), torch.argsort(live, dim=1, stable=True),
                    live.sort(dim=1, descending=True, stable=True)[0])

    plain, x = exports.Plain(Sorts()), torch.rand(1, 3, 8, 16)
    got = exports._onnx(plain, {"images": x}, tmp_path / "m.onnx", ["values", "order", "alive", "truths"])
    for a, b in zip(plain(x), got, strict=True):
        assert torch.equal(a, b) and a.dtype == b.dtype


@pytest.mark.whole
@pytest.mark.parametrize("hole", [False, True])
def test_maxima_of_regions_in_onnx_are_ours(tmp_path: Path, hole: bool) -> None:
    """Looked up in the table, of a map of other height than width: the same numbers."""
    with_onnx()

    class Pools(nn.Module):
        def forward(self, images: Tensor) -> tuple[Tensor, ...]:
            low = (images[:, 0, :6, :2] * 9).floor().int()
            outer = torch.cat([low, low + 2 + (images[:, 1, :6, :2] * 7).floor().int()], -1)
            inner = torch.cat([low + 1, low + 2], -1) if hole else None
            return (RegionMax(images).pool(outer, 3, inner, "table"),)

    x = torch.rand(2, 3, 12, 17, generator=torch.Generator().manual_seed(1))
    plain = exports.Plain(Pools())
    (got,) = exports._onnx(plain, {"images": x}, tmp_path / "m.onnx", ["pooled"])
    assert torch.equal(plain(x)[0], got) and (got > 0).any() and (got == 0).any()  # bins beyond the map are 0


@pytest.mark.parametrize("keep", [3, 150])
def test_suppression_in_onnx_is_one_operator_and_answers_as_ours(tmp_path: Path, keep: int) -> None:
    """Of several kinds, with equal scores, padding, boxes of no area and two that overlap by the threshold exactly; by a
    threshold beyond 1, which suppresses nothing and ONNX's operator does not take; and the soft one, whose rounds are one
    loop (written out, a hundred of them took more than ten minutes to export)."""
    with_onnx()
    import onnx

    class Suppresses(nn.Module):
        def forward(self, images: Tensor) -> tuple[Tensor, ...]:
            x = images.permute(0, 2, 3, 1).flatten(1, 2)
            near, side = (x[..., :2] * 24).floor(), (x[..., 1:] * 9).floor()
            kind = (x[..., 0] * 50).floor().long() % 5 - 1  # -1 is padding
            boxes = torch.cat([near, near + side], 2)
            places, scores = soft_nms(boxes, x[..., 2], kind, keep, 0.5, 0.3)
            return (nms(boxes, (x[..., 2] * 6).floor(), kind, 0.5, keep),
                    nms(boxes, x[..., 2], None, 0.5, keep, groups=kind.clamp(min=0)),
                    nms(boxes, x[..., 2], kind, 10.0, keep), places, (scores * 1e5).round().long())

    x = torch.rand(2, 3, 12, 16, generator=torch.Generator().manual_seed(1))
    plain = exports.Plain(Suppresses())
    want = [v.clone() for v in plain(x)]
    assert all((v >= 0).any() for v in want) and (keep == 3 or any((v < 0).any() for v in want))
    got = exports._onnx(plain, {"images": x}, tmp_path / "m.onnx", ["ranked", "grouped", "all", "soft", "left"])
    for a, b in zip(want, got, strict=True):
        assert torch.equal(a, b)
    operators = [n.op_type for n in onnx.load(tmp_path / "m.onnx").graph.node]
    assert operators.count("NonMaxSuppression") == 3 and operators.count("Scan") == 1 and "Loop" not in operators


def test_what_the_runtime_says_of_a_graph_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it takes the file and fails at the first picture."""
    with_onnx()
    import onnxruntime

    class Fails:
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def get_inputs(self) -> list[Any]:
            return [argparse.Namespace(name="images")]

        def run(self, *_: Any) -> list[Any]:
            raise RuntimeError("a threshold must be in\nrange [0, 1]")

    monkeypatch.setattr(onnxruntime, "InferenceSession", Fails)
    with pytest.raises(StemmaError, match=r"onnxruntime does not take what would be written: a threshold must be in range"):
        exports.export(stemma.build("fcn", "small", 3), tmp_path / "m.onnx", "onnx", (64, 64), "raw")
    assert not list(tmp_path.glob("*.onnx"))


@pytest.mark.whole
@pytest.mark.parametrize("name", ["faster-rcnn", "ssd"])
def test_what_finds_nothing_is_held_with_a_lower_score(tmp_path: Path, name: str) -> None:
    with_onnx()
    sets = {"post.0.score": 0.999} if name == "faster-rcnn" else {"rule.score": 0.999}
    done = exports.export(stemma.build(name, "small", 3, sets=sets), tmp_path / "m.onnx", "onnx", (64, 64))
    assert done["compared"] > 0 and done["difference"] < 1e-3
    assert len(list(tmp_path.glob("*.onnx"))) == 1


def test_what_could_not_be_compared_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = stemma.build("retinanet", "small", 3, sets={"rule.score": 2.0})  # no score is as high
    monkeypatch.setattr(exports, "_lenient", lambda net, inputs: net)
    with pytest.raises(StemmaError, match="finds nothing in 8 drawn scenes, whatever the least score, so that nothing"):
        exports.export(model, tmp_path / "m.pt2", "torch", (64, 64))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["retinanet", "fpn"])
@pytest.mark.parametrize("ending", ["onnx", "pt2"])
def test_boxes_after_nms_are_those_of_the_model(tmp_path: Path, name: str, ending: str) -> None:
    with_onnx()
    model = stemma.build(name, "small", 3, sets={"rule.score": 0.0} if name == "retinanet" else {"post.0.score": 0.0})
    done = exports.export(model, tmp_path / f"m.{ending}", "onnx" if ending == "onnx" else "torch", (64, 64),
                          "predictions")
    assert done["compared"] > 10 and done["difference"] < 1e-3


@pytest.mark.slow
def test_a_panoptic_map_is_written_in_onnx(tmp_path: Path) -> None:
    with_onnx()
    few = {"merge.score": 0.0, "instances.post.0.score": 0.0, "instances.post.0.keep": 6,
           "instances.rpn.proposals.keep": 12}
    done = exports.export(stemma.build("panoptic-segmentation", "small", 8, sets=few), tmp_path / "m.onnx",
                          "onnx", (64, 64))
    assert done["compared"] > 0 and done["difference"] < 1e-3


def test_what_was_written_wrongly_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "_torch",
                        lambda plain, inputs, path, names: [t + 0.5 for _, t in plain.said(*inputs.values())])
    with pytest.raises(StemmaError, match="is not written, for it would not compute what the model does"):
        exports.export(stemma.build("fcn", "small", 3), tmp_path / "m.pt2", "torch", (64, 64), "raw")
    assert not list(tmp_path.iterdir())


def test_predictions_that_no_graph_can_hold_are_refused_with_the_reason(tmp_path: Path) -> None:
    model = stemma.build("reinspect", "small", 1)
    with pytest.raises(StemmaError, match="reinspect predicts what no graph can hold: stitching .*; export the network "
                       "alone with --outputs raw"):
        exports.export(model, tmp_path / "m.pt2", "torch", (64, 64))
    assert exports.export(model, tmp_path / "m.pt2", "torch", (64, 64), "raw")["difference"] < 1e-4


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(StemmaError, match=r"stemma-vision\[onnx\]"):
        exports.export(stemma.build("fcn", "small", 3), tmp_path / "m.onnx", "onnx", (64, 64), "raw")


def test_a_network_that_cannot_be_traced_is_named(tmp_path: Path) -> None:
    class Fickle(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images * 2 if float(images.sum()) > 0 else images

    with pytest.raises(StemmaError, match="cannot be traced"):
        exports._torch(exports.Plain(Fickle()), {"images": torch.rand(1, 3, 8, 8)}, tmp_path / "m.pt2", ["output"])


def test_wrong_endings_and_formats_are_told(tmp_path: Path) -> None:
    model = stemma.build("fcn", "small", 3)
    with pytest.raises(StemmaError, match="ends in .onnx"):
        exports.export(model, tmp_path / "m.bin", "onnx")
    with pytest.raises(StemmaError, match="no export format"):
        exports.export(model, tmp_path / "m.bin", "caffe")  # type: ignore[arg-type]


def test_operations_by_hand() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                        nn.Linear(8, 5))
    conv, linear = 2 * 8 * 3 * 9 * 16 * 24, 2 * 8 * 5
    assert flops(net, (16, 24), "forward") == conv + linear
    assert flops(net, torch.rand(3, 3, 16, 24), "forward") == conv + linear
    assert net.training and not any(p.is_meta for p in net.parameters())


def test_a_norm_frozen_by_hand_stays_so_when_operations_are_counted() -> None:
    """torchinfo sets it to learn again (`findings/torchinfo-frozen-norms.sh`)."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)).train()
    net[1].eval()
    flops(net, (8, 8), "forward")
    assert [part.training for part in (net, *net)] == [True, True, False, True]


def test_a_deformable_convolution_counts_alike_by_either_method() -> None:
    class Bent(nn.Module):
        def __init__(self, method: str) -> None:
            super().__init__()
            self.method, self.weight = method, nn.Parameter(torch.rand(5, 3, 3, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            offset = torch.zeros(len(x), 18, *x.shape[-2:])
            return deform.deform_conv2d(x, offset, self.weight, padding=1, method=self.method)  # type: ignore[arg-type]

    plain = 2 * 5 * 3 * 9 * 16 * 24
    assert [flops(Bent(method), (16, 24), "forward") for method in ("columns", "torchvision")] == [plain, plain]


def test_operations_of_a_second_stage_are_counted() -> None:
    images = torch.rand(2, 3, 64, 64)
    whole, thin = stemma.build("fpn", "small", 3), stemma.build("fpn", "small", 3, sets={"stages.0.head.width": 16})
    assert flops(whole, images, "forward") == flops(thin, images, "forward") > 1e6
    assert flops(whole, images) > flops(thin, images) > flops(thin, images, "forward")


def test_outputs_are_named_by_their_place() -> None:
    t = torch.zeros(1)
    assert [n for n, _ in exports.named_tensors({"a": [t, t], "b": {"c": t}})] == ["a_0", "a_1", "b_c"]
    assert exports.named_tensors(t)[0][0] == "output"


@pytest.mark.whole
def test_a_square_of_another_size_is_what_the_card_says_of_it(tmp_path: Path) -> None:
    """SSD's default boxes grow with the picture; of an oblong it is said that they do not."""
    model = stemma.build("ssd", preset="small", classes=3).eval()
    twice = checkpoint.at_size(model, 2 * model.recipe.resize.size).eval()
    exports.export(model, tmp_path / "twice.pt2", "torch", (256, 256))
    picture = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    said = torch.export.load(tmp_path / "twice.pt2").module()(picture)
    boxes = [v for v in (said.values() if isinstance(said, dict) else said) if v.ndim == 3 and v.shape[-1] == 4][0]
    with torch.no_grad():
        theirs = twice.predict(picture, torch.tensor([[256, 256]]))
    assert torch.allclose(boxes, theirs.boxes, atol=1e-3)
    with pytest.warns(UserWarning, match="as for 128 pixels: what a size does is known of squares alone"):
        exports.export(model, tmp_path / "oblong.pt2", "torch", (128, 256))
