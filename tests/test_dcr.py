"""DCR: crops of what a frozen detector found, chosen, named again, multiplied; what is remembered of a picture."""
from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

import stemma
from engine_help import noisy_batch, scenes, short
from learning import Learned
from stemma.core import paper as cards
from stemma.core.part import In
from stemma.core.types import Batch
from stemma.data.scenes import Scenes
from stemma.engine.pictures.trainer import Trainer
from stemma.engine.running import schedule
from stemma.engine.running.optim import set_awake
from stemma.papers.localization import dcr
from stemma.parts.dense.sample import Hardest
from stemma.parts.regions.refined import Crop, HardFalse, alone, flipped, named

CARD = cards.get("dcr")




def net(**sets: Any) -> Any:
    torch.manual_seed(0)
    return stemma.build("dcr", "small", 4, sets or None)


def still(m: Any) -> Any:
    """In the phase in which the detector sleeps."""
    set_awake(m, r"^crop", set())
    return m.train()


def test_published_counts() -> None:
    with torch.device("meta"):
        m = dcr.spec().build(80)
    assert sum(p.numel() for x in (m.crop, m.crop_name) for p in x.parameters()) == CARD.facts[0].value


def test_the_crops_net_learns_at_the_authors_rates() -> None:
    """Four pictures at .0005 for the detector, at .0001 for the crops' net, its last layer ten times as fast (lr and
    fc_lr of the settings of branch dcr_v1); FPN at .005 (settings of branch master). A detector's first steps, 1,000 or
    500, are at a tenth (warmup, warmup_lr and warmup_step), and none of the crops' net."""
    for preset, lr, epochs, late, falls in (("paper", 5e-4, 8, 1000, (5.333,)), ("fpn", 5e-3, 7, 500, (4, 6))):
        r = cards.get("dcr").recipe(preset)
        rate = {name: r.lr * next((v for p, v in r.lr_mult if re.search(p, name)), 1.0)
                for name in ("backbone.conv1.weight", "crop.conv1.weight", "crop_name.weight")}
        assert list(rate.values()) == pytest.approx([4 * lr, 4 * 1e-4, 4 * 1e-3])
        assert r.length == f"{2 * (epochs + 8)}epochs", "eight epochs of pictures and mirror images, for the crops' net"
        steps, begin = (epochs + 8) * 2 * 118_287 / 4, epochs / (epochs + 8)
        at = [schedule.rate(r, n / steps, 0) for n in (0, late - 1, late + 1, begin * steps - 1)]
        assert at == pytest.approx([0.1, 0.1, 1, 0.1 ** len(falls)])
        for n, fall in enumerate(falls):
            assert schedule.rate(r, fall * 0.999 / (epochs + 8), 0) == pytest.approx(0.1**n)
        crops = [schedule.rate(r, begin + (1 - begin) * f, 1) for f in (0, 5.32 / 8, 5.34 / 8)]
        assert crops == pytest.approx([1, 1, 0.1]), "5.33 of eight epochs, no warm-up"
    (stage,) = dcr.spec("fpn").stages
    assert stage.sample == Hardest(512) and stage.once, "ENABLE_OHEM, BATCH_ROIS_OHEM of its settings"


