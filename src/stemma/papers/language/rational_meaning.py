"""Rational meaning construction: sentences become pieces of a probabilistic program, and thinking is inference in it.
arXiv 2306.12672"""
from __future__ import annotations

from ...core.paper import Claim, Fact, Paper
from ...core.part import part
from ...core.recipe import Phase, Recipe
from ...parts.language.translate import Attention, Nearest, Outside
from ...skeletons.meaning import Inference, Meaning, fitted


def spec(preset: str = "paper") -> Meaning:
    """A language model from outside that is shown the world and examples ("paper", name its file with --set
    net.path=FILE), a translator that is trained ("small"), the domain's own grammar ("grammar"), the nearest sentence
    that was seen ("nearest").

    The paper's language model was Codex, asked by hand; any model in GGUF stands in its place. The others are ours.
    """
    nets = {
        "paper": part(Outside, way="model"), "grammar": part(Outside, way="grammar"), "nearest": part(Nearest),
        "small": part(Attention, width=128, layers=2, heads=4),
    }
    return Meaning(net=nets[preset], inference=Inference("rejection"))


def recipe(preset: str = "paper") -> Recipe:
    """Nothing is learned from pairs but in "small": Adam over 4,000 of them until the budget is used."""
    if preset != "small":
        return Recipe(batch=500, length="1epochs", schedule="constant", warmup=0.0, precision="fp32",
                      phases=(Phase("count", 1.0, run="count"),))
    return Recipe(optimizer="adamw", lr=1e-3, weight_decay=0.01, batch=64, length="8m", schedule="cosine", warmup=0.05,
                  clip=1.0, precision="fp32")


PAPER = Paper(
    title="From Word Models to World Models: Translating from Natural Language to the Probabilistic Language of "
    "Thought",
    authors="Wong, Grand, Lew, Goodman, Mansinghka, Andreas, Tenenbaum",
    year=2023,
    arxiv="2306.12672",
    task="language",
    spec=spec,
    recipe=recipe,
    presets=("paper", "small", "grammar", "nearest"),
    prepare=fitted,
    summary="Language says what is so, thought works out what follows. Here a meaning function turns each sentence "
    "into an expression of Church, a probabilistic Scheme: an observation becomes a condition on a model of the world, "
    "a question a query, a new word a definition. Inference in the grown program does the rest, so that what is "
    "answered follows from all that was said and from what is known of the world: matches of tug-of-war, families, "
    "things on a table, things that collide, plans for lunch.",
    claims=(
        Claim("mean of a player's strength before anything is said, tug-of-war", 50, "the released world model"),
        Claim("deviation of a player's strength, tug-of-war", 20, "the released world model"),
        Claim("most objects in a scene, before the one more that its generator adds", 12, "the released world model"),
    ),
    facts=(
        Fact("parameters", 953_916, 60, variant="small", source="counted: 2 + 2 layers of 128, ours"),
        Fact("parameters", 0, 60, source="a language model from outside"),
    ),
    notes=(
        "The paper's results are worked examples and figures; there is no accuracy to match. Exact match, executable "
        "share and denotation are ours to measure.",
        "Worlds have the released constants; programs, names and sentences are ours, as is the planner's ending: a "
        "trip ends at the first kitchen, and lunch is had once.",
        "Of the dynamic scenes the physics is the released one, whose friction pulls to the left whichever way a thing "
        "moves. Things on the table are drawn as pictures, (query (picture)).",
        "A sentence that brings a word (an uncle is a brother of a parent) is read by a form of the domain and becomes "
        "a definition; sentences with the word are read with a known one in its place.",
        "The released generator of scenes puts one thing more on the table than it draws; so does ours, which makes "
        "the chance of some mug .8606.",
        "A gaussian takes a deviation, also where a released model calls it a variance.",
        "Laziness stays, the lazy pull is drawn anew each match.",
        "What a translator writes is read, checked against the world's names and run by the interpreter under limits "
        "of steps, memory and depth; nothing of it is ever Python. What cannot be read or run is counted.",
        "Words that are not of the domain are names, copied from the sentence by their place in it, but for English's "
        "closed classes (in, she, nobody, seven): nobody is called so, and translators pass over them.",
        "Whether translating and inferring is better than answering at once: stemma.studies.answerers; whether vague "
        "words mind the world: stemma.studies.contexts; what inference costs: stemma.studies.inference.",
        "Queries are asked in the worlds of the conditions, with the same memories; conditions that never hold are "
        "found by a cap on worlds.",
    ),
)
