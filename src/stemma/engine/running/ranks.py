"""Processes that share the pictures of one evaluation, as `torchrun` starts them: each looks at its own, and the first
hears of all. What is counted is gathered and never averaged, so that a picture counts once.
"""
from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch.distributed as dist

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process among `world`; alone by default. `group` is of CPUs."""

    rank: int = 0
    world: int = 1
    group: Any = None

    @property
    def first(self) -> bool:
        return self.rank == 0

    def device(self, device: str) -> str:
        """A GPU for each process of a machine, where GPUs are asked for."""
        return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if self.world > 1 and device == "cuda" else device

    def gather(self, mine: T) -> list[T]:
        """What each process brings, in their order; nothing but on the first."""
        if self.world == 1:
            return [mine]
        held: list[Any] | None = [None] * self.world if self.first else None
        dist.gather_object(mine, held, dst=0, group=self.group)
        return held or []

    def rounds(self, mine: Iterable[T], count: int) -> Iterator[T]:
        """All that the processes bring in `count` rounds, in their order; nothing but on the first. A process that has
        no more waits for the others."""
        left = iter(mine)
        if self.world == 1:
            yield from left
            return
        for _ in range(count):
            yield from (x for x in self.gather(next(left, None)) if x is not None)

    def told(self, answer: T) -> T:
        """The first one's answer, on all."""
        if self.world == 1:
            return answer
        held = [answer]
        dist.broadcast_object_list(held, src=0, group=self.group)
        return held[0]


@contextmanager
def together() -> Iterator[Ranks]:
    """The processes that `torchrun` started, all of which must come here; this one alone where it started none."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks()
        return
    own = not dist.is_initialized()
    if own:
        dist.init_process_group("gloo")
    group = dist.new_group(backend="gloo")
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), group)
    finally:
        if own:
            dist.destroy_process_group()


__all__ = ["Ranks", "together"]
