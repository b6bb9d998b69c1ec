"""Fixtures that every test file may use. In CI a skipped test fails;
the summary lists how far trainings are from failing.

STEMMA_PRECISION=fp32 or bf16 in the environment says which precision `auto` is in every training of the tests, those in
processes of their own too; without it the machine chooses. They train on the processor, also beside a GPU, unless
STEMMA_DEVICE names another device.
"""
from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings

from learning import (  # noqa: F401  pytest finds its hooks and fixtures here
    learned,
    pytest_collection_modifyitems,
    pytest_make_collect_report,
    pytest_runtest_makereport,
    pytest_terminal_summary,
)

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("STEMMA_DEVICE", "cpu")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a process that a test begins would compile the whole package again
# drawn scenes and what steps cost, apart from those of whoever works here
os.environ.setdefault("STEMMA_CACHE", str(Path(__file__).resolve().parents[1] / ".stemma-cache"))
torch.set_num_threads(1)
settings.register_profile("same examples each time", derandomize=True)
if os.environ.get("CI"):  # what is searched for anew elsewhere is no reason for a change to fail here
    settings.load_profile("same examples each time")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets beside the checkout; tests that ask for it skip where it is absent."""
    path = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not path.is_dir():
        pytest.skip("no real data in ../shared/data beside the checkout")
    return path


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _agreement(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, record_property: Any) -> Iterator[None]:
    """Of a test marked `oracle(name, papers...)`: the largest difference between what it compares, for
    docs/papers.md."""
    mark = request.node.get_closest_marker("oracle")
    if mark is None:
        yield
        return
    found: list[float] = []

    def watch(module: Any, name: str) -> None:
        plain = getattr(module, name)

        def compare(a: Any, b: Any, *args: Any, **kw: Any) -> None:
            plain(a, b, *args, **kw)
            found.append(difference(a, b))

        monkeypatch.setattr(module, name, compare)

    class Approx:
        __array_ufunc__ = None

        def __init__(self, wanted: Any, *args: Any, **kw: Any) -> None:
            self.wanted, self.plain = wanted, approx(wanted, *args, **kw)

        def __eq__(self, other: Any) -> bool:
            if equal := bool(other == self.plain):
                found.append(difference(other, self.wanted))
            return equal

        def __repr__(self) -> str:
            return repr(self.plain)

    approx = pytest.approx
    monkeypatch.setattr(pytest, "approx", Approx)
    watch(torch.testing, "assert_close")
    watch(np.testing, "assert_allclose")
    yield
    record_property("oracle", mark.args[0])
    if "how" in mark.kwargs:
        record_property("how", mark.kwargs["how"])
    elif found:
        record_property("agreement", max(found))


def difference(a: Any, b: Any) -> float:
    """The largest absolute difference of two numbers, arrays, tensors, or lists or mappings of them."""
    if isinstance(a, dict):
        return max((difference(a[k], b[k]) for k in a), default=0.0)
    if isinstance(a, (list, tuple)):
        return max((difference(x, y) for x, y in zip(a, b, strict=True)), default=0.0)
    x, y = (torch.as_tensor(v).detach().double() for v in (a, b))
    far = (x - y).abs()
    return float(far[far.isfinite()].max()) if far.isfinite().any() else 0.0
