"""torchvision's detectors as ours: `from_torchvision("fpn", state_dict)`.

What can be read, by the function that makes it:
fasterrcnn_resnet50_fpn -> fpn · maskrcnn_resnet50_fpn -> mask-rcnn · keypointrcnn_resnet50_fpn -> mask-rcnn "keypoint"
· retinanet_resnet50_fpn -> retinanet "torchvision" · ssd300_vgg16 -> ssd "torchvision".
"""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ...core import paper as papers
from ...core.types import Classes, Info, Points, StemmaError
from ...data.readers.points import points_named
from ..running.checkpoint import build
from . import import_dense

State = dict[str, Tensor]
COUNTER = "num_batches_tracked"
REGIONS: import_dense.Rules = (
    (r"backbone\.body\.(.*)", r"backbone.\1"),
    (r"backbone\.fpn\.(inner|layer)_blocks\.(\d+)\.(?:0\.)?(weight|bias)", r"neck.\1_blocks.\2.\3"),
    (r"rpn\.head\.conv\.(?:0\.0\.)?(weight|bias)", r"rpn_head.conv.0.\1"),
    (r"rpn\.head\.cls_logits\.(.*)", r"rpn_head.cls.\1"),
    (r"rpn\.head\.bbox_pred\.(.*)", r"rpn_head.box.\1"),
    (r"roi_heads\.box_head\.fc6\.(.*)", r"heads.0.body.0.\1"),
    (r"roi_heads\.box_head\.fc7\.(.*)", r"heads.0.body.2.\1"),
    (r"roi_heads\.box_predictor\.cls_score\.(.*)", r"heads.0.predict.cls.\1"),
    (r"roi_heads\.box_predictor\.bbox_pred\.(.*)", r"heads.0.predict.box.\1"),
    (r"roi_heads\.mask_predictor\.conv5_mask\.(.*)", r"branches.0.up.\1"),
    (r"roi_heads\.mask_predictor\.mask_fcn_logits\.(.*)", r"branches.0.last.\1"),
    (r"roi_heads\.keypoint_head\.(\d+)\.(.*)", r"branches.0.body.\1.\2"),
    (r"roi_heads\.keypoint_predictor\.kps_score_lowres\.(.*)", r"branches.0.up.\1"),
)
# the published files and today's layout
MASK = re.compile(r"roi_heads\.mask_head\.(?:mask_fcn(\d+)|(\d+)\.0)\.(weight|bias)")
SKELETON = [
    [16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9], [8, 10], [9, 11],
    [2, 3], [1, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 7],
]  # COCO's lines between keypoints, counted from 1
# rows a class, where background comes first there
ROWS = {"heads.0.predict.cls": 1, "heads.0.predict.box": 4, "branches.0.last": 1}


def region_keys(state: State) -> State:
    """Faster, Mask or Keypoint R-CNN on ResNet-50-FPN under our names, background last.
    Raises `KeyError` for an unknown name."""
    new: State = {}
    for key, value in state.items():
        mask = MASK.fullmatch(key)
        if mask:
            place = int(mask[1]) - 1 if mask[1] else int(mask[2])
            name = f"branches.0.body.{2 * place}.{mask[3]}"
        else:
            name = import_dense.rename(key, REGIONS)
        rows = ROWS.get(name.rsplit(".", 1)[0])
        new[name] = value if rows is None else value.unflatten(0, (-1, rows)).roll(-1, 0).flatten(0, 1)
    return new


