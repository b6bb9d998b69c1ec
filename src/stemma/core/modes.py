"""The mode of each part of a network, in training or not, kept over what is asked of it in between."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(model: nn.Module, training: bool = False) -> Iterator[None]:
    """`model` in `eval()` meanwhile, with `training` in `train()`. Afterwards each of its modules is in its own mode
    again, also where that is not the model's: a norm that was frozen by hand stays so."""
    modes = [(part, part.training) for part in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for part, was in modes:
            part.training = was


__all__ = ["evaluating"]
