"""The making of InstructPix2Pix's examples (sec. 3.1): captions and edits of them in words, pairs of pictures that a
text-to-image model draws with shared attention, of which those are kept that changed as their captions did.

The model is any editor that draws from words alone: without a picture, a Stable Diffusion that was widened says what
it said, and InstructDiffusion's first stage learns nothing else. Where it has no attention (the small networks), the
second picture reads the first caption for that part of the steps instead, which is ours.
"""
from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...core import outputs
from ...core.sentence import many
from ...core.types import StemmaError, at_least, is_seed
from ...data.editing import captions
from ...data.editing.captions import Told
from ...metrics.edits import directional_similarity, kept_by_filter
from ...parts.editing.published import library
from ...parts.editing.shared import attends, shared
from ..running import checkpoint
from . import bring
from .clip import Clip

SHARE, GUIDED = (0.1, 0.9), (7.5, 15.0)  # a pair's share of steps with shared attention, and its guidance: drawn evenly
TOGETHER = 8  # pairs that are drawn at a time
TRIES = 4  # answers that are asked for until one has the form
WRITES = 256  # tokens of an answer at most
RARER = 0.1  # what each time that a token was written takes from its logit: the release's frequency penalty

Writer = Callable[[str], str]  # a caption -> what a language model writes after it


def rarer(asked: int, penalty: float) -> Callable[[Tensor, Tensor], Tensor]:
    """A frequency penalty, as a processor of transformers' takes logits [B, V] after tokens [B, L], before the
    temperature: each is less by `penalty` for every time that its token was written, behind the first `asked`."""

    def less(tokens: Tensor, logits: Tensor) -> Tensor:
        written = tokens[:, asked:]
        times = torch.zeros_like(logits).scatter_add_(1, written, torch.ones_like(written, dtype=logits.dtype))
        return logits - penalty * times

    return less


def language_model(folder: str | Path, temperature: float = 0.7, seed: int = 0) -> Writer:
    """What the causal language model in `folder` writes after a caption, sampled as the release asks its own (its
    temperature, its frequency penalty, no further than its stop); one that learned from the release's triplets knows
    its delimiters. Raises `StemmaError` where none can be read."""
    lib = library("transformers")
    try:
        net: Any = lib.AutoModelForCausalLM.from_pretrained(str(folder), local_files_only=True, use_safetensors=True)
        words: Any = lib.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise StemmaError(f"{folder} holds no language model that can be read: {str(error)[:200]}") from None
    net.eval()
    torch.manual_seed(seed)

    def write(caption: str) -> str:
        asked = words(caption + captions.ASK, return_tensors="pt")["input_ids"]
        n = asked.shape[1]
        ended = lambda tokens, _: torch.tensor([captions.STOP in words.decode(t[n:]) for t in tokens])
        with torch.no_grad():
            said = net.generate(asked, do_sample=True, temperature=temperature, top_k=0, top_p=1.0,
                                repetition_penalty=1.0, max_new_tokens=WRITES, pad_token_id=words.eos_token_id or 0,
                                logits_processor=[rarer(n, RARER)], stopping_criteria=[ended])
        return str(words.decode(said[0, n:]))

    return write


def told(count: int, seed: int = 0, sentences: Sequence[str] = (), writer: Writer | None = None) -> list[Told]:
    """At most `count` different edits in words: of `sentences`, captions, by `writer`, else of the drawn world by a
    grammar. Raises `StemmaError` where nothing usable was written."""
    if writer is not None:
        asked = list(dict.fromkeys(s.strip() for s in sentences if s.strip()))[:count]
        answers = [next(filter(None, (captions.read(s, writer(s)) for _ in range(TRIES))), None) for s in asked]
        found = [t for t in answers if t is not None]
        if not found:
            raise StemmaError(f"of {len(asked)} captions the language model gave no instruction and new caption in the "
                              "form that is asked for (CAPTION, ##, INSTRUCTION, %%, CAPTION, END); train it on the "
                              "release's triplets")
        return found
    rng = np.random.default_rng([seed, 21])
    return list(dict.fromkeys(captions.by_grammar(rng) for _ in range(4 * count)))[:count]


