"""Objects read from a label map."""
from __future__ import annotations

import numpy as np
import torch

from stemma.core.types import Classes
from stemma.ops.components import components
from stemma.parts.maps.losses import separated

PIXELS = Classes(("background", "cell", "star"), things=(False, True, True))


def test_touching_cells_come_apart_and_keep_their_pixels() -> None:
    masks = np.zeros((3, 20, 30), bool)
    masks[0, 3:12, 2:10], masks[1, 3:12, 10:19], masks[2, 15:19, 21:28] = True, True, True
    labels = torch.from_numpy(masks.any(0).astype(np.int64))[None]
    assert len(components(labels[0].numpy(), PIXELS)["masks"]) == 2  # as they are, two cells are one
    apart = separated(labels, torch.from_numpy(masks)[None], 0)[0].numpy()
    got = components(apart, PIXELS)
    order = np.lexsort((got["boxes"][:, 0], got["boxes"][:, 1]))
    np.testing.assert_array_equal(got["masks"][order], masks)
    assert got["boxes"][order].tolist() == [[2, 3, 10, 12], [10, 3, 19, 12], [21, 15, 28, 19]]
    thin = components(apart, PIXELS, close=False)
    assert thin["masks"].sum() == (apart == 1).sum()


def test_classes_scores_and_order() -> None:
    semantic = np.zeros((12, 24), int)
    semantic[1:5, 1:5], semantic[1:5, 8:12], semantic[7:11, 1:9], semantic[11, 20] = 1, 1, 2, 1
    scores = np.zeros((3, 12, 24), np.float32)
    scores[1, :, :6], scores[1, :, 6:], scores[2] = 0.6, 0.9, 0.75
    got = components(semantic, PIXELS, Classes(("star", "cell")), scores)
    # best first; the lone pixel is too small
    assert got["labels"].tolist() == [1, 0, 1] and np.allclose(got["scores"], [0.9, 0.75, 0.6])
    only = components(semantic, PIXELS, Classes(("cell",)))
    assert only["labels"].tolist() == [0, 0] and only["scores"].tolist() == [1, 1]


def test_an_empty_map_has_no_objects() -> None:
    got = components(np.zeros((5, 6), int), PIXELS)
    assert (got["boxes"].shape == (0, 4) and got["masks"].shape == (0, 5, 6)
            and got["labels"].shape == got["scores"].shape == (0,))
