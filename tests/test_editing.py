"""Editing: what the parts are held against, drawn edits and published folders, the commands, and resume."""
from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor

pytest.importorskip("diffusers", reason="published editors need diffusers: pip install 'stemma-vision[editing]'")
pytest.importorskip("transformers", reason="published editors need transformers: pip install 'stemma-vision[editing]'")
import diffusers
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split

import stemma
from engine_help import alone_and_in_pieces
from learning import Learned
from stemma.cli import main
from stemma.core import paper as cards
from stemma.core.part import In
from stemma.core.samples import Classes, Info, Points, Sample
from stemma.core.types import DataError, StemmaError
from stemma.data.editing import asked, captions, drawn, folders, hard, paired
from stemma.data.editing.loading import At, PairLoader, stretched
from stemma.data.editing.marked import Marked
from stemma.data.editing.open import is_edits, mixed, open_edits, restricted, splits
from stemma.data.editing.pairs import Pair
from stemma.data.files import SPLITS
from stemma.data.records import DataWarning
from stemma.engine.editing import bring, derive, guests, making, measure, show
from stemma.engine.editing.clip import MEAN as CLIP_MEAN
from stemma.engine.editing.clip import STD as CLIP_STD
from stemma.engine.editing.clip import Clip
from stemma.engine.running import checkpoint
from stemma.metrics import edits as by
from stemma.ops import edits as ops
from stemma.parts.editing.guidance import Drop, EitherLeftOut, PictureThenText, together
from stemma.parts.editing.nets import FilmUNet, Words
from stemma.parts.editing.noise import Noise, Sampler, aimed, clean, level, noised
from stemma.parts.editing.published import ClipText, LatentCodec, LatentUNet
from stemma.parts.editing.reader import MarkReader
from stemma.report import charts
from stemma.skeletons.edit import EditBatch, well
from stemma.studies import editors, failures
from stemma.studies import pairs as origins

TINY = {  # Stable Diffusion of two levels and some tens of channels
    "net.widths": (32, 64), "net.layers": 1, "net.attends": 1, "codec.widths": (32, 64), "codec.layers": 1,
    "text.width": 64, "text.inner": 96, "text.layers": 2, "text.heads": 1, "text.words": 100, "text.length": 8,
}
EDITORS = [n for n in cards.names() if cards.get(n).task == "editing"]
PRESETS = [(n, p) for n in EDITORS for p in cards.get(n).presets]
each = pytest.mark.parametrize("name, preset", PRESETS)


def editor(name: str = "instruct_pix2pix", preset: str = "small", **sets: Any) -> Any:
    """An editor with random weights, none of them zero."""
    torch.manual_seed(0)
    m = stemma.build(name, preset, sets=(TINY if preset == "paper" else {}) | sets)
    g = torch.Generator().manual_seed(1)
    for p in m.parameters():
        if not p.any():
            p.data.copy_(0.05 * torch.randn(p.shape, generator=g))
    return m.eval()


def batch_of(m: Any, b: int = 3, size: int = 16) -> EditBatch:
    g = torch.Generator().manual_seed(2)
    said = [""] * b if isinstance(m.text, ClipText) else [f"make thing {i} red" for i in range(b)]
    return EditBatch(torch.rand(b, 3, size, size, generator=g), torch.rand(b, 3, size, size, generator=g),
                     m.text.tokens(said), torch.arange(b), m.text.tokens([""] * b),
                     torch.tensor([[0.9, 0.1, 0.1]]).repeat(b, 1))


@pytest.mark.parametrize("name", EDITORS)
def test_small_editors_learn_and_answer_at_another_size(name: str) -> None:
    m = editor(name, size=96)
    batch = batch_of(m, 2, 96)
    assert m.recipe.resize.size == 96 and all(torch.isfinite(v) for v in m.train().loss(batch).values())
    assert m.eval().edit(batch.images, batch.tokens, steps=2).shape == (2, 3, 96, 96)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(list(words))
    said = capsys.readouterr()
    return int(stop.value.code or 0), said.out, " ".join(said.err.split())


# ---------------------------------------------------------------- every editor


@pytest.mark.parametrize("name", EDITORS)
def test_parameters_are_the_published_ones(name: str) -> None:
    with torch.device("meta"):
        m: Any = stemma.build(name, "paper")
    counted = {"U-Net": m.net, "autoencoder": m.codec, "text encoder": m.text}
    facts = {next(k for k in counted if f.what.endswith(k)): f.value for f in cards.get(name).facts}
    assert facts == {k: sum(p.numel() for p in v.parameters()) for k, v in counted.items()}


@each
def test_losses_are_finite_and_every_parameter_learns(name: str, preset: str) -> None:
    m = editor(name, preset)
    torch.manual_seed(1)
    losses = [x.losses for x in m.recipe.phases] or ["noise"]
    for m.learns in losses:
        (said, loss), = m.loss(batch_of(m)).items()
        assert said == m.learns and loss.isfinite() and (loss > 0 or said == "chosen")
        loss.backward()
    asleep = "codec.", "text." if preset == "paper" else "codec."
    still = [k for k, p in m.named_parameters() if not k.startswith(asleep) and (p.grad is None or not p.grad.any())]
    assert not still


@each
def test_a_picture_is_edited_alike_whatever_is_in_its_batch(name: str, preset: str, tmp_path: Path) -> None:
    m = editor(name, preset)
    x = batch_of(m)
    whole = m.edit(x.images, x.tokens, 3.0, 1.2, steps=3, seed=[4, 5, 6])
    for i in range(3):
        alone = m.edit(x.images[i : i + 1], x.tokens[i : i + 1], 3.0, 1.2, steps=3, seed=4 + i)
        torch.testing.assert_close(alone[0], whole[i], atol=2e-4, rtol=0)
    checkpoint.save(tmp_path / "m.safetensors", m)
    again: Any = stemma.load(tmp_path / "m.safetensors")
    assert torch.equal(again.eval().edit(x.images, x.tokens, 3.0, 1.2, steps=3, seed=[4, 5, 6]), whole)
    assert not torch.equal(whole, m.edit(x.images, x.tokens, 3.0, 1.2, steps=3, seed=7))
    assert whole.shape == x.images.shape and whole.min() >= 0 and whole.max() <= 1


def test_sides_that_a_network_cannot_take_are_told() -> None:
    with pytest.raises(StemmaError, match="multiples of 2 here, not 15 x 16"):
        editor().edit(torch.rand(1, 3, 16, 15), [""])
    with pytest.raises(StemmaError, match="between 1 and 1000, not at 0"):
        editor().edit(torch.rand(1, 3, 16, 16), [""], steps=0)


# ---------------------------------------------------------------- noise and steps, against diffusers


@pytest.mark.parametrize("kind, there, begin, end", [("scaled-linear", "scaled_linear", 0.00085, 0.012),
                                                     ("linear", "linear", 1e-4, 0.02),
                                                     ("cosine", "squaredcos_cap_v2", 1e-4, 0.02)])
def test_schedules_are_those_of_diffusers(kind: Any, there: str, begin: float, end: float) -> None:
    theirs = diffusers.DDPMScheduler(1000, begin, end, there)
    alphas = Noise(kind, 1000, begin, end).alphas()
    torch.testing.assert_close(alphas.float(), theirs.alphas_cumprod, atol=2e-6, rtol=1e-4)
    z, eps, t = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4), torch.tensor([10, 700])
    a = alphas[t].float().view(-1, 1, 1, 1)
    torch.testing.assert_close(noised(z, eps, a), theirs.add_noise(z, eps, t), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(aimed("v", z, eps, a), theirs.get_velocity(z, eps, t), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("aim", ["eps", "v", "x0"])
def test_what_is_said_of_noise_means_its_picture(aim: Any) -> None:
    z, eps, a = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4), torch.tensor(0.3)
    torch.testing.assert_close(clean(aim, aimed(aim, z, eps, a), noised(z, eps, a), 0.3), z, atol=1e-5, rtol=1e-5)


def word(z: Tensor, t: float) -> Tensor:
    """A network that is none: smooth in noise and time."""
    return torch.tanh(0.7 * z) * (0.3 + t / 1500) + 0.1 * torch.sin(3 * z)


def test_ancestral_steps_are_those_of_diffusers() -> None:
    """Karras's coordinates there, DDIM with eta 1 here, the same noise."""
    theirs = diffusers.EulerAncestralDiscreteScheduler(1000, 0.00085, 0.012, "scaled_linear",
                                                       timestep_spacing="linspace")
    theirs.set_timesteps(20)
    g = torch.Generator().manual_seed(3)
    draws = [torch.randn(1, 4, 8, 8, generator=g) for _ in range(22)]
    first = draws[0]
    sigma = theirs.sigmas[0]
    x, k = first * (sigma**2 + 1).sqrt(), 0
    for t in theirs.timesteps:
        scaled = theirs.scale_model_input(x, t)
        step = theirs.step(word(scaled, float(t)), t, x, generator=torch.Generator().manual_seed(50 + k))
        x, k = step.prev_sample, k + 1
    made = iter([torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(50 + i)) for i in range(20)])
    alphas = Noise().alphas()
    ours = Sampler(20, eta=1.0, spacing="linspace")(word, first, alphas, "eps", 20, lambda: next(made))
    torch.testing.assert_close(ours, x, atol=2e-3, rtol=0)
    assert torch.equal(level(alphas, torch.tensor([7.0], dtype=torch.float64)), alphas[7:8])


def test_an_edit_begins_as_wide_as_k_diffusions_first_sigma() -> None:
    """k-diffusion begins with noise times its first sigma; in our coordinates that over sqrt(1 + sigma^2)."""
    sigma = diffusers.EulerAncestralDiscreteScheduler(1000, 0.00085, 0.012, "scaled_linear",
                                                      timestep_spacing="linspace").sigmas[0]
    alphas, noise = Noise().alphas(), torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(7))
    begun = Sampler(5, spacing="linspace").first(noise, alphas, 5)
    torch.testing.assert_close(begun, noise * sigma / (1 + sigma**2).sqrt(), atol=1e-5, rtol=0)
    assert (begun - noise).abs().max() > 1e-3 and Sampler(5, spacing="trailing").first(noise, alphas, 5) is noise
    m = editor(preset="paper", **{"sampler.eta": 0.0})
    x = batch_of(m, 1)
    drawn = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(7))
    told = m.edit(x.images, x.tokens, steps=2, noise=m.spec.sampler.first(drawn, m.alphas, 2))
    torch.testing.assert_close(m.edit(x.images, x.tokens, steps=2, seed=7), told)


@pytest.mark.parametrize("steps", [1, 5, 20])
@pytest.mark.parametrize("aim, there", [("eps", "epsilon"), ("v", "v_prediction"), ("x0", "sample")])
def test_steps_without_new_noise_are_ddims_of_diffusers(aim: Any, there: str, steps: int) -> None:
    theirs = diffusers.DDIMScheduler(1000, 1e-4, 0.02, "linear", clip_sample=True, set_alpha_to_one=True,
                                     prediction_type=there, timestep_spacing="trailing")
    theirs.set_timesteps(steps)
    x = first = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    for t in theirs.timesteps:
        x = theirs.step(word(x, float(t)), int(t), x, use_clipped_model_output=True).prev_sample
    sampler = Sampler(steps, eta=0.0, spacing="trailing", clamp=True)
    ours = sampler(word, first, Noise("linear", 1000, 1e-4, 0.02).alphas(), aim, steps, lambda: first)
    torch.testing.assert_close(ours, x, atol=1e-3, rtol=0)


# ---------------------------------------------------------------- guidance and dropped conditions


def said_of(passes: Any, seed: int = 0) -> dict[Any, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {p: torch.randn(2, 3, 4, 4, generator=g, dtype=torch.float64) for p in passes}


ALL = [(True, True), (True, False), (False, True), (False, False)]


def test_guidance_is_the_papers_sum() -> None:
    e = said_of(ALL)
    s, i = 7.5, 1.5
    ours = together(w := PictureThenText().weights(s, i), {p: e[p] for p in w})
    torch.testing.assert_close(ours, e[False, False] + i * (e[True, False] - e[False, False])
                               + s * (e[True, True] - e[True, False]))
    ours = together(w := EitherLeftOut().weights(s, i), {p: e[p] for p in w})
    torch.testing.assert_close(ours, 0.5 * (e[True, False] + e[False, True]) + s * (e[True, True] - e[True, False])
                               + i * (e[True, True] - e[False, True]))


@pytest.mark.parametrize("rule, neutral", [(PictureThenText(), 1.0), (EitherLeftOut(), 0.5)])
def test_guidance_is_linear_and_has_a_neutral_point(rule: Any, neutral: float) -> None:
    e = said_of(ALL)
    at = lambda s, i: together(w := rule.weights(s, i), {p: e[p] for p in w})
    torch.testing.assert_close(at(neutral, neutral), e[True, True])
    torch.testing.assert_close(at(2.0, 3.0) + at(4.0, 1.0), 2 * at(3.0, 2.0))
    assert all(abs(sum(rule.weights(s, i).values()) - 1) < 1e-12 for s, i in ((7.5, 1.5), (0.0, 0.0), (-1.0, 4.0)))


def test_where_the_two_papers_guidances_differ_and_meet() -> None:
    """A half of each scale is already in the second; where picture and sentence are left out alike, a scale of it more
    is a scale of the first."""
    first, second = PictureThenText(), EitherLeftOut()
    e = said_of(ALL)
    of = lambda rule, s, i, e: together(w := rule.weights(s, i), {p: e[p] for p in w})
    assert (of(first, 2.0, 1.5, e) - of(second, 2.0, 1.5, e)).abs().max() > 0.1
    same = e | {(True, False): e[False, False], (False, True): e[False, False]}
    torch.testing.assert_close(of(first, 3.0, 1.5, same), of(second, 3.0 - 0.5, 0.5, same))
    assert first.weights(1.0, 1.0) == {(True, True): 1.0, (True, False): 0.0, (False, False): 0.0}


def test_a_pass_that_weighs_nothing_is_not_taken_and_no_sentence_makes_its_scale_void() -> None:
    m = editor()
    x, rows = batch_of(m, 2), []
    m.net.register_forward_pre_hook(lambda _, given: rows.append(len(given[0])))
    m.edit(x.images, x.tokens, 1.0, 1.0, steps=2)
    m.edit(x.images, x.tokens, 2.0, 1.0, steps=2)
    m.edit(x.images, x.tokens, 2.0, 1.5, steps=2)
    assert rows == [2, 2, 4, 4, 6, 6]
    mute = ["", ""]
    torch.testing.assert_close(m.edit(x.images, mute, 7.0, 1.5, steps=3), m.edit(x.images, mute, 2.0, 1.5, steps=3),
                               atol=1e-4, rtol=0)


def test_conditions_are_dropped_as_often_as_told() -> None:
    n = 100_000
    silent, blind = Drop(0.05)(torch.rand(n, generator=torch.Generator().manual_seed(0)))
    three = 3 * (0.05 * 0.95 / n) ** 0.5
    for those in (silent & ~blind, blind & ~silent, silent & blind):
        assert abs(float(those.double().mean()) - 0.05) < three
    assert abs(float((~silent & ~blind).double().mean()) - 0.85) < 3 * (0.85 * 0.15 / n) ** 0.5
    silent, blind = Drop(0.05)(torch.tensor([0.0, 0.049, 0.05, 0.099, 0.1, 0.149, 0.15, 0.9]))
    assert silent.tolist() == [True] * 4 + [False] * 4 and blind.tolist() == [False] * 2 + [True] * 4 + [False] * 2


def test_no_picture_is_a_code_of_zeros_and_no_sentence_an_empty_one() -> None:
    m = editor(**{"drop.share": 0.34})  # every example loses something
    x, seen = batch_of(m, 64), []
    m.net.register_forward_pre_hook(lambda _, given: seen.append(given))
    torch.manual_seed(3)
    m.loss(x)
    z, _, sentence = seen[0]
    blind = ~z[:, 3:].flatten(1).any(1)
    silent = (sentence - m.text(m.null)).abs().amax(1) < 1e-5
    assert 25 < int(blind.sum()) and 25 < int(silent.sum()) and bool((blind | silent).all())
    kept = z[~blind, 3:]
    torch.testing.assert_close(kept, 2 * x.images[~blind] - 1)


# ---------------------------------------------------------------- against diffusers' own pipeline


def pipeline_of(m: Any, scheduler: Any) -> Any:
    return diffusers.StableDiffusionInstructPix2PixPipeline(
        vae=m.codec.vae, text_encoder=None, tokenizer=None, unet=m.net.unet, scheduler=scheduler, safety_checker=None,
        feature_extractor=None, requires_safety_checker=False)


def test_an_edit_is_the_one_of_diffusers_pipeline() -> None:
    """Equal weights, noise and text: three passes, their order and scales, the unscaled mode, steps and decoding."""
    m = editor(preset="paper", **{"sampler.eta": 0.0, "sampler.spacing": "trailing"})
    x = batch_of(m, 2)
    there = pipeline_of(m, diffusers.DDIMScheduler(1000, 0.00085, 0.012, "scaled_linear", clip_sample=False,
                                                   set_alpha_to_one=True, timestep_spacing="trailing"))
    there.set_progress_bar_config(disable=True)
    tokens = torch.randint(0, 98, (2, 8), generator=torch.Generator().manual_seed(1))
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        theirs = there(image=x.images, num_inference_steps=5, guidance_scale=7.5, image_guidance_scale=1.5,
                       latents=noise.clone(), prompt_embeds=m.text(tokens), output_type="pt",
                       negative_prompt_embeds=m.text(m.null).expand(2, -1, -1)).images
    ours = m.edit(x.images, tokens, 7.5, 1.5, steps=5, noise=noise)
    assert ours.std() > 0.01
    torch.testing.assert_close(ours, theirs, atol=5e-4, rtol=0)


def test_keys_and_values_of_the_words_are_computed_once_in_an_edit() -> None:
    m = editor(preset="paper")
    x, asked, between = batch_of(m, 2), [], [a for n, a in m.net.named_modules() if n.endswith("attn2")]
    own = [a.processor for a in between]
    for a in between:
        for f in (a.to_q, a.to_k, a.to_v):
            f.register_forward_hook(lambda f, _, out: asked.append(f))
    first = m.edit(x.images, x.tokens, 7.5, 1.5, steps=4)
    assert len(between) == 4 and [a.processor for a in between] == own, "and all is as it was"
    for a in between:
        assert [asked.count(f) for f in (a.to_q, a.to_k, a.to_v)] == [4, 1, 1]
    other = torch.randint(0, 98, x.tokens.shape, generator=torch.Generator().manual_seed(5))
    assert not torch.allclose(m.edit(x.images, other, 7.5, 1.5, steps=4), first), "other words are other keys"
    assert torch.equal(m.edit(x.images, x.tokens, 7.5, 1.5, steps=4), first)


@pytest.mark.parametrize("name, text, image, of", [
    ("instruct_pix2pix", 7.5, 1.5, (3, 2)), ("instruct_pix2pix", 7.5, 1, (2, 1)), ("instruct_pix2pix", 1, 1, (1, 1)),
    ("instruct_diffusion", 5, 1.25, (3, 2))])
def test_passes_that_differ_by_words_are_one_until_these_are_heard(name: str, text: float, image: float,
                                                                   of: tuple[int, int]) -> None:
    m = editor(name, "paper")
    x, seen = batch_of(m, 2), dict[str, set[int]]()
    for n, a in m.net.named_modules():
        if n.endswith("attn1"):
            a.to_q.register_forward_hook(lambda f, given, out, n=n: seen.setdefault(n, set()).add(len(given[0])))
    made = m.edit(x.images, x.tokens, text, image, steps=3)
    passes, distinct = of
    assert list(seen.values()) == [{2 * distinct}, *[{2 * passes}] * 3]
    own = list(m.net.unet.attn_processors.values())
    assert len({type(p) for p in own}) == 1, "and all is as it was"
    given, words = m.codec.given(x.images), m.text(x.tokens)
    weights = m.spec.guidance.weights(text, image)
    with torch.no_grad():
        tell = lambda z, t: together(weights, {p: m(z, torch.full((2,), t), given if p[0] else 0 * given, words if p[1]
                                                    else m.text(m.null).expand_as(words)) for p in weights})
        draws = [torch.Generator().manual_seed(0) for _ in range(2)]
        draw = lambda: torch.stack([torch.randn(given.shape[1:], generator=d) for d in draws])
        s = m.spec.sampler
        z = s(tell, s.first(draw(), m.alphas, 3), m.alphas, m.spec.aim, 3, draw)
        torch.testing.assert_close(made, m.codec.back(z), atol=1e-4, rtol=0)


def test_widened_it_says_what_it_said() -> None:
    """The picture's channels are zero at first, the bias is kept, and they learn."""
    narrow = diffusers.UNet2DConditionModel(
        in_channels=4, out_channels=4, block_out_channels=(32, 64), layers_per_block=1, cross_attention_dim=64,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))
    wide = LatentUNet(In((4, 4, 64), (1, 1, 1)), (32, 64), 1, 8, 1)
    wide.unet.load_state_dict(bring.widened(narrow.state_dict(), 8))
    assert torch.equal(wide.unet.conv_in.bias, narrow.conv_in.bias)
    z, t, text = torch.randn(2, 4, 8, 8), torch.tensor([5.0, 700.0]), torch.randn(2, 6, 64)
    with torch.no_grad():
        before = narrow(z, t, encoder_hidden_states=text).sample
    for picture in (torch.zeros(2, 4, 8, 8), 10 * torch.randn(2, 4, 8, 8)):
        torch.testing.assert_close(wide(torch.cat([z, picture], 1), t, text), before, atol=1e-5, rtol=1e-5)
    wide(torch.cat([z, torch.randn(2, 4, 8, 8)], 1), t, text).square().mean().backward()
    assert wide.unet.conv_in.weight.grad[:, 4:].abs().sum() > 0


