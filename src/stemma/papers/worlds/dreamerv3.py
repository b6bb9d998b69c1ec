"""DreamerV3: an actor and a critic learn in dreams of a world model of classes; one set of numbers for every world.
arXiv 2301.04104"""
from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...core.paper import Claim, Fact, Paper, Parent
from ...core.part import Part, part
from ...core.recipe import Life, Recipe, Stage
from ...core.types import Info
from ...parts.worlds.acting import Policy
from ...parts.worlds.blocks import BlockGRU, NormedGRU, NormedRSSM
from ...parts.worlds.grids import GridEncoder, GridHead
from ...parts.worlds.latents import Categorical
from ...parts.worlds.nats import FreeNats
from ...parts.worlds.nets import Pixels
from ...parts.worlds.normed import BlockDecoder, GoingHead, NumbersEncoder, NumbersHead, PoolingEncoder, TwoHotHead
from ...parts.worlds.window import Looking, WindowRSSM
from ...skeletons.dreamer import Behaviour, Dreaming
from ...skeletons.world import Head, Sense, World
from . import planet

# memory, hidden units, classes of each of 32 variables, channels, units of heads (configs.yaml, size1m .. size400m)
SIZES = {"size1m": (512, 64, 4, 4, 64), "size12m": (2048, 256, 16, 16, 256), "size25m": (3072, 384, 24, 24, 384),
         "size50m": (4096, 512, 32, 32, 512), "size100m": (6144, 768, 48, 48, 768),
         "paper": (8192, 1024, 64, 64, 1024), "size400m": (12288, 1536, 96, 96, 1536)}
FIRST = {"first-s": (512, 512, 32, 2), "first-xl": (4096, 1024, 96, 5)}  # memory, units, channels, layers
READS = ("deter", "stoch")


def seen(channel: str, width: int, deter: int, depth: int, units: int, layers: int, first: bool,
         whole: bool = False, made: tuple[tuple[str, int], ...] = ()) -> tuple[Sense, Head]:
    """How a channel comes in and is told: numbers (`width` of them, of these kinds), a grid of places, or a picture."""
    norm = "layer" if first else "rms"
    if channel == "grid":
        return (Sense(channel, part(GridEncoder, depth=depth, norm=norm), width),
                Head(channel, part(GridHead, depth=depth, norm=norm), reads=READS))
    if width:
        how: dict[str, Any] = {"units": units, "layers": layers, "norm": norm, "made": () if first else made}
        return Sense(channel, part(NumbersEncoder, **how), width), Head(channel, part(NumbersHead, **how), reads=READS)
    return (Sense(channel, part(PoolingEncoder, depth=depth, pool=not first, norm=norm)),
            Head(channel, part(BlockDecoder, deter=deter, depth=depth, units=units, blocks=0 if first else 8, norm=norm,
                               sigmoid=not first, whole=whole), reads=READS))


