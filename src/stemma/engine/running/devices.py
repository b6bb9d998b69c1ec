"""Which device, which precision, how many processes: Lightning Fabric with defaults that suit the machine."""
from __future__ import annotations

import ctypes
import functools
import logging
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from ...core.types import StemmaError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Precision = Literal["auto", "fp32", "bf16", "fp16"]
_FABRIC = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}

NARROW = 8  # channels that a strided convolution reads


def pick_device(device: str = "auto") -> str:
    """"cuda", "mps" or "cpu": what `device` names, or the best that is here when it is "auto". "cuda:1" picks one GPU.

    The environment variable STEMMA_DEVICE says what "auto" is instead, where it is set.
    Raises `StemmaError` when the machine has no such device.
    """
    where = ""
    if device == "auto" and os.environ.get("STEMMA_DEVICE"):
        device, where = os.environ["STEMMA_DEVICE"], " (from the environment variable STEMMA_DEVICE)"
    if device in ("auto", "cpu"):
        keep_memory()
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind = device.split(":")[0]
    if kind not in ("cuda", "mps", "cpu"):
        raise StemmaError(f"no device '{device}'; write auto, cpu, cuda, cuda:N or mps{where}")
    if (kind == "cuda" and not torch.cuda.is_available()) or (kind == "mps" and not torch.backends.mps.is_available()):
        raise StemmaError(f"this machine has no '{kind}' device that PyTorch can use; leave --device out or write "
                          f"--device cpu{where}")
    if kind == "cuda" and ":" in device and int(device.split(":")[1]) >= torch.cuda.device_count():
        raise StemmaError(f"there is no '{device}': PyTorch sees {torch.cuda.device_count()} GPU(s), counted from 0"
                          f"{where}")
    return device


@functools.cache
def keep_memory() -> None:
    """Ask glibc, where it is there, to keep freed memory for the next step instead of handing it back to the system and
    fetching it anew.

    Activations of a step are large and live shortly; page by page, fetching them cost a CPU 13 % of a U-Net step and
    more at larger sizes.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD: blocks of up to 1 GiB come from the heap
        libc.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD: the heap's free end stays


def need_compiler(device: str) -> None:
    """Raises `StemmaError` where a step is to be compiled for the processor and no C++ compiler is found."""
    if pick_device(device) != "cpu":
        return
    from torch._inductor import cpp_builder, exc

    try:
        cpp_builder.get_cpp_compiler()
    except exc.InvalidCxxCompiler as e:
        raise StemmaError("--compile wants a C++ compiler on a processor, and none is found; install g++ or clang++, "
                          "name it in the environment variable CXX, or leave --compile out") from e


def pick_precision(device: str, precision: str = "auto") -> Literal["fp32", "bf16", "fp16"]:
    """bf16 where it is fast (a CPU: where a trial says so; a GPU: Ampere and later), fp16 on older GPUs, else fp32.

    The environment variable STEMMA_PRECISION says what "auto" is instead, where it is set;
    what is asked for by name stays.
    """
    kind, where = device.split(":")[0], ""
    if precision == "auto" and os.environ.get("STEMMA_PRECISION"):
        precision, where = os.environ["STEMMA_PRECISION"], " (from the environment variable STEMMA_PRECISION)"
    if precision in ("fp32", "bf16", "fp16"):
        if precision == "fp16" and kind == "cpu":
            raise StemmaError(f"fp16 training wants a GPU; on a CPU write --precision bf16 or fp32{where}")
        return precision  # type: ignore[return-value]
    if precision != "auto":
        raise StemmaError(f"no precision '{precision}'; write auto, fp32, bf16 or fp16{where}")
    if kind == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if kind == "cpu" and cpu_gain() > 1.15 else "fp32"


def layout(model: torch.nn.Module, channels_last: bool, device: torch.device) -> torch.memory_format:
    """How pictures lie in memory where `model` learns: channels last where that is asked for, but not on a CPU with
    narrow strided convolutions, not all of which PyTorch 2.14 can take the gradient of so."""
    frail = device.type == "cpu" and any(
        isinstance(m, torch.nn.Conv2d) and m.kernel_size == (1, 1) and max(map(int, m.stride)) > 1
        and m.in_channels <= NARROW
        for m in model.modules())
    return torch.channels_last if channels_last and not frail else torch.contiguous_format


@functools.cache
def cpu_gain() -> float:
    """How many times faster this CPU trains a convolution in bf16 than in fp32; 0 where it has no bf16 instructions.

    It is tried, once a process and in about a tenth of a second, because the instructions alone do not tell:
    AVX512-BF16 doubles the speed of one maker's cores and halves that of another's; AMX always helps.
    """
    if not (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return 0.0
    with torch.random.fork_rng(devices=[]):
        layer = torch.nn.Conv2d(64, 64, 3, padding=1).to(memory_format=torch.channels_last)
        x = torch.randn(4, 64, 32, 32).to(memory_format=torch.channels_last).requires_grad_()
    best = {}
    for precision in ("fp32", "bf16"):
        times = []
        for _ in range(4):
            begin = time.process_time()
            with autocast("cpu", precision):
                y = layer(x)
            y.sum().backward()
            times.append(time.process_time() - begin)
        best[precision] = min(times)
    return best["fp32"] / max(best["bf16"], 1e-9)


def autocast(device: str, precision: str) -> torch.autocast:
    """The context in which a network computes in `precision`, for use outside a Fabric."""
    low = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    return torch.autocast(device.split(":")[0], dtype=low or torch.bfloat16, enabled=low is not None)


@contextmanager
def _without(name: str) -> Iterator[None]:
    """Within it, a package that nobody has imported yet is as one that is not installed."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]


