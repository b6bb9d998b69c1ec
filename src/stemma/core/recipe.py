"""How a system is trained: a value, like the system itself.

Everything here has no weights. The engine reads it; `--set recipe.lr=0.01` edits it by path.
A recipe is written for `batch` images a step. The engine scales the learning rate linearly when another
global batch is used, and lengths are fractions of the budget, so that one recipe serves 90 seconds and 12 epochs.
"""
from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Any, Literal


def _within(value: object, path: str, *limits: tuple[str, float, float]) -> None:
    """Raises `ValueError` for the first field that lies outside (name, from, to)."""
    for name, least, most in limits:
        if not least <= (number := getattr(value, name)) <= most:
            raise ValueError(f"{path}{name} must be {least:g} or more, not {number}" if most == math.inf else
                             f"{path}{name} lies between {least:g} and {most:g}, not at {number}")


@dataclass(frozen=True)
class Resize:
    """How a picture reaches the network's size.

    shortest: short side to `size`, long side at most `longest`, padded to a multiple of `divisor` (the R-CNN family)
    square:   stretched to `size` x `size` (SSD, YOLOv1)
    letterbox: aspect kept, into `size` x `size`, padded on the right and below (YOLOv2 on)
    keep:     as it is, padded to a multiple of `divisor`; `size` is the short side of the pictures it was published for
    """

    kind: Literal["shortest", "square", "letterbox", "keep"] = "shortest"
    size: int = 800
    longest: int = 1333
    divisor: int = 32
    scales: tuple[int, ...] = ()  # training sizes to draw from; empty: `size` alone
    hold: int = 1  # batches that keep a size before the next is drawn (YOLOv2: 10)

    def __post_init__(self) -> None:
        _within(self, "recipe.resize.", ("size", 1, math.inf), ("longest", 1, math.inf), ("divisor", 1, math.inf),
                ("hold", 1, math.inf))
        if min(self.scales, default=1) < 1:
            raise ValueError(f"recipe.resize.scales must be 1 or more each, not {self.scales}")

    @property
    def step(self) -> int:
        """What the sizes of a letterbox that is drawn at several are multiples of: the side of the network's cells."""
        return math.gcd(self.size, *self.scales) if self.kind == "letterbox" and self.scales else 1

    def at(self, size: int) -> Resize:
        """The same at `size` pixels: `longest` and `scales` in proportion, in whole steps of a letterbox.
        Pictures that were kept as they are come with a short side of `size`."""
        ratio, step = size / self.size, self.step
        scales = tuple(max(round(v * ratio / step), 1) * step for v in self.scales)  # drawn as often as before
        if self.kind == "keep":
            return replace(self, kind="shortest", size=size, longest=4 * size, scales=scales)
        longest = round(self.longest * ratio) if self.kind == "shortest" else self.longest
        return replace(self, size=size, longest=longest, scales=scales)


@dataclass(frozen=True)
class Augment:
    """Random changes of training pictures. Probabilities and ranges; 0 switches a change off."""

    flip: float = 0.5  # horizontal
    vertical: float = 0.0
    quarter: float = 0.0  # rotations by 90 degrees (with both flips: the eight symmetries)
    colour: float = 0.0  # brightness, contrast, saturation up to this fraction (hue up to a tenth of it)
    scale: float = 0.0  # YOLOv1: scale and translate by up to this fraction
    stretch: float = 0.0  # YOLOv3: another shape by up to this fraction of each side, anywhere in a square
    expand: float = 0.0  # SSD: paste on a mean canvas up to 4x, with this probability
    shuffle: bool = False  # YOLO: objects in a drawn order, for of two in one cell one alone is learned
    crop: bool = False  # SSD: IoU-constrained crops (none, .1, .3, .5, .7, .9)
    crop_every: bool = False  # RFB Net: these come before the canvas, and ask their IoU of every object
    zoom: tuple[float, ...] = ()  # DeepLab: scaled by one of these
    # then cut to a window of this height and width (one number: square), wherever it falls
    window: tuple[int, ...] = ()
    elastic: float = 0.0  # U-Net: standard deviation in pixels of a 3x3 grid of displacements