def spec(preset: str = "paper") -> Dreaming:
    """200 million weights ("paper"), the other published sizes, the first version's least and largest ("first-s" and
    "first-xl"), "small" for two cores, "conv-small", which sees by convolutions as "paper" does, and "window-small",
    which remembers by a transformer. What is seen is the world's: `prepare`."""
    first, small = preset in FIRST, preset.endswith("small")
    deter, hidden, classes, depth, units = SIZES.get(preset, (256, 64, 8, 8, 64))
    layers, shallow, groups, norm = 3, 1, 16 if small else 32, "rms"
    if first:
        deter, units, depth, layers = FIRST[preset]
        hidden, classes, shallow, norm = units, 32, layers, "layer"
    whole = not (first or small)
    cell: Part[Any] = (part(NormedGRU, size=deter, hidden=hidden) if first else
                       part(BlockGRU, size=deter, hidden=hidden, whole=whole))
    dynamics: Part[Any] = part(NormedRSSM, latent=Categorical(groups, classes), cell=cell, hidden=hidden,
                               expecting=1 if first else 2, norm=norm, learned=first)
    if preset == "window-small":  # not in the paper: to ask what the gated unit is worth
        dynamics = part(WindowRSSM, latent=Categorical(groups, classes), hidden=hidden,
                        cell=part(Looking, size=deter, hidden=hidden))
    sense, told = seen("image", 0, deter, depth, units, layers, first, whole)
    if dense := preset == "small":  # pictures as PlaNet's small sees and draws them
        eyes = planet.spec("small")
        sense, told = eyes.senses[0], replace(eyes.heads[0], reads=READS)
    return Dreaming(
        pixels=Pixels(32, grey=True, shift=0.0 if dense else 0.5) if small else Pixels(64, shift=0.5),
        senses=(sense,),
        dynamics=dynamics,
        heads=(told,
               Head("reward", part(TwoHotHead, units=units, layers=shallow, curved=not first, norm=norm)),
               Head("terminal", part(GoingHead, units=units, layers=shallow, inside=not first, norm=norm))),
        rule=FreeNats(1.0, balance=(0.5 if first else 1.0, 0.1)),
        actor=part(Policy, units=units, layers=layers, reads=READS, mix=0.01, scale=1.0 if first else 0.01, norm=norm),
        critic=part(TwoHotHead, units=units, layers=layers, curved=not first, norm=norm),
        behaviour=Behaviour(replay=0.0 if first else 0.3, through=first),
        context=not first and preset != "window-small",
    )


def prepare(p: World, info: Info) -> World:
    """Sees what the world shows, numbers and pictures, and not a picture alone; takes choices where it has them."""
    picture, told = p.senses[0], p.heads[0] if p.heads else None
    assert isinstance(p.actor, Part)
    first, units, depth = p.actor["norm"] == "layer", p.actor["units"], dict(picture.net.kw).get("depth", 8)
    both: list[tuple[Sense, Head | None]] = [
        seen(channel, width, 0, depth, units, p.actor["layers"], first, made=info.numbers * (channel == "vector"))
        if width else (picture, told)
        for channel, width in info.inputs or (("image", 0),) if not channel.startswith("token")]
    heads = (*(h for _, h in both if h and told), *p.heads[1:])
    return replace(p, senses=tuple(s for s, _ in both), heads=heads, actor=p.actor.but(choices=info.choices))


def recipe(preset: str = "paper") -> Recipe:
    """Batches of 16 sequences of 64; 32 steps are learned from for each that is lived (the paper's default).

    "size1m" has the 1,024 of its worlds of numbers, "first-s" and "first-xl" the first version's optimiser. The small
    ones are ours: 64 steps for each lived, sequences of 32 and a higher rate, "small" of 16 and a higher rate still."""
    first, small = preset in FIRST, preset.endswith("small")
    length, rate = (16, 1e-3) if preset == "small" else (32, 3e-4) if small else (64, 4e-5)
    ratio = 64.0 if small else 1024.0 if preset == "size1m" else 32.0
    envs = 1 if small else 4 if first else 16
    fit = Stage("learn", "fit", ratio=ratio, sequence=length, newest=not first)
    life = Life(first=(Stage("at first", "collect", 8 if small else 16, policy="random" if first else "agent"),),
                then=(fit, Stage("live", "collect", envs)), capacity=1_000_000 if first else 5_000_000, cross=True)
    r = Recipe(optimizer="laprop", lr=rate, eps=1e-20, agc=0.3, warmup_steps=1000, weight_decay=0.0, batch=16,
               length="24h", schedule="constant", warmup=0.0, precision="fp32", life=life)
    if first:
        return replace(r, optimizer="adam", lr=1e-4, eps=1e-8, agc=0.0, warmup_steps=0,
                       lr_mult=(("^(actor|critic)", 0.3),),
                       clips=(("^(senses|dynamics|heads)", 1000.0), ("^actor", 100.0), ("^critic", 100.0)))
    return replace(r, warmup_steps=100, length="10m") if small else r


