"""InstanceFCN: masks assembled from maps of parts, its lattice of windows, its loss."""
from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision

import stemma
from engine_help import scenes, short
from learning import Learned
from stemma.core import paper as cards
from stemma.core.part import In
from stemma.core.types import Batch, StemmaError, Targets
from stemma.data.scenes import Scenes
from stemma.engine.pictures.trainer import Trainer
from stemma.ops import psroi
from stemma.papers.localization import deepmask, instance_fcn
from stemma.parts.windows.instances import InstanceHead, assemble

CARD = cards.get("instance-fcn")


def count(m: Any) -> int:
    return sum(p.numel() for p in m.parameters())


@functools.cache
def batch(images: int = 2) -> Batch:
    torch.manual_seed(3)
    low = torch.rand(images, 3, 2) * 40 + 10
    boxes = torch.cat([low, low + 20 + torch.rand(images, 3, 2) * 30], -1)
    y, x = torch.arange(128.0)[:, None], torch.arange(128.0)
    x1, y1, x2, y2 = (v[..., None, None] for v in boxes.unbind(-1))
    masks = (x >= x1) & (x < x2) & (y >= y1) & (y < y2)
    size = torch.full((images, 2), 128.0)
    return Batch(torch.rand(images, 3, 128, 128), Targets(boxes, torch.randint(0, 4, (images, 3)), masks=masks), size,
                 size, torch.arange(images))


def net(**sets: Any) -> Any:
    torch.manual_seed(0)
    return stemma.build("instance-fcn", "small", 4, sets or None)


def test_published_counts() -> None:
    with torch.device("meta"):
        m = instance_fcn.spec().build(80)
        other = {k: count(InstanceHead(In((512,), (8,), logits=1), k)) for k in (1, 3, 7)}
        deep = count(deepmask.spec().build(80).head.decode)
    found = {"numbers a cell": m.head.parts[-1].out_channels + m.head.score[-1].out_channels,
             "parameters of the head": count(m.head)}
    assert found == {f.what: f.value for f in CARD.facts}
    assert other[3] - other[1] == 8 * (9 * 512 + 1) and deep == (512 + 1) * 56**2
    assert m.rule.cells(m) == 21


# ---------------------------------------------------------------- assembling