@dataclass(frozen=True)
class ProposalSource:
    """Where a detector that makes no boxes of its own takes them from: `Sample.proposals`,
    at most `count` a picture, best first.

    none:             it makes its own
    selective-search: Uijlings et al. 2013, through OpenCV: segments of `sigma` and each of `scales`, in each of
                      `colours`, are merged by each mixture of `likeness` (letters of colour, texture, size, fill); the
                      picture is looked at `width` pixels wide (0: as it is),
                      and sides under `least` of these pixels are left out
    edge-boxes:       Zitnick & Dollar 2014, through OpenCV, on the gradients of the picture
    grid:             sliding windows of seven sizes and three shapes, large ones first
    jitter:           the truth itself, moved and stretched by `noise` of its size,
                      among random boxes: for tests and studies
    file:             `file`, a COCO results JSON, or an .npz with an array (n, 4) or (n, 5) an image id or file name:
                      x1, y1, x2, y2, score
    """

    kind: Literal["none", "selective-search", "edge-boxes", "grid", "jitter", "file"] = "none"
    count: int = 2000
    width: int = 500
    least: int = 20
    sigma: float = 0.8
    scales: tuple[int, ...] = (50, 100)
    colours: tuple[str, ...] = ("hsv", "lab")
    likeness: tuple[str, ...] = ("ctsf", "tsf")
    noise: float = 0.2
    file: str = ""


@dataclass(frozen=True)
class Phase:
    """A stretch of training with part of the network asleep. `share` of the budget; regexes over parameter names.

    With `run`, no gradient is taken: the model's method of that name is handed up to `passes` passes over training
    pictures, and fits what it fits. The learning rate's schedule runs over the other phases. In a phase with
    `milestones`, fractions of it, the schedule begins anew and ends with it.
    """

    name: str
    share: float
    train: str = ".*"
    losses: str = ".*"
    run: str = ""
    passes: int = 1
    milestones: tuple[float, ...] = ()
    warmup: float = 0.0  # fraction of a phase with milestones, whose own warm-up this is


@dataclass(frozen=True)
class Stage:
    """A stretch of an agent's life. It lasts `amount` episodes, updates or generations; one with a `share` takes that
    part of the budget which its share is of the shares still to come. With both,
    it lasts until the first of them is used up.

    collect: live episodes, by chance or as the agent would      fit: gradient steps on what was lived
    evolve:  generations of CMA-ES (or another strategy) on the controller, in the dream
    """

    name: str
    do: Literal["collect", "fit", "evolve"]
    amount: int = 0
    share: float = 0.0
    policy: Literal["random", "agent"] = "agent"  # collect: whose actions
    noise: float = 0.0  # collect: standard deviation of what is added to the agent's actions
    train: str = ".*"  # fit: regex over parameter names
    losses: str = ".*"  # fit: regex over the losses that are computed
    batch: int = 0  # fit: sequences a step; 0: the recipe's
    sequence: int = 50  # fit: steps of a sequence
    lr: float = 0.0  # fit: 0: the recipe's
    end_lr: float = 0.0  # fit: where the rate has fallen to, exponentially, at the end of a shared stage; 0: it stays
    clip_value: float = 0.0  # fit: bound of each gradient by itself; 0: the recipe's
    stored: bool = False  # fit: read each frame's code, computed once when the stage begins, in place of the frame
    recent: float = 0.0  # fit: share of a batch that is drawn from the newest episodes
    endings: float = 0.0  # fit: share of a batch in which an episode ends by failure
    ratio: float = 0.0  # fit: until so many steps were learned from for each that was lived; 0: `amount` or `share`
    newest: bool = False  # fit: sequences that no batch has held yet come first
    strategy: Literal["cma", "open-es", "pepg", "ga"] = "cma"  # evolve: how
    population: int = 64  # evolve: candidates a generation
    rollouts: int = 16  # evolve: dreams of a candidate
    sigma: float = 0.1  # evolve: first standard deviation
    horizon: int = 1000  # evolve: most steps of a dream
    temperature: float = 1.0  # evolve: of the dream
    dream: bool = True  # evolve: in the dream; False: in the world itself
    sampled: bool = True  # evolve: dreams end with the probability that is foreseen; False: where its logit is above 0
    penalty: float = 0.0  # evolve: cost of the mean square of the controller's weights
    # evolve: every so many generations the mean acts population x rollouts times, and the best such mean is kept;
    # 0: the last
    elect: int = 0

    def __post_init__(self) -> None:
        several = (("sequence", 1), ("population", 2), ("rollouts", 1), ("horizon", 1), ("amount", 0), ("share", 0),
                   ("batch", 0), ("noise", 0), ("temperature", 0), ("elect", 0), ("ratio", 0))
        _within(self, f"of the stage '{self.name}' ", *((name, least, math.inf) for name, least in several))


@dataclass(frozen=True)
class Life:
    """How an agent lives and learns: stages once, then stages in rounds."""

    first: tuple[Stage, ...] = ()
    then: tuple[Stage, ...] = ()
    rounds: int = 0  # 0: until the budget is used
    capacity: int = 1_000_000  # steps that are kept; older episodes are dropped
    # whether a sequence may run from an episode into the next where the first is long enough to hold it
    cross: bool = False


