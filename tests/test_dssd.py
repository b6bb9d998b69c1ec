"""DSSD: counts, where boxes lie, its three modules restated, the product that gates, an encoder that sleeps, resume."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.ssd import SSDHead
from torchvision.models.resnet import Bottleneck as TheirBottleneck

import stemma
from engine_help import alone_and_in_pieces, drawn_batch, scenes, thirty_steps
from learning import Learned
from stemma.core import paper as cards
from stemma.core.part import In, edit
from stemma.core.types import StemmaError
from stemma.engine.pictures.import_dense import background_last
from stemma.papers.localization import dssd
from stemma.parts.backbones.resnet import Bottleneck
from stemma.parts.dense.anchors import lay
from stemma.parts.dense.deconvolution import (
    DeconvolutionModule,
    DeconvolutionPath,
    PredictionHead,
    ResidualExtras,
)
from stemma.parts.dense.heads import LevelHeads
from stemma.parts.trunk import rest

SIDE = {"paper": 321, "": 321, "ssd321": 321, "dssd513": 513}
IN = In((12, 20), (8, 16), 3, anchors=(8, 8, 8), logits=4)


def shaken(net: nn.Module) -> Any:
    """In evaluation, with norms that have seen something."""
    torch.manual_seed(0)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            for v in (m.weight, m.running_var):
                nn.init.uniform_(v, 0.5, 2)
            for v in (m.bias, m.running_mean):
                nn.init.normal_(v)
    return net.eval()


@pytest.mark.parametrize("fact", dssd.PAPER.facts, ids=lambda f: f"{f.what}-{f.variant}")
def test_published_counts(fact: cards.Fact) -> None:
    with torch.device("meta"):
        model: Any = dssd.spec(fact.variant or "paper").build(fact.classes).eval()
        raw = model(torch.empty(1, 3, SIDE[fact.variant], SIDE[fact.variant]))
    found = raw.logits.shape[1] if fact.what == "boxes" else sum(p.numel() for p in model.parameters())
    assert found == fact.value


def test_the_count_of_parameters_is_that_of_the_script() -> None:
    """The authors' script for 321 pixels layer by layer: (in, out, side) of each convolution with its scale and shift,
    then what has biases; the middle of prediction modules 1x1, as in fig. 4."""
    def block(c: int, w: int, side: int, middle: int, first: bool) -> list[tuple[int, int, int]]:
        return [(c, w, side), (w, w, middle), (w, 4 * w, 1), *[(c, 4 * w, side)] * first]

    normed, c = [(3, 64, 7)], 64
    for w, many in ((64, 3), (128, 4), (256, 23), (512, 3)):
        for i in range(many):
            normed += block(c, w, 1, 3, i == 0)
            c = 4 * w
    for side in (2, 2, 3, 3):
        normed += block(c, 256, side, 3, True)
        c = 1024
    laterals, plain = (512, 2048, 1024, 1024, 1024), [(1024, 512, 3)]  # the first deconvolution; then from the combined
    plain += [(512, 512, side) for side in (3, 2, 2, 2)]
    for c in laterals:
        normed += [(c, 512, 3), (512, 512, 3), (512, 512, 3)]
    for c, side in zip((*(512,) * 5, 1024), (5, 5, 3, 3, 3, 3)):
        normed += block(c, 256, 1, 1, True)
        plain += [(1024, 8 * 21, side), (1024, 8 * 4, side)]
    want = sum(a * b * k * k + 2 * b for a, b, k in normed) + sum(a * b * k * k + b for a, b, k in plain)
    (fact,) = (f for f in dssd.PAPER.facts if f.what == "parameters")
    assert want == fact.value


def test_boxes_lie_where_the_authors_scripts_lay_them() -> None:
    a, b = dssd.boxes_of(321), dssd.boxes_of(513)
    assert a.steps == (8, 16, 32, 64, 64, 321) and a.starts == (2.5, 2.5, 10.5, 26.5, 90.5, 160.5)
    assert b.steps == (8, 16, 32, 64, 128, 256, 513) and b.starts == (2.5, 2.5, 10.5, 26.5, 58.5, 122.5, 256.5)
    assert a.small == pytest.approx((32.1, 64.2, 121.98, 179.76, 237.54,
                                     295.32)) and a.large[-1] == pytest.approx(353.1)
    assert b.small == pytest.approx((20.52, 51.3, 138.51, 225.72, 312.93, 400.14, 487.35))
    maps = tuple((n, n) for n, _, _ in dssd.cells(321, dssd.LAYERS[321]))
    grid = lay(a, maps, (8, 16, 32, 64, 128, 256), (321, 321), torch.zeros(1))
    middle = (grid.boxes[:, :2] + grid.boxes[:, 2:]) / 2
    assert middle[8].tolist() == pytest.approx([10.5, 2.5]) and middle[-1].tolist() == pytest.approx([160.5, 160.5])
    sides = (grid.boxes[:8, 2:] - grid.boxes[:8, :2]).tolist()
    r = 1.6**0.5
    assert sides[2] == pytest.approx([32.1 * r, 32.1 / r]) and sides[3] == pytest.approx([32.1 / r, 32.1 * r])


def seen(net: Any, x: Tensor, level: int, at: int) -> tuple[int, int]:
    """The first place along a side that a cell in the middle looks at, and that after the last."""
    for m in net.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.constant_(m.weight, 1 / m.weight[0].numel())
    x.requires_grad_()
    (g,) = torch.autograd.grad(net.eval()(x if x.shape[1] == 3 else [x])[level][0, 0, at, at], x)
    places = (g.abs().sum((0, 1, 2)) > 0).nonzero()
    return int(places[0]), int(places[-1]) + 1


def test_where_a_cell_lies_is_where_it_looks() -> None:
    """The places that a cell sees lie evenly around the point that its boxes stand on. Of equal numbers the max pool
    hands on the first, one cell of two pixels before the middle of its three."""
    grid = dssd.cells(321, dssd.LAYERS[321])
    body = edit(dssd.spec("ssd321").backbone, "levels", (1,)).build(In((3,), (1,)))
    first, last = seen(body, torch.ones(1, 3, 321, 321), 0, 20)
    assert 0 < first and last < 321 and (first + last) / 2 + 2 == grid[0][2] + 8 * 20
    neck = ResidualExtras(In((4,), (16,)), dssd.LAYERS[321], 2)
    for level in (1, 2):
        cells, step, start = grid[level + 1]
        first, last = seen(neck, torch.ones(1, 4, 20, 20), level, cells // 2)
        assert 0 < first and last < 20 and 16 * ((first + last - 1) / 2) + 2.5 == start + step * (cells // 2)


# ---------------------------------------------------------------- the modules, restated


def conv(x: Tensor, m: nn.Module, stride: int = 1) -> Tensor:
    assert isinstance(m, nn.Conv2d) and m.bias is None
    return F.conv2d(x, m.weight, None, stride,
                    m.weight.shape[-1] // 2 if m.weight.shape[-1] == 3 and stride == 1 else 0)


def norm(x: Tensor, m: nn.Module) -> Tensor:
    assert isinstance(m, nn.BatchNorm2d) and m.running_mean is not None and m.running_var is not None
    part = lambda v: v[:, None, None]  # noqa: E731
    return (x - part(m.running_mean)) / (part(m.running_var) + 1e-3).sqrt() * part(m.weight) + part(m.bias)


@pytest.mark.parametrize("kernel,stride", [(2, 2), (3, 1)])
@pytest.mark.oracle("the authors' ResBody restated", "dssd")
def test_a_level_above_is_a_bottleneck_that_shrinks(kernel: int, stride: int) -> None:
    net: ResidualExtras = shaken(ResidualExtras(IN, ((kernel, stride),), 6))
    xs = [torch.randn(2, 12, 14, 14), torch.randn(2, 20, 7, 7)]
    m: Any = net.blocks[0]
    unpadded = lambda c: F.conv2d(xs[1], c.weight, None, stride)  # noqa: E731
    y = norm(unpadded(m.conv1), m.bn1).relu()
    y = norm(F.conv2d(y, m.conv2.weight, None, 1, 1), m.bn2).relu()
    y = norm(F.conv2d(y, m.conv3.weight), m.bn3)
    want = (y + norm(unpadded(m.downsample[0]), m.downsample[1])).relu()
    found = net(xs)
    assert found[0] is xs[0] and found[1] is xs[1] and found[2].shape == (2, 24, *want.shape[2:])
    torch.testing.assert_close(found[2], want)


@pytest.mark.parametrize("fusion", ["product", "add", "concat"])
@pytest.mark.oracle("fig. 3 restated", "dssd")
def test_the_deconvolution_module_as_it_is_drawn(fusion: Any) -> None:
    m: DeconvolutionModule = shaken(DeconvolutionModule(10, 6, 8, 2, 2, fusion))
    nn.init.normal_(m.deconv.bias)
    coarse, fine = torch.randn(2, 10, 3, 3), torch.randn(2, 6, 6, 6)
    up = torch.zeros(2, 8, 6, 6)  # each cell paints a square of two by two
    for i in range(3):
        for j in range(3):
            up[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2] = torch.einsum("bc,cokl->bokl", coarse[:, :, i, j],
                                                                          m.deconv.weight)
    up = up + m.deconv.bias[:, None, None]
    above = norm(conv(up, m.above[0]), m.above[1])
    side = norm(conv(norm(conv(fine, m.side[0]), m.side[1]).relu(), m.side[3]), m.side[4])
    if fusion == "concat":
        assert m.join is not None
        want = norm(F.conv2d(torch.cat([above, side], 1), m.join[0].weight), m.join[1])
    else:
        want = above * side if fusion == "product" else above + side
    torch.testing.assert_close(m(coarse, fine), want.relu(), rtol=1e-4, atol=1e-4)


def test_a_map_of_odd_size_is_met() -> None:
    net: DeconvolutionPath = shaken(DeconvolutionPath(IN, ((2, 2), (3, 1)), 4, 8))
    for n in (13, 14, 15):
        half = -(-n // 2)
        xs = net([torch.randn(1, 12, n, n), torch.randn(1, 20, half, half)])
        assert [x.shape[-1] for x in xs] == [n, half, half // 2, half // 2 - 2]
        assert [x.shape[1] for x in xs] == [8, 8, 8, 16] == list(net.out.channels)


def test_a_product_with_ones_is_the_lateral_and_gates_its_gradient() -> None:
    m: DeconvolutionModule = shaken(DeconvolutionModule(10, 6, 8, 2, 2, "product"))
    coarse, fine = torch.randn(1, 10, 3, 3), torch.randn(1, 6, 6, 6)
    nn.init.zeros_(m.above[1].weight)
    nn.init.ones_(m.above[1].bias)
    torch.testing.assert_close(m(coarse, fine), m.side(fine).relu())
    gate = torch.linspace(0, 3, 8)  # what comes from above scales what the lateral learns
    with torch.no_grad():
        m.above[1].bias.copy_(gate)
    seen: list[Tensor] = []
    m.side.register_full_backward_hook(lambda _, __, out: seen.append(out[0]))
    m.side[4].bias.data.fill_(50.0)  # so that no ReLU stands in the way
    m(coarse, fine.requires_grad_()).sum().backward()
    torch.testing.assert_close(seen[0], gate[:, None, None].expand_as(seen[0][0])[None])


def test_a_gate_may_begin_open() -> None:
    m, fine = DeconvolutionModule(10, 6, 8, 2, 2, ones=True).train(), torch.randn(4, 6, 6, 6)
    gate = m.above(m.deconv(torch.randn(4, 10, 3, 3)))
    assert abs(gate.mean() - 1) < 0.05 and gate.std() < 0.3 and m.side(fine).std() > 0.5


@pytest.mark.oracle("torchvision's bottleneck", "dssd")
@pytest.mark.parametrize("module", ["b", "c", "d"])
def test_prediction_modules_are_bottlenecks(module: Any) -> None:
    """With the 3x3 of the authors' code; "b" has no convolution on the shortcut, "d" is "c" twice."""
    head: PredictionHead = shaken(PredictionHead(replace(IN, anchors=(8, 8)), module, width=6, middle=3))
    x = torch.randn(2, 12, 9, 9)
    ours: Any = head.before[0]
    assert len(ours) == (2 if module == "d" else 1)
    want = x
    for m in ours:
        c, w = m.conv1.in_channels, m.conv1.out_channels
        assert (m.downsample is None) == (module == "b") and 4 * w == (12 if module == "b" else 24)
        short = None if module == "b" else nn.Sequential(nn.Conv2d(c, 4 * w, 1, bias=False),
                                                         nn.BatchNorm2d(4 * w, 1e-3))
        theirs = TheirBottleneck(c, w, downsample=short, norm_layer=lambda n: nn.BatchNorm2d(n, 1e-3)).eval()
        theirs.load_state_dict(m.state_dict())
        want = theirs(want)
    torch.testing.assert_close(ours(x), want)
    plain = PredictionHead(replace(IN, anchors=(8, 8)), module, width=6).before[0]
    assert all(m.conv2.kernel_size == (1, 1) for m in plain)


