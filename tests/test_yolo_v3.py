"""YOLOv3: counts, three levels of anchors, the yolo layer's gradients restated, several classes a box, resume."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import stemma
from engine_help import alone_and_in_pieces, scenes, short
from stemma.core import paper as cards
from stemma.core.part import In, diff
from stemma.core.types import StemmaError, Targets
from stemma.engine.running.optim import groups_of
from stemma.engine.running.schedule import factor
from stemma.papers.localization import yolo_v2, yolo_v3
from stemma.parts.backbones.darknet import Darknet53, Residual
from stemma.parts.dense.anchors import ScalePriors, lay
from stemma.parts.dense.assign import ByShape, Candidates
from stemma.parts.dense.coders import DirectLocation
from stemma.parts.dense.losses import MultiLabel
from stemma.parts.dense.raw import DenseRaw
from stemma.parts.dense.region import RegionRule, crossed
from stemma.parts.necks import ConcatPyramid

SIDE, STRIDES = 64, (8, 16, 32)
SHAPES = (6.0, 8.0, 10.0, 7.0, 9.0, 12.0, 16.0, 14.0, 20.0, 30.0, 30.0, 18.0, 40.0, 36.0, 28.0, 50.0, 60.0, 58.0)


def a_rule(by: str = "sigmoid") -> RegionRule:
    rule = yolo_v3.spec().rule
    return replace(rule, anchors=ScalePriors(SHAPES), cls=MultiLabel(by))  # type: ignore[arg-type]


@pytest.mark.parametrize("fact", yolo_v3.PAPER.facts, ids=lambda f: f.variant or "paper")
def test_published_counts(fact: cards.Fact) -> None:
    with torch.device("meta"):
        model = stemma.build("yolo-v3", fact.variant or "paper", fact.classes)
    assert sum(p.numel() for p in model.parameters()) == fact.value


@pytest.mark.parametrize("side,boxes,giga", [(320, 6_300, 38.97), (416, 10_647, 65.86), (608, 22_743, 140.69)])
def test_published_boxes_and_operations(side: int, boxes: int, giga: float) -> None:
    """Darknet's convention: a multiplication and an addition count as two, convolutions alone."""
    counted: list[int] = []
    with torch.device("meta"):
        model: Any = stemma.build("yolo-v3", "paper", 80)
        for conv in model.modules():
            if isinstance(conv, nn.Conv2d):
                conv.register_forward_hook(lambda m, x, y: counted.append(2 * y.numel() * m.weight[0].numel()))
        raw = model(torch.empty(1, 3, side, side))
    assert raw.logits.shape == (1, boxes, 80) and len(counted) == 75
    assert [m.out_channels for m in model.head.last] == [255] * 3 and round(sum(counted) / 1e9, 2) == giga


@pytest.mark.parametrize("card,preset,steps", [(yolo_v3, "paper", 500_200), (yolo_v2, "paper", 160 * 16_551 / 64),
                                               (yolo_v2, "coco", 160 * 118_287 / 64)])
def test_the_first_thousand_steps_burn_in(card: Any, preset: str, steps: float) -> None:
    """`burn_in` and `power` of Darknet: the rate times (step / 1,000)^4."""
    r = card.recipe(preset)
    assert [factor(r, n / steps) for n in (0, 500, 900, 1001)] == pytest.approx([0, 0.5**4, 0.9**4, 1])
    falls = (0.799, 0.8, 0.9) if card is yolo_v3 else (0.374, 0.375, 0.5625)
    assert [factor(r, f) for f in falls] == pytest.approx([1, 0.1, 0.01])


def test_the_pair_with_yolo_v2_differs_in_what_the_paper_changes_alone() -> None:
    assert not diff(yolo_v2.recipe("small"), yolo_v3.recipe("small"))
    assert {k.split(".")[0] for k in diff(yolo_v2.spec("small"), yolo_v3.spec("small"))} == {"rule", "backbone", "neck"}


@pytest.mark.parametrize("card,preset", [(yolo_v3, "paper"), (yolo_v3, "classifier"), (yolo_v2, "paper"),
                                         (yolo_v2, "classifier"), (yolo_v2, "yolo9000")])
def test_weights_of_convolutions_alone_decay(card: Any, preset: str) -> None:
    """Darknet's update adds no decay to biases and to the scales of batch norms."""
    with torch.device("meta"):
        groups = groups_of(card.spec(preset).build(20), card.recipe(preset))
    for g in groups:
        for name, p in zip(g["names"], g["params"]):
            assert g["weight_decay"] == (5e-4 if p.ndim == 4 else 0.0), name


