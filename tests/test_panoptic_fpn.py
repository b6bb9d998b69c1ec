"""Panoptic FPN: counts, the semantic branch, the joint loss and the merged map."""
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stemma.core.part import In, edit
from stemma.core.types import Batch, Classes, Info, StemmaError, Targets
from stemma.engine.running.optim import groups_of
from stemma.papers.localization import mask_rcnn, panoptic_fpn
from stemma.papers.localization.panoptic_fpn import PanopticFPN, PanopticFPNModel
from stemma.parts.maps.decoders import SemanticFPN
from stemma.parts.maps.panoptic_merge import instances_of, semantic_of, things_as_one

CLASSES = Classes(("disc", "grass", "star", "sky"), things=(True, False, True, False))
INFO = Info("x", "panoptic", Classes(("disc", "star")), ("panoptic",), panoptic=CLASSES)


def net() -> PanopticFPN:
    return panoptic_fpn.PAPER.prepare(panoptic_fpn.spec("small"), INFO)  # type: ignore[misc]


def batch(size: int = 64) -> Batch:
    """Two pictures with a disc, a star, grass and sky, and a strip of void."""
    ids = torch.ones(2, size, size, dtype=torch.int64)
    ids[:, size // 2 :] = 2
    ids[:, 8:30, 10:34], ids[:, 34:60, 30:58], ids[:, :4] = 3, 4, 0
    segments = torch.tensor([[3, 1, 0, 2, -1]]).repeat(2, 1)
    sizes = torch.full((2, 2), float(size))
    t = Targets(torch.zeros(2, 0, 4), torch.zeros(2, 0, dtype=torch.long), panoptic=ids, segments=segments)
    return Batch(torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1)), t, sizes, sizes,
                 torch.arange(2))


def test_the_published_counts() -> None:
    with torch.device("meta"):
        model, detector = panoptic_fpn.spec().build(133), mask_rcnn.spec().build(80)
    count: Any = lambda m: sum(p.numel() for p in m.parameters())
    found = {f.what: f.value for f in panoptic_fpn.PAPER.facts}
    assert found == {"parameters of the semantic branch": count(model.semantic), "parameters": count(model)}
    assert count(model) == count(detector) + count(model.semantic)


def test_sec_4_1_settings() -> None:
    """COCO as Mask R-CNN with scales drawn, Cityscapes in windows; the merge of Panoptic Segmentation in both."""
    coco, city = panoptic_fpn.recipe(), panoptic_fpn.recipe("cityscapes")
    assert (coco.lr, coco.batch, coco.length, coco.resize.scales) == (0.02, 16, "90000steps",
                                                                      (640, 672, 704, 736, 768, 800))
    assert (city.lr, city.batch, city.length, city.augment.window) == (0.01, 32, "65000steps", (512, 1024))
    assert [round(65000 * m) for m in city.milestones] == [40000, 55000]
    for preset in ("paper", "cityscapes"):
        merge = panoptic_fpn.spec(preset).merge
        assert (merge.score, merge.overlap, merge.stuff_area) == (0.5, 0.5, 4096)
    assert city.augment.colour == 0.0, "the largest backbones alone see changed colours"


def test_table_2_weights_and_classes_of_the_branch() -> None:
    """COCO's AP of 33.3 and mIoU of 41.0 in table 3 a are those of weights 1 and .5, Cityscapes' 32.0 and 75.0 those of
    .5 and 1; there the branch predicts all thing classes (sec. 4.1)."""
    coco, city = (panoptic_fpn.spec(p) for p in ("paper", "cityscapes"))
    assert (coco.instance_weight, coco.semantic_weight, coco.apart) == (1.0, 0.5, False)
    assert (city.instance_weight, city.semantic_weight, city.apart) == (0.5, 1.0, True)
    with torch.device("meta"):
        outputs = {s.apart: replace(s, things=tuple(range(11, 19))).build(19).semantic.score.out_channels
                   for s in (coco, city)}
    assert outputs == {False: 12, True: 19}


@pytest.mark.parametrize("preset", ["paper", "cityscapes"])
def test_group_norms_do_not_decay(preset: str) -> None:
    """Detectron and detectron2 put no decay on the scale and shift of a norm."""
    with torch.device("meta"):
        model = panoptic_fpn.spec(preset).build(133)
        apart = {n for g in groups_of(model, panoptic_fpn.recipe(preset)) if not g["weight_decay"] for n in g["names"]}
    assert apart == {f"{n}.{leaf}" for n, m in model.named_modules() if isinstance(m, nn.GroupNorm)
                     for leaf in ("weight", "bias")}


def test_every_level_reaches_a_quarter_by_its_own_steps() -> None:
    inp = In((256,) * 5, (4, 8, 16, 32, 64), 54)
    with torch.device("meta"):
        branch = SemanticFPN(inp)
        steps = [[type(m) for m in tower] for tower in branch.towers]
        one = [nn.Conv2d, nn.GroupNorm, nn.ReLU]
        assert steps == [one, [*one, nn.Upsample], [*one, nn.Upsample] * 2, [*one, nn.Upsample] * 3]
        assert all(tower(torch.empty(1, 256, 32 >> i, 48 >> i)).shape == (1, 128, 32, 48)
                   for i, tower in enumerate(branch.towers))
        assert all(m.bias is None for m in branch.towers.modules() if isinstance(m, nn.Conv2d))
        odd = [torch.empty(1, 256, h, w) for h, w in ((25, 33), (13, 17), (7, 9), (4, 5), (2, 3))]
        assert branch(odd).shape == (1, 54, 25, 33) and branch.out.strides == (4,)