def test_a_prediction_module_may_begin_as_its_shortcut() -> None:
    inp, x = replace(IN, anchors=(8, 8)), torch.randn(2, 12, 9, 9)
    for still in (True, False):
        before: Any = PredictionHead(inp, "c", width=6, still=still).before
        block = before[0][0]
        assert torch.equal(block(x), block.downsample(x).relu()) == still


@pytest.mark.oracle("torchvision's SSD head, equal weights", "dssd")
def test_without_a_prediction_module_it_is_the_head_of_ssd() -> None:
    inp = replace(IN, anchors=(8, 8))
    head = PredictionHead(inp, "a")
    theirs = SSDHead([12, 20], [8, 8], 4)
    for ours, other in ((head.predict.cls, theirs.classification_head), (head.predict.box, theirs.regression_head)):
        for a, b in zip(ours, other.module_list):
            a.weight.data = (background_last(b.weight, 8) if a.out_channels == 32 and ours is head.predict.cls
                             else b.weight)
            a.bias.data = background_last(b.bias, 8) if ours is head.predict.cls else b.bias
    xs = [torch.randn(2, 12, 5, 5), torch.randn(2, 20, 3, 3)]
    said, want = head(xs), theirs(xs)
    torch.testing.assert_close(said[0], want["cls_logits"].roll(-1, -1))
    torch.testing.assert_close(said[1], want["bbox_regression"])