LIMITS: tuple[tuple[str, float, float], ...] = (  # what a number of a recipe may be: from, to
    ("lr", 0.0, math.inf), ("other_lr", 0.0, math.inf), ("momentum", 0.0, 1.0), ("weight_decay", 0.0, math.inf),
    ("batch", 1, math.inf), ("accumulate", 1, math.inf), ("warmup", 0.0, 1.0), ("warmup_factor", 0.0, 1.0),
    ("warmup_power", 0.0, math.inf),
    ("clip", 0.0, math.inf), ("clip_value", 0.0, math.inf), ("ema", 0.0, 1.0), ("warmup_steps", 0, math.inf),
    ("agc", 0.0, math.inf),
)


@dataclass(frozen=True)
class Recipe:
    """The optimiser, its schedule, the pictures' treatment and the published length."""

    optimizer: Literal["sgd", "adam", "adamw", "muon", "laprop"] = "sgd"
    lr: float = 0.02
    momentum: float = 0.9
    weight_decay: float = 1e-4
    other_lr: float = 0.0  # muon: AdamW's rate for what is not a matrix
    batch: int = 16
    length: str = "90000steps"  # the published budget, in one unit: s, steps, epochs or images
    schedule: Literal["step", "poly", "cosine", "linear", "constant"] = "step"
    milestones: tuple[float, ...] = (0.667, 0.889)  # fractions of the budget; `linear`: where the decay to 0 begins
    gamma: float = 0.1  # what each milestone multiplies the rate with
    gammas: tuple[float, ...] = ()  # one a milestone, where they differ
    power: float = 0.9
    warmup: float = 0.01  # fraction of the budget
    warmup_factor: float = 0.001
    warmup_power: float = 1.0  # of the rise from there; 0: no rise, the factor to the end of the warm-up
    warmup_steps: int = 0  # updates over which an agent's rate rises from 0
    clip: float = 0.0  # gradient norm; 0 = off
    clip_value: float = 0.0  # each number of a gradient by itself; 0 = off
    clips: tuple[tuple[str, float], ...] = ()  # (regex over parameter names, gradient norm of these) (agents)
    agc: float = 0.0  # laprop: a tensor's gradient is at most so many times as long as the tensor; 0 = off
    eps: float = 1e-8  # of Adam, AdamW and LaProp
    ema: float = 0.0  # decay of the averaged weights; 0 = off
    accumulate: int = 1
    lr_mult: tuple[tuple[str, float], ...] = ()  # (regex over parameter names, factor); 0 freezes
    no_decay: str = ""  # regex of parameters without weight decay: their names, or the kind of module that holds them
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    channels_last: bool = True
    resize: Resize = Resize()
    augment: Augment = Augment()
    difficult: bool = False  # objects that Pascal VOC calls difficult are learned as all others, and not left aside
    proposals: ProposalSource = ProposalSource()
    phases: tuple[Phase, ...] = ()
    loss_weights: tuple[tuple[str, float], ...] = ()
    life: Life | None = None  # of agents

    def __post_init__(self) -> None:
        _within(self, "recipe.", *LIMITS)
        if self.gammas and len(self.gammas) != len(self.milestones):
            raise ValueError(f"recipe.gammas={self.gammas} must be one for each of recipe.milestones={self.milestones}")

    def at(self, size: int) -> Recipe:
        """The same for pictures of `size` pixels: windows and warps in proportion, as `Resize.at`."""
        ratio, a = size / self.resize.size, self.augment
        window = tuple(round(v * ratio) for v in a.window)
        return replace(self, resize=self.resize.at(size), augment=replace(a, window=window, elastic=a.elastic * ratio))

    def standing(self, upright: bool) -> Recipe:
        """The same for pictures in which things have an upright, which are mirrored and never turned; or have none,
        which are seen in all eight symmetries."""
        a = self.augment
        turned = (0.0, 0.0) if upright else (max(a.vertical, 0.5), max(a.quarter, 0.5))
        return replace(self, augment=replace(a, vertical=turned[0], quarter=turned[1]))

    def from_nothing(self) -> Recipe:
        """The same for a net whose weights are random: no factor of 0, and phases that learn wake the backbone and the
        neck where none of them does."""
        rest, phases = tuple((p, v) for p, v in self.lr_mult if v), self.phases
        learn = [p.train for p in phases if not p.run]
        for room in ("backbone", "neck"):
            if learn and not any(re.search(p, f"{room}.") for p in learn):
                phases = tuple(p if p.run else replace(p, train=rf"{p.train}|(^|\.){room}\.") for p in phases)
        return replace(self, lr_mult=rest, phases=phases)

    def as_dict(self) -> dict[str, Any]:
        from dataclasses import asdict

        return asdict(self)