PAPER = Paper(
    title="Mastering Diverse Domains through World Models",
    authors="Hafner, Pasukonis, Ba, Lillicrap",
    year=2023,
    arxiv="2301.04104",
    task="world",
    spec=spec,
    recipe=recipe,
    presets=("paper", "size1m", "size12m", "size25m", "size50m", "size100m", "size400m", "first-s", "first-xl",
             "small", "conv-small", "window-small"),
    prepare=prepare,
    summary="One agent, one set of numbers, any world: numbers are squashed by symlog, rewards and values are told as "
    "distributions over bins, the divergence of what is seen from what was foreseen is split and has a free nat, "
    "returns are scaled by how far they lie apart. A belief is a memory and 32 classes. An actor and a critic "
    "learn in dreams of 15 steps that begin at every belief of a batch; nothing is planned when it acts.",
    parents=(
        Parent(
            planet.PAPER,
            (
                (("()", "critic", "behaviour", "context", "taken", "looks", "judged"), "an actor and a critic learn in "
                 "dreams, in the place of a search at each step; what was believed is kept with what was lived"),
                ("actor", "a policy whose distribution is learned"),
                ("pixels", "all eight bits, without noise"),
                ("senses", "convolutions halved by their maxima, each normalised"),
                ("dynamics", "32 variables of classes, a hundredth of them uniform, and a memory of eight blocks"),
                ("heads", "rewards as two-hot bins, and whether the world goes on; pictures are drawn from blocks"),
                ("rule", "the divergence is split in two, each with a free nat of its own"),
            ),
        ),
    ),
    claims=(
        Claim("return, cartpole swing-up from numbers, 100,000 steps", 528, "repository's scores, mean of 5 seeds"),
        Claim("return, cartpole swing-up from numbers, 500,000 steps", 856, "repository's scores, mean of 5 seeds"),
        Claim("return, walker walk from numbers, 500,000 steps", 881, "repository's scores, mean of 5 seeds"),
        Claim("return, cartpole swing-up from pictures, 500,000 steps", 845, "repository's scores, mean of 10 seeds"),
        Claim("return, Atari 100k Boxing (atari100k:boxing)", 86.6, "repository's scores, mean of 5 seeds"),
    ),
    facts=(
        *(Fact("parameters", n, 1, variant=v, source="summed over the layers of rssm.py and heads.py, one action")
          for v, n in zip(SIZES, (685_876, 10_490_308, 23_483_556, 41_642_372, 93_456_708, 165_933_316, 372_873_348))),
    ),
    notes=(
        "An agent learns between episodes: after each group of 16, one for each world, it makes up the updates of the "
        "ratio, where the code learns at every step. So a killed run resumes exactly in any world.",
        "Settings are the code's (configs.yaml, second version), but a hundredth of what an actor chooses is chance as "
        "in the paper: the code says so too, and its head passes over it (actor.mix=0).",
        "Nothing is lived by chance at first, but by the first version: its untrained actor is not nearly uniform.",
        "Numbers are float32, the code's bfloat16. Blocks begin as narrow as if each saw all inputs; not in the small.",
        "Other worlds have other ratios and numbers of worlds in configs.yaml (recipe.life.then: 0.ratio, 1.amount): "
        "control from pictures 256 and 16, Atari 100k 256 and 1, Crafter 512 and 1, bsuite 1,024 and 1.",
        "Beliefs are kept as halves and class numbers, written anew after each update that held them.",
        "The first version is one Adam with three clips and two rates, its epsilon 1e-8 for all (actor's and critic's "
        "were 1e-5), its weights begin as the second's, its convolutions are of stride 2. Its dreams go on "
        "with the chance that is foreseen, the code's where that is above a half, and begin by the truth.",
        "To see what a part is worth: looks.ahead=15 searches at each decision, looks.valued asks the critic what "
        "comes then; squash=false of encoders and heads leaves out symlog, bins=1 of rewards and critic the two-hot, "
        "rule.free=0 the free nat, behaviour.pull=0 the slow critic.",
        "Tasks of DeepMind control last two steps a decision, as when the claims' scores were made (numbers: size12m, "
        "ratio 512; today's configs.yaml has one step, size1m, 1,024), without shadows and reflections. Atari by "
        "the code's protocols is atari:GAME (96 grey pixels there) and atari100k:GAME (64 in colour). "
        "Small presets: a memory of 256, 16 variables of 8 classes, 32 grey pixels, which linear layers read in small.",
    ),
)
