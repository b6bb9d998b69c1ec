"""Equal weights, equal answers: Faster, Mask and Keypoint R-CNN against torchvision's,
in evaluation and in the losses."""
from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import detection as tv

from stemma.core.types import Batch, StemmaError, Targets
from stemma.engine.pictures.import_torchvision import from_torchvision
from stemma.ops.masks import paste
from stemma.parts.dense.sample import Everything

CASES = {
    "fpn": (tv.fasterrcnn_resnet50_fpn, {"num_classes": 7}),
    "mask_rcnn": (tv.maskrcnn_resnet50_fpn, {"num_classes": 5}),
    "keypoint": (tv.keypointrcnn_resnet50_fpn, {"num_classes": 2, "num_keypoints": 17}),
}
LESS = {"rpn_post_nms_top_n_test": 200, "box_detections_per_img": 12}  # short lists, for time


@functools.cache
def theirs(case: str) -> Any:
    """A torchvision model whose random weights say much: batch norms set by one look at noise,
    output layers made loud."""
    torch.manual_seed(1)
    make, kw = CASES[case]
    net = make(weights=None, weights_backbone=None, min_size=160, max_size=512, **LESS, **kw)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.momentum = 1.0
    spread: dict[nn.Module, float] = {net.rpn.head.cls_logits: 2.0, net.rpn.head.bbox_pred: 0.3,
                                      net.roi_heads.box_predictor.cls_score: 1.5,
                                      net.roi_heads.box_predictor.bbox_pred: 0.7}

    def loud(layer: Any, _: Any, said: Tensor) -> Tensor:
        """Scale and shift an output layer so that each of its numbers has mean 0 and the wanted deviation (once, on the
        finest level)."""
        wanted = spread.pop(layer, None)
        if wanted is None:
            return said
        rows = said.transpose(0, 1).flatten(1)
        factor = wanted / rows.std(1)
        layer.weight.mul_(factor.view(-1, *[1] * (layer.weight.ndim - 1)))
        layer.bias.copy_((layer.bias - rows.mean(1)) * factor)
        return (said - rows.mean(1).view(-1, *[1] * (said.ndim - 2))) * factor.view(-1, *[1] * (said.ndim - 2))

    with torch.no_grad():
        noise = torch.randn(2, 3, 192, 224)
        noise[:, :, 160:] = 0  # as padding is
        net.backbone.train()(noise)
        hooks = [layer.register_forward_hook(loud) for layer in spread]
        net.eval()([torch.rand(3, 160, 211), torch.rand(3, 227, 160)])
        for hook in hooks:
            hook.remove()
    return net.eval()


@functools.cache
def ours(case: str) -> Any:
    model = from_torchvision("mask_rcnn" if case == "keypoint" else case, theirs(case).state_dict())
    rpn = replace(model.spec.rpn, proposals=replace(model.spec.rpn.proposals, keep=200))
    model.spec = replace(model.spec, rpn=rpn, post=(replace(model.spec.post[0], keep=12),))
    return model