# ---------------------------------------------------------------- settings, and what a user may do wrong


@pytest.mark.parametrize("module", ["a", "b", "c", "d"])
@pytest.mark.parametrize("fusion", ["product", "add", "concat"])
def test_the_papers_comparisons_are_settings(fusion: str, module: str) -> None:
    model: Any = stemma.build("dssd", "small", 3, {"neck.fusion": fusion, "head.module": module}).eval()
    raw = model(torch.rand(1, 3, 128, 128))
    assert raw.logits.shape == (1, 8 * (16**2 + 8**2 + 4**2 + 2**2), 4)


def test_lines_for_what_cannot_be() -> None:
    with pytest.raises(StemmaError, match="'head.module' takes one of a, b, c, d, not 'e'"):
        stemma.build("dssd", "small", 3, {"head.module": "e"})
    with pytest.raises(StemmaError, match="2 sides of convolutions for 4 levels"):
        stemma.build("dssd", "small", 3, {"head.kernels": (3, 3)})
    with pytest.raises(StemmaError, match="prediction module b takes channels in fours"):
        PredictionHead(In((10,), (8,), 3, anchors=(8,), logits=4), "b")
    with pytest.raises(StemmaError, match="dssd: nothing is left of its last map at 200 pixels; 307 are the least"):
        stemma.build("dssd", "paper", 3, {"size": 200})
    assert dssd.cells(306, dssd.LAYERS[321])[-1][0] < 1 <= dssd.cells(307, dssd.LAYERS[321])[-1][0]
    net = DeconvolutionPath(IN, ((2, 2),), 4, 8).train()
    with pytest.raises(StemmaError, match="a map of one cell in a batch of one picture: train with --batch 2"):
        net([torch.randn(1, 12, 4, 4), torch.randn(1, 20, 2, 2)])