def test_levels_are_added_before_the_score() -> None:
    """The score of the sum is the sum of what each level alone would score, the bias once."""
    odd = SemanticFPN(In((4,) * 4, (4, 8, 16, 32), 3), width=24)
    assert {m.num_groups for m in odd.modules() if isinstance(m, nn.GroupNorm)} == {8}, "as many of 32 as divide 24"
    torch.manual_seed(0)
    branch = SemanticFPN(In((4,) * 4, (4, 8, 16, 32), 3), width=8, groups=4)
    nn.init.normal_(branch.score.bias)
    xs = [torch.randn(1, 4, 16 >> i, 24 >> i) for i in range(4)]
    alone = [F.conv2d(tower(x), branch.score.weight) for tower, x in zip(branch.towers, xs)]
    torch.testing.assert_close(branch(xs), torch.stack(alone).sum(0) + branch.score.bias[:, None, None],
                               rtol=1e-4, atol=1e-5)


@pytest.mark.oracle("Mask R-CNN with the same weights", "panoptic_fpn")
def test_without_the_semantic_loss_the_gradients_are_the_detectors() -> None:
    torch.manual_seed(0)
    b = batch()
    model = edit(net(), "semantic_weight", 0.0).build(4)
    detector = mask_rcnn.spec("small").build(2)
    detector.load_state_dict(model.instances.state_dict())
    assert b.targets.panoptic is not None and b.targets.segments is not None
    objects = instances_of(b.targets.panoptic, b.targets.segments, (0, 2), 4)
    for m, one in ((model, b), (detector, replace(b, targets=objects))):
        torch.manual_seed(5)
        torch.stack(list(m.loss(one).values())).sum().backward()
    for (name, p), q in zip(model.instances.named_parameters(), detector.parameters()):
        assert p.grad is not None and q.grad is not None
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-4, atol=1e-6, msg=name)
    assert all(p.grad is not None and not p.grad.any() for p in model.semantic.parameters())


def test_weights_multiply_the_two_halves() -> None:
    torch.manual_seed(0)
    b, plain = batch(), net().build(4).eval()
    other = replace(net(), instance_weight=2.0, semantic_weight=1.0).build(4).eval()
    other.load_state_dict(plain.state_dict())
    found = []
    for m in (plain, other):
        torch.manual_seed(3)
        found.append(m.loss(b))
    assert set(found[0]) == {"semantic", *(f"instances_{k}" for k in ("rpn_cls", "rpn_box", "cls", "box", "mask"))}
    for k, v in found[0].items():
        torch.testing.assert_close(found[1][k], 2 * v)
    assert panoptic_fpn.spec().semantic_weight == 0.5 and panoptic_fpn.spec("cityscapes").semantic_weight == 1.0


def test_things_are_one_class_to_the_branch_and_void_is_not_asked() -> None:
    place, stuff = things_as_one((0, 2), 4)
    assert place[:4].tolist() == [0, 1, 0, 2] and place[255] == 255 and stuff.tolist() == [-1, 1, 3]
    for wrong in ((), (0, 4), (1, 1)):
        with pytest.raises(StemmaError, match="'things'"):
            things_as_one(wrong, 4)
    torch.manual_seed(0)
    b, model = batch(), net().build(4).eval()
    assert b.targets.panoptic is not None and b.targets.segments is not None
    truth = semantic_of(b.targets.panoptic, b.targets.segments)
    want = torch.where(truth == 255, 255, torch.tensor([0, 1, 0, 2])[truth.clamp(max=3)])
    with torch.no_grad():
        logits = model(b.images)["semantic"]
        assert logits.shape == (2, 3, 64, 64)
        torch.testing.assert_close(model.loss(b)["semantic"], 0.5 * F.cross_entropy(logits, want, ignore_index=255))
        wide = replace(net(), apart=True).build(4).eval()
        logits = wide(b.images)["semantic"]
        assert logits.shape == (2, 4, 64, 64) and wide.stuff.tolist() == [-1, 1, -1, 3]
        torch.testing.assert_close(wide.loss(b)["semantic"], 0.5 * F.cross_entropy(logits, truth, ignore_index=255))
    with pytest.raises(StemmaError, match="panoptic maps"):
        model.loss(replace(b, targets=replace(b.targets, panoptic=None)))


def test_the_pyramid_is_built_once_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    model, calls = net().build(4).eval(), []
    model.instances.backbone.register_forward_hook(lambda *_: calls.append(1))
    b = batch()
    model.loss(b)
    model.predict(b.images, b.sizes)
    assert len(calls) == 2


class Said(PanopticFPNModel):
    """A model whose semantic branch says what it is told, and whose detector finds nothing."""

    told = torch.zeros(0)

    def forward(self, images: Any) -> dict[str, Any]:
        return super().forward(images) | {"semantic": F.one_hot(self.told, 3).permute(0, 3, 1, 2) * 9.0}


def test_what_the_branch_calls_a_thing_is_void_and_stuff_keeps_its_class() -> None:
    torch.manual_seed(0)
    model = Said(edit(edit(net(), "merge.stuff_area", 1), "merge.score", 1.1), 4).eval()
    model.told = torch.zeros(1, 64, 64, dtype=torch.long)
    model.told[:, 16:32], model.told[:, 32:] = 1, 2
    out = model.predict(torch.rand(1, 3, 64, 64), torch.tensor([[60.0, 64.0]]))
    ids = out.ids[0].numpy()
    assert (ids[:16] == 0).all() and (ids[60:] == 0).all()
    names = [CLASSES.names[int(out.labels[0, ids[y, 0] - 1])] for y in (20, 40)]
    assert names == ["grass", "sky"] and np.unique(ids).size == 3
