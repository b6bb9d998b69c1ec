"""Dynalang: DreamerV3 that hears a word a step; what is said is seen, foreseen and dreamt like what is shown.
arXiv 2308.01399"""
from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...core.paper import Claim, Fact, Paper, Parent
from ...core.part import Part, part
from ...core.recipe import Life, Recipe, Stage
from ...core.types import Info
from ...parts.worlds.acting import Worths
from ...parts.worlds.blocks import NormedGRU
from ...parts.worlds.early import EarlyRSSM, Remembering
from ...parts.worlds.masked import MaskedRSSM
from ...parts.worlds.normed import NumbersEncoder, NumbersHead
from ...parts.worlds.spoken import TokenHot, TokenRSSM, TokenToldHead
from ...parts.worlds.tokens import TokenEncoder, TokenHead
from ...skeletons.playing import Playing, Unforeseen
from ...skeletons.world import Head, Sense, World
from . import dreamerv3

VOCABULARY, EMBEDDED = 32_100, 512  # T5's tokens, and the numbers of its encoder for each
# the code's other beliefs: drawn from the frame alone, with words apart, and with classes that are foreseen together
BELIEFS: dict[str, Any] = {"early": EarlyRSSM, "token": TokenRSSM, "masked": MaskedRSSM}
MODEL = "^(senses|dynamics|heads)"  # the model of the world: what reading alone trains, and what is taken over


def heard(channel: str, width: int, units: int, layers: int, norm: str) -> tuple[Sense, Head]:
    """How a token comes in and is told: by its number, of `width`, or by the `width` numbers of its embedding."""
    sizes: dict[str, Any] = {"units": units, "layers": layers, "norm": norm}
    seen, told = ((part(TokenEncoder, **sizes), part(TokenHead, **sizes)) if channel == "token" else
                  (part(NumbersEncoder, squash=False, **sizes), part(NumbersHead, **sizes)))
    return Sense(channel, seen, width), Head(channel, told, reads=dreamerv3.READS)


def spec(preset: str = "paper") -> World:
    """The agent between DreamerV3's two versions, at its largest size, with a token a step.

    "embedded": tokens as the numbers of a language model. "text": the same net, for reading alone. "early", "token",
    "masked": the code's other beliefs (`BELIEFS`). "small" and its like are `dreamerv3`'s conv-small, one layer for a
    token, and tokens are learned before they are heard too. "model-free-small" learns no model: R2D2 in little, which
    the paper is held against, with the same senses and gated unit.
    """
    small = preset.endswith("small")
    p = dreamerv3.spec("conv-small" if small else "first-xl")
    assert isinstance(p.actor, Part)
    units, layers, norm = p.actor["units"], 1 if small else p.actor["layers"], p.actor["norm"]
    if not small:  # rewards and values have the second version's bins
        reward = replace(p.heads[1], net=p.heads[1].net.but(curved=True))
        p = replace(p, heads=(p.heads[0], reward, p.heads[2]), critic=p.critic.but(curved=True))
    channel, width = ("token_embed", EMBEDDED) if preset.startswith("embedded") else ("token", VOCABULARY)
    sense, head = heard(channel, width, units, layers, norm)
    head = replace(head, foreseen=1.0) if small else head
    if (kind := preset.split("-")[0]) in BELIEFS:
        d, cell = p.dynamics, p.dynamics["cell"]
        kw: dict[str, Any] = {"latent": d["latent"], "hidden": d["hidden"], "norm": norm, "learned": not small,
              "cell": part(NormedGRU, size=cell["size"], hidden=cell["hidden"])}
        kw |= {"embed": 32, "layers": 2, "heads": 2, "wide": 64} if kind == "masked" and small else {}
        p = replace(p, dynamics=part(BELIEFS[kind], **kw))
    if preset == "early" and isinstance(p.actor, Part):  # all five read the memory alone (configs.yaml)
        alone = ("deter",)
        p = replace(p, heads=tuple(replace(h, reads=alone) for h in p.heads), actor=p.actor.but(reads=alone),
                    judged=alone)
        head = replace(head, reads=alone)
    if preset.startswith("token"):  # the belief itself hears and tells
        sense = replace(sense, net=part(TokenHot))
        head = replace(head, net=part(TokenToldHead), reads=("words",), weight=0.0, foreseen=1.0)
    p = replace(p, senses=(*p.senses, sense), heads=(*p.heads, head), taken=MODEL)
    return p if kind != "model" else Playing(p.pixels, p.senses, part(Remembering, cell=p.dynamics["cell"]), (),
                                             Unforeseen(), part(Worths, units=units, norm=norm))


def prepare(p: World, info: Info) -> World:
    """As DreamerV3, with the world's own number of tokens; where it says nothing, DreamerV3 itself."""
    sense, heads, widths = p.senses[-1], p.heads[-1:], dict(info.inputs)
    p = dreamerv3.prepare(replace(p, heads=p.heads[:-1]), info)
    if sense.channel not in widths:
        return hearing(p, 0)
    return hearing(replace(p, senses=(*p.senses, replace(sense, width=widths[sense.channel])),
                           heads=(*p.heads, *heads)), widths[sense.channel])


def hearing(p: World, words: int) -> World:
    """A belief that takes in tokens themselves is told how many there are."""
    return replace(p, dynamics=p.dynamics.but(words=words)) if p.dynamics.cls is TokenRSSM else p


