"""InstructPix2Pix: a diffusion model that reads the picture as further channels and the sentence as its text, and edits
in one go what it is told; its examples were made by other models.  arXiv 2211.09800"""
from __future__ import annotations

from ...core.paper import Claim, Fact, Paper, Size
from ...core.part import part
from ...core.recipe import Augment, Recipe, Resize
from ...parts.editing.guidance import Drop, PictureThenText
from ...parts.editing.nets import FilmUNet, Pixels, Words
from ...parts.editing.noise import Noise, Sampler
from ...parts.editing.published import ClipText, LatentCodec, LatentUNet
from ...skeletons.edit import Editor


def spec(preset: str = "paper") -> Editor:
    """Stable Diffusion 1.5 with eight channels in, 256 pixels; "small": pixels, a net of half a million weights."""
    if preset == "small":  # not in the paper: no autoencoder, a vector a sentence, velocity, a quarter of the guidance
        return Editor(
            codec=part(Pixels), text=part(Words), net=part(FilmUNet), noise=Noise("linear", 1000, 1e-4, 0.02), aim="v",
            guidance=PictureThenText(2.0, 1.0), sampler=Sampler(10, eta=0.0, spacing="trailing", clamp=True),
            tasks=(("recolour", 1.0),),
        )
    return Editor(
        codec=part(LatentCodec), text=part(ClipText), net=part(LatentUNet), noise=Noise(), aim="eps", drop=Drop(0.05),
        guidance=PictureThenText(7.5, 1.5), sampler=Sampler(100, eta=1.0, spacing="linspace"),
    )


def recipe(preset: str = "paper") -> Recipe:
    """AdamW at 1e-4 for 10,000 steps of 1,024 pairs (32 of them, 4 times, on 8 GPUs), averaged weights, mirrored by
    half; autoencoder and text sleep. "small" is ours."""
    if preset == "small":
        return Recipe(
            optimizer="muon", lr=0.02, other_lr=2e-3, weight_decay=0.01, batch=32, length="10m", schedule="cosine",
            warmup=0.02, clip=1.0, ema=0.999, channels_last=False, resize=Resize("square", 16),
            augment=Augment(flip=0.5),
        )
    return Recipe(
        optimizer="adamw", lr=1e-4, weight_decay=0.01, batch=1024, accumulate=4, length="10000steps",
        schedule="constant", warmup=0.0, ema=0.9999, channels_last=False, resize=Resize("square", 256),
        augment=Augment(flip=0.5), lr_mult=((r"^(codec|text)\.", 0.0),),
    )


PAPER = Paper(
    title="InstructPix2Pix: Learning to Follow Image Editing Instructions",
    authors="Brooks, Holynski, Efros",
    year=2022,
    arxiv="2211.09800",
    task="editing",
    spec=spec,
    recipe=recipe,
    size=Size("its pictures are made and learned at so many pixels a side, a multiple of the network's cells"),
    summary="A language model writes what might be done to a picture and how it would then be described; a "
    "text-to-image model, whose attention is shared between both descriptions, draws the two pictures. From such pairs "
    "alone a diffusion model learns to edit real photographs in one pass of sampling, without masks and without tuning "
    "to the picture. Two scales say how closely it keeps to the picture and to the sentence.",
    claims=(
        Claim("pairs of captions with an instruction", 454_445, "released README"),
        Claim("prompts left after the filter by CLIP", 313_010, "released README"),
    ),
    facts=(
        Fact("parameters of the U-Net", 859_532_484, 1,
             source="Stable Diffusion 1.5's 859,520,964 and 320 x 4 x 3 x 3 for four channels more"),
        Fact("parameters of the autoencoder", 83_653_863, 1,
             source="summed over configs/train.yaml, first_stage_config"),
        Fact("parameters of the text encoder", 123_060_480, 1, source="CLIP ViT-L/14's text tower"),
    ),
    notes=(
        "Conditions are dropped by one number an example, as in the released code: 5 % lose the sentence, 5 % the "
        "picture, 5 % both. Three draws of their own would lose both in 1 %.",
        "The code of the picture that is edited is the mode of the autoencoder's posterior and is not scaled, where "
        "what is made is a scaled sample; no picture is a code of zeros, no sentence the encoding of an empty one.",
        "Ancestral Euler steps are DDIM's with eta 1: in Karras's coordinates both draw as much noise anew "
        "(`parts.editing.noise`). Between whole times the logarithm of sigma is linear, as in k-diffusion.",
        "`small` is ours: no autoencoder, a vector of hashed words in the place of CLIP, which scales and shifts "
        "features (FiLM) where the paper attends to words, velocity in the place of noise, ten steps, and scales of 2 "
        "and 1. It is asked for one kind of edit, a new colour; tasks says others.",
        "Examples are made by `stemma import pairs` (`engine.editing.making`): a language model by path, or a grammar "
        "of the drawn world; pairs drawn with shared self-attention; the filter by a CLIP by path. The models "
        "themselves no package brings.",
        "Pictures are edited, and examples drawn, at the 256 pixels at which it learns; the release edits at 512 what "
        "learned at 256, and draws its examples at 512 (--size 512).",
        "Mirroring is told to both pictures of a pair, never to the sentence: `left` stays `left`, as in the release.",
        "Weights of the release come by `stemma import diffusers`.",
    ),
)