@pytest.mark.oracle("a loop that copies", "instance_fcn")
@pytest.mark.parametrize("k,side", [(1, 5), (3, 7), (3, 9), (5, 21), (2, 5)])
def test_assembling_is_copying_cell_by_cell(k: int, side: int) -> None:
    torch.manual_seed(0)
    passes = ((12, 15), (6, 8))
    maps = [torch.randn(2, k * k, h, w) for h, w in passes]
    codes = torch.cat([m.flatten(2).mT for m in maps], 1)
    at = torch.randint(0, codes.shape[1], (2, 30))
    ours = assemble(codes, at, passes, side)
    wanted = torch.empty_like(ours)
    for b in range(2):
        for p in range(30):
            i, cell = (0, int(at[b, p])) if at[b, p] < 180 else (1, int(at[b, p]) - 180)
            h, w = passes[i]
            cy, cx = divmod(cell, w)
            for y in range(side):
                for x in range(side):
                    part = (y * k // side) * k + x * k // side
                    row, col = (min(max(c + v - side // 2, 0), n - 1) for c, v, n in ((cy, y, h), (cx, x, w)))
                    wanted[b, p, y, x] = maps[i][b, part, row, col]
    torch.testing.assert_close(ours, wanted)


@pytest.mark.oracle("R-FCN's position-sensitive pooling", "instance_fcn")
def test_the_mean_of_the_assembled_window_is_r_fcns_vote() -> None:
    """On windows that lie on the grid and parts of whole cells."""
    torch.manual_seed(1)
    maps = torch.randn(1, 9, 20, 20)
    at = torch.tensor([[4 * 20 + 4, 10 * 20 + 12, 15 * 20 + 6]])
    ours = assemble(maps.flatten(2).mT, at, ((20, 20),), 9).mean((2, 3))
    y, x = at // 20, at % 20
    boxes = torch.stack([x - 4, y - 4, x + 5, y + 5], -1).float() * 8
    pooled = psroi.ps_roi_align(maps, boxes, 3, 8.0, samples=3)
    torch.testing.assert_close(ours, psroi.vote(pooled)[..., 0], atol=1e-5, rtol=1e-5)


def test_equal_maps_give_a_plain_crop_and_a_step_aside_reads_the_same_pixels() -> None:
    torch.manual_seed(2)
    one = torch.randn(1, 1, 20, 20)
    codes, at = one.expand(1, 9, -1, -1).flatten(2).mT, torch.tensor([[10 * 20 + 10, 10 * 20 + 11]])
    first, second = assemble(codes, at, ((20, 20),), 7)[0]
    assert torch.equal(first, one[0, 0, 7:14, 7:14]) and torch.equal(first[:, 1:], second[:, :-1])
    maps = torch.randn(1, 9, 20, 20)  # of different maps, but for the parts' seams
    first, second = assemble(maps.flatten(2).mT, at, ((20, 20),), 9)[0]
    same = (first[:, 1:] == second[:, :-1]).all(0)
    assert same.tolist() == [True, True, False, True, True, False, True, True]


# ---------------------------------------------------------------- learning


def test_the_lattice_learns_by_deepmasks_rule() -> None:
    m = net()
    t, s = batch().targets, m.rule.sample
    raw = m.look(batch().images, m.spec.scales)
    state, owner = m.rule.label(raw.windows, t)
    assert (state == 1).sum() > 4 and (state == 0).sum() > (state == 1).sum() and (state == -1).any()
    for b, a in (state == 1).nonzero().tolist():
        window, box = raw.windows[a], t.boxes[b, owner[b, a]]
        side = float(window[2] - window[0])
        middle = ((window[:2] + window[2:]) - (box[:2] + box[2:])).abs().max() / 2
        longest = float((box[2:] - box[:2]).max())
        assert middle <= s.shift * side + 1e-3 and 2**-s.octave - 1e-3 <= side * s.fill / longest <= 2**s.octave + 1e-3
    none = replace(t, labels=torch.full_like(t.labels, -1))
    assert (m.rule.label(raw.windows, none)[0] == 0).all()


@pytest.mark.oracle("the loss in loops", "instance_fcn")
def test_the_loss_by_its_equation() -> None:
    """All windows are asked: L(score) of each, and the mean of L over the cells of positive ones."""
    m, b = net(**{"rule.count": 100_000}).eval(), batch()
    t = b.targets
    with torch.no_grad():
        losses, raw = m.loss(b), m.look(b.images, m.spec.scales)
    state, owner = m.rule.label(raw.windows, t)
    state = torch.where(raw.inside(b.sizes), state, -1)
    n, side, mask, score = int((state >= 0).sum()), m.rule.cells(m), 0.0, 0.0
    assert raw.codes is not None and t.masks is not None
    for i, a in (state >= 0).nonzero().tolist():
        y = 1 if state[i, a] == 1 else -1
        score += float(F.softplus(-y * raw.logits[i, a, 0]))
        if y == 1:
            f = assemble(raw.codes, torch.full((2, 1), a), raw.passes, side)[i, 0]
            roi = torch.cat([torch.zeros(1), raw.windows[a]])[None]
            share = torchvision.ops.roi_align(t.masks[i, owner[i, a]][None, None].float(), roi, side, 1.0, -1, False)
            mask += float(F.binary_cross_entropy_with_logits(f, (share[0, 0] >= 0.5).float()))
    assert float(losses["score"]) == pytest.approx(score / n, rel=1e-4)
    assert float(losses["mask"]) == pytest.approx(mask / n, rel=1e-4)


def test_half_of_the_windows_are_positive_where_there_are_as_many() -> None:
    from stemma.parts.dense.sample import Random

    state = torch.cat([torch.ones(1, 50), torch.zeros(1, 500), -torch.ones(1, 9)], 1).long()
    used = Random(64, 0.5)(state, torch.zeros(1, 559))
    assert used[0, :50].sum() == 32 and used.sum() == 64 and not used[0, 550:].any()


def test_data_without_masks_are_refused_and_pictures_without_objects_learn() -> None:
    m, b = net().train(), batch()
    with pytest.raises(StemmaError, match="learns from the masks"):
        m.loss(replace(b, targets=replace(b.targets, masks=None)))
    t = b.targets
    none = replace(t, boxes=t.boxes[:, :0], labels=t.labels[:, :0], masks=t.masks[:, :0])  # type: ignore[index]
    losses = m.loss(replace(b, targets=none))
    assert losses["mask"] == 0 and losses["score"] > 0


def test_a_window_has_a_cell_in_its_middle() -> None:
    with pytest.raises(StemmaError, match="set window=40 or 56"):
        net(**{"window": 48}).loss(batch())


@pytest.mark.parametrize("k", [1, 3, 5])
def test_k_is_a_setting(k: int) -> None:
    m = net(**{"head.k": k}).train()
    torch.stack(list(m.loss(batch()).values())).sum().backward()
    assert m.head.parts[-1].out_channels == k * k and all(p.grad is not None for p in m.parameters())


def test_a_window_gives_the_mask_that_its_maps_say() -> None:
    """Maps that draw a square everywhere in the middle of the only window that scores."""
    m, b = net(**{"rule.first": 1, "rule.keep": 1}).eval(), batch(1)
    raw = m.look(b.images, m.spec.scales)
    h, w = raw.passes[2]  # the picture as it is
    start, cell = raw.levels[0] + raw.levels[1], (h // 2) * w + w // 2
    logits, codes = torch.full_like(raw.logits, -9.0), torch.full_like(raw.codes, -9.0)
    logits[0, start + cell] = 9.0
    canvas = codes[0, start : start + h * w].view(h, w, -1)
    canvas[h // 2 - 2 : h // 2 + 3, w // 2 - 2 : w // 2 + 3] = 9.0
    with torch.no_grad():
        d = m.rule.predict(m, replace(raw, logits=logits, codes=codes), b.sizes)
    window = raw.windows[start + cell]
    middle, stride = (window[:2] + window[2:]) / 2, m.grid.stride
    assert d.labels[0, 0] == 0
    torch.testing.assert_close(d.boxes[0, 0], torch.cat([middle - 2.5 * stride, middle + 2.5 * stride]), atol=0.5,
                               rtol=0)
    assert d.masks is not None and (d.masks[0, 0] >= 0.5).float().mean() > 0.9


def test_killed_and_resumed_it_ends_as_one_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    how: dict[str, Any] = {"paper": "instance-fcn", "budget": "4steps", "val_every": 0, "sets": {"recipe.ema": 0.0}}
    run = short(tmp_path / "alone", **how)
    step = Trainer._step

    def cut(self: Trainer, batches: Any, fraction: float) -> None:
        if self.steps == 2:
            raise SystemExit
        step(self, batches, fraction)

    monkeypatch.setattr(Trainer, "_step", cut)
    with pytest.raises(SystemExit):
        short(tmp_path / "cut", **how, save_every="1steps")
    monkeypatch.setattr(Trainer, "_step", step)
    again = short(tmp_path / "cut", **how, save_every="1steps", resume=True)
    assert (again.path / "last.safetensors").read_bytes() == (run.path / "last.safetensors").read_bytes()
    said = stemma.export(run, tmp_path / "net.pt2", format="torch", size=(64, 64), outputs="raw")
    assert said["difference"] < 1e-3
    assert stemma.predict(run, scenes(2)[0].image, threshold=0.0)[0]["boxes"].shape[1] == 4


@pytest.mark.slow
def test_small_learns_drawn_scenes(tmp_path: Path, learned: Learned) -> None:
    data, val = Scenes(300, 128).cache(), Scenes(40, 128, split="val").cache()
    run = stemma.train("instance-fcn", data, "100steps", "small", tmp_path / "run", val=val, val_every=0,
                       progress=False, precision="fp32")
    torch.manual_seed(0)
    before = stemma.build("instance-fcn", "small", info=run.load("last").info)
    learned("AR100 of masks", stemma.evaluate(run, val, which="last")["mask_AR100"], at_least=0.1,
            untrained=stemma.evaluate(before, val)["mask_AR100"])


