"""NoC: networks on pooled regions, the maximum of two sizes, the fifth stage as a region's network."""
from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

import stemma
from engine_help import scenes, short
from learning import Learned
from stemma.core import paper as cards
from stemma.core.part import In, edit
from stemma.core.types import Batch, StemmaError, Targets
from stemma.data.scenes import Scenes
from stemma.engine.pictures.trainer import Trainer
from stemma.papers.localization import fast_rcnn, noc
from stemma.parts.regions.heads import FCHead, MaxPool, Res5Head
from stemma.parts.regions.networks import Adjacent, NoC

CARD = cards.get("noc")


def count(m: Any) -> int:
    return sum(p.numel() for p in m.parameters())


@functools.cache
def batch(images: int = 2) -> Batch:
    torch.manual_seed(3)
    low = torch.rand(images, 3, 2) * 60
    boxes = torch.cat([low, low + 20 + torch.rand(images, 3, 2) * 40], -1)
    near = boxes.repeat(1, 6, 1) + torch.randn(images, 18, 4) * 3
    size = torch.full((images, 2), 128.0)
    return Batch(torch.rand(images, 3, 128, 128), Targets(boxes, torch.randint(0, 4, (images, 3)), proposals=near),
                 size, size, torch.arange(images))


def net(preset: str = "small", **sets: Any) -> Any:
    torch.manual_seed(0)
    return stemma.build("noc", preset, 4, sets or None)


@pytest.mark.parametrize("i", range(len(CARD.facts)))
def test_published_counts(i: int) -> None:
    fact = CARD.facts[i]
    spec: Any = CARD.spec(fact.variant or "paper")
    for path, value in fact.sets:
        spec = edit(spec, path, value)
    with torch.device("meta"):
        m = spec.build(fact.classes)
    assert count(m if fact.what == "parameters" else m.heads[0].stage) == fact.value


def test_three_fully_connected_layers_are_fast_rcnns_head() -> None:
    """Parameter for parameter: names, shapes, and what they say of the same regions."""
    spec: Any = noc.spec()
    for path, value in noc.THREE:
        spec = edit(spec, path, value)
    with torch.device("meta"):
        ours, theirs = (s.build(20).heads[0].state_dict() for s in (spec, fast_rcnn.spec()))
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}
    inp = In((8,), (8,), 4, logits=5)
    mine, fast = NoC(inp, MaxPool(3), width=16).eval(), FCHead(inp, MaxPool(3), width=16, dropout=0.5).eval()
    mine.load_state_dict(fast.state_dict())
    x, boxes = torch.rand(2, 8, 16, 16), batch().targets.boxes
    for a, b in zip(mine([x], boxes), fast([x], boxes)):
        assert torch.equal(a, b)


@pytest.mark.oracle("torchvision's layer4", "noc")
def test_the_fifth_stage_on_a_region_is_torchvisions_layer4() -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.resnet101(weights=None).layer4.eval()
    head = Res5Head(In((1024,), (16,), 4, logits=5)).eval()
    head.stage.load_state_dict(theirs.state_dict())
    x, boxes = torch.rand(1, 1024, 8, 8), batch(1).targets.boxes
    with torch.no_grad():
        pooled = torchvision.ops.roi_align(x, [boxes[0]], 14, 1 / 16, 2, False)
        wanted = head.predict(theirs(pooled).mean((2, 3)))
        for a, b in zip(head([x], boxes), wanted):
            torch.testing.assert_close(a[0], b, atol=1e-4, rtol=1e-4)
    assert noc.spec("res5").stages[0].head.cls is Res5Head


# ---------------------------------------------------------------- two sizes


SIZES = (64, 48, 32)


def head(convs: tuple[int, ...] = (6, 5), merge: int = 1, side: float = 24.0) -> NoC:
    torch.manual_seed(1)
    inp = In((4,) * len(SIZES), (8,) * len(SIZES), 3, logits=4)
    return NoC(inp, Adjacent(MaxPool(3), SIZES, side), convs, width=7, depth=1, merge=merge).eval()