def test_the_code_that_is_made_is_scaled_and_the_one_beside_it_is_the_mode() -> None:
    codec = LatentCodec(In((), ()), (32, 64), 1)
    x = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        posterior = codec.vae.encode(2 * x - 1).latent_dist
    torch.testing.assert_close(codec.given(x), posterior.mean)
    drawn_ = torch.stack([codec.target(x) for _ in range(400)])
    torch.testing.assert_close(drawn_.mean(0), 0.18215 * posterior.mean, atol=0.05, rtol=0)
    torch.testing.assert_close(drawn_.std(0), 0.18215 * posterior.std, atol=0.05, rtol=0)


# ---------------------------------------------------------------- checkpoints of others


def released(folder: Path, channels: int = 8) -> tuple[Any, Any, Any]:
    """Tiny random components in diffusers' layout."""
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        in_channels=channels, out_channels=4, block_out_channels=(32, 64), layers_per_block=1, cross_attention_dim=64,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))
    vae = diffusers.AutoencoderKL(block_out_channels=(32, 64), latent_channels=4,
                                  down_block_types=("DownEncoderBlock2D",) * 2,
                                  up_block_types=("UpDecoderBlock2D",) * 2)
    text = transformers.CLIPTextModel(transformers.CLIPTextConfig(
        hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=1, vocab_size=100,
        max_position_embeddings=8, bos_token_id=98, eos_token_id=99))
    for name, m in (("unet", unet), ("vae", vae), ("text_encoder", text)):
        m.save_pretrained(folder / name)
    (folder / "tokenizer").mkdir()
    words = ["<|startoftext|>", "<|endoftext|>", *(chr(c) for c in range(97, 123)), *(f"{chr(c)}</w>" for c in
                                                                                      range(97, 123))]
    ids = {w: i for i, w in enumerate(words[2:])} | {"<|startoftext|>": 98, "<|endoftext|>": 99}
    (folder / "tokenizer" / "vocab.json").write_text(json.dumps(ids))
    (folder / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    return unet, vae, text


def same_weights(m: Any, unet: Any, vae: Any, text: Any) -> None:
    for ours, theirs in ((m.net.unet, unet), (m.codec.vae, vae), (m.text.clip, text)):
        a, b = ours.state_dict(), theirs.state_dict()
        assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def ldm_names(unet: Any, vae: Any, text: Any) -> dict[str, Tensor]:
    """The same weights under the names of latent diffusion's first release: written by its own rules of counting, two
    levels of one block each."""
    out: dict[str, Tensor] = {}
    res = (("norm1", "in_layers.0"), ("conv1", "in_layers.2"), ("time_emb_proj", "emb_layers.1"),
           ("norm2", "out_layers.0"), ("conv2", "out_layers.3"), ("conv_shortcut", "skip_connection"))
    blocks = {  # a block of diffusers -> its place
        "down_blocks.0.resnets.0": "input_blocks.1.0", "down_blocks.0.attentions.0": "input_blocks.1.1",
        "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op", "down_blocks.1.resnets.0": "input_blocks.3.0",
        "mid_block.resnets.0": "middle_block.0", "mid_block.attentions.0": "middle_block.1",
        "mid_block.resnets.1": "middle_block.2", "up_blocks.0.resnets.0": "output_blocks.0.0",
        "up_blocks.0.resnets.1": "output_blocks.1.0", "up_blocks.0.upsamplers.0.conv": "output_blocks.1.1.conv",
        "up_blocks.1.resnets.0": "output_blocks.2.0", "up_blocks.1.attentions.0": "output_blocks.2.1",
        "up_blocks.1.resnets.1": "output_blocks.3.0", "up_blocks.1.attentions.1": "output_blocks.3.1",
        "conv_in": "input_blocks.0.0", "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2", "conv_norm_out": "out.0", "conv_out": "out.2",
    }
    for key, t in unet.state_dict().items():
        block = next(b for b in blocks if key.startswith(b + "."))
        rest = key.removeprefix(block + ".")
        if "resnets" in block:
            rest = next(new + rest.removeprefix(old) for old, new in res if rest.startswith(old + "."))
        out[f"model.diffusion_model.{blocks[block]}.{rest}"] = t
    for key, t in vae.state_dict().items():
        k = key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        k = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", k)
        k = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", k)
        k = re.sub(r"up_blocks\.(\d)\.resnets\.(\d)", lambda m: f"up.{1 - int(m[1])}.block.{m[2]}", k)
        k = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", k)
        k = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{1 - int(m[1])}.upsample", k)
        if "attentions" in k:
            k = k.replace("mid_block.attentions.0", "mid.attn_1")
            for old, new in (("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"),
                             ("to_out.0", "proj_out")):
                k = k.replace(f"attn_1.{old}.", f"attn_1.{new}.")
            t = t[:, :, None, None] if t.dim() == 2 else t
        out[f"first_stage_model.{k}"] = t
    for key, t in text.state_dict().items():
        out[f"cond_stage_model.transformer.text_model.{key.removeprefix('text_model.')}"] = t
    out["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(8)[None]
    return {k: v.clone().contiguous() for k, v in out.items()}


def test_a_folder_of_diffusers_is_read_and_edits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = released(tmp_path / "theirs")
    code, out, err = run(capsys, "import", "diffusers", str(tmp_path / "theirs"), str(tmp_path / "ours.safetensors"))
    assert code == 0 and "sentences by" in " ".join(out.split()), err
    m: Any = stemma.load(tmp_path / "ours.safetensors")
    same_weights(m, *parts)
    assert m.text.tokens(["a b", ""]).tolist() == [[98, 26, 27, 99, 99, 99, 99, 99], [98, *[99] * 7]]
    m.recipe = replace(m.recipe, resize=replace(m.recipe.resize, size=16))
    x = np.full((24, 40, 3), 90, np.uint8)
    a, b = (show.predict(m, [x], instruction=said, steps=2, device="cpu")[0]["after"] for said in ("a b", "b a"))
    assert a.shape == (12, 20, 3) and not np.array_equal(a, b)


def test_the_first_release_in_one_file_is_read(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    parts = released(tmp_path / "theirs")
    state = ldm_names(*parts)
    save_file(state, tmp_path / "one.safetensors")
    same_weights(bring.bring(tmp_path / "one.safetensors"), *parts)
    ema = {"model_ema.diffusion_model" + k.removeprefix("model.diffusion_model").replace(".", ""): v + 1
           for k, v in state.items() if k.startswith("model.diffusion_model.")}
    save_file(state | ema, tmp_path / "averaged.safetensors")
    with torch.no_grad():
        for p in parts[0].parameters():
            p.add_(1)
    same_weights(bring.bring(tmp_path / "averaged.safetensors"), *parts)
    save_file({k: v for k, v in state.items() if "middle_block.2" not in k}, tmp_path / "lacks.safetensors")
    with pytest.raises(StemmaError, match="unet: the file holds no mid_block.resnets.1"):
        bring.bring(tmp_path / "lacks.safetensors")
    save_file({k: v for k, v in state.items() if not k.startswith("first_stage")}, tmp_path / "part.safetensors")
    with pytest.raises(StemmaError, match="nothing in it is called first_stage_model"):
        bring.bring(tmp_path / "part.safetensors")


def test_older_names_of_an_attention_are_known(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    parts = released(tmp_path)
    file = tmp_path / "vae" / "diffusion_pytorch_model.safetensors"
    old = {}
    for k, v in load_file(file).items():
        for name, new in bring.OLD.items():
            k = k.replace(f"attentions.0.{new}.", f"attentions.0.{name}.")
        old[k] = v
    assert any("query" in k for k in old) and any("proj_attn" in k for k in old)
    save_file(old, file)
    same_weights(bring.bring(tmp_path), *parts)


def test_a_folders_scheduler_says_what_is_said_of_noise(tmp_path: Path) -> None:
    parts, scheduler = released(tmp_path), tmp_path / "scheduler" / "scheduler_config.json"
    assert bring.bring(tmp_path).spec.aim == "eps"
    diffusers.DDIMScheduler(500, 0.001, 0.02, "linear", prediction_type="v_prediction").save_pretrained(scheduler.parent)
    m = bring.bring(tmp_path)
    same_weights(m, *parts)
    assert (m.spec.aim, m.spec.noise) == ("v", Noise("linear", 500, 0.001, 0.02))
    theirs = diffusers.DDIMScheduler(500, 0.001, 0.02, "linear").alphas_cumprod
    torch.testing.assert_close(m.alphas.float(), theirs, atol=1e-6, rtol=0)
    for said, problem in (({"prediction_type": "flow_prediction"}, "epsilon, v_prediction, sample are known"),
                          ({"prediction_type": ["epsilon"]}, "prediction_type is"), ({"beta_start": 2}, "no share"),
                          ({"rescale_betas_zero_snr": True}, "noise is not made so here"),
                          ({"trained_betas": [0.1]}, "noise is not made so here"),
                          ({"num_train_timesteps": "x"}, "noise.steps")):
        scheduler.write_text(json.dumps(said))
        with pytest.raises(StemmaError, match=problem):
            bring.bring(tmp_path)


def test_weights_of_other_kinds_and_in_parts_are_read_and_what_is_no_fraction_is_told(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    parts = released(tmp_path)
    file = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    whole = load_file(file)
    names = sorted(whole)
    file.rename(half := file.with_name("diffusion_pytorch_model.fp16.safetensors"))
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        save_file({k: v.to(dtype) for k, v in whole.items()}, half)
        same_weights(bring.bring(tmp_path), parts[0].to(dtype).float(), *parts[1:])
        parts[0].load_state_dict(whole)
    save_file(whole, file.with_name("diffusion_pytorch_model.non_ema.safetensors"))
    with pytest.raises(StemmaError, match="call the one that is meant diffusion_pytorch_model.safetensors"):
        bring.bring(tmp_path)
    for variant in (".fp16", ""):  # of both the one without a name is taken
        stem = f"diffusion_pytorch_model{variant}"
        for k, part in enumerate((names[:40], names[40:]), 1):
            save_file({n: whole[n] if variant else whole[n] + 1 for n in part},
                      file.with_name(f"{stem}-0000{k}-of-00002.safetensors"))
        half.unlink(missing_ok=True)
        file.with_name("diffusion_pytorch_model.non_ema.safetensors").unlink(missing_ok=True)
        parts[0].load_state_dict(whole if variant else {k: v + 1 for k, v in whole.items()})
        same_weights(bring.bring(tmp_path), *parts)
    parts[0].load_state_dict(whole)
    file.with_name("diffusion_pytorch_model-00002-of-00002.safetensors").unlink()
    with pytest.raises(StemmaError, match="holds 1 of the 2 parts of diffusion_pytorch_model: fetch the others"):
        bring.bring(tmp_path)
    bad = {"of torch.int8": lambda v: v.to(torch.int8), "not finite": lambda v: v / 0}
    for said, spoil in bad.items():
        save_file(whole | {"conv_out.weight": spoil(whole["conv_out.weight"])}, file)
        with pytest.raises(StemmaError, match=f"unet: conv_out.weight .*{said}"):
            bring.bring(tmp_path)
    save_file(whole, file)
    for name, setting in (("vae", "shift_factor"), ("unet", "class_embed_type")):
        config = tmp_path / name / "config.json"
        kept = config.read_text()
        config.write_text(json.dumps(json.loads(kept) | {setting: 0.1}))
        with pytest.raises(StemmaError, match=f"{name}: {setting} is 0.1"):
            bring.bring(tmp_path)
        config.write_text(kept)


@pytest.mark.parametrize("lack", ["token_embedding", "mlp.fc1.weight", "input_blocks.0.0.weight", "input_blocks.1.",
                                  "post_quant_conv", "encoder.down.0.block.0.conv2"])
def test_one_file_that_is_not_whole_is_told_by_name(tmp_path: Path, lack: str) -> None:
    from safetensors.torch import save_file

    state = ldm_names(*released(tmp_path / "theirs"))
    save_file({k: v for k, v in state.items() if lack not in k}, tmp_path / "part.safetensors")
    with pytest.raises(StemmaError, match=f"part.safetensors holds no .*{lack}"):
        bring.bring(tmp_path / "part.safetensors")
    more = {"model.diffusion_model.bogus": torch.ones(2)}
    save_file(state | more, tmp_path / "more.safetensors")
    with pytest.raises(StemmaError, match="unet: the file holds bogus, which this network has not"):
        bring.bring(tmp_path / "more.safetensors")


def test_what_stands_in_one_file_beside_the_networks_is_kept_or_told(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    parts = released(tmp_path / "theirs")
    state, file = ldm_names(*parts), tmp_path / "one.safetensors"

    def brought(more: dict[str, Tensor], without: str = "-") -> Any:
        save_file({k: v for k, v in state.items() if not k.startswith(without)} | more, file)
        return bring.bring(file)

    course = {"alphas_cumprod": Noise().alphas().half(), "betas": torch.ones(1000), "model_ema.decay": torch.ones(())}
    m = brought(course | {"scale_factor": torch.tensor(0.13)})
    same_weights(m, *parts)
    assert m.codec.scale == 0.13
    vae = tmp_path / "theirs/vae/config.json"
    vae.write_text(json.dumps(json.loads(vae.read_text()) | {"scaling_factor": 0.2}))
    assert bring.bring(tmp_path / "theirs").codec.scale == 0.2
    unet = {k: v for k, v in state.items() if k.startswith("model.diffusion_model.")}
    mean = {"model_ema.diffusion_model" + k.removeprefix("model.diffusion_model").replace(".", ""): v.clone()
            for k, v in unet.items()}
    for more, problem in (
            ({"alphas_cumprod": torch.linspace(0.9, 0.1, 1000)}, "alphas_cumprod in the file is of noise"),
            (dict(list(mean.items())[2:]), f"averaged weights .* but 2 of {len(mean)} are missing"),
            ({"cond_stage_model.model.positional_embedding": torch.ones(8, 64)}, "a text encoder that is not Stable"),
            ({"conditioner.embedders.0.x": torch.ones(2)}, "a text encoder that is not Stable")):
        with pytest.raises(StemmaError, match=problem):
            brought(more, "cond_stage_model." if "encoder" in problem else "-")
    text = tmp_path / "theirs/text_encoder/model.safetensors"
    save_file(parts[2].state_dict() | {"text_projection.weight": torch.ones(64, 64)}, text)
    same_weights(bring.bring(tmp_path / "theirs"), *parts)


def test_checkpoints_that_cannot_be_read_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(source: Path, *more: str) -> str:
        code, _, err = run(capsys, "import", "diffusers", str(source), str(tmp_path / "out.safetensors"), *more)
        assert code == 2 and not (tmp_path / "out.safetensors").exists()
        return err

    released(tmp_path / "a")
    torch.save({"state_dict": {"w": torch.ones(2)}}, tmp_path / "one.ckpt")
    assert "one.ckpt is a pickle" in (err := said(tmp_path / "one.ckpt")) and "s.save_file(" in err
    (tmp_path / "a/unet/diffusion_pytorch_model.safetensors").rename(tmp_path / "kept")
    (tmp_path / "a/unet/diffusion_pytorch_model.bin").write_bytes(b"\x80\x02x")
    assert "diffusion_pytorch_model.bin is a pickle" in said(tmp_path / "a")
    (tmp_path / "kept").rename(tmp_path / "a/unet/diffusion_pytorch_model.safetensors")
    assert "no file at" in said(tmp_path / "nothing.safetensors")
    assert "no vocab.json in" in said(tmp_path / "a", "--tokenizer", str(tmp_path))
    words = {n: (tmp_path / "a/tokenizer" / n).read_text() for n in ("vocab.json", "merges.txt")}
    (tmp_path / "a/tokenizer/merges.txt").unlink()
    assert "no merges.txt in" in (err := said(tmp_path / "a")) and "--tokenizer" in err
    (tmp_path / "a/tokenizer/merges.txt").write_text(words["merges.txt"])
    for broken in ("{", "[]"):
        (tmp_path / "a/tokenizer/vocab.json").write_text(broken)
        assert "cannot be read as CLIP's vocabulary" in said(tmp_path / "a")
    (tmp_path / "a/tokenizer/vocab.json").write_text(json.dumps(json.loads(words["vocab.json"]) | {"zz": 100}))
    assert "has a word of number 100, and this text encoder knows 100" in said(tmp_path / "a")
    (tmp_path / "a/tokenizer/vocab.json").write_text(words["vocab.json"])
    assert "faster-rcnn is no editor" in said(tmp_path / "a", "--paper", "faster-rcnn")
    picture(tmp_path / "photo.png")
    assert "photo.png is no file of weights" in said(tmp_path / "photo.png")
    config = tmp_path / "a/unet/config.json"
    whole = config.read_text()
    config.write_text(json.dumps(json.loads(whole) | {"use_linear_projection": True}))
    assert "use_linear_projection is True" in said(tmp_path / "a")
    config.write_text(json.dumps(json.loads(whole) | {"block_out_channels": [32, "x"]}))
    assert "net.widths" in said(tmp_path / "a")
    config.write_text("[")
    assert "config.json is no JSON object" in said(tmp_path / "a")
    config.unlink()
    assert "a folder of diffusers holds unet, vae and text_encoder" in said(tmp_path / "a")


def test_the_vocabulary_is_named_where_it_is_needed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A checkpoint that was brought without one predicts and is measured as one that was brought with it."""
    released(tmp_path / "a")
    (tmp_path / "a/tokenizer").rename(tmp_path / "words")
    for name, more in (("none", ()), ("known", ("--tokenizer", str(tmp_path / "words")))):
        assert run(capsys, "import", "diffusers", str(tmp_path / "a"), str(tmp_path / f"{name}.safetensors"), *more)[0] == 0
    picture(photo := tmp_path / "photo.png")
    ask = (str(photo), "-i", "make it red", "--steps", "2", "--size", "16", "--out")
    code, _, err = run(capsys, "predict", str(tmp_path / "none.safetensors"), *ask, str(tmp_path / "x"))
    assert code == 2 and "say --tokenizer FOLDER" in err
    for name, more in (("none", ("--tokenizer", str(tmp_path / "words"))), ("known", ())):
        assert run(capsys, "predict", str(tmp_path / f"{name}.safetensors"), *ask, str(tmp_path / name), *more)[0] == 0
    assert (tmp_path / "none/photo-edited.png").read_bytes() == (tmp_path / "known/photo-edited.png").read_bytes()
    m = bring.bring(tmp_path / "a")
    measure.reading(m, tmp_path / "words")
    assert m.text.tokens(["ab"]).tolist() == bring.bring(tmp_path / "a", tokenizer=tmp_path / "words").text.tokens(
        ["ab"]).tolist()
    with pytest.raises(StemmaError, match="reads sentences without a vocabulary"):
        measure.reading(checkpoint.build("instruct-pix2pix", "small"), tmp_path / "words")


# ---------------------------------------------------------------- drawn edits


def test_a_drawn_edit_is_a_function_of_its_number() -> None:
    data, again = drawn.open_drawn("edits:24:40", "train"), drawn.open_drawn("edits:24:40", "train")
    other = drawn.open_drawn("edits:24:40", "val")
    assert len(data) == len(other) == 40 and data.fingerprint == again.fingerprint != other.fingerprint
    for i in (0, 7, 39):
        a, b, c = data.pair(i), again.pair(i), other.pair(i)
        assert np.array_equal(a.before, b.before) and a.instruction == b.instruction
        assert not np.array_equal(a.before, c.before)
    assert {data.kind(i) for i in range(5)} == set(drawn.KINDS)


def test_drawn_edits_change_what_they_say_and_nothing_else() -> None:
    data = drawn.Edits(48, 200, "test")
    absent = 0
    for i in range(200):
        p = data.pair(i)
        assert p.mask is not None and p.before.shape == p.after.shape == (48, 48, 3)
        apart = np.abs(p.before.astype(int) - p.after).max(-1) > 8
        if p.kind in ("mark", "encircle") and not p.mask.any():
            absent += 1
            assert np.array_equal(p.before, p.after) and p.point is None
            continue
        ring = np.zeros_like(p.mask)
        for dy in range(-2, 3):
            for dx in range(-2, 3):
                ring |= np.roll(np.roll(p.mask, dy, 0), dx, 1)
        if p.kind == "encircle":  # a disc may reach beyond its thing
            assert p.point is not None
            y, x = np.mgrid[:48, :48] + 0.5
            ring |= np.hypot(x - p.point[0], y - p.point[1]) <= drawn.RADIUS * 48 + 1
        assert apart.any() and not (apart & ~ring).any(), p.instruction
        if p.kind == "recolour":
            assert p.colour is not None
            np.testing.assert_allclose(np.median(p.after[p.mask], 0) / 255, p.colour, atol=0.02)
    assert 8 <= absent <= 28  # of 80 that mark or encircle, a fifth


@pytest.mark.parametrize("name, said", [("edits:x", "is not how drawn edits are named"), ("edits:4", "8 to 1024"),
                                        ("edits:64:0", "count of 1 or more"), ("edits:64:5:5", "not how")])
def test_drawn_edits_that_cannot_be_drawn(name: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        open_edits(name)


def test_a_mixture_takes_each_kind_as_often_as_it_weighs() -> None:
    data = drawn.Edits(16, 1000, "train")
    of = lambda tasks: [mixed(data, tasks).kind(i) for i in range(len(mixed(data, tasks)))]
    kinds = of((("recolour", 1.0), ("mark", 2.5), ("swap", 0.25)))
    assert kinds.count("recolour") == 200 and kinds.count("mark") == 500 and kinds.count("swap") == 50
    with pytest.raises(DataError, match="kinds and weights"):
        mixed(data, (("mark", 0.0),))
    with pytest.warns(UserWarning, match="none of fly"):
        mixed(data, (("fly", 1.0),))


def test_both_pictures_of_a_pair_are_mirrored_together() -> None:
    recipe = cards.get("instruct_pix2pix").recipe("small")
    data = drawn.Edits(16, 64, "train", kinds=("recolour",))
    loader = PairLoader(data, recipe, Words(In((), ())).tokens, EditBatch, batch=64, seed=1)
    x = loader.load(0, 0)
    turned = 0
    for k, i in enumerate(x.index.tolist()):
        p = data.pair(i)
        pair = [torch.from_numpy(v.copy()).permute(2, 0, 1).float() / 255 for v in (p.before, p.after)]
        flat = [torch.equal(a, b) for a, b in zip((x.images[k], x.after[k]), pair)]
        back = [torch.equal(a, b.flip(-1)) for a, b in zip((x.images[k], x.after[k]), pair)]
        assert all(flat) or all(back)
        turned += all(back)
    assert 16 <= turned <= 48


# ---------------------------------------------------------------- folders as published


def picture(path: Path, size: tuple[int, int] = (20, 16), seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(path)


def pix2pix_folder(root: Path, count: int = 40) -> Path:
    """As InstructPix2Pix publishes: two versions of each edit."""
    names = [[f"{i:07d}", [str(100 + i), str(200 + i)]] for i in range(count)]
    for i, (name, seeds) in enumerate(names):
        for s in seeds:
            for k in (0, 1):
                picture(root / str(name) / f"{s}_{k}.jpg", seed=i * 4 + k)
        (root / str(name) / "prompt.json").write_text(json.dumps({"edit": f"make it {i}", "input": "a", "output": "b"}))
    (root / "seeds.json").write_text(json.dumps(names))
    return root


def brush_folder(root: Path) -> Path:
    """As MagicBrush publishes: sessions of turns, with masks."""
    for split in ("train", "dev"):
        turns = []
        for i in range(3):
            for k, name in enumerate((f"{i}-input.png", f"{i}-output1.png")):
                picture(root / split / "images" / str(i) / name, seed=i * 3 + k + 50 * (split == "dev"))
            mask = np.full((16, 20, 4), 255, np.uint8)
            mask[4:9, 5:12, 3] = 0
            Image.fromarray(mask, "RGBA").save(root / split / "images" / str(i) / f"{i}-mask1.png")
            turns.append({"input": f"{i}-input.png", "output": f"{i}-output1.png", "mask": f"{i}-mask1.png",
                          "instruction": f"add {i}"})
        (root / split / "edit_turns.json").write_text(json.dumps(turns))
    return root


def test_the_released_folder_is_read_and_divided(tmp_path: Path) -> None:
    root = pix2pix_folder(tmp_path / "clip")
    sizes = {s: len(open_edits(root, s)) for s in ("train", "val", "test")}
    assert sizes == {"train": 36, "val": 2, "test": 2}
    val = open_edits(root, "val")
    assert val.versions(0) == 2 and val.pair(0).instruction == "make it 36" and val.pair(0).captions == ("a", "b")
    with Image.open(root / "0000036" / "236_1.jpg") as im:
        assert np.array_equal(val.pair(0, 1).after, np.asarray(im))


def test_every_split_of_three_edits_or_more_has_one() -> None:
    """The released shares, 90, 5 and 5 %, where they leave none without; of fewer val and test have one each."""
    for count in range(1, 200):
        parts = {s: folders.part_of(list(range(count)), s) for s in SPLITS}
        assert [x for s in SPLITS for x in parts[s][1]] == list(range(count))
        assert all(n == (own[0] if own else n) for n, own in parts.values())
        if count >= 3:
            assert all(own for _, own in parts.values())
        if count > 10:
            assert len(parts["train"][1]) == int(0.9 * count) and parts["test"][0] == int(0.95 * count)
    assert [len(folders.part_of(list(range(10)), s)[1]) for s in SPLITS] == [8, 1, 1]


def test_masks_without_a_clear_pixel_are_no_masks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = brush_folder(tmp_path / "brush")
    at = root / "train" / "images"
    Image.new("L", (20, 16), 255).save(at / "0" / "0-mask1.png")
    Image.new("RGB", (20, 16)).save(at / "1" / "1-mask1.png")
    Image.new("RGBA", (20, 16), (0, 0, 0, 255)).save(at / "2" / "2-mask1.png")
    with pytest.warns(UserWarning, match="2 fault.* whose pairs are used without"):
        train = open_edits(root, "train")
    with pytest.warns(UserWarning, match="no clear pixel, so that nothing .*; the pair is used without a mask"):
        assert [train.pair(i).mask for i in range(len(train))] == [None] * 3
    code, out, _ = run(capsys, "doctor", str(root), "--json")
    found = json.loads(out)
    assert code == 1 and found["fault_counts"] == {folders.MASK: 3} and found["splits"]["train"]["images"] == 3


def test_magicbrush_is_read_with_its_masks(tmp_path: Path) -> None:
    root = brush_folder(tmp_path / "brush")
    assert len(open_edits(root, "train")) == 3 and len(open_edits(root, "val")) == 3
    p = open_edits(root, "val").pair(1)
    assert p.instruction == "add 1" and p.mask is not None and p.mask.sum() == 35 and p.mask[4, 5]
    with pytest.raises(DataError, match="no split 'test'"):
        open_edits(root, "test")
    data = folders.open_folder(root, "val")
    data.path(data.entries[1].mask).write_bytes(b"no picture")
    with pytest.raises(DataError, match="no mask that can be read"):
        data.pair(1)


def test_masks_that_cannot_be_used_are_told_and_their_pairs_kept(tmp_path: Path,
                                                                 capsys: pytest.CaptureFixture[str]) -> None:
    root = brush_folder(tmp_path / "brush")
    at = root / "train" / "images"
    (at / "0" / "0-mask1.png").unlink()
    Image.new("RGBA", (10, 8)).save(at / "1" / "1-mask1.png")
    turns = json.loads((root / "dev" / "edit_turns.json").read_text())
    turns[0]["mask"], turns[1]["mask"] = 7, "../../../x.png"
    (root / "dev" / "edit_turns.json").write_text(json.dumps(turns))
    with pytest.warns(UserWarning, match="2 fault.* whose pairs are used without"):
        train = open_edits(root, "train")
    assert [train.pair(i).mask is not None for i in range(len(train))] == [False, False, True]
    with pytest.warns(UserWarning, match="2 fault"):
        assert len(open_edits(root, "val")) == 3
    with pytest.raises(DataError, match="has 10 x 8 pixels, and its picture 20 x 16"):
        folders.open_folder(root, "train").pair(1)
    code, out, _ = run(capsys, "doctor", str(root), "--json")
    found = json.loads(out)
    assert code == 1 and found["fault_counts"] == {folders.MASK: 4}
    assert found["splits"]["train"]["images"] == 3
    said = {f["field"] + " " + f["problem"] for f in found["faults"]}
    assert "mask is no text" in said and "mask has 10 x 8 pixels, and its picture 20 x 16" in said


RECORDS = {"first.png": ("turn it grey", "less colour"), "second.png": ("brighter",), "third.png": ("darker",)}


PLAIN = [{"before": f"images/{n}", "after": f"after/{n}", "instruction": said[0]} for n, said in RECORDS.items()]


@pytest.mark.parametrize(("file", "lines"), [
    ("edits.csv", ["before,after,instruction", *(f"images/{n},after/{n},{said[0]}" for n, said in RECORDS.items())]),
    ("edits.csv", ["Input Image;Output Image;Edit Prompt", *(f"images/{n};after/{n};{said[0]}" for n, said in RECORDS.items())]),
    ("edits.csv", ["\ufeffBefore\tAfter\tInstruction", *(f"images/{n}\tafter/{n}\t{said[0]}" for n, said in RECORDS.items())]),
    ("edits.tsv", ["before\tafter\tinstruction", *(f"images/{n}\tafter/{n}\t{said[0]}" for n, said in RECORDS.items())]),
    ("edits.json", list(map(json.dumps, PLAIN))),
    ("pairs.ndjson", list(map(json.dumps, PLAIN))),
    ("edits.json", [json.dumps({"version": 1, "data": PLAIN}, indent=1)]),
    ("edits.json", [json.dumps(dict(enumerate(PLAIN)))]),
    ("edits.json", [json.dumps({k: [r[k] for r in PLAIN] for k in PLAIN[0]})]),
    ("edits.json", [json.dumps({k: {i: r[k] for i, r in enumerate(PLAIN)} for k in PLAIN[0]})]),
    ("metadata.jsonl", [json.dumps({"original_image_file_name": f"images/{n}", "edited_image_file_name": f"after/{n}",
                                    "edit_prompt": said[0]}) for n, said in RECORDS.items()]),
    ("meta_info.json", [json.dumps([{"source_image_path": f"../sets/gqa/images/{n}", "target_image_path":
                                     f"C:\\\\gqa\\\\after\\\\{n}".replace("\\\\", "\\"), "instruction": said[0]}
                                    for n, said in RECORDS.items()])]),
])
def test_a_list_of_edits_is_read_whatever_wrote_it(tmp_path: Path, file: str, lines: list[str]) -> None:
    """Shares of three edits: one a split."""
    for k, n in enumerate(RECORDS):
        picture(tmp_path / "images" / n, seed=k)
        picture(tmp_path / "after" / n, seed=10 + k)
    marked = lines[0].startswith("\ufeff")  # as a table is saved for any letters: UTF-16, tabs between
    (tmp_path / file).write_text("\n".join(lines), encoding="utf-16-le" if marked else "utf-8")
    for k, split in enumerate(SPLITS):
        data = open_edits(tmp_path, split)
        pair = data.pair(0)
        assert len(data) == 1 and pair.instruction == list(RECORDS.values())[k][0]
        assert pair.sided == file.startswith(("GIER", "meta_info"))
        for at, made in (("images", pair.before), ("after", pair.after)):
            with Image.open(tmp_path / at / list(RECORDS)[k]) as im:
                assert np.array_equal(made, np.asarray(im))


def gqa_folder(root: Path) -> Path:
    """Two pictures: a dog and one of two cups told by place; three forks, which nothing tells apart."""
    o = lambda name, *relations, attributes=(), bidirected=True: {  # noqa: E731
        "name": name, "attributes": list(attributes), "bidirected": bidirected, "bbox": [0, 0, 4, 4],
        "relations": [{"name": r, "object": k} for r, k in relations]}
    first = {"1": o("dog", ("to the left of", "2"), ("near", "4"), attributes=["brown"]), "2": o("cup"),
             "3": o("cup", ("near", "2"), bidirected=False), **{k: o("fork") for k in "456"}}
    places = {"1": "to the left", "2": "to the center", "3": "to the right", **dict.fromkeys("456", "to the left")}
    scenes = {"10": {"width": 20, "height": 16, "objects": first, "image_relative_positions": places}}
    test = {"11": {"objects": {"7": o("kite")}, "image_relative_positions": {"7": "to the right"}}}
    for name, said in (("train", scenes), ("test", test)):
        root.mkdir(parents=True, exist_ok=True)
        (root / f"{name}_scenes.json").write_text(json.dumps(said))
    for k, name in enumerate(("images/10", "images_inpainted/10/1", "images_inpainted/10/2", "images/11",
                              "images_inpainted/11/7")):
        picture(root / f"{name}.jpg", seed=k)
    return root


def test_gqa_inpaint_is_told_in_sentences_that_its_scenes_give(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A thing that is told apart by its name, or its name and place; the relation is left out half of the time."""
    root = gqa_folder(tmp_path / "gqa")
    train = open_edits(root, "train")
    assert train.info.format == "gqa-inpaint" and len(train) == 2 and splits(root) == ("train", "test")
    said = [{train.pair(i, v).instruction for v in range(40)} for i in range(2)]
    assert said[0] == {"remove the brown dog", "remove the brown dog at the left of the cup"}  # not near one of three forks
    assert said[1] == {"remove the cup at the center"}  # one of two: its place is always said
    for i, name in enumerate(("1", "2")):
        pair = train.pair(i)
        assert pair.sided and pair.kind == "edit"
        for made, file in ((pair.before, "images/10.jpg"), (pair.after, f"images_inpainted/10/{name}.jpg")):
            with Image.open(root / file) as im:
                assert np.array_equal(made, np.asarray(im))
    test = open_edits(root, "test")
    assert test.versions(0) == 1 and test.pair(0).instruction == open_edits(root, "test").pair(0).instruction
    (root / "test_instructions.json").write_text(json.dumps({"i11-o7": "take away\nthe kite"}))
    (root / "test_instructions_more.json").write_text("{}")  # a name that says more stands behind
    assert open_edits(root, "test").pair(0).instruction == "take away the kite"
    scenes = json.loads((root / "train_scenes.json").read_text())
    scenes["12"] = {"objects": {"1": {"name": 3}}}
    scenes["10"]["objects"]["8"] = scenes["10"]["objects"]["1"] | {"name": "hat", "relations": []}
    scenes["10"]["image_relative_positions"]["8"] = "to the left"
    (root / "train_scenes.json").write_text(json.dumps(scenes))
    code, out, _ = run(capsys, "doctor", str(root), "--json")
    found = json.loads(out)
    assert code == 1 and found["fault_counts"] == {folders.RECORD: 1, folders.MISSING: 1}
    assert {(f["record"], f["field"]) for f in found["faults"]} == {("12", "objects"), ("train_scenes.json:i10-o8", "")}
    (root / "meta_info.json").write_text(json.dumps([{  # as InstructDiffusion reads the same folder
        "source_image_path": "../datasets/images/10.jpg", "instruction": "no dog",
        "target_image_path": "../datasets/gqa-inpaint/images_inpainted/10/1.jpg"}] * 3))
    assert open_edits(root, "train").pair(0).instruction == "no dog"


def test_gier_is_asked_in_the_words_of_all_who_were_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """GIER: warped pictures before others; in training a sentence a visit, else each sentence with its pair."""
    for k, n in enumerate(("a_1.jpg", "a_2.jpg", "b_1.jpg", "b_2.jpg")):
        picture(tmp_path / "images" / n, seed=k)
    picture(tmp_path / "warped" / "a_1.jpg", seed=9)
    record = {"input": "a_1.jpg", "output": "a_2.jpg", "operator": {}, "expert_summary": ["turn it grey", "less colour"],
              "amateur_summary": ["make it\nold"], "split": "train"}
    bad = record | {"expert_summary": 3}, record | {"output": None}, "text", record | {"input": "a_9.jpg"}
    other = {"input": "b_1.jpg", "output": "b_2.jpg", "expert_summary": ["brighter", "more light"],
             "amateur_summary": [], "split": "valid"}
    (tmp_path / "GIER.json").write_text(json.dumps([record, *bad, other]))
    with pytest.warns(UserWarning, match="3 fault"):
        train = open_edits(tmp_path, "train")
    assert len(train) == 1 and train.versions(0) == 3
    assert [train.pair(0, v).instruction for v in range(3)] == ["turn it grey", "less colour", "make it old"]
    assert train.pair(0).sided  # the release's flip_prob of it is 0
    with Image.open(tmp_path / "warped" / "a_1.jpg") as im:
        assert np.array_equal(train.pair(0).before, np.asarray(im))
    val = open_edits(tmp_path, "val")
    assert [val.pair(i).instruction for i in range(len(val))] == ["brighter", "more light"]
    with pytest.raises(DataError, match="no split 'test'.*it has train, val"):
        open_edits(tmp_path, "test")
    code, out, _ = run(capsys, "doctor", str(tmp_path), "--json")
    found = json.loads(out)
    assert code == 1 and found["fault_counts"] == {folders.RECORD: 2, folders.MISSING: 1}
    assert {f["record"] for f in found["faults"]} == {"entry 1", "entry 2", "GIER.json:entry 4"}


@pytest.mark.parametrize("columns", [
    ("file_name", "edited_image", "edit_prompt"), ("input_file_name", "output_file_name", "text"),
    ("source_img", "target_img", "instruction"), ("image_before", "image_after", "caption"),
    ("original_image", "edited_image", "edit_prompt"), ("image", "result", "edit_instruction")])
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_image_folders_of_hugging_face_are_lists_of_edits(tmp_path: Path, columns: tuple[str, ...], ending: str) -> None:
    rows = [(f"{i}.png", f"then/{i}.png", f"do {i}") for i in range(6)]
    for i in range(6):
        picture(tmp_path / "train" / f"{i}.png", seed=i)
        picture(tmp_path / "train" / "then" / f"{i}.png", seed=10 + i)
    lines = ([",".join(columns), *map(",".join, rows)] if ending == "csv" else
             [json.dumps(dict(zip(columns, r))) for r in rows])
    (tmp_path / "train" / f"metadata.{ending}").write_text("\n".join(lines))
    assert splits(tmp_path) == tuple(SPLITS)  # train alone is divided
    sets = {s: open_edits(tmp_path, s) for s in SPLITS}
    assert [len(d) for d in sets.values()] == [4, 1, 1]
    said = sets["val"].pair(0)
    assert said.instruction == "do 4" and said.file.endswith("train/4.png")
    np.testing.assert_array_equal(said.after, Image.open(tmp_path / "train/then/4.png").convert("RGB"))


def test_captions_of_a_list_come_along(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "edits.json").write_text(json.dumps([{"input": "a.png", "output": "a.png", "edit_prompt": "do",
                                                      "original_prompt": "a dog", "edited_prompt": "a cat"}] * 3))
    assert open_edits(tmp_path, "train").pair(0).captions == ("a dog", "a cat")


def both_folders(at: Path, count: int = 12, names: tuple[str, str] = ("input", "output")) -> Path:
    for i in range(count):
        for k, name in enumerate(names):
            picture(at / name / f"{i}.png", seed=2 * i + k)
    return at


def test_two_folders_are_paired_and_asked_as_texts_beside_them_say(tmp_path: Path) -> None:
    for name, sides in (("prompts", ("input", "output")), ("input", ("input", "output")), ("After", ("Before", "After")),
                        ("instructions", ("source", "edited"))):
        at = both_folders(tmp_path / name, names=sides)
        (at / name).mkdir(exist_ok=True)
        for i in range(12):
            (at / name / f"{i}.txt").write_text(f"do {i}\n\n  or  {i}\n")
        train, val = (open_edits(at, s) for s in ("train", "val"))
        assert [train.versions(i) for i in range(len(train))] == [2] * 10
        assert [train.pair(2, v).instruction for v in (0, 1)] == ["do 2", "or 2"]  # 2 is before 10
        assert [val.pair(i).instruction for i in range(len(val))] == ["do 10", "or 10"]
        np.testing.assert_array_equal(val.pair(1).after, Image.open(at / sides[1] / "10.png").convert("RGB"))


def test_one_file_says_what_is_done_by_names_in_order_or_to_all(tmp_path: Path) -> None:
    at = both_folders(tmp_path / "train")
    file = at / "prompts.txt"
    first = lambda: open_edits(tmp_path, "train").pair(2).instruction
    for sign in "\t,":
        file.write_text("".join(f'{i}.png{sign}do {i}, please\n' for i in reversed(range(12))))
        assert first() == "do 2, please"
    file.write_text("".join(f"do {i}\n" for i in range(12)) + "\n\n")
    with pytest.warns(DataWarning, match="names no pictures: its lines are taken in the order .* 0: 'do 0', and so on "
                      "to 11"):
        assert first() == "do 2"
    file.write_text("make it snow")
    with pytest.warns(DataWarning, match="one line, which is said of every picture"):
        assert first() == "make it snow"
    file.write_text("a\nb\n")
    with pytest.raises(DataError, match="has 2 lines, and there are 12 pictures before"):
        first()
    file.unlink()
    with pytest.raises(DataError, match="folders input and output with prompts.txt"):
        first()


def test_what_two_folders_lack_is_named_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at = both_folders(tmp_path, 20)
    (at / "prompts").mkdir()
    for i in range(20):
        (at / "prompts" / f"{i}.txt").write_text(f"do {i}")
    (at / "output/3.png").unlink()
    (at / "prompts/5.txt").write_text(" ")
    (at / "prompts/6.txt").unlink()
    (at / "prompts/77.txt").write_text("do nothing")
    picture(at / "output/99.png")
    picture(at / "input/8.jpg")
    for side in ("input", "output"):
        (at / side / "19.png").write_bytes((at / side / "1.png").read_bytes())
    code, out, _ = run(capsys, "doctor", str(at), "--json")
    said = json.loads(out)
    faults = {(Path(f["file"]).relative_to(at).as_posix(), f["problem"]) for f in said["faults"]}
    assert code == 1 and faults == {
        ("input/3.png", "has no partner in output"), ("output/99.png", "has no partner in input"),
        ("prompts/5.txt", "the instruction is empty"), ("input/6.png", "no text says what is to be done to it"),
        ("prompts/77.txt", "names no picture"), ("input/8.png", "is called as input/8.jpg is, but for the ending"),
        ("input/19.png", "is, before and after, the pair of input/1.png, in the splits train and test")}
    assert any("no squares" in n and "17 pictures" in n for n in said["notes"])
    with pytest.warns(DataWarning, match="6 faults in the split train"):
        assert len(open_edits(at, "train")) == 15


@pytest.mark.parametrize(("before", "after"), [
    ("{}_before", "{}_after"), ("before-{}", "after-{}"), ("{}_start", "{}_end"), ("{}_0", "{}_1"), ("{}.A", "{}.B"),
    ("{} Input", "{} edited"),
])
def test_pairs_in_one_folder_are_known_by_their_names(tmp_path: Path, before: str, after: str) -> None:
    for i in range(12):
        picture(tmp_path / f"{before.format(i)}.png", seed=2 * i)
        picture(tmp_path / f"{after.format(i)}.jpg", seed=2 * i + 1)
        (tmp_path / f"{i}.txt").write_text(f"do {i}\n or {i}\n")
    with pytest.warns(DataWarning, match="paired by their names, which say .*: 0, and so on"):
        train, val = (open_edits(tmp_path, s) for s in ("train", "val"))
    assert len(train) == 10 and [train.pair(2, v).instruction for v in (0, 1)] == ["do 2", "or 2"]
    np.testing.assert_array_equal(val.pair(1).before, Image.open(tmp_path / f"{before.format(10)}.png").convert("RGB"))
    np.testing.assert_array_equal(val.pair(1).after, Image.open(tmp_path / f"{after.format(10)}.jpg").convert("RGB"))
    for i in range(12):
        (tmp_path / f"{i}.txt").unlink()
    (tmp_path / "prompts.txt").write_text("".join(f"{before.format(i)}.png\tdo {i}\n" for i in reversed(range(12))))
    with pytest.warns(DataWarning):
        assert [open_edits(tmp_path, "test").pair(0).instruction] == ["do 11"]


def test_what_pairs_in_one_folder_lack_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split, n in (("train", 8), ("val", 2)):
        for i in range(n):
            for k, side in enumerate(("start", "end")):
                picture(tmp_path / split / f"{i}_{side}.png", (16, 16), seed=2 * i + k + 50 * n)
            (tmp_path / split / f"{i}.txt").write_text(f"do {i}")
    at = tmp_path / "train"
    (at / "0_end.png").unlink()
    (at / "1_start.png").unlink()
    (at / "2.txt").unlink()
    (at / "3.txt").write_text("")
    picture(at / "4_start2.png", (16, 16))
    picture(at / "5_end.jpg", (16, 16))
    picture(at / "6_end.png", (18, 16))
    code, out, _ = run(capsys, "doctor", str(tmp_path), "--json")
    said = json.loads(out)
    faults = {(Path(f["file"]).relative_to(tmp_path).as_posix(), f["problem"]) for f in said["faults"]}
    assert code == 1 and said["format"] == "before and after" and faults == {
        ("train/0_start.png", "has no partner whose name says end"), ("train/1.txt", "names no picture"),
        ("train/1_end.png", "has no partner whose name says start"),
        ("train/2_start.png", "no text says what is to be done to it"), ("train/3.txt", "the instruction is empty"),
        ("train/4_start2.png", "says neither start nor end in its name"),
        ("train/5_end.png", "is called as train/5_end.jpg is, but for the ending"),
        ("train/6_start.png", "has 16 x 16 pixels, and its partner train/6_end.png 18 x 16")}
    assert said["splits"]["train"]["images"] == 3 and said["splits"]["val"]["images"] == 2
    for file in at.glob("*.txt"):
        file.unlink()
    code, _, err = run(capsys, "doctor", str(at))
    assert code == 2 and "names say start and end are there, and no text" in " ".join(err.split())


def test_pictures_of_two_halves_are_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(30):
        picture(tmp_path / f"{i}.png", (32, 16), seed=i)
    (tmp_path / "prompts.txt").write_text("paint the facade")
    with pytest.warns(DataWarning, match="pairs in one, the left half before and the right one after"):
        pair = open_edits(tmp_path, "train").pair(3)
    whole = np.asarray(Image.open(tmp_path / "3.png"))
    np.testing.assert_array_equal(np.concatenate([pair.before, pair.after], 1), whole)
    assert pair.instruction == "paint the facade" and pair.before.shape == (16, 16, 3)
    picture(tmp_path / "24.png", (33, 16))
    (tmp_path / "25.png").write_bytes(b"none")
    code, out, _ = run(capsys, "doctor", str(tmp_path), "--json")
    faults = {(Path(f["file"]).name, f["problem"][:21]) for f in json.loads(out)["faults"]}
    assert code == 1 and ("24.png", "has 33 x 16 pixels, a") in faults and len(faults) == 2
    with pytest.raises(DataError, match="is no picture of two halves"):
        whole_split = paired.open_paired(tmp_path, "train")
        whole_split.pair([e.files[0][0] for e in whole_split.entries].index("24.png"))


def test_pictures_with_boxes_or_alone_are_no_pairs(tmp_path: Path) -> None:
    """Labels in numbers, captions of whole pictures, frames that are counted: none is taken for edits."""
    for i in range(4):
        for name in ("boxes", "captions", "frames", "wide"):
            for k in (0, 1):
                picture(tmp_path / name / f"{i}_{k}.png", (32, 16) if name == "wide" else (16, 16))
        for k in (0, 1):
            (tmp_path / "boxes" / f"{i}_{k}.txt").write_text("0 .5 .5 .2 .2\n")
            (tmp_path / "wide" / f"{i}_{k}.txt").write_text("0 .5 .5 .2 .2\n")
            (tmp_path / "captions" / f"{i}_{k}.txt").write_text("a red house\n")
    for name in ("boxes", "captions", "frames", "wide"):
        assert not is_edits(tmp_path / name) and not paired.are_partners(tmp_path / name)


def test_the_released_layout_is_read_with_png_too(tmp_path: Path) -> None:
    root = pix2pix_folder(tmp_path)
    for file in root.glob("*/*.jpg"):
        Image.open(file).save(file.with_suffix(".png"))
        file.unlink()
    assert len(open_edits(root, "train")) == 36 and open_edits(root, "train").pair(0).before.shape == (16, 20, 3)


def test_why_a_folder_that_looks_like_one_of_edits_holds_none(tmp_path: Path) -> None:
    def said(head: str) -> str:
        (tmp_path / "edits.csv").write_text(f"{head}\n1.png,2.png\n")
        with pytest.raises(DataError) as raised:
            open_edits(tmp_path)
        return raised.value.problem

    assert said("before,after") == "holds no edits: edits.csv names no instruction among before, after"
    assert "edits.csv names no before and no after among was, nachher, instruction" in said("was,nachher,instruction")
    for name in ("before", "after"):
        picture(tmp_path / "two" / name / "1.png")
    with pytest.raises(DataError, match="before and after are there, and no text says what is to be done"):
        open_edits(tmp_path / "two")
    with pytest.raises(DataError, match="holds no edits. name"):
        open_edits(tmp_path / "two" / "before")


def test_what_is_meant_for_edits_is_not_taken_for_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Folders of pictures all, which could be read as classes: what each lacks is said in one line."""
    def both(root: Path, *files: tuple[str, str]) -> Path:
        for name in ("before", "after"):
            for k in range(3):
                picture(root / name / f"{k}.png", seed=k)
        for name, text in files:
            (root / name).write_text(text)
        return root

    pix2pix = pix2pix_folder(tmp_path / "p")
    (pix2pix / "seeds.json").unlink()
    brush = tmp_path / "m"
    picture(brush / "dev/images/7/7-input.png")
    (brush / "dev/edit_sessions.json").write_text("{}")
    head = "before,after,instruction\n"
    below = both(tmp_path / "deep" / "my" / "set", ("edits.csv", head + "before/0.png,after/0.png,darker\n"))
    for root, problem in (
            (both(tmp_path / "a"), "no text says what is to be done"),
            (both(tmp_path / "b", ("edits.csv", "before,after\n0.png,0.png\n")), "names no instruction among"),
            (both(tmp_path / "c", ("edits.csv", "")), "edits.csv is empty, or begins as no list"),
            (both(tmp_path / "d", ("edits.json", "{}")), "edits.json is empty, or begins as no list"),
            (both(tmp_path / "e", ("mine.csv", head)), "mine.csv would be a list of edits if it were called edits.csv"),
            (both(tmp_path / "f", ("x.parquet", "PAR1")), "x.parquet is Parquet, which is not read"),
            (pix2pix, "prompt.json is there, and no seeds.json"), (brush, "and no edit_turns.json"),
            (below.parent.parent, "my/set (edits) below it does")):
        code, out, err = run(capsys, "doctor", str(root))
        assert code == 2 and problem in " ".join(err.split()), out + err
    both(tmp_path / "a")
    (tmp_path / "a" / "before").rename(tmp_path / "a" / "cat")
    code, out, _ = run(capsys, "doctor", str(tmp_path / "a"), "--json")
    assert json.loads(out)["format"] == "class folders"


def test_a_list_in_other_letters_is_known_and_told(tmp_path: Path) -> None:
    """As a list, by its columns; that it is no UTF-8 is what is wrong with it."""
    (tmp_path / "edits.csv").write_text("before,after,instruction\n1.png,2.png,plus foncé\n", encoding="latin-1")
    with pytest.raises(DataError, match="is no UTF-8 text"):
        open_edits(tmp_path)


def test_captions_that_are_no_text_are_none(tmp_path: Path) -> None:
    root = pix2pix_folder(tmp_path)
    first = folders.open_folder(root, "train").entries[0].record.partition(":")[0]
    (root / first).write_text(json.dumps({"input": None, "edit": "make it red", "output": 3}))
    pair = folders.open_folder(root, "train").pair(0)
    assert pair.captions is None and pair.instruction == "make it red"


def test_unsteady_pairs_move_the_ground_of_training_alone() -> None:
    for split, least, most in (("train", 0.03, 0.07), ("val", 0.0, 0.0)):
        pairs = hard.Hard(32, 60, split, kinds=["unsteady"])
        greys = [float(p.before[:2, :2].mean()) / 255 for p in map(pairs.pair, range(60))]
        assert 0.1 < min(greys) < 0.25 and 0.75 < max(greys) < 0.9
        went = [np.abs(p.after.astype(float) - p.before)[:2, :2].mean() / 255 for p in map(pairs.pair, range(60))]
        assert least <= float(np.mean(went)) <= most and pairs.pair(0).kind == "unsteady"
        pair = pairs.pair(1)
        assert pair.mask is not None and pair.colour is not None
        made = pair.after.transpose(2, 0, 1) / 255
        assert measure.scored(pair, pair.before.transpose(2, 0, 1) / 255, made, made)["right"] == 1.0


def test_the_doctor_names_each_fault_and_training_leaves_it_out(tmp_path: Path,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    root = pix2pix_folder(tmp_path / "clip", 20)
    (root / "0000001" / "101_1.jpg").unlink()
    picture(root / "0000002" / "102_1.jpg", (22, 16))
    (root / "0000003" / "prompt.json").write_text(json.dumps({"edit": " "}))
    (root / "0000004" / "prompt.json").write_text("{")
    (root / "0000005" / "105_0.jpg").write_bytes((root / "0000005" / "105_0.jpg").read_bytes()[:300])
    code, out, _ = run(capsys, "doctor", str(root), "--json")
    found = json.loads(out)
    counts = found["fault_counts"]
    assert code == 1 and not found["refused"] and "instruct-pix2pix" in found["begin"]["command"]
    assert counts[folders.MISSING] == counts[folders.SIZES] == counts[folders.EMPTY] == counts[folders.RECORD] == 1
    assert counts["unreadable image"] >= 1
    said = " ".join(f["problem"] for f in found["faults"])
    assert "partner" in said and "20 x 16" in said and "22 x 16" in said
    with pytest.warns(UserWarning, match="fault"):
        assert len(open_edits(root, "train")) in (13, 14)
    code, out, _ = run(capsys, "doctor", str(root))
    lines = [line.split() for line in out.splitlines()]
    assert code == 1 and "missing partner" in out and "classes" not in out
    assert ["split", "edits"] in lines and ["kind", "train", "val", "test"] in lines


def test_bad_lists_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(root: Path) -> str:
        code, _, err = run(capsys, "train", "instruct-pix2pix", "--data", str(root), "--budget", "1steps", "--out",
                           str(tmp_path / "run"))
        assert code == 2 and not (tmp_path / "run" / "run.json").exists()
        return err

    root = pix2pix_folder(tmp_path / "clip", 20)
    (root / "seeds.json").write_text("{}")
    assert "seeds.json" in (err := said(root)) and "no list of edits" in err
    (root / "seeds.json").write_text("[[")
    assert "seeds.json" in said(root)
    assert "edits:abc: is not how" in said(Path("edits:abc"))  # and no picture of letters
    whole = folders.open_folder(pix2pix_folder(tmp_path / "null", 20), "train")
    (whole.root / whole.entries[2].record.partition(":")[0]).write_text('{"edit": null}')
    again = folders.open_folder(whole.root, "train")
    assert len(again) == len(whole) - 1 and [f.record for f in again.faults] == ["entry 2"]
    brush = brush_folder(tmp_path / "brush")
    (brush / "train" / "edit_turns.json").write_text(json.dumps(
        [{"input": "../../x.png", "output": "0-output1.png", "instruction": "add"}]))
    assert "holds no pair that can be read" in said(brush)
    with pytest.raises(DataError, match="climbs out"):
        folders.open_folder(brush, "train").path("images/../../../x.png")
    assert "holds no edits" in said(tmp_path)


# ---------------------------------------------------------------- measures


def test_measures_by_hand() -> None:
    before = np.full((3, 4, 4), 0.5, np.float32)
    after = before.copy()
    after[:, :2] = np.array([0.9, 0.1, 0.1], np.float32)[:, None, None]
    mask = np.zeros((4, 4), bool)
    mask[:2] = True
    assert by.changed(before, after).sum() == 8 and (by.changed(before, after) == mask).all()
    assert by.done(before, after, after) and by.done(before, after, before) is False
    assert by.done(before, after, 0.6 * after + 0.4 * before) and not by.done(before, after, 0.4 * after + 0.6 * before)
    assert not by.done(before, after, np.where(mask, after, 1.0)), "all else changed too"
    assert by.done(before, before, after) is None and by.direction(before, before, after) is None
    made = after.copy()
    made[:, 3] += 0.2
    assert by.background_error(before, after, made) == pytest.approx(0.1)
    assert by.direction(before, after, after) == pytest.approx(1) and by.direction(before, after, before) == 0
    palette = list(drawn.COLOURS.values())
    assert by.coloured(after, mask, drawn.COLOURS["red"], palette) is True
    assert by.coloured(after, mask, drawn.COLOURS["blue"], palette) is False
    assert by.coloured(before, mask, drawn.COLOURS["red"], palette) is False, "grey is no colour of the palette"
    assert by.coloured(before, np.zeros_like(mask), drawn.COLOURS["red"], palette) is None
    assert by.iou(np.roll(mask, 1, 0), mask) == pytest.approx(1 / 3)


def test_directional_similarity_and_the_filter() -> None:
    rng = np.random.default_rng(0)
    i0, t0, step = rng.normal(size=(3, 5, 8))
    i0, t0 = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (i0, t0))
    i1, t1 = i0 + 1e-4 * step, t0 + 1e-4 * step
    flat = lambda v, of: v - (v * of).sum(-1, keepdims=True) * of  # what stays of a step after features are of length 1
    a, b = flat(step, i0), flat(step, t0)
    there = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    np.testing.assert_allclose(by.directional_similarity(i0, i1, t0, t1), there, atol=1e-3)
    np.testing.assert_allclose(by.directional_similarity(i1, i0, t1, t0), by.directional_similarity(i0, i1, t0, t1))
    np.testing.assert_allclose(by.directional_similarity(i0, i1, i0, i1), 1.0)
    first = np.tile([1.0, 0, 0], (6, 1))
    turn = np.array([0.1, 0.2, 0.3, 0.45, -0.3, 2.0])
    second = np.stack([np.cos(turn), np.sin(turn), 0 * turn], -1)
    said, then = first, np.tile([np.cos(0.3), np.sin(0.3), 0], (6, 1))
    kept = by.kept_by_filter(first, second, said, then, most=3)
    assert kept.tolist() == [2, 1, 3], "nearest directions first; turned away and too far apart are left out"


def test_masks_and_points_are_read_back_exactly() -> None:
    for i in range(60):
        p = drawn.Edits(64, 60, "val", kinds=("mark", "encircle")).pair(i)
        before, after = (v.transpose(2, 0, 1).astype(np.float32) / 255 for v in (p.before, p.after))
        got = measure.scored(p, before, after, after)
        assert got["right"] == 1.0
        if p.mask is not None and not p.mask.any():
            assert got["false_area"] == 0.0 and "iou" not in got
        elif p.kind == "mark":
            assert got["iou"] is not None and got["iou"] >= 0.98  # pixels at the rim are half covered
        else:
            assert got["distance"] is not None and got["distance"] <= 0.5
        idle = measure.scored(p, before, after, before)
        assert idle["right"] == (1.0 if not p.mask.any() else 0.0)  # type: ignore[union-attr]


# ---------------------------------------------------------------- recognition as editing


@pytest.mark.parametrize("colour", drawn.COLOURS)
def test_a_mask_that_was_painted_is_read_back_bit_by_bit(colour: str) -> None:
    """Of pictures that differ from the colour; also through eight bits a colour. Where they do not, it is said."""
    rng = np.random.default_rng(0)
    c = drawn.COLOURS[colour]
    before = rng.uniform(0, 1, (8, 3, 20, 24)).astype(np.float32)
    mask = rng.random((8, 20, 24)) < 0.3
    clear = np.linalg.norm(before - np.array(c)[:, None, None], axis=1) > 0.1
    assert np.array_equal(ops.shows(before, c), clear) and clear.mean() > 0.99
    after = ops.paint_mask(before, mask.astype(np.float32), c)
    assert np.array_equal(ops.read_mask(before, after, c), mask & clear)
    bits = [np.rint(x * 255).astype(np.float32) / 255 for x in (before, after)]
    far = clear & (np.linalg.norm(before - np.array(c)[:, None, None], axis=1) > 0.15)
    assert np.array_equal(ops.read_mask(*bits, c) & far, mask & far)
    b, a = torch.from_numpy(before), torch.from_numpy(after)
    assert np.array_equal(ops.read_mask(b, a, c).numpy(), mask & clear)
    flat = before * 0 + np.array(c, np.float32)[:, None, None]
    assert not ops.shows(flat, c).any() and not ops.read_mask(flat, ops.paint_mask(flat, mask * 1.0, c), c).any()
    torch.testing.assert_close(ops.share_of(b, a, torch.tensor(c).expand(8, 3)), ops.share_of(b, a, c))


def test_a_point_that_was_encircled_is_found_within_half_a_pixel() -> None:
    rng = np.random.default_rng(1)
    for k in range(60):
        before = rng.uniform(0.3, 0.7, (3, 32, 32)).astype(np.float32)
        colour = list(drawn.COLOURS.values())[k % 5]
        x, y = rng.uniform(5, 27, 2)
        found = ops.read_disc(before, ops.paint_disc(before, (x, y), 3.0, colour), colour, 3.0)
        assert found is not None and np.hypot(found[0] - x, found[1] - y) <= 0.5
        assert ops.read_disc(before, before, colour, 3.0) is None


def test_patches_are_framed_and_the_largest_counts() -> None:
    mask = np.zeros((10, 12), bool)
    mask[1:3, 2:5] = mask[5:9, 6:11] = mask[0, 11] = True
    assert ops.frames(mask).tolist() == [[6, 5, 11, 9], [2, 1, 5, 3]]
    assert len(ops.frames(mask, 1)) == 3 and ops.frames(mask & False).shape == (0, 4)
    assert ops.centre(mask * 1.0, mask, 9.0) == (8.5, 7.0) and ops.centre(mask * 1.0, mask & False, 3.0) is None
    found, truth = np.random.default_rng(0).random((2, 10, 12)) < 0.4
    from sklearn.metrics import jaccard_score

    assert by.iou(found, truth) == pytest.approx(jaccard_score(truth.ravel(), found.ravel()))


def test_boxes_and_classes_come_out_of_masks() -> None:
    marked = np.zeros((2, 3, 8, 8), bool)
    marked[0, 1, 2:6, 1:4] = marked[1, 2, :4, :4] = marked[1, 0, 6:, 6:] = True
    first, second = derive.detect(marked)
    assert first["boxes"].tolist() == [[1, 2, 4, 6]] and first["labels"].tolist() == [1] and first["scores"][0] == 1
    assert second["labels"].tolist() == [0, 2] and derive.classify(marked).tolist() == [1, 2]
    m, asked = editor("instruct_diffusion"), []
    real = m.edit
    m.edit = lambda x, said, **o: asked.append(said) or real(x, said, **o)
    got = derive.masks(m, torch.rand(2, 3, 16, 16), ("disc", "square"), steps=1)
    assert got.shape == (2, 2, 16, 16) and asked == [["mark the disc in blue"] * 2, ["mark the square in blue"] * 2]
    assert derive.classify(np.zeros((1, 3, 4, 4), bool)).tolist() == [-1]


def test_what_is_derived_from_true_masks_is_right_and_from_none_nothing() -> None:
    edits = drawn.Edits(64, 30, "val", kinds=("mark",))
    of = {edits.scene(i)[0].tobytes(): edits.scene(i)[1] for i in range(30)}
    for i in range(30):  # a thing by itself stands where it stands beside the other
        picture, thing = edits.alone(i)
        first = edits.scene(i)[1] == 1 + thing
        assert first.any() and (picture[first] == edits.scene(i)[0][first]).all() and derive.free(picture) in drawn.COLOURS
        of[picture.tobytes()] = np.where(first, 1 + thing, 0)

    def ask(pictures: list[np.ndarray], turn: int = 0) -> np.ndarray:
        return np.stack([[of[p.tobytes()] == 1 + (t + turn) % 3 for t in range(3)] for p in pictures])

    said = derive.derived(ask, edits)
    assert said["named"] == said["ap50"] == 1 and said["ap"] == pytest.approx(1) == said["mask_ap"]
    assert sum(said["taken_for"][s][s] for s in drawn.SHAPES) == 30
    wrong = derive.derived(lambda p: ask(p, 1), edits)
    assert wrong["named"] == 0 == wrong["ap50"] and sum(wrong["taken_for"][s][""] for s in drawn.SHAPES) == 0
    none = derive.derived(lambda p: np.zeros((len(p), 3, 16, 16), bool), edits)
    assert none["named"] == 0 == none["ap"] and sum(none["taken_for"][s][""] for s in drawn.SHAPES) == 30


def test_a_mark_is_asked_for_in_a_colour_that_the_picture_lacks() -> None:
    m, asked = editor("instruct_diffusion"), []
    real = m.edit
    m.edit = lambda x, said, **o: asked.append((x, said)) or real(x, said, **o)
    edits = drawn.Edits(16, 6, "val", kinds=("mark",))
    got = derive.by_marking(m, 16, "cpu", steps=1)([edits.scene(i)[0] for i in range(6)])
    assert got.shape == (6, 3, 16, 16) and len(asked) == 3
    for x, said in zip(*asked[0]):
        colour = torch.tensor(drawn.COLOURS[said.split()[-1]]).view(3, 1, 1)
        assert float((x - colour).square().sum(0).min()) > 0.1


def test_a_reader_that_has_not_learned_says_what_the_colour_says() -> None:
    reader = MarkReader(In((), ()))
    assert 20_000 < sum(p.numel() for p in reader.parameters()) < 30_000
    before, made = torch.rand(4, 3, 16, 16), torch.rand(4, 3, 16, 16)
    colours = torch.tensor([drawn.COLOURS["red"]]).expand(4, 3)
    said = reader(before, made, colours) >= 0
    shows = ops.shows(before, drawn.COLOURS["red"])
    assert torch.equal(said & shows, ops.read_mask(before, made, drawn.COLOURS["red"]))


def test_pictures_are_described_by_what_is_painted() -> None:
    data = drawn.Edits(16, 200, "train", kinds=("mark", "encircle"))
    for i in range(200):
        p = data.pair(i)
        assert p.captions is not None and p.mask is not None
        first, second = p.captions
        more = second.removeprefix(first)
        if not p.mask.any():
            assert more == ""
        elif p.kind == "mark":
            assert more == " with a few different color patches here and there"
        else:
            name = next(n for n, c in drawn.COLOURS.items() if c == p.colour)
            assert more == f" surrounded with a {name} circle" and name in p.instruction


def test_drawing_sees_no_picture_and_reads_the_description() -> None:
    m, seen = editor("instruct_diffusion"), []
    x = batch_of(m, 16)
    x = replace(x, described=m.text.tokens([f"a disc {i}" for i in range(16)]))
    m.learns = "drawing"
    m.net.register_forward_pre_hook(lambda _, given: seen.append(given))
    torch.manual_seed(0)
    m.loss(x)
    z, _, sentence = seen[0]
    assert not z[:, 3:].any() and ((sentence - m.text(x.described)).abs().amax(1) < 1e-5).sum() >= 12
    assert not ((sentence - m.text(x.tokens)).abs().amax(1) < 1e-5).any()


def test_what_came_out_well_is_learned_again_and_the_rest_is_not() -> None:
    before = torch.full((4, 3, 8, 8), 0.5)
    after = before.clone()
    after[:3, :, :4] = 0.9
    made = torch.stack([after[0], before[1], 0.7 * after[2] + 0.3 * before[2], before[3] + 0.005])
    assert well(before, after, made).tolist() == [True, False, True, True]
    m = editor("instruct_diffusion")
    x, m.learns = batch_of(m, 4), "chosen"
    torch.manual_seed(0)
    assert m.loss(x)["chosen"] == 0, "noise makes noise"
    m.edit = lambda images, *a, **k: x.after
    torch.manual_seed(0)
    whole = m.loss(x)["chosen"]
    m.learns = "noise"
    torch.manual_seed(0)
    torch.randint(0, 2**31, (4,))
    torch.testing.assert_close(whole, m.loss(x)["noise"])


def test_the_reader_learns_where_its_editor_is_beside_the_colour() -> None:
    """An editor that paints masks a pixel to the right, in noise: the colour alone is wrong,
    and the reader learns it."""
    m = editor("instruct_diffusion")
    pairs = drawn.Edits(16, 64, "train", kinds=("mark",))
    x = PairLoader(pairs, m.recipe, m.text.tokens, EditBatch, batch=64, seed=1).load(0, 0)
    m.edit = lambda images, *a, **k: x.after.roll(1, -1) + 0.02 * torch.randn_like(images)
    m.learns, losses = "reading", []
    optimizer = torch.optim.Adam(m.reader.parameters(), 1e-2)
    torch.manual_seed(0)
    for _ in range(60):
        loss = m.loss(x)["reading"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < losses[0] / 2
    nothing = replace(x, colours=torch.full((64, 3), float("nan")))
    assert m.loss(nothing)["reading"] == 0


def test_stages_are_resumed_inside_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing, tasks, its own choice, the reader: stopped after each of eight steps, it ends alike; the reader learns
    in its stage alone, and nothing else does there."""
    shares = {f"recipe.phases.{i}.share": s for i, s in enumerate((0.25, 0.25, 0.25, 0.25))}
    stages = SETTINGS | {"paper": "instruct-diffusion", "sets": SETTINGS["sets"] | shares | {"practice": 1}}
    alone, pieces = alone_and_in_pieces(tmp_path, monkeypatch, 7, budget="8steps", save_every="1steps", log_every=1,
                                        **stages)
    assert (alone.path / "last.safetensors").read_bytes() == (pieces.path / "last.safetensors").read_bytes()
    said = [list(e["losses"])[0] for e in alone.metrics("train")]
    assert list(dict.fromkeys(said)) == ["drawing", "noise", "chosen", "reading"]
    early = stemma.train("instruct-diffusion", "edits:16:48", "8steps", out=tmp_path / "early", batch=4, device="cpu",
                         progress=False, val_every=0, sets=stages["sets"] | {"recipe.phases.3.share": 0.0})
    a, b = (r.load("last").state_dict() for r in (alone, early))
    bare: Any = stemma.build("instruct-diffusion", "small", sets=stages["sets"])
    moved = [k for k in a if k.startswith("reader.") and not torch.equal(b[k], bare.state_dict()[k])]
    assert a.keys() == b.keys() and "reader.last.bias" in a and "reader.last.bias" not in moved


@pytest.mark.slow
def test_it_learns_to_mark_and_to_encircle(tmp_path: Path, learned: Learned) -> None:
    made = stemma.train("instruct-diffusion", "edits:64", "2000steps", out=tmp_path / "run", device="cpu",
                        progress=False, precision="fp32")
    found = stemma.evaluate(made, "edits:64", which="last", limit=240, device="cpu")
    bare = found["untrained"]
    learned("mask IoU", found["iou"], untrained=bare["iou"], at_least=0.3)
    learned("points found", found["found"], untrained=bare["found"], at_least=0.35)
    assert found["false_area"] <= 0.02 and found["copy"]["iou"] == 0


# ---------------------------------------------------------------- commands

SETTINGS: dict[str, Any] = {"paper": "instruct-pix2pix", "data": "edits:16:48", "val": "val",
                            "sets": {"recipe.resize.size": 16, "net.widths": (16, 32), "sampler.steps": 2}}


def test_killed_and_resumed_it_ends_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, pieces = alone_and_in_pieces(tmp_path, monkeypatch, 5, save_every="1steps", **SETTINGS)
    assert (alone.path / "last.safetensors").read_bytes() == (pieces.path / "last.safetensors").read_bytes()
    assert (alone.path / "best.safetensors").read_bytes() == (pieces.path / "best.safetensors").read_bytes()
    keep = lambda r: [{k: v for k, v in e.items() if k not in ("seconds", "wall", "work")} for e in r.metrics("val")]
    assert keep(alone) == keep(pieces) and len(keep(alone)) >= 2


@pytest.mark.whole
def test_it_learns_what_noise_hides(tmp_path: Path, learned: Learned) -> None:
    made = stemma.train("instruct-pix2pix", "edits:16:400", "120steps", out=tmp_path / "run", device="cpu",
                        progress=False, val_every=0, val_edits=4, precision="fp32", batch=16,
                        sets={"sampler.steps": 2})
    m: Any = made.load("last")
    bare = measure.untrained(m)
    loader = PairLoader(restricted("edits:16:64", ["recolour"], "val"), m.recipe, m.text.tokens, EditBatch, batch=64,
                        train=False)
    losses = []
    for net in (m.eval(), bare):
        torch.manual_seed(0)
        with torch.no_grad():
            losses.append(float(net.loss(loader.load(0, 0))["noise"]))
    learned("loss on held-out edits", losses[0], untrained=losses[1], at_most=0.76 * losses[1])


@pytest.mark.slow
def test_it_learns_to_give_things_another_colour(tmp_path: Path, learned: Learned) -> None:
    made = stemma.train("instruct-pix2pix", "edits:64", "800steps", out=tmp_path / "run", device="cpu",
                        progress=False, precision="fp32")
    found = stemma.evaluate(made, "edits:64", limit=150, device="cpu")
    learned("edits made", found["right"], untrained=found["untrained"]["right"], at_least=0.35)
    learned("change beside them", found["background"], untrained=found["untrained"]["background"], at_most=0.1)
    assert found["copy"]["right"] == 0 and found["copy"]["background"] == 0


@pytest.mark.whole
def test_the_commands_from_training_to_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sets = ("--set", "net.widths=16,32", "--set", "sampler.steps=2", "--device", "cpu")
    code, out, err = run(capsys, "train", "instruct-pix2pix", "--data", "edits:16:64", "--budget", "1s", "--out",
                         "run", "--batch", "8", *sets)
    assert code == 0 and "best right" in out, err
    code, out, _ = run(capsys, "evaluate", "run", "--data", "edits:16:20", "--json")
    found = json.loads(out)
    assert code == 0 and found["edits"] == 20 and found["copy"]["right"] == 0 and "untrained" in found
    code, out, _ = run(capsys, "evaluate", "run", "--data", "edits:16:20", "--text-guidance", "1", "--limit", "1")
    said = " ".join(out.split())
    assert code == 0 and "as it was" in said and " on 1 edit of val, 16 pixels, 2 steps" in said, said
    assert "an untrained net, both on 1" in said
    code, out, _ = run(capsys, "evaluate", "run", "--limit", "4", "--json")
    assert code == 0 and json.loads(out)["edits"] == 4, "on what it was trained on"
    pair = drawn.Edits(32, 5, "val").pair(0)
    Image.fromarray(pair.before).resize((50, 30)).save("photo.png")
    code, out, _ = run(capsys, "predict", "run", "photo.png", "--instruction", pair.instruction, "--out", "drawn",
                       "--image-guidance", "1.5", "--seed", "3")
    said = json.loads(Path("drawn/predictions.json").read_text())[0]
    assert code == 0 and "image 1.5" in out and said["seed"] == 3 and "before" not in said
    with Image.open("drawn/photo-edited.png") as edited, Image.open("drawn/photo.png") as strip:
        assert edited.size[0] > edited.size[1] and strip.size[1] >= show.TALL
        assert strip.size[0] == 3 * (strip.size[1] // edited.size[1]) * edited.size[0] + 2 * show.GAP
    code, out, err = run(capsys, "compare", "instruct-pix2pix", "--data", "edits:16:40", "--budget", "2steps",
                         "--seeds", "2", "--out", "compare", "--batch", "8", "--limit", "10", *sets)
    page = Path("compare/report.html").read_text()
    assert code == 0 and "made" in out and "as it should become" in page and page.count("<img") == 6, err
    assert "mask IoU" not in page and "pixels off" not in out, "nothing was marked or encircled"
    results = json.loads(Path("compare/results.json").read_text())
    assert len(results["systems"][0]["summary"]["right"]["values"]) == 2 and results["data"]["split"] == "test"


@pytest.mark.whole
def test_both_editors_are_compared_where_both_are_asked_for_answers(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sets = ("--set", "net.widths=16,32", "--set", "sampler.steps=2", "--device", "cpu", "--set",
            "tasks=[['mark',1.0],['encircle',1.0]]")
    code, out, err = run(capsys, "compare", "instruct-pix2pix", "instruct-diffusion", "--data", "edits:16:40",
                         "--budget", "4steps", "--out", "compare", "--batch", "8", "--limit", "20", *sets)
    page = Path("compare/report.html").read_text()
    assert code == 0 and "mask IoU" in page and "IoU, read" in page and "points found" in page, err
    results = json.loads(Path("compare/results.json").read_text())
    by_name = {s["paper"]: s["runs"][0]["metrics"] for s in results["systems"]}
    assert "iou_read" in by_name["instruct_diffusion"] and "iou_read" not in by_name["instruct_pix2pix"]
    assert all(0 <= m["iou"] <= 1 and "framed" in m and "false_area" in m for m in by_name.values())
    assert all(0 <= m["named"] <= 1 and 0 <= m["ap50"] <= 1 for m in by_name.values()) and "box AP" in page


@pytest.mark.whole
def test_a_segmenter_is_compared_by_the_masks_that_all_are_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, "compare", "instruct-pix2pix", "instruct-diffusion", "u-net", "--data", "edits:16:24",
                         "--budget", "3steps", "--out", "compare", "--batch", "4", "--device", "cpu", "--jobs", "1",
                         "--set", "u-net:recipe.resize.size=32", "--set",
                         "instruct-pix2pix:sampler.steps=2", "--set", "instruct-diffusion:sampler.steps=2")
    assert code == 0 and "asked for the masks" in " ".join((out + err).split()), err
    record = json.loads(Path("compare/results.json").read_text())
    by_name = {s["paper"]: s["runs"][0] for s in record["systems"]}
    assert set(by_name) == {"instruct_pix2pix", "instruct_diffusion", "u_net"} and record["wing"] == "editing"
    for trial in by_name.values():
        assert set(trial["by_kind"]) == {"mark"} and trial["edits"] == 24 and trial["size"] == 16
        assert 0 <= trial["metrics"]["iou"] <= 1 and {"false_area", "framed"} <= set(trial["metrics"])
        assert trial["copy"]["iou"] == trial["copy"]["false_area"] == 0 and len(trial["shown"]) == 6
    page = Path("compare/report.html").read_text()
    assert page.count("U-Net") >= 3 and "mask IoU" in page
    code, _, err = run(capsys, "compare", "instruct-diffusion", "u-net", "--data", str(brush_folder(tmp_path / "b")))
    assert code == 2 and "does not say what stands where" in " ".join(err.split())


def test_a_guests_mask_is_what_it_says_of_the_thing_that_is_asked_for() -> None:
    data = drawn.Edits(32, 40, "val", kinds=("mark",))
    marked = Marked(data)
    sample = marked[3]
    assert sample.semantic is not None and sample.image is not None
    for i in range(len(data)):
        pair, truth = data.pair(i), marked.truth(i).semantic
        assert truth is not None and pair.thing is not None and np.array_equal(pair.before, marked[i].image)
        found = guests.masked(pair, truth, 32)
        assert found["right"] == 1 and found.get("iou", 1.0) == 1.0 and found.get("false_area", 0.0) == 0.0
        everything = np.full_like(truth, 1 + drawn.SHAPES.index(pair.thing))
        assert guests.masked(pair, everything, 32)["right"] == 0


def test_an_empty_instruction_gives_the_picture_back(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    found = show.predict(editor(), [x], instruction="  ", device="cpu")
    assert np.array_equal(found[0]["before"], found[0]["after"]) and found[0]["changed"] == 0
    assert np.array_equal(found[0]["before"], x)


def test_pictures_are_fitted_to_what_the_network_takes() -> None:
    """The released rule: the longer side as asked, the shorter a multiple of the step, the rest cut off."""
    for shape, there in (((512, 512), (256, 256)), ((300, 400), (192, 256)), ((400, 300), (256, 192)),
                         ((100, 1000), (64, 640))):
        x = np.zeros((*shape, 3), np.uint8)
        h, w = show.fitted(x, 256, 64).shape[:2]
        assert h % 64 == w % 64 == 0 and (h, w) == there
    y = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert np.array_equal(show.fitted(y, 64, 8), y) and stretched(y, (64, 64)) is y


def test_what_a_user_gets_wrong_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint.save("editor.safetensors", editor())
    Image.new("RGB", (16, 16)).save("p.png")
    (tmp_path / "not-ours.png").write_bytes(b"x")

    def said(*words: str) -> str:
        code, _, err = run(capsys, *words)
        assert code == 2 and "Traceback" not in err
        return err

    assert "with --instruction" in said("predict", "editor.safetensors", "p.png")
    assert "name pictures" in said("predict", "editor.safetensors", "-i", "make it red")
    assert "between 1 and 1000" in said("predict", "editor.safetensors", "p.png", "-i", "x", "--steps", "0")
    for scale in ("nan", "inf", "-1"):
        assert "is a number of 0 or more" in said("predict", "editor.safetensors", "p.png", "-i", "x",
                                                  "--image-guidance", scale)
        assert "is a number of 0 or more" in said("evaluate", "editor.safetensors", "--data", "edits:16:2",
                                                  "--text-guidance", scale)
    assert "seed" in said("predict", "editor.safetensors", "p.png", "-i", "x", "--seed", "-1")
    assert "'threshold' means nothing here" in said("predict", "editor.safetensors", "p.png", "-i", "x", "-t", "0.5")
    assert "name the edits to measure on" in said("evaluate", "editor.safetensors")
    assert "no one graph" in said("export", "editor.safetensors", "m.onnx")
    assert "say --size 16" in said("train", "instruct-pix2pix", "--data", "edits:16", "--size", "17")
    assert "holds no edits: no file or folder" in said("train", "instruct-pix2pix", "--data", "GoPro")
    assert "no such file or folder" in said("train", "instruct-pix2pix", "--data", str(tmp_path / "nowhere"))
    assert "have no common measure" in said("compare", "instruct-pix2pix", "fpn", "--data", "edits:16")
    assert "begins from a trained autoencoder" in said("train", "instruct-pix2pix", "-p", "paper", "--data", "edits:16")
    checkpoint.save("fpn.safetensors", stemma.build("u_net", "small", classes=3))
    assert "'instruction' means nothing here: u-net" in said("predict", "fpn.safetensors", "p.png", "-i", "x")


def test_the_published_editor_learns_from_a_checkpoint_and_resumes(tmp_path: Path) -> None:
    """Autoencoder and text sleep, the widened U-Net learns; killed between, it ends alike."""
    released(tmp_path / "theirs", channels=4)
    bring.saved(tmp_path / "theirs", tmp_path / "start.safetensors")
    sets = TINY | {"recipe.resize.size": 16, "recipe.accumulate": 1, "sampler.steps": 2,
                   "text.files": str(tmp_path / "theirs" / "tokenizer")}
    ask = lambda out, budget, **more: stemma.train(
        "instruct-pix2pix", "edits:16:24", budget, "paper", tmp_path / out, sets=sets, batch=4, device="cpu",
        start=str(tmp_path / "start.safetensors"), progress=False, val_every=0, precision="fp32", **more)
    whole = ask("whole", "4steps")
    ask("parts", "2steps")
    parts = ask("parts", "4steps", resume=True)
    assert (whole.path / "last.safetensors").read_bytes() == (parts.path / "last.safetensors").read_bytes()
    begun, ended = (checkpoint.read_tensors(p)[0] for p in (tmp_path / "start.safetensors",
                                                            whole.path / "last.safetensors"))
    for k, v in begun.items():
        assert torch.equal(v, ended[k]) != k.startswith("net."), k


def test_sentences_are_hashed_words() -> None:
    w = Words(In((), ()))
    a, b, c = w.tokens(["Make the disc red!", "make  the disc red", "make the red disc"])
    assert torch.equal(a, b) and not torch.equal(a, c) and not w.tokens([""]).any()
    assert len(w.tokens(["word " * 40])[0]) == 16
    net = FilmUNet(In((3, 3, 128), (1, 1, 1)), (16, 32), patch=2)
    x = torch.rand(2, 6, 16, 16)
    assert net(x, torch.tensor([1.0, 2.0]), torch.rand(2, 128)).shape == (2, 3, 16, 16) and net.step == 4


def test_a_pair_of_two_sizes_is_refused() -> None:
    from stemma.data.editing.pairs import same_size

    with pytest.raises(DataError, match="4 x 4 pixels and the one after 5 x 4"):
        same_size(Pair(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8), "x"))


# ---------------------------------------------------------------- the making of examples


def test_what_a_language_model_writes_is_taken_or_refused_by_the_releases_rules() -> None:
    good = captions.read("a cat", "make it a dog\n%%\na dog\nEND and more")
    assert good == captions.Told("a cat", "make it a dog", "a dog")
    for written in ("make it a dog", "make it a dog\n%%\na dog\n%%\nmore\nEND", "do\n%%\nA Cat.\nEND", "\n%%\na\nEND"):
        assert captions.read("a cat", written) is None
    rng = np.random.default_rng(0)
    for one in (captions.by_grammar(rng) for _ in range(200)):
        was, now = one.before.split(), one.after.split()
        changed = [(a, b) for a, b in zip(was, now, strict=True) if a != b]
        assert len(changed) == 1 and changed[0][1] in one.instruction.split() and len(set(was[1:3] + was[5:])) == 4


def test_a_language_model_repeats_itself_less_and_ends_where_it_says_so(tmp_path: Path,
                                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """The release's frequency penalty: so much off a logit for each time that its token was written, what was asked not
    counted."""
    tokens = torch.tensor([[5, 5, 5, 1, 2, 1], [5, 1, 2, 3, 3, 3]])
    less = making.rarer(3, 0.25)(tokens, torch.ones(2, 6))
    torch.testing.assert_close(less, torch.tensor([[1, 0.5, 0.75, 1, 1, 1], [1, 1, 1, 0.25, 1, 1.0]]))
    own = [chr(97 + k) for k in range(20)] + ["END"]
    words = Tokenizer(WordLevel({w: k for k, w in enumerate(["\n", "##", "cat", *own])}, "cat"))
    words.pre_tokenizer = Split("\n", "isolated")
    transformers.PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(tmp_path)
    torch.manual_seed(0)
    net = transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=24, n_positions=600, n_embd=8, n_layer=1, n_head=1, bos_token_id=None, eos_token_id=None))
    net.lm_head.weight.data.zero_()  # every token as likely as another
    net.save_pretrained(tmp_path)
    monkeypatch.setattr(making, "RARER", 1e4)
    monkeypatch.setattr(captions, "STOP", "END")
    said = [making.language_model(tmp_path, seed=s)("cat").split() for s in range(4)]
    assert all(len(set(s)) == len(s) and s[-1] == "END" for s in said) and len({*map(tuple, said)}) == 4
    assert any({"cat", "##"} & {*s} for s in said)  # what was asked may be said again
    monkeypatch.setattr(making, "RARER", 0.0)
    free = [making.language_model(tmp_path, seed=s)("cat").split() for s in range(4)]
    assert any(len(set(s)) < len(s) for s in free)


def test_a_pair_is_drawn_as_diffusers_draws_and_the_second_looks_where_the_first_does(tmp_path: Path) -> None:
    """Without sharing the pictures are those of diffusers' text-to-image pipeline, one after the other; the first never
    changes by it, and equal captions draw equal pictures."""
    unet, vae, _ = released(tmp_path / "sd", 4)
    m = bring.bring(tmp_path / "sd")
    m.spec = replace(m.spec, sampler=replace(m.spec.sampler, eta=0.0, spacing="trailing"))
    told = captions.Told("a b", "c", "d e")
    draw = lambda one, share: making.drawn(m, one, [3], [share], [7.5], 16, steps=3)
    first, second = draw(told, 0.0)
    there = diffusers.StableDiffusionPipeline(
        vae=vae, text_encoder=None, tokenizer=None, unet=unet, safety_checker=None, feature_extractor=None,
        requires_safety_checker=False, scheduler=diffusers.DDIMScheduler(
            1000, 0.00085, 0.012, "scaled_linear", clip_sample=False, set_alpha_to_one=True,
            timestep_spacing="trailing"))
    there.set_progress_bar_config(disable=True)
    noise = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(3))[None]
    for words, ours in ((told.before, first), (told.after, second)):
        with torch.no_grad():
            theirs = there(prompt_embeds=m.text(m.text.tokens([words])), negative_prompt_embeds=m.text(m.null),
                           num_inference_steps=3, guidance_scale=7.5, latents=noise.clone(), height=16, width=16,
                           output_type="pt").images
        torch.testing.assert_close(ours, theirs, atol=5e-4, rtol=0)
    again, shared_ = draw(told, 1.0)
    torch.testing.assert_close(again, first, atol=1e-5, rtol=0)
    assert (shared_ - second).abs().max() > 1e-4 and (first - second).abs().max() > 1e-4
    same = draw(captions.Told("a b", "c", "a b"), 1.0)
    torch.testing.assert_close(same[0], same[1], atol=1e-5, rtol=0)
    both = making.drawn(m, told, [3, 4], [1.0, 0.0], [7.5, 7.5], 16, steps=3)  # a pair does not hang on its batch
    torch.testing.assert_close(both[1][:1], shared_, atol=1e-4, rtol=0)


def test_attention_is_shared_for_as_many_steps_as_the_release_shares_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """`prompt2prompt_threshold > i / (len(sigmas) - 2)`, with a sigma more than steps."""
    m, alike = editor(), []

    def word(x: Tensor, t: Tensor, sentence: Tensor) -> Tensor:
        alike.append(torch.equal(*sentence[2:].split(1)))
        return torch.zeros_like(x[:, :3])

    monkeypatch.setattr(m.net, "forward", word)
    for share in (0.1, 0.5, 0.9):
        alike.clear()
        making.drawn(m, captions.Told("a red disc", "c", "a blue disc"), [3], [share], [7.5], 16, steps=11)
        assert alike == [share > i / (12 - 2) for i in range(11)]


@pytest.mark.parametrize("name", EDITORS)
def test_beside_an_editor_stands_what_its_sentence_alone_draws(name: str) -> None:
    m = editor(name)
    x = batch_of(m)
    one, other = (m.edit(images, x.tokens, 3.0, 1.2, steps=2, seen=False) for images in (x.images, 1 - x.images))
    assert torch.equal(one, other) and not torch.equal(one, m.edit(x.images, x.tokens, 3.0, 1.2, steps=2))
    told = m.edit(x.images, x.tokens.flip(0), 3.0, 1.2, steps=2, seen=False)
    assert not torch.equal(one, told), "the sentence is heard"
    found = measure.evaluate(m, "edits:16:6", steps=1, device="cpu")
    assert found["words"]["edits"] == found["edits"] and 0 <= found["words"]["right"] <= 1
    assert found["words"]["background"] != found["background"]


def test_a_prediction_has_the_size_and_the_scales_that_are_asked_for() -> None:
    m, picture = editor(**{"sampler.steps": 1}), np.zeros((30, 40, 3), np.uint8)
    (own,), (large,) = (show.predict(m, [picture], instruction="make it red", device="cpu", size=s) for s in (None, 32))
    assert own["before"].shape == (12, 16, 3) and large["after"].shape == (24, 32, 3)
    assert (own["size"], large["size"], own["whole"]) == ([16, 12], [32, 24], [40, 30])
    varied = show.predict(m, [picture] * 8, instruction="make it red", device="cpu", vary=True)
    for k, scale in (("text_guidance", 2.0), ("image_guidance", 1.0)):
        said = [one[k] for one in varied]
        assert len(set(said)) > 4 and all(0.8 * scale <= v <= 1.2 * scale for v in said) and own[k] == scale
    again = show.predict(m, [picture] * 8, instruction="make it red", device="cpu", vary=True)
    assert [one["text_guidance"] for one in again] == [one["text_guidance"] for one in varied]
    with pytest.raises(StemmaError, match="size"):
        show.predict(m, [picture], instruction="make it red", device="cpu", size=0)


# ---------------------------------------------------------------- data sets that are asked about


class Held:
    """A data set in memory: maps of three classes of which a picture holds two, or a person with four joints."""

    fingerprint, split = "held", "train"

    def __init__(self, kind: str, count: int = 40) -> None:
        self.kind, self.count = kind, count
        classes = Classes(("Sky", "Grass_Land", "road") if kind == "semantic" else ("person",))
        points = Points(("nose", "pelvis", "left_knee", "right_knee"), (0, 1, 3, 2))
        self.info = Info("held", "held", classes, ("boxes", kind), semantic=classes if kind == "semantic" else None,
                         points=points if kind == "keypoints" else None)

    def __len__(self) -> int:
        return self.count

    def truth(self, i: int) -> Sample:
        return self[i]

    def __getitem__(self, i: int) -> Sample:
        rng = np.random.default_rng(i)
        picture = rng.integers(90, 160, (40, 60, 3), dtype=np.uint8)
        none = np.zeros(0, np.float32)
        if self.kind == "semantic":
            what = np.full((40, 60), i % 3, np.uint8)
            what[10:30, 15:45] = (i + 1) % 3
            what[0] = 255
            return Sample(picture, (40, 60), np.zeros((0, 4), np.float32), none.astype(np.int64), none.astype(bool), none,
                          semantic=what, file=f"{i}", id=i)
        # as one sees a person: the left knee on the right
        at = np.array([[30, 8, 2], [30, 22, 2], [38, 32, 2], [22, 32, 0 if i == 1 else 2]], np.float32)
        for (x, y, _), c in zip(at, ((255, 0, 255), (0, 255, 0), (0, 0, 255), (0, 0, 255))):
            picture[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2] = c
        return Sample(picture, (40, 60), np.array([[18, 2, 42, 38]], np.float32), np.zeros(1, np.int64),
                      np.zeros(1, bool), np.ones(1, np.float32), keypoints=at[None], file=f"{i}", id=i)


def test_what_is_asked_to_be_marked_can_be_read_back_and_a_fifth_is_not_there() -> None:
    data = Held("semantic")
    edits = asked.Asked(data, "train")
    assert edits.info.kinds == ("mark",) and len(edits) == 40 and edits.versions(0) == asked.VISITS
    away, said, colours = 0, set(), set()
    for i in range(40):
        for v in range(5):
            p = edits.pair(i, v)
            assert p.before.shape == (40, 40, 3) and p.mask is not None and p.colour is not None and p.thing
            there = {("sky", "grass land", "road")[(i + k) % 3] for k in (0, 1)}
            away += (gone := p.thing not in there)
            assert gone == (not p.mask.any()) and np.array_equal(p.before[~p.mask], p.after[~p.mask])
            if not gone:
                before, after = (x.transpose(2, 0, 1).astype(np.float32) / 255 for x in (p.before, p.after))
                found, shows = ops.read_mask(before, after, p.colour), ops.shows(before, p.colour)
                assert np.array_equal(found, p.mask & shows)
            name = next(c for c, rgb in asked.MARKS.items() if np.allclose(np.array(rgb) / 255, p.colour))
            said.add(next(t for t in asked.MARKING if t.format(object=p.thing, color=name) == p.instruction))
            colours.add(name)
    assert abs(away / 200 - 0.2) < 3 * (0.16 / 200) ** 0.5 and len(said) == 11 and len(colours) == 8
    held = asked.Asked(data, "val")
    assert held.versions(3) == 1 and np.array_equal(held.pair(3).before, data[3].image[:, 10:50])
    empty = replace(data[0], semantic=np.full((40, 60), 255, np.uint8))
    nothing = edits._marked(empty, np.random.default_rng(0))
    assert nothing.instruction == "leave the picture as it is." and np.array_equal(nothing.before, nothing.after)


@pytest.mark.parametrize("turned", [0.0, 30.0, -80.0])
def test_a_persons_crop_is_the_releases(turned: float) -> None:
    """`get_affine_transform` of dataset/pose/pose.py: three points of a square and where they come to lie."""
    centre, side, s = np.array([30.0, 20.0]), 45.0, asked.SIDE
    a = np.pi * turned / 180
    turn = np.array([0.5 * side * np.sin(a), -0.5 * side * np.cos(a)])  # get_dir of (0, -side / 2)
    src = np.array([centre, centre + turn, centre + turn + [turn[1], -turn[0]]])
    dst = np.array([[s / 2, s / 2], [s / 2, 0.0], [0.0, 0.0]])
    third = src[1] + [-(src[0] - src[1])[1], (src[0] - src[1])[0]]
    np.testing.assert_allclose(third, src[2])
    np.testing.assert_allclose(dst[1] + [-(dst[0] - dst[1])[1], (dst[0] - dst[1])[0]], dst[2])
    trans = np.linalg.solve(np.c_[src, np.ones(3)], dst).T
    points = np.array([[5.0, 9.0], [44.0, 31.0]])
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[30:33, 43:46] = 255
    crop, at = asked.cropped(picture, centre, side, turned, points)
    np.testing.assert_allclose(at, points @ trans[:, :2].T + trans[:, 2], atol=1e-6)
    y, x = np.nonzero(crop[..., 0] > 200)
    there = np.array([44.5, 31.5]) @ trans[:, :2].T + trans[:, 2]
    if (there > 20).all() and (there < s - 20).all():
        np.testing.assert_allclose([x.mean() + 0.5, y.mean() + 0.5], there, atol=0.6)


def test_joints_are_encircled_where_they_are_and_left_stays_left_in_a_mirror() -> None:
    data = Held("keypoints", 3)
    edits = asked.Asked(data, "train")
    assert edits.info.kinds == ("encircle",) and len(edits) == 3
    sides, many, unseen, turned = set(), set(), 0, 0
    for v in range(asked.VISITS):
        for i in (0, 1):
            p = edits.pair(i, v)
            words = [s for s in p.instruction.split("the people") if s.strip(" ,")]
            many.add(p.instruction.count("of the people"))
            assert p.mask is not None and np.array_equal(p.before[~p.mask], p.after[~p.mask]) and words
            unseen += p.point is None and not p.mask.any()
            if p.point is None or p.thing is None or "knee" not in p.thing:
                continue
            magenta, green = ((np.abs(p.before.astype(int) - c).sum(2) < 60) for c in ((255, 0, 255), (0, 255, 0)))
            if magenta.any() and green.any():
                nose, hip = (np.array(np.nonzero(m)).mean(1)[::-1] + 0.5 for m in (magenta, green))
                down, out = hip - nose, np.array(p.point) - hip
                sides.add((p.thing, bool(down[0] * out[1] - down[1] * out[0] > 0)))
                turned += abs(down[0]) > 0.2 * abs(down[1])
            assert p.colour is not None and p.radius == asked.RADIUS
            read = ops.read_disc(*(x.transpose(2, 0, 1).astype(np.float32) / 255 for x in (p.before, p.after)),
                                 p.colour, asked.RADIUS * asked.SIDE)
            if p.instruction.count("of the people") == 1 and read is not None and all(20 < c < 236 for c in p.point):
                assert np.hypot(*np.subtract(read, p.point)) < 1.5
    assert sides == {("left_knee", False), ("right_knee", True)}
    assert many == {1, 2, 3, 4} and unseen > 0 and turned > 0
    edits.split = "val"
    held = edits.pair(2)
    assert held.instruction.count("of the people") == 1 and held.mask is not None
    assert held.mask.sum() == sum((x - 10) ** 2 + (y - 10) ** 2 <= 101 for x in range(21) for y in range(21))


def test_editors_learn_of_data_that_they_are_asked_about(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Drawn scenes with masks, and drawn edits beside them."""
    where = "asked:scenes:48:12,edits:16:12"
    pairs, own = open_edits(where, "train"), open_edits("asked:scenes:48:12", "train")
    assert own.kind(0) == "mark" and own.kind(12) == "encircle" and len(pairs) == len(own) + 12
    assert set(pairs.info.kinds) >= {"mark", "encircle", "recolour"} and pairs.kind(len(own)) == "recolour"
    assert np.array_equal(pairs.pair(len(own)).before, open_edits("edits:16:12").pair(0).before)
    sets = {"recipe.resize.size": 16, "net.widths": (16, 32), "sampler.steps": 2, "recipe.batch": 4}
    done = stemma.train("instruct-diffusion", where, "4steps", out=tmp_path / "run", sets=sets, device="cpu",
                       progress=False, val_every=0)
    assert done.state == "finished" and done.record["data"]["where"] == where
    said = measure.evaluate(done, "asked:scenes:48:12", limit=4, device="cpu")
    assert set(said["by_kind"]) == {"mark", "encircle"} and "ap" not in said
    code, out, _ = run(capsys, "doctor", "asked:scenes:48:12")
    assert code == 0 and "mark" in out
    with pytest.raises(DataError, match="nothing can be marked or encircled"):
        asked.Asked(SimpleNamespace(info=Info("x", "x", Classes(("a",)), ("boxes",))), "train")


def tiny_clip(folder: Path) -> Path:
    """A CLIP of random weights, in transformers' layout."""
    torch.manual_seed(0)
    tower = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    transformers.CLIPModel(transformers.CLIPConfig(
        text_config={**tower, "vocab_size": 100, "max_position_embeddings": 8, "bos_token_id": 98, "eos_token_id": 99},
        vision_config={**tower, "image_size": 8, "patch_size": 4}, projection_dim=16)).save_pretrained(folder)
    return folder


def test_clip_sees_pictures_as_the_releases_filter_does(tmp_path: Path) -> None:
    """Bicubic without a blur before (metrics/clip_similarity.py): of lines one pixel wide, shrunk by four, a fourth of
    them is seen; what blurs first sees grey."""
    clip = tiny_clip(tmp_path / "clip")
    released(tmp_path / "sd", 4)
    for name in ("vocab.json", "merges.txt"):
        (clip / name).write_bytes((tmp_path / "sd" / "tokenizer" / name).read_bytes())
    judge, seen = Clip(clip), []
    plain = judge.net.get_image_features
    judge.net.get_image_features = lambda pixel_values: seen.append(pixel_values) or plain(pixel_values=pixel_values)
    lines = np.zeros((32, 48, 3), np.uint8)
    lines[:, 1::4] = 255
    assert judge.pictures([lines]).shape == (1, 16) and seen[0].shape == (1, 3, 8, 8)
    shown = (seen[0] * torch.tensor(CLIP_STD).view(3, 1, 1) + torch.tensor(CLIP_MEAN).view(3, 1, 1))[0]
    blurred = np.asarray(Image.fromarray(lines).resize((12, 8), Image.Resampling.BICUBIC))[:, 2:10] / 255
    assert shown.mean() > 0.5 and blurred.mean() < 0.3


def test_pairs_are_made_filtered_and_read_as_published(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint.save("editor.safetensors", editor("instruct_diffusion"))
    words = ("import", "pairs", "editor.safetensors")
    code, out, err = run(capsys, *words, "made", "--count", "12", "--keep", "2", "--steps", "2")
    assert code == 0 and "24 pairs of 12 edits" in " ".join(out.split()) and "no --clip was given" in out, err
    train = open_edits("made", "train")
    assert len(train) == 10 and train.versions(0) == 2 and train.pair(0).captions is not None
    assert train.pair(0).before.shape == (16, 16, 3) and len(open_edits("made", "test")) == 1
    released(tmp_path / "sd", 4)
    clip = tiny_clip(tmp_path / "clip")
    for name in ("vocab.json", "merges.txt"):
        (clip / name).write_bytes((tmp_path / "sd" / "tokenizer" / name).read_bytes())
    monkeypatch.setattr(making, "kept_by_filter", lambda *a, most: by.kept_by_filter(*a, -1, -1, -1, most))
    code, out, err = run(capsys, *words, "filtered", "--count", "2", "--samples", "5", "--keep", "2", "--steps", "1",
                         "--clip", str(clip), "--json")
    found = json.loads(out)
    assert code == 0 and found["drawn"] == 10 and found["pairs"] <= 4 and found["filtered"], err
    code, out, err = run(capsys, "evaluate", "editor.safetensors", "--data", "made", "--split", "train", "--limit", "3",
                         "--clip", str(clip), "--steps", "1", "--json")
    found = json.loads(out)
    assert code == 0 and found["copy"]["clip_picture"] == pytest.approx(1) and found["copy"]["clip_direction"] == 0, err
    assert -1 <= found["clip_direction"] <= 1 and found["edits"] == 3
    for why, *more in (("choose a new folder", "made"), ("none passes the filter", "x", "--clip", str(clip)),
                       ("with --captions", "x", "--language", "lm"),
                       ("a CLIP is a folder", "x", "--clip", "nowhere")):
        if why.startswith("none"):
            monkeypatch.setattr(making, "kept_by_filter", lambda *a, most: np.zeros(0, np.int64))
        code, _, err = run(capsys, *words, *more, "--count", "1", "--samples", "1", "--steps", "1")
        assert code == 2 and why in " ".join(err.split()) and "Traceback" not in err


# ---------------------------------------------------------------- studies


def test_measures_stand_in_tables_that_fit_a_window() -> None:
    from stemma.report import editing as page

    every = dict.fromkeys(page.COLUMNS, 0.5)
    rows = [(["<th>a</th>"], every), (["<th>b</th>"], {"right": 0.25})]
    tables = page._tables(list(page.COLUMNS), ["editor"], rows).split("<table")[1:]
    heads = [t.count("<th") - t.count("<thead") - t.count("<th>a") - t.count("<th>b") - 1 for t in tables]
    assert max(heads) <= page.PER and sum(heads) == len(page.COLUMNS)
    assert [t.count("<th>b</th>") for t in tables] == [1] + [0] * (len(tables) - 1), "where it has a number"
    assert "edits made" in tables[0] and "mask IoU" not in tables[0]
    assert "false area" not in page._tables(list(page.COLUMNS), ["editor"], rows[1:]), "no number in it"


def test_what_each_system_made_of_an_edit_stands_side_by_side(tmp_path: Path) -> None:
    from stemma.report import editing as page

    for name in "ab":
        for k in range(2):
            picture(tmp_path / name / "shown" / f"{k}.png")
    shown = [{"file": f"{k}.png", "instruction": f"do {k}"} for k in range(2)]
    rows = page._pictures([{"title": n.upper(), "runs": [{"folder": n, "shown": shown}]} for n in "ab"], tmp_path)
    assert re.findall(r"<b>(\w)</b> (do \d)", rows) == [("A", "do 0"), ("B", "do 0"), ("A", "do 1"), ("B", "do 1")]
    assert rows.count('class="row"') == 2


def test_points_that_lie_close_fill_their_chart_and_pictures_stand_apart() -> None:
    points = ((0.35, 0.85), (0.36, 0.89))
    (left, right), (low, high) = (charts.around([p[k] for p in points]) for k in (0, 1))
    drawn = charts.line_chart([charts.Line(0, "a", points)], "x", "y", "t", high, right, y_min=low, x_min=left)
    (x0, y0), (x1, y1) = ((float(x), float(y)) for x, y in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', drawn))
    assert x1 - x0 > charts.W / 2 and y0 - y1 > charts.H / 2
    grey = np.full((4, 4, 3), 128, np.uint8)
    row = show.beside([grey, grey, grey], 8)
    assert row.shape == (8, 3 * 8 + 2 * show.GAP, 3) and (row[0, :, 0] == 255).sum() == 2 * show.GAP
    assert show.beside([grey], 8).shape == (8, 8, 3) and show.spaced([row, row], 0).shape[0] == 16 + show.GAP


def test_scales_are_swept_as_published_before_a_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each pair of scales how alike pictures are before and after, and whether they change as their captions do."""
    class Judge:
        def __init__(self, folder: str, device: str) -> None:
            assert folder == "judge"

        def pictures(self, seen: list[Any]) -> Tensor:
            return torch.stack([torch.as_tensor(np.asarray(x)).double().mean((0, 1)) for x in seen])

        def sentences(self, said: list[str]) -> Tensor:
            return torch.tensor([[float(len(s)), 1.0, s.count("a")] for s in said]).double()

    monkeypatch.setattr(editors, "Clip", Judge)
    checkpoint.save(tmp_path / "e.safetensors", editor())
    editors.main(["scales", str(tmp_path / "e.safetensors"), "--data", "edits:16:12", "--limit", "3", "--clip", "judge",
                  "--texts", "7.5", "--images", "1,2.2", "--out", str(tmp_path / "a")])
    found = json.loads((tmp_path / "a" / "scales.json").read_text())
    assert [(r["text"], r["image"]) for r in found["rows"]] == [(7.5, 1.0), (7.5, 2.2)]
    assert all(-1 <= r[k] <= 1 for r in found["rows"] for k in editors.JUDGED)
    assert "change along the captions" in (tmp_path / "a" / "scales.html").read_text()
    monkeypatch.setattr(editors, "JUDGE", 3)
    monkeypatch.setattr(origins, "PICTURES", 80)
    found = editors.scales(tmp_path / "e.safetensors", "edits:16:12", tmp_path / "b", (7.5,), (1.0, 2.2), 3, clip="drawn")
    for key, sign in editors.SIGNS.items():
        first, then = (sign * r[key] for r in found["rows"])
        assert found["steady"][key] == {"7.5": first <= then}
    assert "grow more alike with every rise at" in (tmp_path / "b" / "scales.html").read_text()
    with pytest.raises(StemmaError, match="--images is a matter of scales"):
        editors.main(["steps", str(tmp_path / "e.safetensors"), "--images", "1"])


def test_studies_of_scales_and_steps_write_pages(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "e.safetensors", editor("instruct_diffusion"))
    found = editors.scales(tmp_path / "e.safetensors", "edits:16:12", tmp_path / "a", (0.5, 1.0), (0.5, 1.0), limit=3)
    assert len(found["rows"]) == 4 and set(found["steady"]["background"]) == {"0.5", "1.0"}
    page = (tmp_path / "a" / "scales.html").read_text()
    assert [x["interval"] for x in found["rises"]] == [None, None] and "more change" in page
    for x in found["rises"]:
        a, b = (next(r["background"] for r in found["rows"] if (r["text"], r["image"]) == (x["text"], x[k]))
                for k in ("from", "to"))
        assert x["more"] == pytest.approx(b - a)
    assert ">sentence 1<" in page and "change beside them, 0 to 1" in page
    assert "What two scales trade" in page and "data:image/png;base64," in page and page.count("<svg") >= 2
    found = editors.steps(tmp_path / "e.safetensors", "edits:16:12", tmp_path / "b", (1, 2), limit=6)
    assert [r["passes"] for r in found["rows"]] == [1, 2, 1] and all(r["ms"] > 0 for r in found["rows"])
    page = (tmp_path / "b" / "steps.html").read_text()
    assert "one pass" in page and "steps, by their logarithm" in page
    assert re.findall(r'<text class="tick"[^>]*text-anchor="middle">([^<]*)<', page) == ["1", "2"]
    with pytest.raises(StemmaError, match="asked for masks and points"):
        checkpoint.save(tmp_path / "p.safetensors", editor())
        editors.steps(tmp_path / "p.safetensors", "edits:16:12", tmp_path / "c", (1,), limit=3)


def test_a_turn_is_told_from_chance_edit_by_edit() -> None:
    """The same edits under both scales: what all of them share shows through a spread that is twenty times as wide."""
    rng = np.random.default_rng(0)
    base = rng.normal(0.05, 0.02, 80)
    falls, level = base - 0.001 + rng.normal(0, 5e-4, 80), base + rng.normal(0, 5e-4, 80)
    first, then = (editors.rise(1.0, 1.4, 1.8, x - base) for x in (falls, level))
    assert first["interval"][0] < -0.001 < first["interval"][1] < 0
    assert then["interval"][0] < 0 < then["interval"][1] and abs(then["more"]) < 2e-4
    assert "of 2 rises 1 lessen it and 0 add to it beyond chance" in editors._turns([first, then])
    assert editors.rise(1.0, 1.0, 2.0, np.full(3, np.nan)) == {"text": 1.0, "from": 1.0, "to": 2.0, "more": None,
                                                               "interval": None}


def test_sixty_fixed_prompts_are_held_against_runs(tmp_path: Path) -> None:
    edits = failures.prompts()
    pairs = [edits.pair(i) for i in range(60)]
    assert {c: sum(p.kind == c for p in pairs) for c in failures.CLASSES} == dict.fromkeys(failures.CLASSES, 12)
    assert [p.instruction for p in pairs] == [failures.prompts().pair(i).instruction for i in range(60)]
    checkpoint.save(tmp_path / "e.safetensors", editor())
    true = torch.from_numpy(np.stack([stretched(p.after, (16, 16)).transpose(2, 0, 1) for p in pairs])) / 255
    found = failures.study([tmp_path / "e.safetensors"], tmp_path / "a", steps=1)
    assert sum(found["systems"][0]["right"]) <= 3 and found["systems"][0]["taught"] == ["recolour", "mirrored"]
    page = (tmp_path / "a" / "failures.html").read_text()
    assert "data:image/png;base64," in page and all(c in page for c in failures.CLASSES) and "not taught: count" in page
    found_png = re.search(r"base64,([^\"]+)", page)
    assert found_png is not None
    drawn_ = np.asarray(Image.open(io.BytesIO(base64.b64decode(found_png[1]))))
    lines = [[bool((part == 255).all()) for part in np.moveaxis(drawn_, axis, 0)] for axis in (0, 1)]
    assert [sum(of) for of in lines] == [9 * show.GAP, 2 * show.GAP]  # ten rows of before, after and one run's
    for k, pair in enumerate(pairs):
        both = At(edits, 16).sized(pair) / np.float32(255)
        assert measure.scored(pair, *both, true[k].numpy())["right"] == 1, pair.instruction
        assert measure.scored(pair, *both, both[0])["right"] == 0, pair.instruction


@pytest.mark.parametrize("kind", hard.HARD)
def test_the_harder_edits_are_asked_for_by_name_and_change_what_they_say(kind: str) -> None:
    data = restricted("edits:64:40", [kind], "val")
    assert data.info.kinds == (kind,) and kind not in drawn.KINDS and kind not in restricted("edits:64", (), "val").info.kinds
    for i in range(40):
        p = data.pair(i)
        assert p.mask is not None and p.captions is not None and p.captions[0].count(" and ") == 1
        differs = (np.abs(p.before.astype(int) - p.after) > 12).any(-1)
        grown = ndimage.binary_dilation(p.mask, iterations=2)
        assert differs.any() and not (differs & ~grown).any(), p.instruction


@pytest.mark.whole
def test_pairs_of_three_origins_teach_alike_many_and_write_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few: dict[str, Any] = {"count": 3, "limit": 4, "judged": 2, "pictures": 20}
    monkeypatch.setattr(origins, "PICTURES", 64)
    monkeypatch.setattr(origins, "ALIKE", (2.0, 2.0, 2.0))
    with pytest.raises(StemmaError, match="of 24 pairs none passes the filter"):
        origins.study(tmp_path / "a", "2steps", **few)
    monkeypatch.setattr(origins, "ALIKE", (-1.0, -1.0, -1.0))
    found = origins.study(tmp_path / "a", "2steps", **few)
    rows = {r["arm"]: r for r in found["rows"]}
    assert set(rows) == set(origins.ARMS) and len({r["pairs"] for r in found["rows"]}) == 1 <= rows["made"]["pairs"]
    assert rows["rendered"]["true"] == 1 and all(-1 <= r["direction"] <= 1 and 0 <= r["right"] <= 1 for r in found["rows"])
    assert "data:image/png;base64," in (tmp_path / "a" / "pairs.html").read_text()
    steps = [json.loads((tmp_path / "a" / n / "run.json").read_text())["spent"]["steps"] for n in ("drawer", *origins.ARMS)]
    assert steps == [2] * 4


def test_a_pair_is_true_where_the_colours_of_its_captions_are() -> None:
    edits = drawn.Edits(16, 60, "val", kinds=("recolour",))
    for p in (edits.pair(i) for i in range(60)):
        assert p.captions is not None
        one = captions.Told(p.captions[0], p.instruction, p.captions[1])
        assert origins.true_to(one, p.before, p.after) and not origins.true_to(one, p.before, p.before)
    asked = origins.prompts(40, 1)
    assert len(asked) == 40 and all("into a" not in t.instruction and t.before != t.after for t in asked)


def test_towers_learn_which_sentence_is_a_pictures_and_the_filter_keeps_by_it() -> None:
    towers = origins.judge(16, 60, 0)
    edits = drawn.Edits(16, 40, "val", kinds=("recolour",))
    each = [edits.pair(i) for i in range(40)]
    rows = (towers.pictures([p.before for p in each]), towers.pictures([p.after for p in each]),
            *(towers.sentences([p.captions[k] for p in each if p.captions]) for k in (0, 1)))
    assert by.directional_similarity(*rows).mean() > 0.3
    assert abs(by.directional_similarity(*rows[:2], rows[3], rows[2]) + by.directional_similarity(*rows)).max() < 1e-6


def test_features_of_one_pass_hang_on_picture_and_sentence_alone() -> None:
    m, x = editor(), batch_of(editor())
    said = ["mark the disc in red"] * 3
    first = editors.features(m, x.images, said)
    assert first.shape == (3, 32, 16, 16) and torch.equal(first, editors.features(m, x.images, said))
    assert not torch.equal(first, editors.features(m, x.images, ["mark the square in red"] * 3))
    assert not torch.equal(first, editors.features(m, x.images.flip(-1), said))