# ---------------------------------------------------------------- the layers, restated


def plain(x: Tensor, block: nn.Sequential) -> Tensor:
    """Darknet's convolutional layer from its numbers: convolution, batch norm as (x - mean) / sqrt(var + 1e-5), leaky."""
    conv, norm = block[0], block[1]
    assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    y = F.conv2d(x, conv.weight, None, conv.stride, conv.kernel_size[0] // 2)
    part = lambda v: v[:, None, None]  # noqa: E731
    y = (y - part(norm.running_mean)) / (part(norm.running_var) + 1e-5).sqrt() * part(norm.weight) + part(norm.bias)
    return torch.where(y > 0, y, 0.1 * y)


@pytest.mark.oracle("the released configuration, layer by layer", "yolo_v3")
def test_backbone_and_neck_are_the_released_layers() -> None:
    body = Darknet53(In((3,), (1,)), width=1 / 16)
    neck = ConcatPyramid(body.out, widths=(8, 16, 32)).double().eval()  # fifty layers add up float32's rounding
    body.double().eval()
    for m in (*body.modules(), *neck.modules()):
        if isinstance(m, nn.BatchNorm2d):
            nn.init.uniform_(m.running_var, 0.5, 2)
            nn.init.normal_(m.running_mean)
            nn.init.normal_(m.bias)
    x = torch.rand(2, 3, 64, 96, dtype=torch.float64)
    layers: list[Tensor] = []
    at = plain(x, body.stem)
    for stage in body.stages:
        for m in stage:
            at = plain(plain(at, m.body[0]), m.body[1]) + at if isinstance(m, Residual) else plain(at, m)
        layers.append(at)
    torch.testing.assert_close(body(x), layers[2:])
    want: list[Tensor] = []
    above: Tensor | None = None
    for i in (2, 1, 0):
        y = layers[2 + i]
        if above is not None:  # [upsample] and [route] -1, then the backbone's
            y = torch.cat([above.repeat_interleave(2, 2).repeat_interleave(2, 3), y], 1)
        assert len(neck.bodies[i]) == 5  # type: ignore[arg-type]
        for block in neck.bodies[i]:
            y = plain(y, block)
        want.insert(0, plain(y, neck.outs[i]))  # type: ignore[arg-type]
        above = plain(y, neck.downs[i - 1]) if i else None  # type: ignore[arg-type]
    torch.testing.assert_close(neck(body(x)), want)


# ---------------------------------------------------------------- anchors and places


def test_anchors_are_in_pixels_three_to_a_level() -> None:
    grid = lay(ScalePriors(), ((8, 8), (4, 4), (2, 2)), STRIDES, (SIDE, SIDE), torch.zeros(1))
    assert grid.levels == (192, 48, 12)
    size = grid.boxes[:, 2:] - grid.boxes[:, :2]
    assert size[0].tolist() == [10, 13] and size[192].tolist() == [30, 61] and size[-1].tolist() == [373, 326]
    assert ((grid.boxes[:, :2] + grid.boxes[:, 2:]) / 2)[240].tolist() == [16, 16]
    with pytest.raises(StemmaError, match="10 pairs, which 3 levels cannot share"):
        ScalePriors((1.0,) * 20).counts(3)


def test_each_prior_moves_in_cells_of_its_own_level() -> None:
    coder, ref = DirectLocation(0.0), torch.tensor([[0.0, 0.0, 8.0, 8.0], [0.0, 0.0, 32.0, 32.0]])
    strides = torch.tensor([8.0, 32.0])
    far = coder.decode(ref, torch.tensor([[9.0, 9.0, 0.0, 0.0]] * 2), strides)
    torch.testing.assert_close((far - ref)[:, 0], strides / 2, rtol=0, atol=0.01)
    code = torch.randn(2, 4)
    torch.testing.assert_close(coder.encode(ref, coder.decode(ref, code, strides), strides), code, rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------- the yolo layer


def a_raw(rule: RegionRule, classes: int, b: int = 2) -> DenseRaw:
    grid = lay(rule.anchors, tuple((SIDE // s,) * 2 for s in STRIDES), STRIDES, (SIDE, SIDE), torch.zeros(1))
    leaf = lambda *s: torch.randn(*s, requires_grad=True)  # noqa: E731
    a = len(grid.boxes)
    return DenseRaw(leaf(b, a, classes), leaf(b, a, 4), leaf(b, a), grid.boxes, grid.stride, grid.levels, (SIDE, SIDE))


def overlap(a: list[float], b: list[float]) -> float:
    """IoU of (x, y, w, h), centre and size."""
    w, h = (min(a[i] + a[i + 2] / 2, b[i] + b[i + 2] / 2) - max(a[i] - a[i + 2] / 2, b[i] - b[i + 2] / 2)
            for i in (0, 1))
    both = max(w, 0) * max(h, 0)
    return both / (a[2] * a[3] + b[2] * b[3] - both)


def yolo_deltas(raw: DenseRaw, b: int, boxes: list[list[float]], labels: list[int],
                spare: float) -> dict[str, np.ndarray]:
    """The released yolo layers for one picture, level by level, cell by cell: minus the gradients that they send back.
    Boxes are (x, y, w, h) in shares of the picture."""
    assert raw.object is not None
    sig = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    t, o, x = (v[b].detach().double().numpy() for v in (raw.codes, raw.object, raw.logits))
    out = {"codes": np.zeros_like(t), "object": np.zeros_like(o), "logits": np.zeros_like(x)}
    shapes = list(zip(SHAPES[::2], SHAPES[1::2]))
    start = 0
    for level, stride in enumerate(STRIDES):
        cells, mask = SIDE // stride, [3 * level, 3 * level + 1, 3 * level + 2]
        at = lambda n, i, j, start=start, cells=cells: start + (j * cells + i) * 3 + n  # noqa: E731
        for j in range(cells):
            for i in range(cells):
                for n in range(3):
                    k, (w, h) = at(n, i, j), shapes[mask[n]]
                    said = [(i + sig(t[k, 0])) / cells, (j + sig(t[k, 1])) / cells, np.exp(t[k, 2]) * w / SIDE,
                            np.exp(t[k, 3]) * h / SIDE]
                    best = max((overlap(said, g) for g in boxes), default=0.0)
                    out["object"][k] = 0 if best > spare else 0 - sig(o[k])
        for truth, label in zip(boxes, labels):
            i, j = int(truth[0] * cells), int(truth[1] * cells)
            fits = [overlap([0, 0, w / SIDE, h / SIDE], [0, 0, *truth[2:]]) for w, h in shapes]
            best_n = int(np.argmax(fits))
            if best_n not in mask:
                continue
            k, (w, h) = at(mask.index(best_n), i, j), shapes[best_n]
            scale = 2 - truth[2] * truth[3]
            out["codes"][k] = [scale * (truth[0] * cells - i - sig(t[k, 0])), scale * (truth[1] * cells - j
                                                                                      - sig(t[k, 1])),
                               scale * (np.log(truth[2] * SIDE / w) - t[k, 2]),
                               scale * (np.log(truth[3] * SIDE / h) - t[k, 3])]
            out["object"][k] = 1 - sig(o[k])
            if out["logits"][k].any():  # it has a class already: one more
                out["logits"][k, label] = 1 - sig(x[k, label])
            else:
                out["logits"][k] = (np.arange(x.shape[1]) == label) - sig(x[k])
        start += 3 * cells * cells
    return out


BOXES = [[[0.3, 0.4, 0.12, 0.18], [0.31, 0.41, 0.11, 0.19], [0.3, 0.4, 0.12, 0.18], [0.3, 0.4, 0.12, 0.18],
          [0.6, 0.55, 0.5, 0.45]], [[0.9, 0.95, 0.9, 0.85]]]
LABELS = [[1, 0, 2, 1, 3], [3]]


def truths() -> Targets:
    corners, labels = torch.zeros(2, 6, 4), torch.full((2, 6), -1)
    for b, (rows, own) in enumerate(zip(BOXES, LABELS)):
        for k, ((x, y, w, h), label) in enumerate(zip(rows, own)):
            corners[b, k] = SIDE * torch.tensor([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
            labels[b, k] = label
    return Targets(corners, labels)


@pytest.mark.oracle("the released layer's gradients, restated", "yolo_v3")
def test_gradients_are_those_of_the_released_yolo_layer() -> None:
    rule = a_rule()
    raw = a_raw(rule, 4)
    spared = 0
    with torch.no_grad():  # a neighbour on the finest level says the first box too, and is spared
        near = int(((raw.anchors[:, :2] + raw.anchors[:, 2:]) / 2 - 8 * torch.tensor([2.5, 3.5])).abs().sum(1).argmin())
        want = torch.tensor([[*(SIDE * v for v in (0.24, 0.31, 0.36, 0.49))]])
        raw.codes[0, near] = rule.coder.encode(raw.anchors[near][None], want, raw.stride[near][None])[0]
    torch.stack(list(rule.loss(raw, truths(), 4).values())).sum().backward()
    for b in range(2):
        for name, delta in yolo_deltas(raw, b, BOXES[b], LABELS[b], 0.7).items():
            got = getattr(raw, name).grad[b].double().numpy() * -2  # the mean over two pictures
            np.testing.assert_allclose(got, delta, atol=1e-5, err_msg=f"{name} of picture {b}")
            spared += int((delta == 0).sum()) if name == "object" else 0
    assert spared, "no box was spared"


def test_a_perfect_answer_pays_nothing() -> None:
    place = torch.tensor([0.0, 0.2, 0.5, 1.0])
    torch.testing.assert_close(crossed(place.logit(1e-6), place), torch.zeros(4), rtol=0, atol=1e-5)
    rule, t = a_rule(), truths()
    raw = a_raw(rule, 4)
    c = Candidates(raw.references(), raw.stride, raw.references())
    state, index = rule.assign(c, t)
    truth = t.boxes.gather(1, index[..., None].expand(-1, -1, 4))
    codes = rule.coder.encode(raw.references(), truth, raw.stride)
    labels = torch.full_like(raw.logits, -60.0)
    for b, n in t.valid.nonzero().tolist():
        labels[b, rule.assign.chosen(c, t)[0][b, n], t.labels[b, n]] = 60.0
    sure = torch.where(state == 1, 60.0, -60.0)
    for name, value in rule.loss(replace(raw, codes=codes, object=sure, logits=labels), t, 4).items():
        assert abs(float(value)) < 1e-3, name


@pytest.mark.parametrize("by", ["sigmoid", "softmax"])
def test_classes_exclude_one_another_by_softmax_alone(by: str) -> None:
    """Three objects want one prior with the labels 0, 2 and 1, the last of them twice."""
    rule, t = a_rule(by), truths()
    raw = a_raw(rule, 4)
    c = Candidates(raw.references(), raw.stride, raw.references())
    at, wants = ByShape(0.7).chosen(c, t)
    assert wants.sum() == 6 and len(set(at[0, :4].tolist())) == 1
    rule.loss(raw, t, 4)["cls"].backward()
    assert raw.logits.grad is not None
    drawn = raw.logits.grad[0, at[0, 0]] < 0
    assert drawn.tolist() == ([True, True, True, False] if by == "sigmoid" else [False, True, False, False])
    total = rule.cls.scores(raw.logits).sum(-1)
    assert torch.allclose(total, torch.ones_like(total)) == (by == "softmax")
    changed: Any = stemma.build("yolo-v3", "small", 4, {"rule.cls.by": by}).spec
    assert changed.rule.cls == MultiLabel(by)  # type: ignore[arg-type]


# ---------------------------------------------------------------- training


def test_anchors_are_found_in_pixels_of_the_training_set(tmp_path: Path) -> None:
    run = short(tmp_path / "run", "2steps", paper="yolo-v3", val_every=0)
    found = np.array(run.record["measured"]["rule.anchors.sizes"]).reshape(9, 2)
    assert (np.diff(found.prod(1)) >= 0).all() and 4 < found.min() < found.max() <= 64
    loaded: Any = stemma.load(run.path)
    assert np.allclose(np.array(loaded.spec.rule.anchors.sizes).reshape(9, 2), found)
    with pytest.raises(StemmaError, match="which 3 levels cannot share evenly"):
        stemma.build("yolo-v3", "small", 4, {"rule.anchors.sizes": (1.0, 1.0) * 4})


def test_stopped_at_every_step_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"budget": "4steps", "paper": "yolo-v3", "save_every": "1steps", "data": scenes(6),
                                "val": scenes(2, "val"), "val_every": 0,
                                "sets": {"recipe.resize.scales": (32, 64, 96), "recipe.resize.hold": 2}}
    alone, pieces = alone_and_in_pieces(tmp_path, monkeypatch, 3, **settings)
    assert (pieces.path / "last.safetensors").read_bytes() == (alone.path / "last.safetensors").read_bytes()


def test_the_detector_begins_from_the_classifier() -> None:
    with torch.device("meta"):
        one, two = stemma.build("yolo-v3", "classifier", 10), stemma.build("yolo-v3", "paper", 10)
    shared = {k for k in one.state_dict() if k.startswith("backbone")}
    assert shared == {k for k in two.state_dict() if k.startswith("backbone")} and len(shared) > 250
