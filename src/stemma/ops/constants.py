"""Small constant tensors that are made once a device, so that a training step copies nothing from the host."""
from __future__ import annotations

from collections.abc import Callable, Hashable

import torch
from torch import Tensor

_made: dict[Hashable, tuple[Tensor, ...]] = {}
LIMIT = 256  # entries kept; image sizes that vary from step to step must not fill the memory


def remember(key: Hashable, make: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """`make()`, remembered under `key`. While a graph is traced it is made afresh and becomes part of the graph."""
    if torch.compiler.is_compiling():
        return make()
    if key not in _made:
        with torch.inference_mode(False), torch.no_grad():
            new = make()
        if any(type(t) is not Tensor for t in new):  # a fake tensor belongs to whoever is tracing
            return new
        if len(_made) >= LIMIT:
            del _made[next(iter(_made))]
        _made[key] = new
    return _made[key]


def constant(values: tuple[float, ...], like: Tensor) -> Tensor:
    """A vector of `values` on the device and of the dtype of `like`."""
    if torch.compiler.is_compiling():
        return torch.tensor(values, dtype=like.dtype, device=like.device)
    return remember((values, like.device, like.dtype),
                    lambda: (torch.tensor(values, dtype=like.dtype, device=like.device),))[0]