@torch.no_grad()
def drawn(
    model: nn.Module, one: Told, seeds: Sequence[int], shares: Sequence[float], scales: Sequence[float],
    size: int, steps: int | None = None,
) -> tuple[Float[Tensor, "B 3 H W"], Float[Tensor, "B 3 H W"]]:
    """Pairs of pictures in 0..1 of both captions, a pair a seed. Both begin with the noise of their seed, and new noise
    of a step is the same for both; for the first `shares` of the steps the second's attention is the first's. scales:
    of the guidance by the caption."""
    m: Any = model
    b, place = len(seeds), next(m.parameters()).device
    draws = [torch.Generator().manual_seed(s) for s in seeds]
    side = size // int(m.codec.step)
    z_shape = (int(m.codec.out.channels[0]), side, side)

    def noise() -> Tensor:
        return torch.stack([torch.randn(z_shape, generator=d) for d in draws]).to(place).repeat(2, 1, 1, 1)

    none = m.text(m.null)
    first, second = (m.text(m.text.tokens([s]).to(place)) for s in (one.before, one.after))
    full = lambda s: s.expand(b, *s.shape[1:])
    blind = torch.zeros(4 * b, *z_shape, device=place)
    w = torch.tensor(list(scales), device=place).repeat(2).view(-1, 1, 1, 1)
    count = m.spec.sampler.steps if steps is None else steps
    at, looks = 0, attends(m.net)
    same: Any
    with shared(m.net) if looks else nullcontext() as same:

        def tell(z: Tensor, t: float) -> Tensor:
            nonlocal at
            # step i is i / (steps - 1) of the way, as the released code counts it
            on = torch.tensor([at < share * (count - 1) for share in shares], device=place)
            at += 1
            if looks:
                same.on = on
                then = full(second)
            else:
                then = torch.where(on.view(-1, *[1] * (first.dim() - 1)), full(first), full(second))
            said = m(z.repeat(2, 1, 1, 1), torch.full((4 * b,), t, device=place), blind,
                     torch.cat([full(none), full(none), full(first), then]))
            without, with_ = said.chunk(2)
            guided: Tensor = without + w * (with_ - without)
            return guided

        alphas = m.alphas.cpu()
        z = m.spec.sampler(tell, m.spec.sampler.first(noise(), alphas, count), alphas, m.spec.aim, count, noise)
    made: Tensor = m.codec.back(z).float()
    return made[:b], made[b:]


def make(
    model: Any, out: str | Path, count: int = 100, samples: int = 100, keep: int = 4, *, sentences: Sequence[str] = (),
    language: str | Path | None = None, clip: str | Path | None = None, steps: int | None = None, seed: int = 0,
    size: int | None = None, which: str = "best", device: str = "cpu", say: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Make examples and write them to the folder `out` as InstructPix2Pix publishes them; what became of them.

    model: a run, a weights file, or a folder of diffusers. count: edits in words; samples: pairs that are drawn for
    each; keep: of those the most that are kept. language, clip: folders of a language model and of a CLIP; without the
    first a grammar of the drawn world writes, without the second nothing is filtered, and `keep` are drawn.
    Raises `StemmaError` for what cannot be read, a folder that holds something, and where nothing passes the filter.
    """
    is_seed(seed)
    at_least(1, count=count, samples=samples, keep=keep, steps=steps)
    place = Path(out)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise StemmaError(f"{place} holds something already; choose a new folder")
    if language is not None and not sentences:
        raise StemmaError("a language model is asked about captions: name a file of them, one a line, with --captions")
    path = Path(model) if isinstance(model, (str, Path)) else None
    m: Any = (bring.bring(path) if path is not None and (path / "unet").is_dir()
              else checkpoint.resolve(model, which))
    if not hasattr(m, "edit"):
        raise StemmaError(f"{m.paper.cli_name} draws no pictures from words; name an editor, or a folder of diffusers")
    m.to(device).eval()
    side = size or m.recipe.resize.size
    if side % m.step:
        raise StemmaError(f"sides are multiples of {m.step} here, not {side}")
    judge = Clip(clip, device) if clip is not None else None
    asked = told(count, seed, sentences, language_model(language, seed=seed) if language is not None else None)
    rng, seeds, alike = np.random.default_rng([seed, 22]), list[list[object]](), list[float]()
    made, kept = 0, 0
    for number, one in enumerate(asked):
        pairs: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        left = samples if judge is not None else min(keep, samples)
        while left > 0:
            b = min(left, TOGETHER)
            own = rng.integers(2**31, size=b).tolist()
            both = drawn(m, one, own, rng.uniform(*SHARE, b).tolist(), rng.uniform(*GUIDED, b).tolist(), side, steps)
            pairs |= {s: (as_bytes(x), as_bytes(y)) for s, x, y in zip(own, *both, strict=True)}
            left, made = left - b, made + b
        if judge is not None:
            i0, i1 = (judge.pictures([p[k] for p in pairs.values()]) for k in (0, 1))
            t0, t1 = (judge.sentences([s]) for s in (one.before, one.after))
            best = kept_by_filter(i0, i1, t0, t1, most=keep)
            alike += directional_similarity(i0, i1, t0, t1)[best].tolist()
            names = list(pairs)
            pairs = {names[int(k)]: pairs[names[int(k)]] for k in best}
        if pairs:
            seeds.append(captions.write(place, number, one, pairs))
            kept += len(pairs)
        if say is not None:
            say(f"{number + 1} of {len(asked)}: {one.instruction}: {many(len(pairs), 'pair')} kept")
    if not seeds:
        raise StemmaError(f"of {made} pairs none passes the filter; draw more for each with --samples, or name a model "
                          "that draws what it is told")
    outputs.put_text(place / "seeds.json", json.dumps(seeds))
    return {"where": str(place), "asked": len(asked), "drawn": made, "prompts": len(seeds), "pairs": kept,
            "filtered": judge is not None, "direction": float(np.mean(alike)) if alike else None}


def as_bytes(x: Float[Tensor, "3 H W"]) -> np.ndarray:
    """A picture in 0..1 as uint8 (H, W, 3)."""
    return np.asarray((x.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy())


__all__ = ["GUIDED", "SHARE", "as_bytes", "drawn", "language_model", "make", "told"]
