"""WordTree: classes as a tree, one softmax over the children of each node (YOLO9000 sec. 4).

Axes: *A candidates, K nodes (classes in label order, then nodes that are no class), C classes, G groups of siblings.
"""
from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...core.types import Classes, StemmaError
from ...ops.constants import remember


@dataclass(frozen=True)
class WordTree:
    """A class loss over a tree: P(node) is the product of the conditionals from the root down to it.

    `parents[i]` is the parent of node i, -1 at the top; the first `classes` nodes are the classes, and the rest stand
    above them. Without parents all classes are siblings: one softmax.
    """

    parents: tuple[int, ...] = ()
    classes: int = 0

    @classmethod
    def over(cls, classes: Classes) -> WordTree:
        """The tree that a class list tells by its `parent` names. A parent that is no class becomes a node above the
        classes.

        Raises `StemmaError` when a class is its own ancestor.
        """
        extra = list(dict.fromkeys(p for p in classes.parent if p and p not in classes.names))
        place = {name: i for i, name in enumerate((*classes.names, *extra))}
        parents = tuple(place[p] if p else -1 for p in classes.parent) + (-1,) * len(extra)
        tree = cls(parents, len(classes)) if any(p >= 0 for p in parents) else cls()
        try:
            _ = tree.depths
        except ValueError as error:
            raise StemmaError(f"the classes form no tree: '{classes.names[int(str(error))]}' is above itself. Mend the "
                              "classes' parents") from error
        return tree

    # ------------------------------------------------------------ the tree, in Python

    @property
    def extra(self) -> int:
        """Nodes that are no class: each has a logit of its own."""
        return len(self.parents) - self.classes if self.parents else 0

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """How many nodes stand above each. Raises `ValueError` with the place of a node that is above itself."""
        out = []
        for i in range(len(self.parents)):
            at, depth = self.parents[i], 0
            while at >= 0:
                at, depth = self.parents[at], depth + 1
                if depth > len(self.parents):
                    raise ValueError(i)
            out.append(depth)
        return tuple(out)

    def _tables(self, k: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(parent of each node, -1 at the top; its group; its path, itself first, -1 after the root "K D"; its depth)
        of a tree of `k` logits."""
        assert not self.parents or k == len(self.parents), f"a tree of {len(self.parents)} nodes and {k} logits"

        def make() -> tuple[Tensor, ...]:
            parents = list(self.parents) or [-1] * k
            group = {p: g for g, p in enumerate(dict.fromkeys(parents))}
            depths = self.depths or (0,) * k
            paths = []
            for i in range(k):
                path, at = [], i
                while at >= 0:
                    path.append(at)
                    at = parents[at]
                paths.append(path + [-1] * (max(depths) + 1 - len(path)))
            found = (parents, [group[p] for p in parents], paths, list(depths))
            return tuple(torch.tensor(v, device=like.device) for v in found)

        parent, group, path, depth = remember((self, k, like.device), make)
        return parent, group, path, depth

    # ------------------------------------------------------------ probabilities

    def conditionals(self, logits: Float[Tensor, "*A K"]) -> Float[Tensor, "*A K"]:
        """log P(node | its parent): a softmax over each group of siblings."""
        if not self.parents:
            return logits.log_softmax(-1)
        _, group, _, _ = self._tables(logits.shape[-1], logits)
        at, empty = group.expand_as(logits), logits.new_zeros(*logits.shape[:-1], len(set(self.parents)))
        top = (empty - torch.inf).scatter_reduce(-1, at, logits.detach(), "amax").gather(-1, at)
        total = empty.scatter_add(-1, at, (logits - top).exp()).gather(-1, at)
        return logits - top - total.log()

    def joint(self, logits: Float[Tensor, "*A K"]) -> Float[Tensor, "*A K"]:
        """log P(node): the sum of the conditionals on its path."""
        return self._along(self.conditionals(logits))

    def _along(self, each: Float[Tensor, "*A K"]) -> Float[Tensor, "*A K"]:
        """The sum of each node's path."""
        parent, _, _, _ = self._tables(each.shape[-1], each)
        total = each
        for _ in range(max(self.depths, default=0)):
            total = each + torch.where(parent >= 0, total[..., parent.clamp(min=0)], 0.0)
        return total

    def scores(self, logits: Tensor) -> Float[Tensor, "*A C"]:
        """P(class) of every class. That of an inner class is at least that of each class below it."""
        return self.joint(logits)[..., : logits.shape[-1] - self.extra].exp()

    def __call__(self, logits: Float[Tensor, "*A K"], labels: Int[Tensor, "*A"]) -> Float[Tensor, "*A"]:
        """-log P(label): cross entropy in every group from the label up to the root, and in none below it.
        0 for background."""
        each = self.conditionals(logits)
        _, _, paths, _ = self._tables(logits.shape[-1], logits)
        there = (labels >= 0) & (labels < logits.shape[-1] - self.extra)
        path = paths[torch.where(there, labels, 0)]
        cost = -torch.where(path >= 0, each.gather(-1, path.clamp(min=0)), 0.0).sum(-1)
        return torch.where(there, cost, 0.0)

    # ------------------------------------------------------------ reading it from the top

    def descend(self, logits: Float[Tensor, "*A K"],
                threshold: float = 0.5) -> tuple[Int[Tensor, "*A"], Float[Tensor, "*A"]]:
        """(node, its probability): from the top always to the likeliest child,
        as long as the product stays above `threshold`.

        The first step is taken whatever its probability, as in the released code.
        """
        each = self.conditionals(logits)
        total = self._along(each)
        parent, group, _, depth = self._tables(logits.shape[-1], logits)
        k = logits.shape[-1]
        empty = each.new_zeros(*each.shape[:-1], max(len(set(self.parents)), 1))
        at = group.expand_as(each)
        top = (empty - torch.inf).scatter_reduce(-1, at, each, "amax").gather(-1, at)
        place = torch.arange(k, device=logits.device).expand_as(each)
        first = torch.full_like(empty, k, dtype=torch.long).scatter_reduce(-1, at, torch.where(each == top, place, k),
                                                                           "amin").gather(-1, at)
        wins = place == first  # the first of the likeliest siblings
        on = wins & (parent < 0)
        for _ in range(max(self.depths, default=0)):
            on = wins & ((parent < 0) | on[..., parent.clamp(min=0)])
        reached = on & ((total.exp() > threshold) | (parent < 0))
        node = torch.where(reached, depth + 1, 0).argmax(-1)
        return node, total.gather(-1, node[..., None])[..., 0].exp()

    def nearest_class(self, node: Int[Tensor, "*A"], scores: Float[Tensor, "*A C"]) -> Int[Tensor, "*A"]:
        """The class that a node is told as: itself, or where it is no class the likeliest one below it."""
        if not self.extra:
            return node
        c = scores.shape[-1]
        _, _, paths, _ = self._tables(c + self.extra, scores)
        above = torch.arange(c, c + self.extra, device=node.device)[:, None, None]
        below = (paths[None, :c] == above).any(-1)  # extra nodes x classes
        under = below[(node - c).clamp(min=0)]
        return torch.where(node < c, node, torch.where(under, scores, -1.0).argmax(-1))