def test_boxes_go_with_the_size_of_the_picture() -> None:
    spec, recipe = dssd.PAPER.at(dssd.spec(), dssd.recipe(), 642)
    assert recipe.resize.size == 642 and spec.rule.anchors.small == pytest.approx([2 * v for v in
                                                                                   dssd.boxes_of(321).small])
    cells = dssd.cells(642, dssd.LAYERS[321])
    assert (spec.rule.anchors.steps == tuple(s for _, s, _ in cells)
            and [n for n, _, _ in cells] == [80, 40, 20, 10, 8, 6])


# ---------------------------------------------------------------- training


def test_the_encoder_of_an_ssd_is_taken_over_and_sleeps() -> None:
    """Sec. 3.3: weights and statistics of what the SSD had stay; the way down and the predictors learn."""
    with torch.device("meta"):
        one, two = stemma.build("dssd", "ssd321", 20), stemma.build("dssd", "paper", 20)
    encoder = {k for k in two.state_dict() if k.startswith(("backbone.", "neck.blocks."))}
    assert encoder == {k for k in one.state_dict() if not k.startswith("head.")} and len(encoder) > 500
    model: Any = stemma.build("dssd", "small", 3)
    asleep = [n for n, p in model.named_parameters() if n.startswith(("backbone.", "neck.blocks."))]
    for n, p in model.named_parameters():
        p.requires_grad_(n not in asleep)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.05)
    for _ in range(2):
        rest(model.train())
        torch.stack(list(model.loss(the_batch()).values())).sum().backward()
        optimizer.step()
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert changed and not {k for k in changed if k.startswith(("backbone.", "neck.blocks."))}
    assert any(k.startswith("neck.down") and k.endswith("running_mean") for k in changed)


