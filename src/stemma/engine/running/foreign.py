"""Weights that other libraries wrote: safetensors, and PyTorch's files read with `weights_only`, plain tensors
alone."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ...core.types import StemmaError

WITHIN = ("model", "state_dict", "model_state_dict", "model_state")  # where checkpoints keep the weights


def read_state(file: str | Path) -> dict[str, Tensor]:
    """The tensors of a weights file by name. Raises `StemmaError` when it is none, or holds anything but tensors."""
    file = Path(file)
    if not file.is_file():
        raise StemmaError(f"no file at {file}")
    state: Any
    try:
        state = (load_file(file) if file.suffix == ".safetensors"
                 else torch.load(file, map_location="cpu", weights_only=True))
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise StemmaError(f"{file} is not a file of weights: {' '.join(str(error).split())[:200]}") from error
    except Exception as error:  # torch raises pickle's own errors for anything but tensors
        raise StemmaError(f"{file} holds more than tensors, and Stemma does not run what is in a pickle; save the "
                          "tensors alone: torch.save(model.state_dict(), ...)") from error
    if isinstance(state, dict):
        state = next((state[k] for k in WITHIN if isinstance(state.get(k), dict)), state)
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()) or not state:
        raise StemmaError(f"{file} is not a state dict: names with tensors")
    return dict(state)


__all__ = ["read_state"]
