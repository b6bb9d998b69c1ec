"""PANet: counts, the second path, pooling from all levels, and the mask that two ways draw."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from learning import Learned
from stemma.core.part import In, edit, part
from stemma.core.types import Batch, StemmaError, Targets
from stemma.ops import roi
from stemma.papers.localization import mask_rcnn, panet
from stemma.papers.localization.panet import AdaptiveHead, FusedMaskBranch
from stemma.parts.necks import FPN, PathAggregation
from stemma.parts.regions.heads import Align, FCHead

LEVELS = In((6, 6, 6), (4, 8, 16), 3, logits=4)
POOL = Align(3, aligned=True, levels=3)


def levels(seed: int = 0) -> list[Tensor]:
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 6, 64 // s, 96 // s, generator=g) for s in LEVELS.strides]


def boxes() -> Tensor:
    return torch.tensor([[4.0, 6, 30, 40], [10, 3, 88, 60], [50, 20, 62, 30]]).expand(2, 3, 4).contiguous()


def batch() -> Batch:
    """Two pictures of two rectangles with their masks."""
    g = torch.Generator().manual_seed(1)
    b = torch.tensor([[[8.0, 8, 40, 36], [60, 50, 110, 118]], [[20.0, 30, 90, 100], [0, 0, 0, 0]]])
    labels, y, x = torch.tensor([[0, 2], [1, -1]]), torch.arange(128)[:, None], torch.arange(128)
    masks = torch.stack([torch.stack([(x >= k[0]) & (x < k[2]) & (y >= k[1]) & (y < k[3]) for k in p]) for p in b])
    images = 0.2 * torch.rand(2, 3, 128, 128, generator=g) + 0.6 * masks.any(1)[:, None]
    sizes = torch.full((2, 2), 128.0)
    return Batch(images, Targets(b, labels, masks=masks), sizes, sizes, torch.arange(2))


def test_the_published_counts() -> None:
    with torch.device("meta"):
        model, parent = panet.spec().build(90), mask_rcnn.spec().build(90)
        two = edit(edit(panet.spec(), "stages.0.head.convs", 0), "stages.0.head.depth", 2).build(90)
        bare = edit(panet.spec(), "neck.norm", "none").build(90)
    count: Any = lambda *ms: sum(p.numel() for m in ms for p in m.parameters())  # noqa: E731
    found = {f.what: f.value for f in panet.PAPER.facts}
    assert found == {"parameters of the second path": count(bare.neck.down, bare.neck.path),
                     "parameters of the mask's fully connected layer": count(model.branches[0].fc)}
    assert count(bare.neck) - count(parent.neck) == found["parameters of the second path"]
    # a norm has a scale where a convolution without one has none: four laterals, four 3x3s and the second path's six
    assert count(model.neck) - count(bare.neck) == 14 * 256
    # every new layer has one, by 32 groups (authors' code)
    head, mask = model.heads[0], model.branches[0]
    norms = [sum(isinstance(m, nn.GroupNorm) and m.num_groups == 32 for m in x.modules())
             for x in (head.first, head.rest, mask.first, mask.before, mask.body, mask.short)]
    assert norms == [4, 3, 4, 2, 1, 2]
    # two fully connected layers: the first of them once more for each of three more levels
    assert count(two.heads) - count(parent.heads) == 3 * (256 * 49 + 1) * 1024


def test_the_path_from_c2_to_n5_is_short() -> None:
    """Sec. 3.1: fewer than ten layers. A change of one cell of C2 reaches N5 through eight convolutions: the lateral,
    P2's own, and two a step."""
    neck = PathAggregation(In((8,) * 4, (4, 8, 16, 32)), 8)
    steps = [m for block in (neck.down, neck.path) for m in block.modules() if isinstance(m, nn.Conv2d)]
    assert len(steps) + 2 == 8 and neck.out.strides == (4, 8, 16, 32, 64)
    xs = [torch.rand(1, 8, 64 >> i, 96 >> i) for i in range(4)]
    xs[0].requires_grad_()
    neck(xs)[3].sum().backward()
    assert xs[0].grad is not None and xs[0].grad.abs().sum() > 0
    plain = FPN(In((8,) * 4, (4, 8, 16, 32)), 8)
    xs[0].grad = None
    plain(xs)[3].sum().backward() if plain(xs)[3].grad_fn is not None else None
    assert xs[0].grad is None  # in FPN the coarsest level knows nothing of C2


