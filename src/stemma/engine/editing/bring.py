"""Editors that others trained: a folder as diffusers lays it out (unet/, vae/, text_encoder/, tokenizer/), or the one
file of latent diffusion's first release. Only safetensors are read; sizes come from the files.

A checkpoint that draws pictures from sentences alone (four channels in) is widened for the picture that is edited: the
new channels' weights are zero and the bias is kept, so that it says what it said (InstructPix2Pix sec. 3.2).
"""
from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...core import paper as papers
from ...core.paper import Paper
from ...core.types import StemmaError
from ...data.editing.pairs import info_of
from ...parts.editing.noise import Noise
from ...parts.editing.published import WORDS, lacking, library
from ..running import checkpoint
from ..running.foreign import read_state

NAMES = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
FREE = ("sample_size", "force_upcast", "in_channels", "scaling_factor")  # settings of ours, or nothing of the build
LDM = {"unet": "model.diffusion_model.", "vae": "first_stage_model.", "text_encoder": "cond_stage_model.transformer."}
AIMS = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}
GROWS = {"scaled_linear": "scaled-linear", "linear": "linear", "squaredcos_cap_v2": "cosine"}  # how the noise does
OLD = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}  # diffusers' names of an attention
PICKLES = (".bin", ".ckpt", ".pth", ".pt")
HEAD = 64  # channels of a head of CLIP's

State = dict[str, Tensor]


def bring(source: str | Path, paper: str | Paper = "instruct-pix2pix", preset: str = "paper",
          tokenizer: str | Path | None = None) -> Any:
    """An `EditModel` with the weights at `source`, a folder or a .safetensors file.

    tokenizer: the folder with vocab.json and merges.txt; the checkpoint's own where it has one. Raises `StemmaError`
    for a pickle, a missing file, and a network of another build, naming the setting. What the network says of noise,
    and how that grows, are what a folder's scheduler says; without one the noise itself, as in the first release.
    """
    source, card = Path(source), papers.get(paper) if isinstance(paper, str) else paper
    if card.task != "editing":
        raise StemmaError(f"{card.cli_name} is no editor; name one with --paper")
    states, configs = _folder(source) if source.is_dir() else _file(source)
    words = Path(tokenizer) if tokenizer is not None else source / "tokenizer"
    lack = lacking(words)
    if lack and (tokenizer is not None or len(lack) < len(WORDS)):
        raise StemmaError(f"no {lack[0]} in {words}; name the folder `tokenizer` of a checkpoint"
                          + ("" if tokenizer is not None else " with --tokenizer, or fetch it again"))
    sets = _sets(configs, source)
    if not lack:
        sets["text.files"] = str(words.resolve())
    model: Any = checkpoint.build(card, preset, sets=sets, info=info_of(source.stem, "edits", ("edit",)))
    for name, own in (("unet", model.net.unet), ("vae", model.codec.vae), ("text_encoder", model.text.clip)):
        _same_build(own, configs.get(name, {}), f"{source}, {name}")
        state = {_renamed(k): v for k, v in states[name].items() if not k.endswith("position_ids")}
        if name == "unet":
            state = widened(state, own.conv_in.in_channels)
        bare = own.state_dict()
        if name == "text_encoder":  # whose names gain or lose a first word; a projection is of no word of a sentence
            state = {_matching(k, bare): v for k, v in state.items() if k != "text_projection.weight"}
        _fits(state, bare, f"{source}, {name}")
        own.load_state_dict(state)
    if not lack:
        model.text.read_with(words.resolve())
    return model


def alike(said: Tensor, ours: Tensor) -> bool:
    """Whether two courses of noise are one, as far as half precision tells."""
    return said.shape == ours.shape and bool((said.double() - ours).abs().max() < 2e-3)


def widened(state: State, channels: int) -> State:
    """A U-Net's weights whose first convolution reads `channels`: what is new is zero, the bias stays."""
    first = state.get("conv_in.weight")
    if first is None or first.shape[1] >= channels:
        return state
    more = first.new_zeros(first.shape[0], channels - first.shape[1], *first.shape[2:])
    return state | {"conv_in.weight": torch.cat([first, more], 1)}


# ---------------------------------------------------------------- what is read


def _folder(folder: Path) -> tuple[dict[str, State], dict[str, dict[str, Any]]]:
    states, configs = dict[str, State](), dict[str, dict[str, Any]]()
    for name, stem in NAMES.items():
        config = folder / name / "config.json"
        if not config.is_file():
            raise StemmaError(f"no {config}: a folder of diffusers holds unet, vae and text_encoder, each with its "
                              "config.json")
        configs[name], states[name] = _object(config), {}
        for file in _weights(folder / name, stem):
            states[name] |= _tensors(file)
    if (noise := folder / "scheduler" / "scheduler_config.json").is_file():
        configs["scheduler"] = _object(noise)
    return states, configs