def pictures(sizes: list[tuple[int, int]], spec: Any) -> tuple[list[Tensor], Tensor, Tensor]:
    """(pictures, the same padded to one batch with the mean colour, their sizes)."""
    torch.manual_seed(2)
    each = [torch.rand(3, h, w) for h, w in sizes]
    height, width = (-(-max(s[i] for s in sizes) // 32) * 32 for i in (0, 1))
    batch = torch.tensor(spec.preprocess.mean)[:, None, None].expand(3, height, width).repeat(len(each), 1, 1, 1)
    for i, x in enumerate(each):
        batch[i, :, : x.shape[1], : x.shape[2]] = x
    return each, batch, torch.tensor(sizes, dtype=torch.float32)


def check(case: str, sizes: list[tuple[int, int]]) -> None:
    a, b = theirs(case), ours(case)
    each, batch, real = pictures(sizes, b.spec)
    with torch.no_grad():
        want = a(each)
    got = b.predict(batch, real).unpad()
    for w, g in zip(want, got):
        assert len(w["boxes"]) == len(g["boxes"]) == 12
        torch.testing.assert_close(g["scores"], w["scores"], atol=1e-5, rtol=0)
        assert torch.equal(g["labels"], w["labels"] - 1)
        torch.testing.assert_close(g["boxes"], w["boxes"], atol=1e-3, rtol=0)
        assert w["scores"].std() > 0.01 and len(w["labels"].unique()) >= (1 if case == "keypoint" else 3)
        if "masks" in w:
            h, width = w["masks"].shape[-2:]
            torch.testing.assert_close(paste(g["masks"], g["boxes"], (h, width)), w["masks"][:, 0], atol=1e-3, rtol=0)
        if "keypoints" in w:
            torch.testing.assert_close(g["keypoints"][..., 2], w["keypoints_scores"], atol=1e-3, rtol=1e-4)
            off = (g["keypoints"][..., :2] - w["keypoints"][..., :2]).abs().amax(-1)
            assert (off < 1e-2).float().mean() > 0.999  # a tie between two pixels may fall either way


@pytest.mark.parametrize("case", list(CASES))
@pytest.mark.oracle("torchvision's detector, equal weights", "fpn", "mask_rcnn")
def test_the_same_detections_as_torchvision(case: str) -> None:
    check(case, [(160, 192)])


@pytest.mark.parametrize("case", ["fpn", "mask_rcnn"])
def test_the_same_detections_on_a_batch_of_odd_sizes(case: str) -> None:
    check(case, [(160, 211), (227, 160)])


@pytest.mark.slow
@pytest.mark.parametrize("case", list(CASES))
@pytest.mark.parametrize("sizes", [[(160, 160)], [(160, 301)], [(411, 160), (160, 300)]])
def test_the_same_detections_at_more_sizes(case: str, sizes: list[tuple[int, int]]) -> None:
    check(case, sizes)


def truth(points: int = 0) -> tuple[list[dict[str, Tensor]], Targets]:
    boxes = torch.tensor([[10.0, 20, 90, 110], [100, 40, 180, 150], [60, 70, 150, 160], [5, 100, 60, 155]])
    labels = torch.tensor([0, 0, 0, 0]) if points else torch.tensor([0, 2, 1, 3])
    masks = torch.zeros(4, 160, 192, dtype=torch.bool)
    for m, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist()):
        m[y1 + 5 : y2, x1 : x2 - 7] = True
    where = torch.rand(4, 17, 1, 2) * (boxes[:, None, None, 2:] - boxes[:, None, None, :2]) + boxes[:, None, None, :2]
    joints = torch.cat([where[:, :, 0], torch.randint(0, 3, (4, 17, 1)).float()], -1)
    their = [{"boxes": boxes, "labels": labels + 1, "masks": masks.byte(), "keypoints": joints}]
    pad = torch.zeros(1, 2, 4)
    target = Targets(
        torch.cat([boxes[None], pad], 1), torch.cat([labels[None], torch.full((1, 2), -1)], 1),
        masks=torch.cat([masks[None], masks[None, :2] * False], 1),
        keypoints=torch.cat([joints[None], torch.zeros(1, 2, 17, 3)], 1),
    )
    return their, target


@pytest.mark.parametrize("case", list(CASES))
@pytest.mark.oracle("torchvision's losses", "faster_rcnn", "fpn", "mask_rcnn")
def test_the_same_losses_when_every_candidate_is_used(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The draw of candidates is random in both, so both are told to take all of them: then the definitions agree."""
    a, b = theirs(case), ours(case)
    their, target = truth(17 if case == "keypoint" else 0)
    every = lambda self, labels: ([(v >= 1).byte() for v in labels], [(v == 0).byte() for v in labels])  # noqa: E731
    monkeypatch.setattr("torchvision.models.detection._utils.BalancedPositiveNegativeSampler.__call__", every)
    monkeypatch.setattr(a.rpn, "_pre_nms_top_n", {"training": 400, "testing": 400})
    monkeypatch.setattr(a.rpn, "_post_nms_top_n", {"training": 24, "testing": 24})
    each, batch, real = pictures([(160, 192)], b.spec)
    a.train()
    for m in a.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.eval()
    with torch.no_grad():
        want = a(each, their)
    a.eval()
    spec = b.spec
    proposals = replace(spec.rpn.proposals, pre_train=400, keep_train=30)
    stage = replace(spec.stages[0], sample=Everything(), count=30, positive=1.0)
    monkeypatch.setattr(b, "spec", replace(spec, rpn=replace(spec.rpn, sample=Everything(), proposals=proposals),
                                           stages=(stage,)))
    monkeypatch.setattr("stemma.skeletons.two_stage.with_truth",
                        lambda boxes, t: torch.cat([boxes[:, :24], t.boxes], 1))
    with torch.no_grad():
        got = b.loss(Batch(batch, target, real, real, torch.zeros(1, dtype=torch.long)))
    names = {"rpn_cls": "loss_objectness", "rpn_box": "loss_rpn_box_reg", "cls": "loss_classifier",
             "box": "loss_box_reg", "mask": "loss_mask",
             "keypoint": "loss_keypoint"}
    assert {names[k] for k in got} == set(want)
    for k, v in got.items():
        torch.testing.assert_close(v, want[names[k]], rtol=1e-4, atol=1e-5)


def test_a_state_dict_that_does_not_fit_is_refused() -> None:
    state = theirs("fpn").state_dict()
    with pytest.raises(StemmaError, match="fasterrcnn_resnet50_fpn"):
        from_torchvision("mask-rcnn", state)
    with pytest.raises(StemmaError, match="6 classes, not 80"):
        from_torchvision("fpn", state, classes=80)
    with pytest.raises(StemmaError, match="missing: 1, first rpn_head.box.bias"):
        from_torchvision("fpn", {k: v for k, v in state.items() if k != "rpn.head.bbox_pred.bias"})
    with pytest.raises(StemmaError, match="no rule for the weight 'extra.thing'"):
        from_torchvision("fpn", {**state, "extra.thing": torch.zeros(1)})
    with pytest.raises(StemmaError, match="no weights for faster_rcnn"):
        from_torchvision("faster-rcnn", state)
    named = from_torchvision("fpn", state, classes=list("abcdef"))
    assert named.info.classes.names == tuple("abcdef")


@pytest.mark.parametrize("name", ["retinanet", "ssd"])
def test_dense_detectors_are_read_too(name: str) -> None:
    """Every tensor lands where it belongs: the raw outputs are torchvision's."""
    torch.manual_seed(4)
    if name == "ssd":
        a: Any = tv.ssd300_vgg16(weights=None, weights_backbone=None, num_classes=4).eval()
    else:
        a = tv.retinanet_resnet50_fpn(weights=None, weights_backbone=None, num_classes=4).eval()
        for m in a.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.running_var.fill_(4.0)
    b = from_torchvision(name, a.state_dict())
    assert b.classes == (3 if name == "ssd" else 4) and b.preset == "torchvision"
    images = torch.rand(1, 3, 300, 300) if name == "ssd" else torch.rand(1, 3, 96, 128)
    with torch.no_grad():
        said = a.head(list(a.backbone(b.spec.preprocess(images)).values()))
        raw = b(images)
    torch.testing.assert_close(raw.codes, said["bbox_regression"], rtol=1e-4, atol=1e-4)
    logits = said["cls_logits"]
    torch.testing.assert_close(raw.logits, logits.roll(-1, -1) if name == "ssd" else logits, rtol=1e-4, atol=1e-4)