def make_fabric(device: str = "auto", precision: str = "auto", *, unused: bool = False) -> Fabric:
    """A launched Fabric: one process, or all that `torchrun` started (DDP; gloo on CPUs, nccl on GPUs).

    `unused`: some parameters get no gradient in some steps (phases). With batch-norm, ranks keep statistics of their
    own slice; `train(..., sync_bn=True)` shares them on GPUs.
    """
    with _without("torchmetrics"):  # of which Fabric 2.6 asks the version by importing all of it, transformers included
        from lightning_fabric import Fabric
        from lightning_fabric.strategies.ddp import DDPStrategy

    device = pick_device(device)
    kind = device.split(":")[0]
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    settings: dict[str, Any] = {"accelerator": kind, "devices": 1,
                                "precision": _FABRIC[pick_precision(device, precision)]}
    if processes > 1:
        local = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
        strategy = DDPStrategy(find_unused_parameters=unused,
                               process_group_backend="nccl" if kind == "cuda" else "gloo")
        settings |= {"devices": local, "num_nodes": max(1, processes // local), "strategy": strategy}
    elif kind == "cuda" and ":" in device:
        settings["devices"] = [int(device.split(":")[1])]
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces its precision plugin
    fabric = Fabric(**settings)
    fabric.launch()
    return fabric


@contextmanager
def repeatable(wanted: bool) -> Iterator[None]:
    """Within it, where `wanted`, PyTorch takes operators that give the same bits each time, and warns where it has
    none; as before afterwards."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS asks for
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def seed_step(seed: int, step: int, rank: int) -> None:
    """Make every random number of a step a function of (seed, step, rank)."""
    mixed = int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> np.uint64(1))
    torch.manual_seed(mixed)
    np.random.seed(mixed % (1 << 32))


def machine() -> dict[str, Any]:
    """What a run was made on, for its record."""
    gpus = ([torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available()
            else [])
    return {
        "system": f"{platform.system()} {platform.machine()}", "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(), "cpu_bf16": bool(torch.cpu._is_avx512_bf16_supported()), "gpus": gpus,
    }


def processor() -> str:
    """The processor's name as the system tells it, or its kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
                platform.processor() or platform.machine())


def precision_of(fabric: Fabric) -> Literal["fp32", "bf16", "fp16"]:
    """The precision that a Fabric computes in, by our name."""
    names: dict[str, Literal["fp32", "bf16", "fp16"]] = {"32-true": "fp32", "bf16-mixed": "bf16", "16-mixed": "fp16"}
    return names[str(fabric._precision.precision)]


def peak_memory_mb(device: torch.device) -> float | None:
    """The most memory this process has held: allocated by PyTorch on a GPU, resident on a CPU.
    None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource
    except ImportError:
        return None
    unit = 2**20 if platform.system() == "Darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
