"""The mode of each part of a network, in training or not, kept over what is asked of it in between."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from torch import nn


def evaluating(model: nn.Module) -> AbstractContextManager[None]:
    """`model` in `eval()` meanwhile, as `in_mode` has it."""
    return in_mode(model, False)


@contextmanager
def in_mode(model: nn.Module, training: bool) -> Iterator[None]:
    """`model` in `train()` or `eval()` meanwhile. Afterwards each of its modules is in its own mode again, also where
    that is not the model's: a norm that was frozen by hand stays so."""
    modes = [(part, part.training) for part in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for part, was in modes:
            part.training = was


__all__ = ["evaluating", "in_mode"]