def maps() -> list[Tensor]:
    torch.manual_seed(2)
    return [torch.randn(2, 4, s // 4, s // 4) for s in SIZES]


@pytest.mark.oracle("a loop over regions and sizes", "noc")
@pytest.mark.parametrize("merge", [0, 1, 2])
def test_the_maximum_of_two_sizes_as_by_a_loop(merge: int) -> None:
    """Sec. 3.3: one network on both poolings up to `merge`, the larger number of both, one network from there."""
    m, xs, boxes = head(merge=merge), maps(), batch().targets.boxes
    found = m.features(xs, boxes)
    for b in range(2):
        for r in range(boxes.shape[1]):
            box = boxes[b, r]
            sides = [float(((box[2] - box[0]) * (box[3] - box[1])).sqrt()) * s / 64 for s in SIZES]
            larger = [i for i, v in enumerate(sides) if v >= 24]
            first = min(max(max(larger, default=0), 0), 1)
            seen = []
            for i in (first, first + 1):
                roi = torch.cat([box.new_tensor([b]), box * SIZES[i] / 64])[None]
                y = torchvision.ops.roi_pool(xs[i], roi, 3, 1 / 8)
                for conv in list(m.convs)[:merge]:
                    y = F.relu(F.conv2d(y, conv[0].weight, conv[0].bias, padding=1))
                seen.append(y)
            y = torch.maximum(*seen)
            for conv in list(m.convs)[merge:]:
                y = F.relu(F.conv2d(y, conv[0].weight, conv[0].bias, padding=1))
            torch.testing.assert_close(found[b, r], y[0], atol=1e-6, rtol=1e-5)


def test_two_sizes_that_look_alike_are_one() -> None:
    """With one map the maximum is of the map with itself: what a pool at one size gives."""
    two, one, x = head(), NoC(In((4,), (8,), 3, logits=4), MaxPool(3), (6, 5), width=7, depth=1).eval(), maps()[:1]
    one.load_state_dict(two.state_dict())
    for a, b in zip(two(x, batch().targets.boxes), one(x, batch().targets.boxes)):
        assert torch.equal(a, b)


def test_the_two_sizes_lie_on_either_side_of_the_wanted_one() -> None:
    pool = Adjacent(MaxPool(1), SIZES, 24.0)
    sides = torch.tensor([8.0, 30.0, 40.0, 60.0])  # at 64: 8 and 30 below 24 at 48 (22.5); 40: 30, 20; 60: 45, 30
    boxes = torch.cat([torch.zeros(1, 4, 2), sides[None, :, None].expand(1, 4, 2)], -1)
    flat = [torch.full((1, 1, 16, 16), float(i)) for i in range(3)]
    large, small = pool.both(flat, (8, 8, 8), boxes)
    assert large.flatten().tolist() == [0, 0, 1, 1] and small.flatten().tolist() == [1, 1, 2, 2]


def test_a_maximum_needs_two_sizes_and_as_many_convolutions() -> None:
    with pytest.raises(StemmaError, match="merge=1 wants"):
        NoC(In((4,), (8,), 3, logits=4), MaxPool(3), (6,), merge=1)
    with pytest.raises(StemmaError, match="merge=3 wants"):
        head(merge=3)


def test_all_sizes_are_seen_in_training_where_a_head_compares_them() -> None:
    m = net("maxout-small").train()
    assert len(m(batch().images).levels) == 2
    assert len(stemma.build("spp-net", "paper", 4).backbone.sizes) == 5
    m.zero_grad()
    torch.stack(list(m.loss(batch()).values())).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in m.parameters())


# ---------------------------------------------------------------- settings, presets, learning


@pytest.mark.parametrize("convs,depth", [("", 0), ("", 1), ("", 3), ("32", 2), ("32,32,32", 2)])
def test_depth_and_kind_are_settings(convs: str, depth: int) -> None:
    """One to four fully connected layers and up to three convolutions, by settings alone."""
    m = net(**{"stages.0.head.depth": depth, "stages.0.head.convs": convs})
    assert len(m.heads[0].convs) == len([c for c in convs.split(",") if c])
    assert sum(isinstance(x, torch.nn.Linear) for x in m.heads[0].body) == depth
    losses = m.train().loss(batch())
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is not None for p in m.parameters())


def test_the_convolutions_of_the_picture_sleep_and_all_presets_are_built() -> None:
    asleep = noc.recipe().lr_mult[0]
    with torch.device("meta"):
        m = noc.spec().build(20)
        built = {preset: count(CARD.spec(preset).build(20)) for preset in CARD.presets}
    assert asleep[1] == 0
    assert {n.split(".")[0] for n, _ in m.named_parameters() if re.search(asleep[0], n)} == {"backbone"}
    assert all(v > 10_000 for v in built.values()) and built["res5"] != built["naive"]
    spec: Any = noc.spec("svm")
    assert spec.svm is not None and spec.ridge is not None and spec.view.bins == 36
    assert not noc.recipe("res5").lr_mult[0][1] == 0 and not noc.recipe("res5").resize.scales


def test_killed_and_resumed_it_ends_as_one_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEMMA_CACHE", str(tmp_path / "cache"))
    how: dict[str, Any] = {"paper": "noc", "preset": "maxout-small", "budget": "5steps", "val_every": 0,
                           "proposals": "jitter", "save_every": "1steps",
                           "sets": {"recipe.proposals.count": 24, "recipe.ema": 0.0}}
    alone = short(tmp_path / "alone", **how)
    step = Trainer._step

    def cut(self: Trainer, batches: Any, fraction: float) -> None:
        if self.steps == 3:
            raise SystemExit
        step(self, batches, fraction)

    monkeypatch.setattr(Trainer, "_step", cut)
    with pytest.raises(SystemExit):
        short(tmp_path / "cut", **how)
    monkeypatch.setattr(Trainer, "_step", step)
    again = short(tmp_path / "cut", **how, resume=True)
    assert (again.path / "last.safetensors").read_bytes() == (alone.path / "last.safetensors").read_bytes()
    found = stemma.predict(again.path, scenes(2)[0].image, proposals="grid", threshold=0.0)
    assert found[0]["boxes"].shape[1] == 4


@pytest.mark.slow
def test_small_learns_drawn_scenes(tmp_path: Path, learned: Learned) -> None:
    """On boxes near the truth and far from it, held-out scenes."""
    data, val = (Scenes(400, 128, split=split).cache() for split in ("train", "val"))
    run = stemma.train("noc", data, "100steps", "small", tmp_path / "run", val=val, proposals="jitter", val_every=0,
                       progress=False, sets={"recipe.proposals.count": 64}, precision="fp32")
    few = Scenes(60, 128, split="val").cache()
    torch.manual_seed(0)
    model = run.load("last")
    before = stemma.build("noc", "small", info=model.info, sets={"recipe.proposals.kind": "jitter",  # type: ignore
                                                                "recipe.proposals.count": 64})
    learned("AP50", stemma.evaluate(run, few, which="last")["AP50"], at_least=0.1,
            untrained=stemma.evaluate(before, few)["AP50"])