def test_random_weights_are_not_put_to_sleep(tmp_path: Path) -> None:
    data = scenes(4)
    with pytest.raises(StemmaError, match=r"dssd \(preset paper\) keeps .* and they are random: begin from"):
        stemma.train("dssd", data, "1steps", preset="paper", out=tmp_path / "a", val=data, progress=False)


def test_norms_have_no_decay_and_predictors_biases_twice_the_rate() -> None:
    r = dssd.recipe("whole")
    assert r.lr_mult[0] == (dssd.NORMS, 0.0) and r.lr == 1e-4
    model = dssd.spec("small").build(3)
    norms = {n for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d) and n.startswith(("neck", "head"))}
    import re

    found = {n.rpartition(".")[0] for n, _ in model.named_parameters() if re.search(dssd.NORMS, n)
             and n.startswith(("neck", "head"))}
    assert found == norms
    twice = {n for n, _ in model.named_parameters() if re.search(r.lr_mult[1][0], n)}
    assert twice == {f"{n}.bias" for n, m in model.named_modules()
                     if isinstance(m, nn.ConvTranspose2d) or n.startswith("head.predict.") and isinstance(m, nn.Conv2d)}


def test_stopped_at_every_step_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"budget": "3steps", "paper": "dssd", "save_every": "1steps", "data": scenes(6),
                                "val": scenes(2, "val"), "val_every": 0,
                                "sets": {"rule.score": 0.001}}
    alone, pieces = alone_and_in_pieces(tmp_path, monkeypatch, 2, **settings)
    assert (pieces.path / "last.safetensors").read_bytes() == (alone.path / "last.safetensors").read_bytes()


def the_batch() -> Any:
    return drawn_batch(torch.tensor([[[8.0, 8, 40, 36], [60, 50, 110, 118]], [[20.0, 30, 90, 100], [0, 0, 0, 0]]]))


def test_objects_are_found(learned: Learned) -> None:
    """Thirty steps on one batch."""
    torch.manual_seed(0)
    m, b = dssd.spec("small").build(3).train(), the_batch()
    seen = thirty_steps(m, b)
    learned("loss", min(seen[-3:]), at_most=0.5 * seen[0], untrained=seen[0])


def test_heads_of_one_side_are_those_that_stood() -> None:
    a, b = LevelHeads(replace(IN, anchors=(8, 8)), 3), LevelHeads(replace(IN, anchors=(8, 8)), kernels=(5, 3))
    assert [m.kernel_size for m in a.cls] == [(3, 3)] * 2
    assert ([m.kernel_size for m in b.cls] == [(5, 5), (3, 3)]
            and isinstance(a.cls[0], nn.Conv2d))
    assert isinstance(Bottleneck(8, 2).downsample, type(None))


@pytest.mark.parametrize("preset,batch", [("ssd321", 32), ("paper", 32), ("whole", 32), ("ssd513", 40),
                                          ("dssd513", 32)])
def test_pictures_of_a_step_are_those_of_the_authors_scripts(preset: str, batch: int) -> None:
    assert dssd.recipe(preset).batch == batch  # accum_batch_size there: 20 pictures twice in SSD513's