def _object(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise StemmaError(f"{file} is no JSON object ({error}); fetch it again") from None


def _weights(folder: Path, stem: str) -> list[Path]:
    """The files of one network: STEM.safetensors, else its parts (-00001-of-00002), else the same of its one variant
    (STEM.fp16...). Raises `StemmaError` where parts are missing, and for several variants."""
    kinds: dict[str, dict[str, list[Path]]] = {}  # variant -> of how many parts, "" for the whole -> files
    for file in sorted(folder.glob(f"{stem}*.safetensors")):
        if found := re.fullmatch(r"(\.[^.]+?)?(?:-\d+-of-(\d+))?", file.name[len(stem) : -len(file.suffix)]):
            kinds.setdefault(found[1] or "", {}).setdefault(found[2] or "", []).append(file)
    if "" not in kinds and len(kinds) > 1:
        raise StemmaError(f"{folder} holds {' and '.join(of[min(of)][0].name for of in kinds.values())}: call the one "
                          f"that is meant {stem}.safetensors")
    of = kinds.get("") or next(iter(kinds.values()), {"": [folder / f"{stem}.safetensors"]})
    count = min(of)
    if count and len(of[count]) != int(count):
        raise StemmaError(f"{folder} holds {len(of[count])} of the {int(count)} parts of {stem}: fetch the others")
    return of[count]


def _tensors(file: Path) -> State:
    pickles = [p for p in (file.with_suffix(s) for s in PICKLES) if p.is_file()]
    if file.suffix not in (".safetensors", *PICKLES) and file.is_file():
        raise StemmaError(f"{file} is no file of weights that is read; name a folder of diffusers, or a .safetensors")
    if file.suffix != ".safetensors" or not file.is_file() and pickles:
        other = pickles[0] if pickles else file
        if not other.is_file():
            raise StemmaError(f"no file at {other}")
        raise StemmaError(
            f"{other} is a pickle, which may run any code and is not opened; where you trust it, convert it: python -c "
            f"\"import torch, safetensors.torch as s; d = torch.load('{other.name}', map_location='cpu', "
            "weights_only=True); d = d.get('state_dict', d); s.save_file({k: v.clone() for k, v in d.items() if "
            f"hasattr(v, 'clone')}}, '{other.stem}.safetensors')\"")
    return read_state(file)


def _file(file: Path) -> tuple[dict[str, State], dict[str, dict[str, Any]]]:
    """The release's one file, its averaged weights where it has them. Its configuration is told by shapes."""
    every = _tensors(file)
    if other := next((k for k in every if k.startswith(("cond_stage_model.model.", "conditioner."))), None):
        raise StemmaError(f"{file} holds {other}, of a text encoder that is not Stable Diffusion 1's: checkpoints of "
                          "that one are read")
    if not all(any(k.startswith(p) for k in every) for p in LDM.values()):
        lack = [p for p in LDM.values() if not any(k.startswith(p) for k in every)]
        raise StemmaError(f"{file} is not the one file of a latent diffusion model: nothing in it is called "
                          f"{lack[0]}...")
    try:
        return _sorted(every)
    except KeyError as lack:
        raise StemmaError(f"{file} holds no {lack.args[0]}, which each latent diffusion model has: fetch it again"
                          ) from None


def _sorted(every: State) -> tuple[dict[str, State], dict[str, dict[str, Any]]]:
    """The three networks under diffusers' names. Raises `KeyError` for what is missing."""
    parts = {name: {k.removeprefix(p): v for k, v in every.items() if k.startswith(p)} for name, p in LDM.items()}
    if "alphas_cumprod" in every and not alike(every["alphas_cumprod"], Noise().alphas()):
        raise StemmaError("alphas_cumprod in the file is of noise that grows otherwise than Stable Diffusion's, and "
                          "noise is not made so here")
    mean = {k: every.get("model_ema.diffusion_model" + k.replace(".", "")) for k in parts["unet"]}
    if all(v is not None for v in mean.values()):
        parts["unet"] = {k: v for k, v in mean.items() if v is not None}
    elif lack := [k for k, v in mean.items() if v is None] if any(v is not None for v in mean.values()) else []:
        raise StemmaError(f"the file holds averaged weights (model_ema.), but {len(lack)} of {len(mean)} are missing, "
                          f"{lack[0]} among them: fetch it again")
    convert = library("diffusers.loaders.single_file_utils")
    configs = {"unet": _unet_config(parts["unet"]), "vae": _vae_config(parts["vae"])}
    if (scale := every.get("scale_factor")) is not None and scale.numel() == 1:
        configs["vae"]["scaling_factor"] = round(float(scale), 5)
    states = {
        "unet": convert.convert_ldm_unet_checkpoint({LDM["unet"] + k: v for k, v in parts["unet"].items()},
                                                    configs["unet"]),
        "vae": convert.convert_ldm_vae_checkpoint({LDM["vae"] + k: v for k, v in parts["vae"].items()}, configs["vae"]),
        "text_encoder": parts["text_encoder"],
    }
    used = {id(v) for v in states["unet"].values()}  # what has no name there is kept, so that `_fits` tells of it
    states["unet"] |= {k: v for k, v in parts["unet"].items() if id(v) not in used}
    text = {_bare(k): v for k, v in states["text_encoder"].items()}
    table, places = text["embeddings.token_embedding.weight"], text["embeddings.position_embedding.weight"]
    configs["text_encoder"] = {
        "hidden_size": table.shape[1], "vocab_size": table.shape[0], "max_position_embeddings": places.shape[0],
        "num_hidden_layers": _levels(text, "encoder.layers."), "num_attention_heads": max(table.shape[1] // HEAD, 1),
        "intermediate_size": text["encoder.layers.0.mlp.fc1.weight"].shape[0],
    }
    return states, configs


def _levels(state: State, prefix: str) -> int:
    """How many numbers follow a prefix of names."""
    return len({k.removeprefix(prefix).split(".")[0] for k in state if k.startswith(prefix)})


def _unet_config(state: State) -> dict[str, Any]:
    """Widths, blocks a level and which of them attend, by the names of the blocks on the way down."""
    widths, attends, run = [], [], 0
    for i in range(1, _levels(state, "input_blocks.")):
        if f"input_blocks.{i}.0.op.weight" in state:
            continue
        run += 1
        width = state[f"input_blocks.{i}.0.out_layers.3.weight"].shape[0]
        if i == 1 or f"input_blocks.{i - 1}.0.op.weight" in state:
            widths.append(width)
            attends.append(any(k.startswith(f"input_blocks.{i}.1.") for k in state))
    down = ["CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attends]
    seen = [v for k, v in state.items() if k.endswith("attn2.to_k.weight")]
    return {"block_out_channels": widths, "layers_per_block": run // max(len(widths), 1), "down_block_types": down,
            "up_block_types": [d.replace("Down", "Up") for d in down[::-1]], "in_channels":
            state["input_blocks.0.0.weight"].shape[1], "cross_attention_dim": seen[0].shape[1] if seen else None}


def _vae_config(state: State) -> dict[str, Any]:
    n = _levels(state, "encoder.down.")
    return {"block_out_channels": [state[f"encoder.down.{i}.block.0.conv2.weight"].shape[0] for i in range(n)],
            "layers_per_block": _levels(state, "encoder.down.0.block."), "latent_channels":
            state["post_quant_conv.weight"].shape[0], "down_block_types": ["DownEncoderBlock2D"] * n,
            "up_block_types": ["UpDecoderBlock2D"] * n}


# ---------------------------------------------------------------- what is built


def _sets(configs: dict[str, dict[str, Any]], source: Path) -> dict[str, Any]:
    """The settings of our parts that a checkpoint's configuration asks for."""
    u, v, t = configs["unet"], configs["vae"], configs["text_encoder"]
    asked = {
        "net.widths": u.get("block_out_channels"), "net.layers": u.get("layers_per_block"),
        "net.heads": u.get("attention_head_dim"), "net.groups": u.get("norm_num_groups"),
        "net.attends": str(u.get("down_block_types")).count("CrossAttn") or None,
        "codec.widths": v.get("block_out_channels"), "codec.layers": v.get("layers_per_block"),
        "codec.channels": v.get("latent_channels"), "codec.groups": v.get("norm_num_groups"),
        "codec.scale": v.get("scaling_factor"), "text.width": t.get("hidden_size"),
        "text.inner": t.get("intermediate_size"), "text.layers": t.get("num_hidden_layers"),
        "text.heads": t.get("num_attention_heads"), "text.words": t.get("vocab_size"),
        "text.length": t.get("max_position_embeddings"),
    }
    found = {k: tuple(x) if isinstance(x, list) else x for k, x in asked.items() if x is not None}
    for k, x in found.items():
        numbers = x if isinstance(x, tuple) and k.endswith("widths") else (x,)
        if not numbers or not all(isinstance(n, (int, float)) and n > 0 for n in numbers):
            raise StemmaError(f"{source} asks for {k} = {x!r}, of which our network of this build has none")
    return found | _noise(configs.get("scheduler", {}), source)


def _noise(said: dict[str, Any], source: Path) -> dict[str, Any]:
    """What a scheduler's configuration says of noise, as settings of an `Editor`. Raises `StemmaError` for noise that
    ours does not make."""
    for name, known in (("prediction_type", AIMS), ("beta_schedule", GROWS)):
        if name in said and str(said[name]) not in known:
            raise StemmaError(f"{source}, scheduler: {name} is {said[name]!r}; {', '.join(known)} are known")
    for name in ("rescale_betas_zero_snr", "trained_betas"):
        if said.get(name):
            raise StemmaError(f"{source}, scheduler: {name} is {said[name]!r}, and noise is not made so here")
    for name in ("beta_start", "beta_end"):
        if name in said and not (isinstance(said[name], float) and 0 < said[name] < 1):
            raise StemmaError(f"{source}, scheduler: {name} is {said[name]!r} and no share between 0 and 1")
    asked = {"aim": AIMS.get(str(said.get("prediction_type"))), "noise.kind": GROWS.get(str(said.get("beta_schedule"))),
             "noise.steps": said.get("num_train_timesteps"), "noise.begin": said.get("beta_start"),
             "noise.end": said.get("beta_end")}
    return {k: v for k, v in asked.items() if v is not None}


def _same_build(own: Any, asked: dict[str, Any], where: str) -> None:
    """Raises `StemmaError` where a configuration asks for what our network does not do."""
    config = own.config if isinstance(own.config, dict) else own.config.to_dict()
    plain = lambda x: list(x) if isinstance(x, tuple) else x
    known = (str, int, float, bool, list, *(() if "model_type" in asked else (type(None),)))  # transformers adds Nones
    for name, value in asked.items():
        if (not name.startswith("_") and name in config and name not in FREE and not name.endswith("token_id")
                and type(plain(config[name])) in known and plain(value) != plain(config[name])
                and name not in ("torch_dtype", "dtype", "architectures", "projection_dim", "transformers_version",
                                 "initializer_factor", "initializer_range", "attention_dropout", "dropout")):
            raise StemmaError(f"{where}: {name} is {value!r}, and the network that is built here has {config[name]!r}; "
                              "checkpoints of Stable Diffusion 1 are read")


def _renamed(key: str) -> str:
    """Names that diffusers gave to an attention before."""
    parts = key.split(".")
    if len(parts) > 2 and "attentions" in parts and parts[-2] in OLD:
        parts[-2] = OLD[parts[-2]]
    return ".".join(parts)


def _bare(key: str) -> str:
    return key.removeprefix("text_model.")


def _matching(key: str, own: State) -> str:
    return next((k for k in (key, _bare(key), f"text_model.{key}") if k in own), key)


def _fits(state: State, own: State, where: str) -> None:
    """Raises `StemmaError` for a tensor that is missing, too much, of another shape or without finite fractions; an
    attention's 1 x 1 convolution becomes its matrix."""
    for key, t in own.items():
        if key in state and state[key].numel() == t.numel() and state[key].dim() == 4 and t.dim() == 2:
            state[key] = state[key].flatten(1)
    lack, more = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if lack or more:
        said = f"holds no {lack[0]}" if lack else f"holds {more[0]}, which this network has not"
        raise StemmaError(f"{where}: the file {said} ({len(lack)} missing, {len(more)} too many)")
    if wrong := [k for k in own if own[k].shape != state[k].shape]:
        raise StemmaError(f"{where}: {wrong[0]} is {tuple(state[wrong[0]].shape)}, and this network's is "
                          f"{tuple(own[wrong[0]].shape)}")
    if whole := [k for k in own if own[k].is_floating_point() and not state[k].is_floating_point()]:
        raise StemmaError(f"{where}: {whole[0]} is of {state[whole[0]].dtype}, and weights are fractions: bring the "
                          "checkpoint as it was before it was quantised")
    if broken := [k for k in own if not state[k].float().isfinite().all()]:
        raise StemmaError(f"{where}: {broken[0]} holds numbers that are not finite: fetch the file again")


def saved(source: str | Path, target: str | Path, **options: Any) -> nn.Module:
    """`bring`, written as a weights file that `train --start`, `predict` and `evaluate` take."""
    model: nn.Module = bring(source, **options)
    checkpoint.save(target, model)
    return model


__all__ = ["alike", "bring", "saved", "widened"]
