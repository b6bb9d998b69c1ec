"""RFB Net: counts, boxes clamped by centre and size, the blocks beside plain ones, what they reach, settings, resume."""
from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import stemma
from engine_help import alone_and_in_pieces, drawn_batch, scenes, thirty_steps
from learning import Learned
from stemma.core import paper as cards
from stemma.core.part import In
from stemma.core.types import StemmaError
from stemma.ops import boxes as bx
from stemma.papers.localization import rfb_net, ssd
from stemma.parts.backbones.vgg import WIDTHS, Extras, L2Norm
from stemma.parts.dense.anchors import DefaultBoxes, lay
from stemma.parts.receptive import Block, ReceptiveLevels
from stemma.parts.regions.deformable import DeformConv

SIDE = {"": 300, "rfb512": 512, "rfb512-e": 512}


def plain(channels: int, width: int, kernel: Any = 1, stride: int = 1, dilation: int = 1, relu: bool = True) -> Any:
    """The code's BasicConv."""
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = tuple(dilation * (k // 2) for k in sides)
    layers = [nn.Conv2d(channels, width, sides, stride, padding, dilation, bias=False), nn.BatchNorm2d(width)]
    return nn.Sequential(*layers, *[nn.ReLU()] * relu)


def authors(kind: str, c: int, width: int, stride: int, visual: int) -> tuple[nn.ModuleList, Any, Any]:
    """(branches, linear, shortcut) of BasicRFB or BasicRFB_a, and of those of the larger net ("e"), written out."""
    if kind.endswith("e"):
        n = c // 8
        first = [nn.Sequential(plain(c, 2 * n, 1, stride), plain(2 * n, 2 * n, 3, relu=False)),
                 nn.Sequential(plain(c, n), plain(n, 2 * n, 3, stride), plain(2 * n, 2 * n, 3, 1, 3, False)),
                 nn.Sequential(plain(c, n), plain(n, n // 2 * 3, 3), plain(n // 2 * 3, 2 * n, 3, stride),
                               plain(2 * n, 2 * n, 3, 1, 5, False)),
                 nn.Sequential(plain(c, n), plain(n, n // 2 * 3, (1, 7)), plain(n // 2 * 3, 2 * n, (7, 1), stride),
                               plain(2 * n, 2 * n, 3, 1, 7, False))]
        if c == 256:
            del first[2]
        if kind == "rfb-s-e":
            first = [nn.Sequential(plain(c, n), plain(n, n, 3, relu=False))]
            first += [nn.Sequential(plain(c, n), plain(n, n, bar), plain(n, n, 3, 1, rate, False))
                      for rate, bar in ((3, (3, 1)), (3, (1, 3)), (5, (3, 1)), (5, (1, 3)))]
            first += [nn.Sequential(plain(c, n // 2), plain(n // 2, n // 4 * 3, bar), plain(n // 4 * 3, n, bar[::-1]),
                                    plain(n, n, 3, 1, 7, False)) for bar in ((1, 3), (3, 1))]
        wide = 7 * n if kind == "rfb-s-e" else 2 * n * len(first)
        return nn.ModuleList(first), plain(wide, width, relu=False), plain(c, width, 1, stride, relu=False)
    n = c // 8 if kind == "rfb" else c // 4
    ends = (plain(6 * n if kind == "rfb" else 4 * n, width, relu=False), plain(c, width, 1, stride, relu=False))
    if kind == "rfb":
        return (nn.ModuleList([
            nn.Sequential(plain(c, 2 * n, 1, stride), plain(2 * n, 2 * n, 3, 1, visual, False)),
            nn.Sequential(plain(c, n), plain(n, 2 * n, 3, stride), plain(2 * n, 2 * n, 3, 1, visual + 1, False)),
            nn.Sequential(plain(c, n), plain(n, n // 2 * 3, 3), plain(n // 2 * 3, 2 * n, 3, stride),
                          plain(2 * n, 2 * n, 3, 1, 2 * visual + 1, False)),
        ]), *ends)
    return (nn.ModuleList([
        nn.Sequential(plain(c, n), plain(n, n, 3, relu=False)),
        nn.Sequential(plain(c, n), plain(n, n, (3, 1)), plain(n, n, 3, 1, 3, False)),
        nn.Sequential(plain(c, n), plain(n, n, (1, 3)), plain(n, n, 3, 1, 3, False)),
        nn.Sequential(plain(c, n // 2), plain(n // 2, n // 4 * 3, (1, 3)), plain(n // 4 * 3, n, (3, 1)),
                      plain(n, n, 3, 1, 5, False)),
    ]), *ends)


def shaken(net: nn.Module) -> Any:
    torch.manual_seed(0)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            nn.init.uniform_(m.running_var, 0.5, 2)
            nn.init.normal_(m.running_mean)
            nn.init.normal_(m.bias)
    return net.eval()


@pytest.mark.parametrize("fact", rfb_net.PAPER.facts, ids=lambda f: f"{f.what}-{f.variant}")
def test_published_counts(fact: cards.Fact) -> None:
    side = SIDE[fact.variant]
    with torch.device("meta"):
        model: Any = rfb_net.spec(fact.variant or "paper").build(fact.classes).eval()
        raw = model(torch.empty(1, 3, side, side))
    found = raw.logits.shape[1] if fact.what == "boxes" else sum(p.numel() for p in model.parameters())
    assert found == fact.value
    assert not any(isinstance(m, L2Norm) for m in model.modules())


def test_the_count_of_parameters_is_that_of_the_code() -> None:
    with torch.device("meta"):
        blocks = [authors("rfb-s", 512, 512, 1, 1), authors("rfb", 1024, 1024, 1, 2), authors("rfb", 1024, 512, 2, 2),
                  authors("rfb", 512, 256, 2, 2)]
        tail = [plain(256, 128), plain(128, 256, 3)] * 2
    want, c = sum(p.numel() for group in (*blocks, tail) for m in group for p in m.parameters()), 3
    for w in (w for stage in WIDTHS for w in stage):
        want, c = want + 9 * c * w + w, w
    want += 9 * 512 * 1024 + 1024 + 1024 * 1024 + 1024
    for width, boxes in ((512, 6), (1024, 6), (512, 6), (256, 6), (256, 4), (256, 4)):
        want += (9 * width + 1) * boxes * (21 + 4)
    (fact,) = (f for f in rfb_net.PAPER.facts if f.what == "parameters" and not f.variant)
    assert want == fact.value


@pytest.mark.parametrize("preset,side,maps", [("paper", 300, (38, 19, 10, 5, 3, 1)),
                                              ("rfb512", 512, (64, 32, 16, 8, 4, 2, 1))])
@pytest.mark.oracle("the authors' prior boxes restated", "rfb_net")
def test_centres_and_sides_are_clamped_and_corners_are_not(preset: str, side: int, maps: tuple[int, ...]) -> None:
    """Their PriorBox lists (cx, cy, w, h) in shares of the picture, and clamps these four to 0..1."""
    boxes = rfb_net.spec(preset).rule.anchors
    assert isinstance(boxes, DefaultBoxes) and boxes.clip
    want = []
    for f, step, small, large, ratios in zip(maps, boxes.steps, boxes.small, boxes.large, boxes.ratios):
        for i in range(f):
            for j in range(f):
                at = (j + 0.5) * step / side, (i + 0.5) * step / side
                sizes = [(small, small), (math.sqrt(small * large),) * 2]
                for r in ratios:
                    sizes += [(small * math.sqrt(r), small / math.sqrt(r)),
                              (small / math.sqrt(r), small * math.sqrt(r))]
                want += [[*at, w / side, h / side] for w, h in sizes]
    grid = lay(boxes, tuple((f, f) for f in maps), (8,) * len(maps), (side, side), torch.zeros(1))
    their = side * torch.tensor(want).clamp(0, 1)
    torch.testing.assert_close(torch.cat(bx.centre_size(grid.boxes), 1), their, rtol=0, atol=1e-3)
    assert grid.boxes.min() < 0 and grid.boxes.max() > side  # a box at the edge keeps its shape
    whole = ssd.spec().rule.anchors
    free = lay(whole, tuple((f, f) for f in maps[:6]), (8,) * 6, (300, 300), torch.zeros(1)).boxes
    assert (free[:, 2:] - free[:, :2]).max() > 300  # SSD's own are longer than the picture


# ---------------------------------------------------------------- the blocks


@pytest.mark.parametrize("kind,stride,visual,scale", [("rfb", 1, 2, 1.0), ("rfb", 2, 2, 0.1), ("rfb", 2, 1, 1.0),
                                                      ("rfb-s", 1, 1, 1.0), ("rfb-s", 1, 1, 0.1),
                                                      ("rfb-e", 1, 1, 1.0), ("rfb-e", 2, 1, 1.0),
                                                      ("rfb-e of 256", 2, 1, 1.0), ("rfb-s-e", 1, 1, 1.0)])
@pytest.mark.oracle("a plain restatement of the authors' blocks, equal state", "rfb_net")
def test_a_block_is_the_authors(kind: Any, stride: int, visual: int, scale: float) -> None:
    kind, _, few = kind.partition(" of ")
    channels = int(few) if few else 320 if kind == "rfb-e" else 64
    ours = shaken(Block(channels, 40, stride, visual, scale, kind))
    theirs = nn.ModuleList(authors(kind, channels, 40, stride, visual))
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    branches, linear, shortcut = theirs.eval()
    x = torch.randn(2, channels, 19, 17)
    with torch.no_grad():
        want = (linear(torch.cat([b(x) for b in branches], 1)) * scale
                + shortcut(x)).relu()
        torch.testing.assert_close(ours(x), want, rtol=1e-4, atol=1e-4)
    assert want.shape[2:] == (-(-19 // stride), -(-17 // stride))


@pytest.mark.parametrize("kind", ["inception", "aspp", "deformable"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.oracle("the rivals restated", "rfb_net")
def test_the_rivals_as_they_are_told(kind: Any, stride: int) -> None:
    """The same input, output and mixture; an Inception's branches look as far as their kernels, a pyramid's alike but
    dilated, a deformable one's wherever its offsets say, at first nowhere else than a plain 3x3."""
    m: Any = shaken(Block(64, 40, stride, 2, 1.0, kind))
    x, n = torch.randn(2, 64, 11, 11), 8

    def run(x: Tensor, layers: Any, rates: tuple[int, ...], strides: tuple[int, ...]) -> Tensor:
        for i, (layer, d, s) in enumerate(zip(layers, rates, strides, strict=True)):
            conv, norm = layer[0], layer[1]
            x = F.conv2d(x, conv.weight, None, s, d * (conv.weight.shape[-1] // 2), d)
            x = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)
            x = x.relu() if i < len(rates) - 1 else x
        return x

    how = {"inception": [((1, 1), (stride, 1)), ((1, 1, 1), (1, stride, 1)), ((1, 1, 1, 1), (1, 1, stride, 1))],
           "aspp": [((1, r), (stride, 1)) for r in (2, 3, 5)], "deformable": [((1, 1), (stride, 1))]}[kind]
    every = torch.cat([run(x, b, *h) for b, h in zip(m.branches, how, strict=True)], 1)
    assert every.shape[1] == 6 * n
    want = (run(every, [m.linear], (1,), (1,)) + run(x, [m.shortcut], (1,), (stride,))).relu()
    torch.testing.assert_close(m(x), want, rtol=1e-4, atol=1e-4)
    moved = [c for c in m.modules() if isinstance(c, DeformConv)]
    assert len(moved) == (kind == "deformable")
    if moved:
        nn.init.constant_(moved[0].offset.bias, 1.0)
        assert not torch.allclose(m(x), want)


@pytest.mark.parametrize("visual,reach", [(1, (3, 7, 11)), (2, (5, 9, 15))])
def test_how_far_each_branch_reaches(visual: int, reach: tuple[int, ...]) -> None:
    """The last 3x3 of a branch spans 2 d + 1 cells, and what its kernel adds before: 0, 2 and 4."""
    block = shaken(Block(64, 40, 1, visual))
    for b, side, rate in zip(block.branches, reach, (visual, visual + 1, 2 * visual + 1)):
        for m in b.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.constant_(m.weight, 0.01)
            if isinstance(m, nn.BatchNorm2d):
                m.reset_running_stats()
                nn.init.zeros_(m.bias)
        x = torch.ones(1, 64, 25, 25, requires_grad=True)
        (g,) = torch.autograd.grad(b(x)[0, 0, 12, 12], x)
        at = (g.abs().sum((0, 1, 2)) > 0).nonzero().flatten()
        assert int(at[-1] - at[0]) + 1 == side == 2 * rate + 1 + {0: 0, 1: 2, 2: 4}[reach.index(side)]


def test_the_field_of_a_cell_is_measured_by_gradients(tmp_path: Path) -> None:
    """Of a dilated 3x3 of ones, by hand; of a net, what lies beyond its reach changes nothing; one page for runs."""
    from stemma.studies import fields

    class Ones(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone, self.neck = nn.Conv2d(3, 1, 3, padding=2, dilation=2, bias=False), lambda x: [x]
            nn.init.ones_(self.backbone.weight)
            self.spec = SimpleNamespace(preprocess=lambda x: x)

    (energy, cells), = fields.energies(Ones(), torch.rand(2, 3, 11, 11))
    assert cells == (11, 11) and torch.count_nonzero(energy) == 9 and energy[5, 5] == energy[3, 7] > 0
    shares = fields.within(energy, cells)
    assert shares.tolist() == pytest.approx([1 / 9, 1 / 9, 1, 1, 1, 1])
    assert [fields.side(shares, s) for s in (0.1, 0.5, 1.0)] == [2, 6, 6]
    reach, x = {}, torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    for kind in ("rfb", "inception"):
        torch.manual_seed(0)
        m: Any = stemma.build("rfb-net", "small", classes=3, sets={"neck.kind": kind, "neck.first": kind}).eval()
        first = fields.measured(m, [x])[0]
        assert 1 < first["side50"] < first["side90"] <= first["side100"] < 128
        reach[kind] = first["side100"]
    half, other = reach["inception"] // 2, x.clone()
    middle = 64 + m.out.strides[0] // 2
    kept = slice(middle - half, middle + half)
    other[..., :] = torch.rand_like(x)
    other[..., kept, kept] = x[..., kept, kept]
    with torch.no_grad():
        a, b = (m.neck(m.backbone(m.spec.preprocess(v)))[0] for v in (x, other))
    at = a.shape[-1] // 2
    torch.testing.assert_close(a[..., at, at], b[..., at, at])
    assert reach["inception"] < reach["rfb"] and not torch.allclose(a, b)
    runs = [stemma.train("rfb-net", scenes(4), budget="1steps", preset="small", out=tmp_path / k, val_every=0, device="cpu",
                         progress=False, sets={"neck.kind": k, "recipe.batch": 2}).path for k in ("rfb", "aspp")]
    record = fields.study(runs, scenes(4, "val"), tmp_path / "out", limit=2, device="cpu")
    assert len(record["rows"]) == 2 and len(fields.table(record)[1]) == sum(len(r["maps"]) for r in record["rows"])
    assert "<svg" in (tmp_path / "out" / "fields.html").read_text() and (tmp_path / "out" / "fields.json").is_file()
    with pytest.raises(StemmaError, match="a backbone and a neck"):
        fields.energies(nn.Conv2d(3, 1, 1), x)


def test_levels_are_those_of_the_code() -> None:
    """Conv4_3's block, then one on fc7 itself and each strided one after another, then SSD's last levels."""
    inp = In((64, 96), (8, 16), 3)
    neck: ReceptiveLevels = shaken(ReceptiveLevels(inp, ((96, 1, 2), (64, 2, 2)), ((16, 32, *ssd.SAME),)))
    xs = [torch.randn(1, 64, 20, 20), torch.randn(1, 96, 10, 10)]
    found = neck(xs)
    a, b = neck.blocks[0](xs[1]), neck.blocks[1](neck.blocks[0](xs[1]))
    for got, want in zip(found, (neck.fine(xs[0]), a, b, neck.tail.blocks[0](b)), strict=True):
        torch.testing.assert_close(got, want)
    assert neck.out.channels == (64, 96, 64, 32) == tuple(x.shape[1] for x in found)
    assert neck.out.strides == (8, 16, 32, 64)
    joined: Any = shaken(ReceptiveLevels(inp, ((96, 1, 1),), (), "rfb-s-e", "rfb-e", join=24))
    low, high = (F.batch_norm(F.conv2d(x, m[0].weight), *(m[1].get_buffer(f"running_{k}") for k in ("mean", "var")),
                              m[1].weight, m[1].bias).relu() for x, m in zip(xs, joined.reduce, strict=True))
    both = torch.cat([low, F.interpolate(high, scale_factor=2, mode="bilinear", align_corners=True)], 1)
    torch.testing.assert_close(joined(xs)[0], joined.fine(both))
    assert joined.out.channels == (48, 96)
    assert all(m.momentum == 0.01 for m in neck.modules() if isinstance(m, nn.BatchNorm2d))


# ---------------------------------------------------------------- settings, and what a user may do wrong


@pytest.mark.parametrize("kind", ["rfb", "rfb-s", "rfb-e", "rfb-s-e", "inception", "aspp", "deformable"])
def test_blocks_are_settings(kind: str) -> None:
    for where in ("neck.kind", "neck.first"):
        model: Any = stemma.build("rfb-net", "small", 3, {where: kind}).eval()
        assert model(torch.rand(1, 3, 128, 128)).levels == (1024, 256, 64, 16)
    thin = stemma.build("rfb-net", "small", 3, {"neck.kind": kind, "neck.narrow": 16})
    assert sum(p.numel() for p in thin.parameters()) < sum(p.numel() for p in model.parameters())


def test_lines_for_what_cannot_be() -> None:
    with pytest.raises(StemmaError, match="'neck.kind' takes one of rfb, rfb-s, rfb-e, rfb-s-e, inception, aspp, deformable"):
        stemma.build("rfb-net", "small", 3, {"neck.kind": "dilated"})
    with pytest.raises(StemmaError, match="divides its 64 channels by 32 and by 4 again"):
        stemma.build("rfb-net", "small", 3, {"neck.narrow": 32})
    with pytest.raises(StemmaError, match="rfb-net: nothing is left of its last map at 200 pixels; 268 are the least"):
        stemma.build("rfb-net", "paper", 3, {"size": 200})
    extras = Extras(In((8,), (8,)), ((4, 8, *ssd.SAME),), norm="batch").train()
    with pytest.raises(StemmaError, match="a map of one cell in a batch of one picture: train with --batch 2 or more"):
        extras([torch.rand(1, 8, 3, 3)])
    assert extras([torch.rand(2, 8, 3, 3)])[1].shape[-1] == 1 and extras.eval()([torch.rand(1, 8, 3, 3)])


@pytest.mark.parametrize("preset,size", [("paper", 600), ("rfb512", 300), ("small", 64)])
def test_boxes_go_with_the_size_of_the_picture(preset: str, size: int) -> None:
    own, theirs = (c.at(c.spec(p), c.recipe(p), size)[0].rule.anchors
                   for c, p in ((rfb_net.PAPER, preset), (ssd.PAPER, preset.replace("rfb", "ssd"))))
    assert (own.steps, own.small, own.large) == (theirs.steps, theirs.small, theirs.large) and own.clip


# ---------------------------------------------------------------- training


def test_the_recipe_is_the_codes() -> None:
    r, epoch = rfb_net.recipe(), 1 / 300
    assert (r.lr, r.batch, r.weight_decay, r.length) == (4e-3, 32, 5e-4, "300epochs")
    assert [round(m / epoch) for m in r.milestones] == [150, 200, 250] and round(r.warmup / epoch) == 5
    assert r.lr * r.warmup_factor == pytest.approx(1e-6) and r.augment.expand == 0.6 and not r.lr_mult


def test_stopped_at_every_step_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"budget": "3steps", "paper": "rfb-net", "save_every": "1steps", "data": scenes(6),
                                "val": scenes(2, "val"), "val_every": 0, "sets": {"neck.kind": "deformable"}}
    alone, pieces = alone_and_in_pieces(tmp_path, monkeypatch, 2, **settings)
    assert (pieces.path / "last.safetensors").read_bytes() == (alone.path / "last.safetensors").read_bytes()


def test_objects_are_found(learned: Learned) -> None:
    """Thirty steps on one batch."""
    torch.manual_seed(0)
    b = drawn_batch(torch.tensor([[[8.0, 8, 40, 36], [60, 50, 110, 118]], [[20.0, 30, 90, 100], [0, 0, 0, 0]]]))
    m = rfb_net.spec("small").build(3).train()
    seen = thirty_steps(m, b)
    learned("loss", min(seen[-3:]), at_most=0.5 * seen[0], untrained=seen[0])
