"""Do Better ImageNet Models Transfer Better?: a network is measured on other data sets by logistic regression on what
it sees, by fine-tuning, and beside random weights.  arXiv 1805.08974"""
from __future__ import annotations

from dataclasses import replace

from ...core.paper import Claim, Fact, Paper
from ...core.part import part
from ...core.recipe import Augment, Recipe, Resize
from ...core.types import Info
from ...parts.classifier import Network
from ...skeletons.protocol import Grid, Look, Path, Protocol, Source

# by what a set is called, spelt together: also as it is handed out
PER_CLASS = ("aircraft", "fgvcaircraft", "fgvcaircraft2013b", "pets", "oxfordpets", "oxfordiiitpet", "caltech101",
             "101objectcategories", "flowers102", "oxfordflowers102")
MEASURES = (*((name, "per-class") for name in PER_CLASS), ("voc2007", "map-11"))


def spec(preset: str = "paper") -> Protocol:
    """45 strengths from 1e5 to 1e-6; fine-tuning with seven rates and eight weight decays, random weights likewise with
    higher ones and twice as long. "linear": the first alone.

    "small" is ours: pictures of 32 pixels, a small network that first learns drawn things, both trainings on the first
    set alone with two rates.
    """
    p = Protocol(
        network=part(Network, name="resnet50"),
        look=Look(224),
        probe=Path(45, 1e-6, 1e5),
        grids=(Grid("fine-tuned", "trained", (1e-4, 1e-1, 7), (1e-6, 1e-3, 7), length=1.0),
               Grid("random start", "random", (1e-3, 1.0, 7), (1e-5, 10**-1.5, 8), bare=False, length=2.0,
                    share=2.0)),
        measures=MEASURES,
    )
    if preset == "linear":
        return replace(p, grids=())
    if preset != "small":
        return p
    return replace(
        p, network=part(Network, name="tiny-16"), look=Look(32), source=Source(),
        grids=(Grid("fine-tuned", "trained", (1e-2, 1e-1, 2), (1e-4, 1e-4, 1), bare=False, area=0.5, sets=1, share=0.1),
               Grid("random start", "random", (1e-2, 1e-1, 2), (1e-4, 1e-4, 1), bare=False, length=2.0, area=0.5,
                    sets=1, share=0.2)),
    )


def recipe(preset: str = "paper") -> Recipe:
    """20,000 steps of 256 pictures, Nesterov's momentum of .9, a cosine to zero; "small": 150 steps of 64."""
    r = Recipe(optimizer="sgd", lr=0.1, momentum=0.9, weight_decay=0.0, batch=256, length="20000steps",
               schedule="cosine", milestones=(), warmup=0.0, precision="fp32", resize=Resize("square", 224),
               augment=Augment(flip=0.5))
    return replace(r, batch=64, length="150steps", resize=Resize("square", 32)) if preset == "small" else r


def prepare(p: Protocol, info: Info) -> Protocol:
    """A classifier for each data set."""
    count = len(info.inputs)
    sets = tuple((name, n, bool(many)) for (name, many), n in zip(info.inputs, info.choices[:count], strict=True))
    return replace(p, sets=sets, rows=info.choices[count:])


PAPER = Paper(
    title="Do Better ImageNet Models Transfer Better?",
    authors="Kornblith, Shlens, Le",
    year=2018,
    arxiv="1805.08974",
    task="transfer",
    spec=spec,
    recipe=recipe,
    prepare=prepare,
    presets=("paper", "linear", "small"),
    summary="Sixteen networks that ImageNet trained are measured on twelve other data sets: by logistic regression on "
    "what comes before their last layer, by fine-tuning all of it, and against the same networks from random weights. "
    "Accuracies are compared as logits less each set's own mean. Better networks carry over better; what helped "
    "them on ImageNet by regularisation alone does not; and on two sets of cars and aeroplanes their weights help "
    "hardly at all.",
    claims=(
        Claim("r of top-1 and transfer, logistic regression", 0.99, "abstract"),
        Claim("r of top-1 and transfer, fine-tuning", 0.96, "abstract"),
    ),
    facts=(
        Fact("parameters of ResNet-50 without its classifier", 23_508_032, 0, source="25,557,032 less 2,049,000"),
    ),
    notes=(
        "Settings that the paper leaves to its references are those of the same first author's later protocol "
        "(SimCLR, arXiv 2002.05709, app. B.8): 45 strengths, grids of rates and decays, pictures of 224 pixels with "
        "the short side at 224 for regression and at 256 for fine-tuning.",
        "The strength multiplies half the square of the weights beside the *mean* cross-entropy, and biases are free: "
        "scikit-learn's C is 1 / (pictures x strength).",
        "Weight decay is divided by the learning rate, because a decay that is coupled is multiplied with it. "
        "Statistics of batch norm follow with max(1 - 10 / s, .9), where s is the steps of an epoch.",
        "VOC 2007's classes are not exclusive: a logistic regression each, and the mean of eleven-point precisions.",
        "A network is ResNet-50 until another is named: --backbone NAME of timm, NAME:imagenet for the weights that "
        "come with it, a file of weights that says its network, tiny-W. `stemma compare NAME NAME --data SETS` "
        "measures several and draws their accuracy where they were trained against how they carry over.",
        "A budget in steps is that of a fine-tuning, one in time is shared among all trainings of the grid; the path "
        "of strengths is always walked whole.",
        "What regularises the source are settings: source.smoothing, source.dropout, source.scale=false (batch norm "
        "without its scale), source.auxiliary (a linear classifier on the mean of an inner map, where Inception's has "
        "a convolution and a hidden layer too). grids.0.curve=8 measures a training on its way; few:N:PLACE learns "
        "from N pictures a class. The permutation test is of the best network and the next, set by set.",
        "Each training goes to its end; grids.0.stops=10 looks for the point of early stopping on validation.",
    ),
)
