"""The mode of each part of a network, in training or not, kept over what is asked of it in between."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """`model` in `eval()` meanwhile. Afterwards each of its modules is in its own mode again, also where that is not
    the model's: a norm that was frozen by hand stays so."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


__all__ = ["evaluating"]