def recipe(preset: str = "paper") -> Recipe:
    """Batches of 16 sequences of 256, one world, 32 steps learned from for each that is lived (run_homegrid.sh).

    "text": 512 sequences of 128, as many words as come in, and the model of the world alone (pretrain_text.sh). The
    small ones are DreamerV3's at a higher rate for the model of the world; in "text-small" and "video-small" lives are
    watched and not acted in.
    """
    kind, small = preset.split("-")[0], preset.endswith("small")
    r = dreamerv3.recipe("conv-small" if small else "first-xl")
    r = replace(r, lr=1e-3, lr_mult=(("^(actor|critic)", 0.3),)) if small else r
    assert r.life is not None
    fit, live = r.life.then
    if kind == "model":  # one action in ten is by chance
        return replace(r, life=replace(r.life, first=(replace(r.life.first[0], policy="random"),),
                                       then=(fit, replace(live, noise=0.1))))
    if kind in ("text", "video"):
        losses = "^(token.*|kl)$" if kind == "text" else "^(image|vector|kl)$"
        fit = replace(fit, ratio=0.0 if small else 1.0, amount=50 if small else 0, losses=losses, train=MODEL,
                      sequence=32 if small else 128, newest=False)
        live = replace(live, name="take in", amount=1 if small else 512, policy="random")
        first = Stage("at first", "collect", 32 if small else 512, policy="random")
        life = Life((first,), (fit, live), r.life.capacity, cross=True)
        return replace(r, batch=r.batch if small else 512, life=life)
    if small:
        return r
    return replace(r, life=replace(r.life, then=(replace(fit, sequence=256), replace(live, amount=1))))


PAPER = Paper(
    title="Learning to Model the World with Language",
    authors="Lin, Du, Watkins, Hafner, Abbeel, Klein, Dragan",
    year=2023,
    arxiv="2308.01399",
    task="world",
    spec=spec,
    recipe=recipe,
    presets=("paper", "embedded", "text", "early", "token", "masked", "small", "embedded-small", "text-small",
             "video-small", "early-small", "token-small", "masked-small", "model-free-small"),
    prepare=prepare,
    summary="Language is not only orders: it says what is where, what will come and how things work. So it is no input "
    "of the policy but a thing of the world: one frame and one token a step are seen together, and the model of the "
    "world foresees both. What a word means is what it lets one foresee. The model learns from text alone too, or from "
    "films alone, before anything is done.",
    parents=(
        Parent(
            dreamerv3.PAPER,
            (
                ("senses.1", "a token a step, beside the frame"),
                ("heads.3", "which token is said is told from the belief, and so foreseen"),
                ("taken", "a model that has only read or watched gives its view of the world, and no habits"),
                ("senses.0", "the first version's convolutions, of stride 2 with layer norms"),
                ("dynamics", "the first version's memory, one gated unit, and its 32 classes"),
                (("heads.0", "heads.1", "heads.2"), "pictures by transposed convolutions, five layers a head, and the "
                 "discount beside what is learned"),
                ("rule", "what is foreseen is drawn half as hard"),
                (("actor", "critic"), "five layers each, and a hundredth of an action's chance is uniform"),
                ("behaviour", "the critic learns from dreams alone"),
                ("context", "sequences begin at the belief that begins an episode"),
            ), presets=(("small", "conv-small"),),
        ),
    ),
    claims=(Claim("tasks of HomeGrid", 38, "sec. 4.1; so many can be made of the package's sentences"),),
    facts=(
        Fact("parameters", 281_185_256, 1, source="summed over the layers of nets.py, one action"),
        Fact("parameters", 216_461_444, 1, variant="embedded", source="the same with 512 numbers a token"),
    ),
    notes=(
        "The authors' code stands between DreamerV3's versions: the first's layers, optimisers and rates, the second's "
        "bins for rewards and values. What this file does not say is `dreamerv3`'s, presets first-xl and conv-small.",
        "Padding, no word, has a code of zeros here and a learned one there: an agent in a silent world is DreamerV3. "
        "In text the frame's code is zeros, as there.",
        "A belief begins at its likeliest classes, as the first version's; the code draws them, and begins its dreams' "
        "going on by the truth. Worlds are heard a word a step, not at all (mute:WORLD), or their first sentence at "
        "once, its words counted (once:WORLD). The paper's VLN-CE and its rival IMPALA are not built; R2D2 is "
        "preset model-free-small, with lambda-returns for five steps, no priorities, one memory for its slow copy too.",
        "A stretch of text begins with an empty belief; the authors' reader carries its own from one into the next, "
        "whether or not they belong together. Stretches begin at places by chance, as many words as are learned from; "
        "theirs follow one another, each once an epoch.",
        "The small presets have the second version's net; their rate of 1e-3 for the model of the world, and the small "
        "lives of text and video, are ours.",
        "Preset token holds the token against what was foreseen of it, the code's TokenRSSM against zeros (nets.py): "
        "nothing is learned of it there. Preset masked is made after MaskGIT: the file that the code imports for "
        "it is not in the repository.",
        "Messenger's words are numbers in manuals of our own, and the authors' come as T5's numbers for each token. A "
        "life that is won at its last step is won, where the authors' wrapper takes it for lost.",
        "A life of HomeGrid that its time ends is over for the model, as there. Messenger's batches, ratios and worlds "
        "(16, 24, 24 sequences of 256, 256, 512; 64, 64, 32; 16, 16, 66) are settings, and stage 2 is tested with the "
        "movements that it was trained with, where the authors' has new ones.",
        "A loss on tokens that are only foreseen (their loss_scales.lm) is 0 as published and 1 in the small presets "
        "(heads.N.foreseen).",
    ),
)
