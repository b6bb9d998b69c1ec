"""ImageNet-CoG: how far features generalise to concepts that were never seen, over five levels of ever farther ones.
arXiv 2012.05649"""
from __future__ import annotations

from dataclasses import replace

from ...core.paper import Claim, Fact, Paper, Parent
from ...core.recipe import Recipe
from ...skeletons.protocol import Protocol, Search
from . import imagenet_transfer


def spec(preset: str = "paper") -> Protocol:
    """Thirty trials of rate and weight decay for a linear classifier of 100 epochs, on all pictures and on 1 to 128 a
    class. "small" is ours: a small network that first learns drawn concepts, ten trials, 1, 4 and 16 a class."""
    search = Search(trials=10, epochs=60, shots=(1, 4, 16)) if preset == "small" else Search()
    return replace(imagenet_transfer.spec(preset), probe=search, grids=(), measures=())


def recipe(preset: str = "paper") -> Recipe:
    """Of what a network without weights learns first; the classifiers have their own rates."""
    return imagenet_transfer.recipe(preset)


PAPER = Paper(
    title="Concept Generalization in Visual Representation Learning",
    authors="Sariyildiz, Kalantidis, Larlus, Alahari",
    year=2021,
    arxiv="2012.05649",
    task="transfer",
    spec=spec,
    recipe=recipe,
    prepare=imagenet_transfer.prepare,
    summary="Of WordNet's concepts that ImageNet-1K does not hold, those with enough pictures are sorted by how near "
    "they are to the thousand that it does, by Lin's similarity, and cut into five levels. A linear classifier on "
    "frozen features, its rate and weight decay searched for on each level, says how well a network generalises to "
    "each. All lose from level to level; how a network was trained decides how much.",
    parents=(
        Parent(
            imagenet_transfer.PAPER,
            (
                ("probe", "a linear classifier of unit-length features by SGD, whose rate and weight decay are "
                 "searched for, also from few pictures a class, in the place of regression along a path of strengths"),
                ("grids", "nothing but the classifier is trained"),
                ("measures", "every level is told by top-1"),
            ),
        ),
    ),
    claims=(
        Claim("concepts of a level", 1000, "sec. 3; the authors' loader asserts it"),
    ),
    facts=(
        Fact("parameters of ResNet-50 without its classifier", 23_508_032, 0, source="25,557,032 less 2,049,000"),
    ),
    notes=(
        "The levels are read from the authors' files (--data levels:FOLDER, levels.pkl and split.pkl of which nothing "
        "is run), or chosen from WordNet 3.0's dictionary: python -m stemma.studies.concepts. Counts of pictures are "
        "no part of WordNet; with the synsets of the MIIL release of ImageNet-21K as the pool 8,753 concepts are "
        "eligible, from all of ImageNet-21K 17,255.",
        "Similarity is to the nearest concept that was seen; --agg mean takes the mean over all. Information is that "
        "of SemCor's tags with one added to each concept, or of the number of descendants.",
        "The rate lags by an epoch as in the authors' code (probe.schedule=cosine: it does not); weight decay is also "
        "on the bias.",
        "A search for few pictures a class is held against a fifth of the whole set, as the authors' code does, which "
        "so few labels would not give; probe.inside=true holds out some of the few.",
        "Trials are Optuna's, which need not give the same numbers in its next version; each is a function of those "
        "before it and of the seed, so that a search that is resumed goes on as it would have.",
        "With --pictures, how many each concept has, those with fewer than 782 are left out. Features that the "
        "authors' code extracted are data too (FOLDER/features_train/X_Y.pth).",
        "A report tells what a network loses on a level of its accuracy at the source (ImageNet-1K's own, for networks "
        "that come with it), and how many points lie between it and the network that was named first: name ResNet-50 "
        "first for the paper's reference. Its four groups of models are the reader's.",
        "Drawn concepts (--data drawn:levels) are a tree in which each step fixes one thing more of a picture, so that "
        "near ones look alike by construction.",
    ),
)
