"""The networks of the published editors: Stable Diffusion's, through diffusers and transformers (the extra `editing`).

Their keyword arguments are those of the libraries' configurations that differ between checkpoints, so that any
checkpoint of the same build can be loaded (`engine.editing.bring`); the defaults are version 1.5's.
"""
from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ...core.part import In
from ...core.types import StemmaError

WORDS = ("vocab.json", "merges.txt")  # files of CLIP's vocabulary
BEGIN, END = 49406, 49407  # of a sentence, in CLIP's table; the rest is filled with the end


def library(name: str) -> ModuleType:
    """diffusers or transformers. Raises `StemmaError` where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise StemmaError(f"the published editors need {name}: pip install 'stemma-vision[editing]' "
                          f"({error})") from error


def lacking(folder: Path) -> list[str]:
    """Which files of CLIP's vocabulary a folder has not."""
    return [name for name in WORDS if not (folder / name).is_file()]


class LatentUNet(nn.Module):
    """Stable Diffusion's U-Net, which reads the picture's code as further channels. `widths` a level; `layers` blocks
    each; `attends`: how many levels, from the finest, look at the sentence; `heads` of an attention."""

    def __init__(self, inp: In, widths: tuple[int, ...] = (320, 640, 1280, 1280), layers: int = 2, heads: int = 8,
                 attends: int = 3, groups: int = 32) -> None:
        super().__init__()
        z, picture, sentence = inp.channels
        n = len(widths)
        down = tuple("CrossAttnDownBlock2D" if i < attends else "DownBlock2D" for i in range(n))
        up = tuple("CrossAttnUpBlock2D" if i < attends else "UpBlock2D" for i in range(n))[::-1]
        self.unet = library("diffusers").UNet2DConditionModel(
            in_channels=z + picture, out_channels=z, block_out_channels=widths, layers_per_block=layers,
            attention_head_dim=heads, cross_attention_dim=sentence, down_block_types=down, up_block_types=up,
            norm_num_groups=groups)
        self.step = 2 ** (n - 1)

    def forward(self, x: Float[Tensor, "B C H W"], t: Float[Tensor, " B"],
                sentence: Float[Tensor, "B L D"]) -> Float[Tensor, "B Z H W"]:
        said: Tensor = self.unet(x, t, encoder_hidden_states=sentence, return_dict=False)[0]
        return said


class LatentCodec(nn.Module):
    """The autoencoder of latent diffusion. What is made is a sample of the code, times `scale`; what stands beside it
    is the code's mode, and is not scaled (InstructPix2Pix, released `ddpm_edit.py`)."""

    def __init__(self, inp: In, widths: tuple[int, ...] = (128, 256, 512, 512), layers: int = 2, channels: int = 4,
                 groups: int = 32, scale: float = 0.18215) -> None:
        super().__init__()
        n = len(widths)
        self.vae = library("diffusers").AutoencoderKL(
            block_out_channels=widths, layers_per_block=layers, latent_channels=channels, norm_num_groups=groups,
            down_block_types=("DownEncoderBlock2D",) * n, up_block_types=("UpDecoderBlock2D",) * n)
        self.scale, self.step, self.out = scale, 2 ** (n - 1), In((channels,), (2 ** (n - 1),))

    @torch.no_grad()
    def target(self, x: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        """A sample of the code of a picture in 0..1, scaled."""
        code: Tensor = self.vae.encode(2 * x - 1).latent_dist.sample()
        return code * self.scale

    @torch.no_grad()
    def given(self, x: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        """The mode of the code of the picture that is edited."""
        code: Tensor = self.vae.encode(2 * x - 1).latent_dist.mode()
        return code

    def back(self, z: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 3 H W"]:
        """A picture in 0..1."""
        x: Tensor = self.vae.decode(z / self.scale, return_dict=False)[0]
        return ((x + 1) / 2).clamp(0, 1)


class ClipText(nn.Module):
    """CLIP's reader of sentences: the last hidden states of `length` tokens.

    files: the folder with the tokenizer's vocab.json and merges.txt, which no Python package brings; only the empty
    sentence can be read without it.
    """

    def __init__(self, inp: In, width: int = 768, inner: int = 3072, layers: int = 12, heads: int = 12,
                 words: int = 49408, length: int = 77, files: str = "") -> None:
        super().__init__()
        lib = library("transformers")
        self.clip = lib.CLIPTextModel(lib.CLIPTextConfig(
            hidden_size=width, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
            vocab_size=words, max_position_embeddings=length, hidden_act="quick_gelu", projection_dim=width,
            bos_token_id=min(BEGIN, words - 2), eos_token_id=min(END, words - 1)))
        self.words, self.length, self.files, self.out = words, length, files, In((width,), (1,))
        self._tokenizer: Any = None

    def tokens(self, sentences: Sequence[str]) -> Int[Tensor, "B L"]:
        """CLIP's tokens, cut at `length`. Raises `StemmaError` where the vocabulary is not at hand."""
        if not any(sentences):
            end = min(END, self.words - 1)
            row = [min(BEGIN, self.words - 2)] + [end] * (self.length - 1)
            return torch.tensor([row] * len(sentences), dtype=torch.long)
        if self._tokenizer is None:
            self._tokenizer = self._read()
        found = self._tokenizer(list(sentences), padding="max_length", max_length=self.length, truncation=True,
                                return_tensors="pt")
        return torch.as_tensor(found["input_ids"], dtype=torch.long)

    def _read(self) -> Any:
        folder = Path(self.files)
        if not self.files or (lack := lacking(folder)):
            said = f"no {' and '.join(lack)} in {self.files}" if self.files else "it was not told where it is"
            raise StemmaError("this editor reads sentences with CLIP's vocabulary, which no package brings: " + said
                              + "; say --tokenizer FOLDER, the folder `tokenizer` of a checkpoint (in training --set "
                              "text.files=FOLDER)")
        try:
            found: Any = library("transformers").CLIPTokenizer(*(str(folder / name) for name in WORDS))
            most = max(found.get_vocab().values())
        except Exception as error:  # the tokenizers' own are of no narrower kind
            raise StemmaError(f"{' and '.join(WORDS)} in {folder} cannot be read as CLIP's vocabulary "
                              f"({str(error)[:200]}); fetch them again") from None
        if most >= self.words:
            raise StemmaError(f"the vocabulary in {folder} has a word of number {most}, and this text encoder knows "
                              f"{self.words}; name the folder `tokenizer` of the same checkpoint")
        return found

    def read_with(self, folder: str | Path) -> None:
        """Read sentences with the vocabulary in another folder. Raises `StemmaError` where it cannot be read."""
        self.files = str(folder)
        self._tokenizer = self._read()

    def forward(self, tokens: Int[Tensor, "B L"]) -> Float[Tensor, "B L D"]:
        said: Tensor = self.clip(tokens)[0]
        return said


__all__ = ["WORDS", "ClipText", "LatentCodec", "LatentUNet", "lacking", "library"]