@pytest.mark.oracle("torchvision's resnet152", "dcr")
def test_the_crops_net_is_torchvisions_resnet152() -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.resnet152(num_classes=5).eval()
    trunk = dcr.spec().crop.build(In((3,), (1,), 4)).eval()
    trunk.load_state_dict({k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")})
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        ours = theirs.fc(trunk(x)[-1].mean((-2, -1)))
        torch.testing.assert_close(ours, theirs(x), atol=1e-3, rtol=1e-4)


# ---------------------------------------------------------------- the product


def test_no_gradient_goes_from_the_crops_into_the_detector() -> None:
    m = net().train()
    m.loss(noisy_batch())["crop"].backward()
    reached = {n for n, p in m.named_parameters() if p.grad is not None}
    assert reached == {n for n, _ in m.named_parameters() if n.startswith("crop")}


@pytest.mark.oracle("NumPy's product and torchvision's NMS", "dcr")
def test_the_answer_is_the_product_of_both_scores_suppressed() -> None:
    """Every class score of every box, times the crop's softmax; then NMS within each class."""
    m, b = net().eval(), noisy_batch(1)
    with torch.no_grad():
        torch.nn.init.normal_(m.crop_name.weight, std=2.0)
        boxes, scores = m.found(m(b.images), b.sizes)
        crops = m.spec.view(m.spec.preprocess(b.images), boxes, b.sizes)
        logits = m.named(crops).double().numpy()
    e = np.exp(logits - logits.max(1, keepdims=True))
    final = (e / e.sum(1, keepdims=True))[:, :4] * scores[0].double().numpy()
    rows = []
    for c in range(4):
        at = np.where(final[:, c] > 0.02)[0]
        kept = torchvision.ops.nms(boxes[0][at], torch.from_numpy(final[at, c]).float(), 0.3)
        rows += [(final[at[i], c], c) for i in kept.tolist()]
    rows = sorted(rows, reverse=True)[:50]
    d = m.predict(b.images, b.sizes)
    n = int((d.labels >= 0).sum())
    assert n == len(rows) and n > 3 and d.labels[0, :n].tolist() == [c for _, c in rows]
    np.testing.assert_allclose(d.scores[0, :n].numpy(), [s for s, _ in rows], atol=1e-5)


def test_a_crop_net_that_knows_nothing_changes_no_rank_and_no_score_rises() -> None:
    torch.manual_seed(0)
    scores, logits = torch.rand(2, 20, 4), torch.randn(2, 20, 5)
    assert torch.equal(named(torch.zeros(2, 20, 5), scores).argsort(1), scores.argsort(1))
    assert (named(logits, scores) <= scores).all() and (named(logits, scores) <= logits.softmax(-1)[..., :4]).all()


# ---------------------------------------------------------------- which crops


def test_mistakes_are_named_by_kind() -> None:
    """Labels 2 is background of two classes: a find, a wrong class, a sure background, an unsure one."""
    labels = torch.tensor([[0, 0, 2, 2, 1]])
    scores = torch.tensor([[[0.2, 0.1], [0.1, 0.2], [0.4, 0.1], [0.2, 0.1], [0.0, 0.9]]])
    kinds = HardFalse(score=0.3).marked(labels, scores)
    assert {k: v[0].tolist() for k, v in kinds.items()} == {
        "hard": [False, True, True, False, False], "foreground": [True, False, False, False, True],
        "background": [False, False, True, True, False],
    }
    assert torch.stack(list(kinds.values())).any(0).all(), "with all three the draw is uniform"


def test_objects_come_first_and_the_rest_is_drawn_of_the_kinds_that_are_asked() -> None:
    labels, scores = torch.full((1, 40), 2), torch.zeros(1, 40, 2)
    scores[0, 10:20] = 0.5
    real = torch.ones(1, 40, dtype=torch.bool)
    real[0, 35:] = False
    truth = torch.zeros_like(real)
    truth[0, :3] = True
    used = HardFalse(8)(labels, scores, real, truth)
    assert used.sum() == 8 and used[0, :3].all() and not used[0, 35:].any()
    hard = HardFalse(30, 0.3, ("hard",))(labels, scores, real, truth)
    assert hard.nonzero()[:, 1].tolist() == [0, 1, 2, *range(10, 20)]
    m = net(**{"draw.kinds": "hard,foreground", "draw.count": 4}).train()
    assert m.spec.draw == HardFalse(4, 0.3, ("hard", "foreground")) and m.loss(noisy_batch())["crop"].isfinite()


def test_a_picture_without_objects_and_one_without_finds() -> None:
    """All crops are background then; where there is nothing to cut out, the loss is nothing."""
    m, b = still(net()), noisy_batch()
    t = replace(b.targets, labels=torch.full_like(b.targets.labels, -1), boxes=b.targets.boxes * 0)
    loss = m.loss(replace(b, targets=t))["crop"]
    loss.backward()
    assert loss > 0 and all(p.grad.isfinite().all() for p in m.crop.parameters())
    assert sorted(m.kept) == [0, 1]
    for k, (pixels, boxes, scores) in m.kept.items():
        m.kept[k] = pixels, boxes * 0, scores * 0
    assert m.loss(replace(b, targets=t))["crop"] == 0
    none = replace(t, boxes=t.boxes[:, :0], labels=t.labels[:, :0])
    assert m.loss(replace(b, targets=none))["crop"].isfinite()
    with torch.no_grad():
        assert (m.eval().predict(b.images * 0, b.sizes).scores <= 1).all()


# ---------------------------------------------------------------- crops


def test_a_crop_of_its_own_size_is_the_picture() -> None:
    x = torch.rand(1, 3, 40, 40)
    sizes = torch.tensor([[40.0, 40.0]])
    crop = Crop(16)(x, torch.tensor([[[8.0, 4.0, 24.0, 20.0]]]), sizes)
    torch.testing.assert_close(crop[0], x[0, :, 4:20, 8:24])
    wide = Crop(32, 2.0)(x, torch.tensor([[[8.0, 8.0, 24.0, 24.0]]]), sizes)
    torch.testing.assert_close(wide[0], x[0, :, :32, :32])
    cut = Crop(24, 2.0)(x, torch.tensor([[[0.0, 8.0, 16.0, 24.0]]]), sizes)  # 24 wide and 32 high after the cut
    assert cut.shape == (1, 3, 24, 24) and (cut != 0).all()
    torch.manual_seed(0)
    many = crop.expand(200, -1, -1, -1)
    turned = (flipped(many, 0.5) == many.flip(-1)).flatten(1).all(1)
    assert 60 < turned.sum() < 140 and torch.equal(flipped(many, 0.0), many)


# ---------------------------------------------------------------- what is remembered


def test_what_was_found_in_a_picture_does_not_depend_on_its_batch() -> None:
    m, b = still(net()), noisy_batch()
    wide = F.pad(b.images, (0, 32, 0, 64), value=0.3)
    with torch.no_grad():
        one = m.remembered(b)
        m.kept.clear()
        two = m.remembered(replace(b, images=wide))
        m.kept.clear()
        three = [m.remembered(Batch(wide[i : i + 1], b.targets, b.sizes[i : i + 1], b.original, b.index[i : i + 1]))
                 for i in (1, 0)]
    for a, c, single in zip(one, two, zip(three[1], three[0])):
        assert torch.equal(a, c) and torch.equal(a, torch.cat(single))
    assert alone(b.images[0], torch.tensor([100.0, 70.0]), (0.1, 0.2, 0.3)).shape == (1, 3, 128, 96)


def test_a_picture_is_looked_at_once_and_anew_when_it_comes_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    m, b, looks = still(net()), noisy_batch(), list[int]()
    found = type(m).found

    def counted(self: Any, raw: Any, sizes: Tensor) -> Any:
        looks.append(len(sizes))
        return found(self, raw, sizes)

    monkeypatch.setattr(type(m), "found", counted)
    m.loss(b), m.loss(b)
    assert looks == [1, 1]
    m.loss(replace(b, images=b.images.flip(-1)))
    assert looks == [1] * 4
    m.eval().loss(b)  # validation: other pictures may have the same numbers
    assert looks == [1] * 6 and torch.equal(m.kept[0][0], b.images.flip(-1)[0, :, ::16, ::16])
    set_awake(m, ".*", set())
    m.train().loss(b)
    assert not m.kept, "a detector that learns has no past"


def test_phases_resume_exactly_and_the_detector_sleeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed among the crops, in the second epoch over remembered pictures, a run ends with the bytes of one left
    alone; the detector, its statistics included, did rest."""
    how: dict[str, Any] = {"paper": "dcr", "budget": "8steps", "val_every": 0, "log_every": 1, "data": scenes(8),
                           "sets": {"recipe.ema": 0.0, "recipe.augment.vertical": 0.0, "recipe.augment.quarter": 0.0,
                                    "recipe.augment.flip": 0.0, "view.side": 32}}
    run = short(tmp_path / "alone", **how)
    said = [set(e["losses"]) for e in run.metrics() if e["kind"] == "train"]
    assert said == [{"rpn_cls", "rpn_box", "cls", "box"}] * 4 + [{"crop"}] * 4
    step, seen, hits = Trainer._step, list[dict[str, Tensor]](), list[int]()

    def cut(self: Trainer, batches: Any, fraction: float) -> None:
        if self.steps == 7:
            raise SystemExit
        step(self, batches, fraction)
        seen.append({k: v.clone() for k, v in self.model.state_dict().items()})
        hits.append(len(self.model.kept))

    monkeypatch.setattr(Trainer, "_step", cut)
    with pytest.raises(SystemExit):
        short(tmp_path / "cut", **how, save_every="1steps")
    monkeypatch.setattr(Trainer, "_step", step)
    changed = [{k for k in seen[0] if not torch.equal(seen[i][k], seen[i + 1][k])} for i in (1, 4)]
    assert any(k.startswith("backbone") for k in changed[0]) and not any(k.startswith("crop") for k in changed[0])
    assert changed[1] and all(k.startswith("crop") for k in changed[1])
    assert hits == [0, 0, 0, 0, 4, 8, 8], "eight pictures, remembered from the second epoch on"
    again = short(tmp_path / "cut", **how, save_every="1steps", resume=True)
    assert (again.path / "last.safetensors").read_bytes() == (run.path / "last.safetensors").read_bytes()


@pytest.mark.whole
def test_predictions_are_written_for_other_runtimes(tmp_path: Path) -> None:
    run = short(tmp_path / "run", paper="dcr", budget="2steps", val_every=0, sets={"view.side": 32})
    assert stemma.export(run, tmp_path / "net.pt2", format="torch", size=(64, 64))["difference"] < 1e-3
    assert stemma.predict(run, scenes(2)[0].image, threshold=0.0)[0]["boxes"].shape[1] == 4


@pytest.mark.slow
def test_small_learns_drawn_scenes(tmp_path: Path, learned: Learned) -> None:
    data, val = Scenes(400, 128).cache(), Scenes(60, 128, split="val").cache()
    run = stemma.train("dcr", data, "160steps", "small", tmp_path / "run", val=val, val_every=0, progress=False,
                       precision="fp32")
    torch.manual_seed(0)
    before = stemma.build("dcr", "small", info=run.load("last").info)
    learned("AP50", stemma.evaluate(run, val, which="last")["AP50"], at_least=0.05,
            untrained=stemma.evaluate(before, val)["AP50"])
