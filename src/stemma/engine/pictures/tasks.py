"""What a task asks of its data, and by which number its systems are ranked."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...core.paper import Paper
from ...core.types import DataError, Info

MAIN = {
    "detection": "AP", "instances": "mask_AP", "keypoints": "keypoint_AP", "semantic": "mIoU", "panoptic": "PQ",
    "amodal": "mask_AP", "proposals": "AR100", "weak": "point_AP",
}
NEEDS = {
    "instances": {"boxes", "masks"}, "keypoints": {"boxes", "keypoints"}, "semantic": {"semantic"},
    "panoptic": {"boxes", "masks", "semantic", "panoptic"}, "amodal": {"boxes", "masks", "amodal"},
    "weak": {"image_labels"},
}


def main_metric(task: str) -> str:
    """The number by which models of a task are ranked."""
    return MAIN.get(task, "AP")


def needs_of(task: str, spec: Any = None, kinds: Iterable[str] = ()) -> frozenset[str]:
    """The kinds of target that the loss of a task reads; those that a spec says it can use besides (`needs`), where the
    data have them."""
    return frozenset(NEEDS.get(task, {"boxes"})) | (frozenset(getattr(spec, "needs", ())) & frozenset(kinds))


def check_kinds(card: Paper, preset: str, info: Info, where: str) -> None:
    """Raises `DataError` when the data lack targets that the paper needs."""
    needs = needs_of(card.task_of(preset))
    # objects say which classes there are
    missing = needs - set(info.kinds) - ({"image_labels"} if "boxes" in info.kinds else set())
    if missing:
        raise DataError(where, f"{card.cli_name} ({preset}) needs {', '.join(sorted(needs))}, and the data have "
                        f"{', '.join(info.kinds) or 'nothing'}", f"Annotate {' and '.join(sorted(missing))}, or choose "
                        "a paper for what there is (`stemma list`)", field="kinds")


__all__ = ["MAIN", "NEEDS", "check_kinds", "main_metric", "needs_of"]