@pytest.mark.oracle("a plain restatement of sec. 3.1", "panet", how="equal")
@pytest.mark.parametrize("size", [(64, 96), (75, 50)])
def test_the_second_path_as_it_is_written(size: tuple[int, int]) -> None:
    neck = PathAggregation(In((4, 6, 8), (4, 8, 16)), 8).eval()
    for p in neck.parameters():
        nn.init.normal_(p, std=0.2)
    xs = [torch.randn(1, c, -(-size[0] // s), -(-size[1] // s)) for c, s in zip((4, 6, 8), (4, 8, 16))]
    p2, p3, p4 = FPN.forward(neck, xs)
    n3 = neck.path[0][0](neck.down[0](p2).relu() + p3).relu()
    n4 = neck.path[1][0](neck.down[1](n3).relu() + p4).relu()
    for found, want in zip(neck(xs), (p2, n3, n4, n4[:, :, ::2, ::2]), strict=True):
        torch.testing.assert_close(found, want)


@pytest.mark.oracle("the authors' steps with group norm restated", "panet")
def test_a_step_of_the_second_path_with_norms_by_groups() -> None:
    """FPN.py of the authors with USE_GN: a convolution, 32 groups, a ReLU; then the level is added."""
    neck = edit(panet.spec(), "neck.norm", "group").neck.but(width=64).build(In((4, 6), (4, 8)))
    norms = [m for m in neck.modules() if isinstance(m, nn.GroupNorm)]
    assert len(norms) == 2 * 2 + 2 and {m.num_groups for m in norms} == {32}
    for p in neck.parameters():
        nn.init.normal_(p, std=0.2)
    xs = [torch.randn(1, 4, 16, 24), torch.randn(1, 6, 8, 12)]
    p2, p3 = FPN.forward(neck, xs)

    def step(x: torch.Tensor, block: Any, stride: int) -> torch.Tensor:
        y = F.conv2d(x, block[0].weight, None, stride, 1)
        return F.group_norm(y, 32, block[1].weight, block[1].bias).relu()

    n3 = step(step(p2, neck.down[0], 2) + p3, neck.path[0][0], 1)
    torch.testing.assert_close(neck(xs)[1], n3, rtol=1e-4, atol=1e-4)


@pytest.mark.oracle("mmdetection's PAFPN restated, which has no activations", "panet")
def test_without_activations_over_sums_it_is_the_public_variant() -> None:
    neck = PathAggregation(In((4, 6, 8, 10), (4, 8, 16, 32)), 8, activate=False, start="sums")
    for p in neck.parameters():
        nn.init.normal_(p, std=0.2)
    xs = [torch.randn(2, c, 48 // s, 80 // s) for c, s in zip((4, 6, 8, 10), (1, 2, 4, 8))]
    w = dict(neck.named_parameters())

    def c(name: str, x: Tensor, stride: int = 1) -> Tensor:
        k = w[f"{name}.weight"]
        return F.conv2d(x, k, w[f"{name}.bias"], stride, k.shape[-1] // 2)

    inner = [c(f"inner_blocks.{i}", x) for i, x in enumerate(xs)]
    for i in (3, 2, 1):
        inner[i - 1] = inner[i - 1] + F.interpolate(inner[i], size=inner[i - 1].shape[2:], mode="nearest")
    outs = [c(f"layer_blocks.{i}", x) for i, x in enumerate(inner)]
    for i in range(3):
        outs[i + 1] = outs[i + 1] + c(f"down.{i}", outs[i], 2)
    want = [outs[0], *(c(f"path.{i - 1}.0", outs[i]) for i in (1, 2, 3))]
    want.append(F.max_pool2d(want[-1], 1, 2))
    for a, b in zip(neck(xs), want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_with_a_silent_step_a_level_sees_its_own_alone() -> None:
    neck = PathAggregation(In((4, 4), (4, 8)), 8)
    for p in neck.down.parameters():
        nn.init.zeros_(p)
    a, b, top = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8), torch.randn(1, 4, 4, 4)
    assert torch.equal(neck([a, top])[1], neck([b, top])[1]) and not torch.equal(neck([a, top])[0], neck([b, top])[0])


@pytest.mark.parametrize("convs,depth", [(0, 2), (0, 1), (2, 1), (4, 1)])
@pytest.mark.oracle("pooling, first layers and their maximum restated level by level", "panet")
def test_adaptive_feature_pooling_as_it_is_written(convs: int, depth: int) -> None:
    """Sec. 3.2: each level through a first layer of its own, the larger number taken, the rest shared."""
    head = AdaptiveHead(LEVELS, POOL, width=10, convs=convs, channels=5, depth=depth)
    xs, at = levels(), boxes()
    logits, deltas = head(xs, at)
    best: Tensor | None = None
    for layer, x, s in zip(head.first, xs, LEVELS.strides, strict=True):
        y = layer(roi.roi_align(x, at, 3, s, 2, True).flatten(0, 1))
        best = y if best is None else torch.where(y > best, y, best)
    want = head.predict(head.rest(best).view(2, 3, -1))
    torch.testing.assert_close(logits, want[0])
    torch.testing.assert_close(deltas, want[1])
    assert logits.shape == (2, 3, 4) and deltas.shape == (2, 3, 4, 4)
    linear = [m for m in head.rest.modules() if isinstance(m, nn.Linear)]
    assert len(linear) == depth - (convs == 0) and head.predict.cls.in_features == 10


def test_of_equal_levels_with_equal_layers_the_maximum_is_one_level() -> None:
    """Then it is the head of FPN that reads that level."""
    same = In((6, 6), (8, 8), 3, logits=4)
    head = AdaptiveHead(same, Align(3, aligned=True, levels=2), width=10, convs=0, depth=2)
    head.first[1].load_state_dict(head.first[0].state_dict())
    plain = FCHead(In((6,), (8,), 3, logits=4), Align(3, aligned=True, levels=1), width=10)
    plain.body[0].load_state_dict(head.first[0][1].state_dict())
    plain.body[2].load_state_dict(head.rest[0][0].state_dict())
    plain.predict.load_state_dict(head.predict.state_dict())
    x = levels()[1]
    for a, b in zip(head([x, x], boxes()), plain([x], boxes())):
        torch.testing.assert_close(a, b)


def test_the_gradient_goes_to_the_level_that_won() -> None:
    head = AdaptiveHead(LEVELS, POOL, width=10, convs=0, depth=2)
    with torch.no_grad():
        for i, layer in enumerate(head.first):
            layer[1].weight.mul_(0).add_(1.0)
            layer[1].bias.fill_(float(i == 1) * 1e4)
    xs = [x.requires_grad_() for x in levels()]
    logits, _ = head(xs, boxes())
    logits.sum().backward()
    assert xs[1].grad is not None and xs[1].grad.abs().sum() > 0
    assert all(xs[i].grad is None or not xs[i].grad.any() for i in (0, 2))  # type: ignore[union-attr]
    assert torch.equal(head.winners(xs, boxes()), torch.tensor([0.0, 1, 0]).expand(2, 3, 3))


def test_shares_of_the_levels_add_up_and_count_what_has_a_word() -> None:
    head = AdaptiveHead(LEVELS, POOL, width=32, convs=0, depth=2)
    share = head.winners(levels(), boxes())
    torch.testing.assert_close(share.sum(-1), torch.ones(2, 3))
    assert (share > 0).all()
    silent = [torch.zeros_like(x) for x in levels()]
    with torch.no_grad():
        for layer in head.first:
            layer[1].bias.fill_(-1.0)
    assert not head.winners(silent, boxes()).any()


def test_table_5_fused_early_or_by_sum() -> None:
    xs, at = levels(), boxes()
    early = AdaptiveHead(LEVELS, POOL, width=10, convs=0, depth=2, early=True)
    assert len(early.first) == 1
    each = torch.stack(POOL.every(xs, LEVELS.strides, at)).amax(0)
    want = early.predict(early.rest(early.first[0](each.flatten(0, 1))).view(2, 3, -1))[0]
    torch.testing.assert_close(early(xs, at)[0], want)
    total = AdaptiveHead(LEVELS, POOL, width=10, convs=0, depth=2, fuse="sum")
    torch.testing.assert_close(sum(total.levels(xs, at)), torch.stack(total.levels(xs, at)).sum(0))
    for sets in (("fuse", "sum"), ("early", True), ("convs", 2), ("depth", 3)):
        edit(panet.spec("small"), f"stages.0.head.{sets[0]}", sets[1]).build(3)


@pytest.mark.parametrize("join,rectify", [("sum", True), ("sum", False), ("max", False), ("product", True)])
@pytest.mark.oracle("sec. 3.3 restated layer by layer", "panet")
def test_fully_connected_fusion_as_it_is_written(join: Any, rectify: bool) -> None:
    """Figure 4: conv1 to conv4 and a deconvolution; from conv3 two convolutions and a fully connected layer."""
    branch = FusedMaskBranch(LEVELS, POOL, width=8, depth=4, join=join, rectify=rectify)
    for p in branch.parameters():
        nn.init.normal_(p, std=0.15)
    xs, at, labels = levels(), boxes(), torch.tensor([[0, 1, 2], [2, 2, 3]])
    y = torch.stack([layer(p.flatten(0, 1)) for layer, p in
                     zip(branch.first, POOL.every(xs, LEVELS.strides, at))]).amax(0)
    y3 = branch.before(y)
    classes = branch.last(branch.up(branch.body(y3)).relu()).view(2, 3, 3, 6, 6)
    whole = branch.fc(branch.short(y3).flatten(1)).view(2, 3, 6, 6)
    whole = whole.relu() if rectify else whole
    own = torch.stack([torch.stack([classes[b, r, min(int(labels[b, r]), 2)] for r in range(3)]) for b in range(2)])
    want = {"sum": own + whole, "product": own * whole, "max": torch.maximum(own, whole)}[join]
    torch.testing.assert_close(branch.logits(xs, at, labels, None), want, rtol=1e-4, atol=1e-5)
    convs = {k: len([m for m in getattr(branch, k).modules() if isinstance(m, nn.Conv2d)])
             for k in ("first", "before", "body", "short")}
    assert convs == {"first": 3, "before": 2, "body": 1, "short": 2}


def test_the_layers_mask_is_added_to_every_class_alike() -> None:
    branch = FusedMaskBranch(LEVELS, POOL, width=8, rectify=False)
    xs, at = levels(), boxes()
    alone: dict[int, Tensor] = {}
    for c in range(3):
        label = torch.full((2, 3), c)
        before = branch.logits(xs, at, label, None)
        with torch.no_grad():
            branch.fc.bias.add_(2.0)
        alone[c] = branch.logits(xs, at, label, None) - before
        with torch.no_grad():
            branch.fc.bias.sub_(2.0)
    for d in alone.values():
        torch.testing.assert_close(d, torch.full_like(d, 2.0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("wrong", [{"start": 0}, {"start": 5}, {"kind": "softmax"}])
def test_a_short_path_that_leaves_nowhere_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(StemmaError, match="branches.0: the short path leaves after convolution 1 to 4"):
        part(FusedMaskBranch, **wrong).build(LEVELS)


def test_the_recipe_is_that_of_the_authors_configuration() -> None:
    r = panet.recipe()
    assert (r.lr, r.batch, r.length, r.resize.size, r.resize.longest) == (0.02, 16, "180000steps", 1000, 1400)
    assert [round(180_000 * m) for m in r.milestones] == [120_000, 160_000]
    assert (round(180_000 * r.warmup), r.warmup_factor) == (500, 1 / 3)
    assert sorted(set(r.resize.scales)) == [400, 600, 800, 1000, 1200] and r.resize.scales.count(1200) == 2


@pytest.mark.parametrize("preset,whole", [("boxes", "paper"), ("boxes-small", "small")])
def test_boxes_alone_are_the_same_net_without_its_masks(preset: str, whole: str) -> None:
    """As the paper's table of detection has it; data without masks will do."""
    assert replace(panet.spec(whole), branches=()) == panet.spec(preset)
    length = "90000steps" if preset == "boxes" else panet.recipe(whole).length  # the authors' 1x configuration
    alike = replace(panet.recipe(preset), length=panet.recipe(whole).length, warmup=panet.recipe(whole).warmup)
    assert panet.recipe(preset).length == length and alike == panet.recipe(whole)
    assert panet.PAPER.needs(preset) == "boxes" and panet.PAPER.needs(whole) == "masks"


def test_boxes_and_masks_learn(learned: Learned) -> None:
    """Forty steps on one batch: the loss of all, and of the masks alone."""
    m, b = panet.spec("small").build(3).train(), batch()
    optimizer, seen = torch.optim.AdamW(m.parameters(), 3e-3), []
    for _ in range(40):
        losses = m.loss(b)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        seen.append({k: v.item() for k, v in losses.items()})
    whole = [sum(s.values()) for s in seen]
    learned("loss", min(whole[-3:]), at_most=0.6 * whole[0], untrained=whole[0])
    learned("mask loss", min(s["mask"] for s in seen[-3:]), at_most=0.7 * seen[0]["mask"], untrained=seen[0]["mask"])
    d = m.eval().predict(b.images)
    assert d.masks is not None and d.masks.shape[-1] == 28 and replace(d).boxes.shape == d.boxes.shape
