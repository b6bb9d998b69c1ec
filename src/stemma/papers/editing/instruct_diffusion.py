"""InstructDiffusion: an editor of pictures whose edits are answers, so that marking a thing in a colour is segmentation
and a disc on a joint is a keypoint.  arXiv 2309.03895"""
from __future__ import annotations

from dataclasses import replace

from ...core.paper import Claim, Paper, Parent
from ...core.part import part
from ...core.recipe import Phase, Recipe
from ...parts.editing.guidance import DropEither, EitherLeftOut
from ...parts.editing.reader import MarkReader
from ...skeletons.edit import Editor
from . import instruct_pix2pix

KINDS = ("edit", "mark", "refer", "encircle", "deblur", "denoise", "watermark")
SCALES = (("mark", 7.5, 1.5), ("refer", 7.5, 1.5), ("encircle", 6.0, 0.5), ("watermark", 1.0, 1.0))
STAGES = ("adaptation", "drawing"), ("tasks", "noise"), ("alignment", "chosen"), ("reading", "reading")
SHARES = {"small": (0.1, 0.75, 0.05, 0.1), "paper": (0.1, 0.8, 0.04, 0.06)}  # ours; the paper has the second's length


def spec(preset: str = "paper") -> Editor:
    """InstructPix2Pix asked for answers too, guided otherwise, with a net that reads them; "small": three kinds."""
    p = replace(instruct_pix2pix.spec(preset), reader=part(MarkReader), drop=DropEither())
    if preset == "small":
        return replace(p, guidance=EitherLeftOut(1.0, 0.5),
                       tasks=(("recolour", 1.0), ("mark", 1.0), ("encircle", 1.0)))
    return replace(p, guidance=EitherLeftOut(5.0, 1.25), practice=20, scales=SCALES,
                   tasks=tuple((kind, 1.0) for kind in KINDS))


def recipe(preset: str = "paper") -> Recipe:
    """AdamW at 1e-4, steps of 3,072 (64 on each of 48 GPUs): first text to painted pictures, then tasks for 200 epochs,
    then what it did well; the reader last."""
    phases = tuple(Phase(name, share, train=r"^reader\." if name == "reading" else r"^(?!reader\.)", losses=losses)
                   for (name, losses), share in zip(STAGES, SHARES[preset], strict=True))
    r = instruct_pix2pix.recipe(preset)
    if preset == "small":  # the reader begins when the rate is nearly gone
        return replace(r, phases=phases, lr_mult=((r"^reader\.", 40.0),))
    return replace(r, phases=phases, batch=3072, accumulate=1, length="250epochs")


PAPER = Paper(
    title="InstructDiffusion: A Generalist Modeling Interface for Vision Tasks",
    authors="Geng, Yang, Hang, Li, Gu, Zhang, Bao, Zhang, Hu, Chen, Guo",
    year=2023,
    arxiv="2309.03895",
    task="editing",
    spec=spec,
    recipe=recipe,
    size=instruct_pix2pix.PAPER.size,
    summary="What a vision task asks for can be drawn into the picture: a mask as pixels half covered by a colour, a "
    "keypoint as a disc. An editor that follows instructions then does them all, edits among them, and is asked in "
    "words. A small network reads the answers back.",
    parents=(
        Parent(instruct_pix2pix.PAPER, (
            ("guidance", "what is said without the sentence and what without the picture are left out one at a time, "
             "and half of each scale is no guidance"),
            (("reader", "practice"), "a small U-Net reads what was painted, and learns it of the editor's own edits"),
            ("tasks", "asked to mark and to encircle things as well, and to mend pictures"),
            ("drop", "the sentence or the picture is left out, never both"),
            ("scales", "each kind is asked for by scales of its own"),
        )),
    ),
    claims=(
        Claim("epochs of the second stage", 200, "released configs/instruct_diffusion.yaml"),
        Claim("steps from noise to a picture", 100, "released inference_example.sh"),
    ),
    facts=instruct_pix2pix.PAPER.facts,
    notes=(
        "Masks take half of the picture and half of the colour, points are opaque discs, and a thing that is not there "
        "leaves the picture as it is; what was painted is read along the colour asked for, by a share of a quarter "
        "(`ops.edits`), and by the reader, which until it has learned says the same.",
        "First it is adapted: pictures with patches and circles are drawn from their captions alone, \"with a few "
        "different color patches here and there\", \"surrounded with a ... circle\".",
        "The last stage of the paper is learned of edits that people picked. Here those of its own edits are picked "
        "which came nearer to the truth than half of what was to change (`skeletons.edit.well`).",
        "How long the other stages take is not in what we hold; their shares, and the reader's, are ours.",
        "The mixture of the release weighs its data sets (AIC .1, GoPro 2, REDS .2, SIDD 20, CLWD .2, InstructPix2Pix "
        ".2, GIER 2, others 1): --data \"asked:COCO,2*GoPro,0.2*REDS,20*SIDD\". Of a weight below 1 each visit draws "
        "others. Kinds of instruction are weighed by --set tasks=.",
        "The reader is in the paper and not in its release; its widths are ours.",
        "Data with masks, maps or keypoints are asked about by --data asked:DATA, in the release's words, colours, "
        "crops and discs; classes that are not there are drawn from those that are not, where the release removes "
        "from a list while it walks it. RefCOCO is read from JSON alone, as gRefCOCO publishes it. --data "
        "restored:DATA spoils pictures of any data; folders of GoPro, REDS, SIDD and CLWD are read as published.",
        "Where an instruction was made for the picture as it lies (joints, which have a left and a right; things that "
        "are told by where they stand), neither is mirrored after.",
        "Its photographs of edits: GIER's list is read as published, any other as a list of (before, after, "
        "instruction) (`data.editing.listed`). GQA-Inpaint publishes scenes, of which sentences are made as "
        "its release makes them (`data.editing.removed`); the release's own pairs are not published.",
        "Boxes and classes come out of masks (`engine.editing.derive`), as in its tasks that no example showed.",
    ),
)
