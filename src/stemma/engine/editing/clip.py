"""CLIP by a folder that a person has: how alike pictures and sentences are (transformers, safetensors alone)."""
from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ...core.types import StemmaError
from ...parts.editing.published import library

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # of CLIP's pictures


class Clip:
    """Both towers of the CLIP in `folder` (config.json, model.safetensors, vocab.json, merges.txt). Raises
    `StemmaError` where one of them is not there."""

    def __init__(self, folder: str | Path, device: str = "cpu") -> None:
        folder, lib = Path(folder), library("transformers")
        lack = [n for n in ("config.json", "model.safetensors", "vocab.json", "merges.txt")
                if not (folder / n).is_file()]
        if lack:
            raise StemmaError(f"no {lack[0]} in {folder}; a CLIP is a folder with config.json, model.safetensors, "
                              "vocab.json and merges.txt")
        try:
            self.net: Any = lib.CLIPModel.from_pretrained(str(folder), local_files_only=True, use_safetensors=True)
            self.words: Any = lib.CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
        except (OSError, ValueError, KeyError, json.JSONDecodeError) as error:
            raise StemmaError(f"{folder} holds no CLIP that can be read: {str(error)[:200]}") from None
        self.net.to(device).eval()
        self.device, self.side = device, int(self.net.config.vision_config.image_size)
        self.length = int(self.net.config.text_config.max_position_embeddings)

    @torch.no_grad()
    def pictures(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """Features [N, D] of pictures, uint8 (H, W, 3): the short side brought to CLIP's, the middle cut out. As the
        release of InstructPix2Pix does it, whose thresholds count on it: bicubic, and not blurred before it shrinks
        (metrics/clip_similarity.py)."""
        rows = []
        for p in pictures:
            image = torch.from_numpy(np.array(p)).permute(2, 0, 1)[None].to(self.device).float() / 255
            ratio = self.side / min(p.shape[:2])
            h, w = (max(self.side, round(s * ratio)) for s in p.shape[:2])
            x, y = (w - self.side) // 2, (h - self.side) // 2
            wide = F.interpolate(image, (h, w), mode="bicubic", align_corners=False)
            rows.append(wide[..., y : y + self.side, x : x + self.side])
        mean, std = (torch.tensor(v, device=self.device).view(3, 1, 1) for v in (MEAN, STD))
        return _rows(self.net.get_image_features(pixel_values=(torch.cat(rows) - mean) / std))

    @torch.no_grad()
    def sentences(self, sentences: Sequence[str]) -> np.ndarray:
        """Features [N, D] of sentences."""
        found = self.words(list(sentences), padding="max_length", max_length=self.length, truncation=True,
                           return_tensors="pt")
        return _rows(self.net.get_text_features(input_ids=found["input_ids"].to(self.device),
                                                attention_mask=found["attention_mask"].to(self.device)))


def _rows(said: Any) -> np.ndarray:
    """Features as an array, whether a version of transformers wraps them or not."""
    features: Tensor = said if isinstance(said, Tensor) else said.pooler_output
    return np.asarray(features.float().cpu().numpy())


__all__ = ["Clip"]
