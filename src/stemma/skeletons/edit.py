"""An editor as a value: a diffusion model that is told a picture and a sentence, and draws the picture that the
sentence asks for.

Axes: B pictures, C channels of what is noised, H W pixels or cells of it, L words.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.part import In, Part
from ..core.types import Losses, Moves, StemmaError
from ..ops.edits import THRESHOLD, share_of
from ..parts.editing.guidance import Drop, Guidance, Pass, together
from ..parts.editing.noise import Aim, Noise, Sampler, aimed, noised
from ..parts.editing.shared import told_once
from ..parts.preprocess import UNIT, Preprocess


@dataclass(frozen=True)
class EditBatch(Moves):
    """Pairs of pictures in 0..1 with what is to be done, as the network's tokens."""

    images: Float[Tensor, "B 3 H W"]
    after: Float[Tensor, "B 3 H W"]
    tokens: Int[Tensor, "B L"]
    index: Int[Tensor, " B"]  # position in the data set
    described: Int[Tensor, "B L"] | None = None  # the second picture in words, for those who see no first one
    colours: Float[Tensor, "B 3"] | None = None  # in which an answer is drawn; NaN where there is none

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Editor:
    """codec: pictures to what is noised and back. text: sentences to what the network reads. net: what it says of the
    noise. tasks: (kind of instruction, weight of its examples); empty: all that the data hold, as many as there are.
    scales: (kind, the guidance's scales of sentence and picture) where a kind is asked for with others.
    reader: what reads answers out of edited pictures, beside their colours. practice: steps of the edits that it makes
    of its own while it learns (`EditModel.loss`)."""

    codec: Part[Any]
    text: Part[Any]
    net: Part[Any]
    noise: Noise = Noise()
    aim: Aim = "eps"
    drop: Drop = Drop()
    guidance: Guidance = None  # type: ignore[assignment]  # every paper names its own
    sampler: Sampler = Sampler()
    tasks: tuple[tuple[str, float], ...] = ()
    scales: tuple[tuple[str, float, float], ...] = ()
    reader: Part[Any] | None = None
    practice: int = 5
    preprocess: Preprocess = UNIT  # the codec's matter; pictures come as they are

    def build(self, classes: int = 1) -> EditModel:
        return EditModel(self, classes)


