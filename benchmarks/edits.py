"""A guided step of an editor beside a plain pass of three pictures, and beside a step of diffusers' own pipeline on the
same small components with random weights: processor time of one thread, by turns in one process.

    python benchmarks/edits.py [--side 256] [--pictures 1] [--rounds 15]

A step is the difference of a long and a short edit over the steps between, so that what is done once (the picture's
code, decoding) does not count. A guided step should take at most 1.15 times a plain pass of three, and .8 times
diffusers'.
"""
from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import diffusers
import torch

import stemma

TINY = {  # Stable Diffusion's build with two levels of some tens of channels
    "net.widths": (32, 64), "net.layers": 1, "net.attends": 1, "codec.widths": (32, 64), "codec.layers": 1,
    "text.width": 64, "text.inner": 96, "text.layers": 2, "text.heads": 1, "text.words": 100, "text.length": 77,
    "sampler.eta": 0.0, "sampler.spacing": "trailing",
}
SHORT, LONG = 2, 8


def seconds(run: Callable[[], Any]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def step(edit: Callable[[int], Any]) -> float:
    """Seconds of a step of `edit(steps)`."""
    return (seconds(lambda: edit(LONG)) - seconds(lambda: edit(SHORT))) / (LONG - SHORT)


def editor(preset: str) -> Any:
    torch.manual_seed(0)
    return stemma.build("instruct-pix2pix", preset, sets=TINY if preset == "paper" else {}).eval()


def ours(m: Any, images: torch.Tensor, tokens: torch.Tensor) -> Callable[[int], Any]:
    return lambda steps: m.edit(images, tokens, 7.5, 1.5, steps=steps)


def plain(m: Any, images: torch.Tensor, tokens: torch.Tensor) -> Callable[[], Any]:
    """The network on three pictures for each, as it would be called without guidance."""
    given, said = m.codec.given(images).repeat(3, 1, 1, 1), m.text(tokens.repeat(3, 1))
    z, t = torch.randn(given.shape), torch.full((len(given),), 500.0)

    def run() -> None:
        with torch.no_grad():
            m(z, t, given, said)

    return run


def theirs(m: Any, images: torch.Tensor, tokens: torch.Tensor) -> Callable[[int], Any]:
    scheduler = diffusers.DDIMScheduler(1000, 0.00085, 0.012, "scaled_linear", clip_sample=False,
                                        set_alpha_to_one=True, timestep_spacing="trailing")
    pipeline = diffusers.StableDiffusionInstructPix2PixPipeline(
        vae=m.codec.vae, text_encoder=None, tokenizer=None, unet=m.net.unet, scheduler=scheduler, safety_checker=None,
        feature_extractor=None, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    with torch.no_grad():
        words, none = m.text(tokens), m.text(m.null).expand(len(tokens), -1, -1)
    return lambda steps: pipeline(image=images, num_inference_steps=steps, guidance_scale=7.5, image_guidance_scale=1.5,
                                  prompt_embeds=words, negative_prompt_embeds=none, output_type="pt")


def ratio(one: list[float], other: list[float]) -> str:
    each = [a / b for a, b in zip(one, other, strict=True)]
    return f"{statistics.median(each):.3f} ({min(each):.3f} to {max(each):.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--pictures", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    a = parser.parse_args()
    torch.set_num_threads(1)
    for preset, side in (("small", 16), ("paper", a.side)):
        m, g = editor(preset), torch.Generator().manual_seed(1)
        images = torch.rand(a.pictures, 3, side, side, generator=g)
        tokens = torch.randint(1, 98, (a.pictures, m.text.length), generator=g)
        edit, three = ours(m, images, tokens), plain(m, images, tokens)
        there = theirs(m, images, tokens) if preset == "paper" else None
        times: dict[str, list[float]] = {"guided": [], "plain": [], "diffusers": []}
        for round_ in range(a.rounds + 1):  # the first is thrown away
            found = {"guided": step(edit), "plain": statistics.fmean(seconds(three) for _ in range(LONG - SHORT)),
                     "diffusers": step(there) if there is not None else 0.0}
            for name, value in found.items() if round_ else ():
                times[name].append(value)
        print(f"{preset}, {a.pictures} picture(s) of {side} pixels, {a.rounds} rounds, median (range)")
        print(f"  guided step {1000 * statistics.median(times['guided']):.2f} ms; over a plain pass of three "
              f"{ratio(times['guided'], times['plain'])}")
        if there is not None:
            print(f"  over a step of diffusers' pipeline {ratio(times['guided'], times['diffusers'])}")


if __name__ == "__main__":
    main()