def layout(name: str, state: State) -> tuple[str, State, int]:
    """(preset, weights under our names, classes) of torchvision weights that are said to be of paper `name`."""
    found = {"fpn": "roi_heads.box_predictor.cls_score.bias", "mask_rcnn": "roi_heads.box_predictor.cls_score.bias",
             "retinanet": "head.classification_head.cls_logits.bias",
             "ssd": "head.classification_head.module_list.0.bias"}
    if name not in found:
        raise StemmaError(f"torchvision has no weights for {name}; there are some for "
                          f"{', '.join(n.replace('_', '-') for n in found)}")
    key = found[name]
    mask, points = "roi_heads.mask_predictor.mask_fcn_logits.bias", "roi_heads.keypoint_predictor.kps_score_lowres.bias"
    wrong = (key not in state or (name == "fpn" and (mask in state or points in state))
             or (name == "mask_rcnn" and mask not in state and points not in state))
    if wrong:
        kinds = {points: "keypointrcnn_resnet50_fpn (mask-rcnn)", mask: "maskrcnn_resnet50_fpn (mask-rcnn)",
                 found["fpn"]: "fasterrcnn_resnet50_fpn (fpn)",
                 found["retinanet"]: "retinanet_resnet50_fpn (retinanet)", found["ssd"]: "ssd300_vgg16 (ssd)"}
        kind = next((v for k, v in kinds.items() if k in state), "none of torchvision's detectors that are known here")
        raise StemmaError(f"these weights are not of {name.replace('_', '-')}: they look like {kind}")
    many = len(state[key])
    if name in ("fpn", "mask_rcnn"):
        return ("keypoint" if points in state else "paper"), region_keys(state), many - 1
    if name == "retinanet":
        return ("torchvision", import_dense.retinanet_keys(state),
                many // (len(state["head.regression_head.bbox_reg.bias"]) // 4))
    return ("torchvision", import_dense.ssd_keys(state),
            many // (len(state["head.regression_head.module_list.0.bias"]) // 4) - 1)


def from_torchvision(
    paper: str, state_dict: Mapping[str, Tensor], classes: int | Sequence[str] | None = None, eps: float | None = None,
) -> Any:
    """A model of `paper` with the weights of a torchvision detector, in eval mode. It predicts what torchvision's does.

    The class count is read from the weights; `classes` may state it, to have it checked, or give the class names. COCO
    weights get COCO's names. `eps` of the ResNet's batch norms: torchvision sets it to 0 for its COCO weights and
    leaves 1e-5 otherwise; None tells the two apart by whether the statistics are frozen and the classes are COCO's.

    Raises `StemmaError` for a paper without torchvision weights, weights of another model, a wrong count, or any tensor
    too many, too few or of another shape.
    """
    name = papers.get(paper).name
    state = dict(state_dict)
    try:
        preset, new, count = layout(name, state)
    except KeyError as error:
        raise StemmaError(str(error.args[0])) from error
    named = None if classes is None or isinstance(classes, int) else tuple(classes)
    told = len(named) if named is not None else classes
    if told is not None and told != count:
        raise StemmaError(f"the weights are for {count} classes, not {told}; background is not counted")
    frozen = not any(k.endswith(COUNTER) for k in state)
    sets: dict[str, Any] = {}
    if name != "ssd":
        coco = count == (1 if preset == "keypoint" else 90 if name != "retinanet" else 91)
        sets = {"backbone.norm": "frozen" if frozen else "batch",
                "backbone.eps": (0.0 if frozen and coco else 1e-5) if eps is None else eps}
    points = len(state["roi_heads.keypoint_predictor.kps_score_lowres.bias"]) if preset == "keypoint" else 0
    if points not in (0, 17):
        sets["branches.0.points"] = points
    model: Any = build(name, preset, count, sets)
    own = model.state_dict()
    spare = sorted(k for k in new if k not in own and not k.endswith(COUNTER))
    lack = sorted(k for k in own if k not in new and not k.endswith(COUNTER))
    odd = sorted(k for k in own if k in new and own[k].shape != new[k].shape)
    if spare or lack or odd:
        said = [f"{what} {len(keys)}, first {keys[0]}"
                for what, keys in (("too many:", spare), ("missing:", lack), ("of another shape:", odd)) if keys]
        raise StemmaError(f"these are not the weights of torchvision's {name.replace('_', '-')}; tensors "
                          f"{'; '.join(said)}")
    model.load_state_dict({k: new.get(k, v) for k, v in own.items()})
    model.info = described(name, count, points, named)
    return model.eval()


def described(name: str, count: int, points: int, named: tuple[str, ...] | None) -> Info | None:
    """Class and keypoint names: those given, or COCO's where the counts are COCO's."""
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights, KeypointRCNN_ResNet50_FPN_Weights

    kinds = ("boxes", *(["masks"] if name == "mask_rcnn" and not points else []), *(["keypoints"] if points else []))
    bones: Points | None = None
    if points == 17:
        joints = KeypointRCNN_ResNet50_FPN_Weights.COCO_V1.meta["keypoint_names"]
        bones = points_named(joints, [(a - 1, b - 1) for a, b in SKELETON])
    if named is not None:
        return Info("torchvision", "coco", Classes(named), kinds, points=bones)
    if points and count == 1:
        return Info("coco", "coco", Classes(("person",), (1,)), kinds, points=bones)
    first = 0 if name == "retinanet" else 1
    labels = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"][first:]
    if count != len(labels):
        return None
    unique = tuple(f"{label} {i}" if label == "N/A" else label for i, label in enumerate(labels, first))
    return Info("coco", "coco", Classes(unique, tuple(range(first, len(labels) + first))), kinds)