class EditModel(nn.Module):
    """The networks of an `Editor`."""

    alphas: Tensor
    null: Tensor

    def __init__(self, spec: Editor, classes: int = 1) -> None:
        super().__init__()
        self.spec, self.classes = spec, classes
        none = In((), ())
        self.codec, self.text = spec.codec.build(none), spec.text.build(none)
        z = int(self.codec.out.channels[0])
        self.net = spec.net.build(In((z, z, int(self.text.out.channels[0])), (1, 1, 1)))
        self.reader = spec.reader.build(none) if spec.reader is not None else None
        self.learns = "noise"  # the loss that is learned by: of a training in phases, that of its phase
        self.step = int(self.codec.step * self.net.step)  # sides of pictures are multiples of it
        self.register_buffer("alphas", spec.noise.alphas(), persistent=False)
        self.register_buffer("null", self.text.tokens([""]), persistent=False)

    def forward(self, z: Float[Tensor, "B C H W"], t: Float[Tensor, " B"], picture: Float[Tensor, "B C H W"],
                sentence: Tensor) -> Float[Tensor, "B C H W"]:
        """What the network says of z_t at times t, beside a picture's code and a sentence's."""
        said: Tensor = self.net(torch.cat([z, picture], 1), t, sentence)
        return said

    # ------------------------------------------------------------ learning

    def loss(self, batch: EditBatch) -> Losses:
        """The loss that is named by `learns`.

        noise:   the squared error of what is said of the noise, at a time of each example's own; some examples go
                 without sentence, picture or both (`Drop`)
        drawing: the same of pictures that are drawn from their description alone
        chosen:  the same of edits that it made itself, those that came out well
        reading: how well the reader says what was painted, of edits that it made itself
        """
        if self.learns == "reading":
            return {"reading": self._reading(batch)}
        told, after, counts, blind = batch.tokens, batch.after, torch.ones(len(batch), device=batch.after.device), None
        if self.learns == "drawing":
            told, blind = (told if batch.described is None else batch.described), torch.ones_like(counts).bool()
        elif self.learns == "chosen":
            after = self._practised(batch)
            counts = well(batch.images, batch.after, after).to(after)
        each = self._noise(batch.images, after, told, blind)
        return {self.learns: (counts * each).sum() / counts.sum().clamp(min=1)}

    def _noise(self, images: Tensor, after: Tensor, tokens: Tensor, blind: Tensor | None) -> Float[Tensor, " B"]:
        """The squared error of each example."""
        z, picture = self.codec.target(after), self.codec.given(images)
        silent, unseen = self.spec.drop(torch.rand(len(z), device=z.device))
        t = torch.randint(0, len(self.alphas), (len(z),), device=z.device)
        a = self.alphas[t].to(z.dtype).view(-1, 1, 1, 1)
        eps = torch.randn_like(z)
        said: Tensor = self(noised(z, eps, a), t.float(), self._without(picture, unseen if blind is None else blind),
                            self.text(torch.where(silent[:, None], self.null, tokens)))
        return (said.float() - aimed(self.spec.aim, z, eps, a).float()).square().flatten(1).mean(1)

    def _practised(self, batch: EditBatch) -> Tensor:
        """Edits of its own, of noise that the step's random numbers say."""
        seeds = torch.randint(0, 2**31, (len(batch),)).tolist()
        made: Tensor = self.edit(batch.images, batch.tokens, steps=self.spec.practice, seed=seeds)
        return made

    def _reading(self, batch: EditBatch) -> Tensor:
        """Cross-entropy over pixels of what the reader says of its own edits; the truth is where the true answer is
        painted. Examples that are no answer count nothing."""
        assert self.reader is not None and batch.colours is not None
        made, told = self._practised(batch), batch.colours.isfinite().all(1)
        colours = batch.colours.nan_to_num(0.5)
        painted = share_of(batch.images, batch.after, colours) >= THRESHOLD
        said = F.binary_cross_entropy_with_logits(self.reader(batch.images, made, colours), painted.to(made),
                                                  reduction="none").flatten(1).mean(1)
        return (said * told).sum() / told.sum().clamp(min=1)

    @staticmethod
    def _without(picture: Tensor, blind: Bool[Tensor, " B"]) -> Tensor:
        """No picture is a code of zeros, not the code of a black picture."""
        return picture.masked_fill(blind.view(-1, 1, 1, 1), 0.0)

    # ------------------------------------------------------------ editing

    @torch.no_grad()
    def edit(
        self, images: Float[Tensor, "B 3 H W"], instructions: Sequence[str] | Int[Tensor, "B L"],
        text: float | None = None, image: float | None = None, steps: int | None = None, seed: int | Sequence[int] = 0,
        noise: Tensor | None = None, seen: bool = True,
    ) -> Float[Tensor, "B 3 H W"]:
        """Pictures in 0..1, changed as told.

        text, image: scales of the guidance; steps: of the sampler; the spec's where not given. All noise of a picture
        is that of its seed (one number: the same for each), so that it does not depend on what else is in the batch;
        noise: the first noise instead. seen: False: no picture is shown, and the sentence alone says what is drawn.
        The picture's code and the sentence's, its keys and values too, are computed once, and the passes of a step are
        one batch (`told_once`); a pass of weight 0 is not taken. Raises `StemmaError` for sides that the network cannot
        take.
        """
        if images.shape[-1] % self.step or images.shape[-2] % self.step:
            raise StemmaError(f"sides are multiples of {self.step} here, not {images.shape[-1]} x {images.shape[-2]}")
        g, b = self.spec.guidance, len(images)
        tokens = instructions if isinstance(instructions, Tensor) else self.text.tokens(instructions)
        weights = g.weights(g.text if text is None else text, g.image if image is None else image)
        passes: list[Pass] = [p for p, w in weights.items() if w != 0] or [(True, True)]
        given, sentence = self.codec.given(images), self.text(tokens.to(images.device))
        given = given if seen else torch.zeros_like(given)
        null, n = self.text(self.null), len(passes)
        given = torch.cat([given if p[0] else torch.zeros_like(given) for p in passes])
        sentence = torch.cat([sentence if p[1] else null.expand_as(sentence) for p in passes])
        seeds = [seed] * b if isinstance(seed, int) else list(seed)
        draws = [torch.Generator().manual_seed(s) for s in seeds]  # on the CPU: the same on every device

        def draw() -> Tensor:
            shape = given.shape[1:]
            return torch.stack([torch.randn(shape, generator=d) for d in draws]).to(given)

        def tell(z: Tensor, t: float) -> Tensor:
            times = torch.full((n * b,), t, device=z.device)
            said = self(z.repeat(n, 1, 1, 1), times, given, sentence).chunk(n)
            return said[0] if n == 1 else together(weights, dict(zip(passes, said, strict=True)))

        count, alphas = self.spec.sampler.steps if steps is None else steps, self.alphas.cpu()
        z = self.spec.sampler.first(draw(), alphas, count) if noise is None else noise
        with told_once(self.net, [p[0] for p in passes]):
            z = self.spec.sampler(tell, z, alphas, self.spec.aim, count, draw)
        made: Tensor = self.codec.back(z).float()
        return made


def well(images: Tensor, after: Tensor, made: Tensor) -> Bool[Tensor, " B"]:
    """Which edits came out well enough to be learned from again: nearer to how it should become than half of what
    should change, or, where nothing should, hardly changed (a hundredth of a colour more than the half of nothing)."""
    asked, left = ((x - after).abs().flatten(1).mean(1) for x in (images, made))
    return left <= asked / 2 + 0.01


__all__ = ["EditBatch", "EditModel", "Editor", "well"]
