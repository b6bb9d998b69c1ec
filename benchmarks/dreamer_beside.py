"""What one update of DreamerV3's small nets costs beside two other libraries' at equal sizes, in turns, in processor
time: `python benchmarks/dreamer_beside.py [--rounds 5] [--compiled]`, with sheeprl and torchrl installed apart
(tests/test_world_oracles.py says how, and `pip install` of what sheeprl imports besides).

16 sequences of 32 steps ("conv-small"; "small" has the same nets for numbers and half as long sequences), dreams of 15
from each of the 512 beliefs, a memory of 256, 16 variables of 8 classes, layers of 64; four numbers are seen, two
choices are had. sheeprl's is the first version (one dense gated unit, layer norms, no loss of the critic on what was
lived), so ours is timed in both: "small", and "first", the first version at these sizes.
torchrl's example is the second version, with as many weights as "small", and is not compiled on a CPU.
"""
from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stemma.engine.running import devices
from updates import AGENTS, agent_of, update_of

_, BATCH, STEPS = AGENTS["dreamerv3"]
FIRST = {"dynamics.cell.size": 256, "dynamics.cell.hidden": 64, "dynamics.hidden": 64, "dynamics.latent.groups": 16,
         "dynamics.latent.classes": 8, "dynamics.expecting": 1, "senses.0.net.units": 64, "senses.0.net.layers": 3,
         "heads.0.net.units": 64, "heads.0.net.layers": 3, "heads.1.net.units": 64, "heads.1.net.layers": 1,
         "heads.2.net.units": 64, "heads.2.net.layers": 1, "actor.units": 64, "actor.layers": 3, "critic.units": 64,
         "critic.layers": 3}


def ours(preset: str, sets: dict[str, Any] | None = None, compiled: bool = False) -> tuple[Callable[[], None], int]:
    """(one update, weights) of ours; compiled as `stemma train --compile` does it."""
    m = agent_of("dreamerv3", preset, sets)
    if compiled:
        m.learn = torch.compile(m.loss)
    return update_of("dreamerv3", m)[0], sum(p.numel() for p in m.parameters())


def sheeprls() -> tuple[Callable[[], None], int]:
    """(one update, weights) of sheeprl's."""
    hydra, gymnasium = importlib.import_module("hydra"), importlib.import_module("gymnasium")
    lightning: Any = importlib.import_module("lightning")
    build = importlib.import_module("sheeprl.algos.dreamer_v3.agent").build_agent
    learn: Any = importlib.import_module("sheeprl.algos.dreamer_v3.dreamer_v3")
    tools: Any = importlib.import_module("sheeprl.algos.dreamer_v3.utils")
    dotdict = importlib.import_module("sheeprl.utils.utils").dotdict
    config: Any = importlib.import_module("omegaconf").OmegaConf
    layers = [f"algo.world_model.{k}.mlp_layers={n}" for k, n in (("encoder", 3), ("observation_model", 3),
                                                                 ("reward_model", 1), ("discount_model", 1))]
    said = ["exp=dreamer_v3", "env=gym", "env.id=CartPole-v1", "algo.cnn_keys.encoder=[]", "algo.cnn_keys.decoder=[]",
            "algo.mlp_keys.encoder=[state]", "algo.mlp_keys.decoder=[state]", "algo.dense_units=64", *layers,
            "algo.mlp_layers=3", "algo.world_model.discrete_size=8", "algo.world_model.stochastic_size=16",
            "algo.world_model.recurrent_model.recurrent_state_size=256",
            "algo.world_model.transition_model.hidden_size=64", "algo.world_model.representation_model.hidden_size=64",
            f"algo.per_rank_batch_size={BATCH}", f"algo.per_rank_sequence_length={STEPS}", "metric.log_level=0",
            "fabric.accelerator=cpu"]
    with hydra.initialize_config_module("sheeprl.configs", version_base="1.3"):
        cfg = dotdict(config.to_container(hydra.compose("config", overrides=said), resolve=True))
    fabric = lightning.Fabric(accelerator="cpu", devices=1)
    space = gymnasium.spaces.Dict({"state": gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float32)})
    torch.manual_seed(0)
    world, actor, critic, target, _ = build(fabric, (2,), False, cfg, space)
    made = [hydra.utils.instantiate(c, params=net.parameters(), _convert_="all") for c, net in (
        (cfg.algo.world_model.optimizer, world), (cfg.algo.actor.optimizer, actor),
        (cfg.algo.critic.optimizer, critic))]
    optimizers = [fabric.setup_optimizers(o) for o in made]
    m = cfg.algo.actor.moments
    moments = tools.Moments(m.decay, m.max, m.percentile.low, m.percentile.high)
    g = torch.Generator().manual_seed(1)
    flag = lambda: (torch.rand(STEPS, BATCH, 1, generator=g) < 0.02).float()
    data = {"state": torch.randn(STEPS, BATCH, 4, generator=g), "rewards": torch.ones(STEPS, BATCH, 1),
            "actions": torch.eye(2)[torch.randint(2, (STEPS, BATCH), generator=g)], "terminated": flag(),
            "truncated": torch.zeros(STEPS, BATCH, 1), "is_first": flag()}

    def update() -> None:
        for a, b in zip(critic.parameters(), target.parameters()):
            b.data.lerp_(a.data, 0.02)
        learn.train(fabric, world, actor, critic, target, *optimizers, {k: v.clone() for k, v in data.items()}, None,
                    cfg, False, (2,), moments)

    return update, sum(p.numel() for net in (world, actor, critic) for p in net.parameters())


def torchrls() -> tuple[Callable[[], None], int]:
    """(one update, weights) of torchrl's, which its example puts together: the second version, at the sizes of "small".
    Its settings' own files are not in the package; what is no size is as the paper has it."""
    torchrl: Any = importlib.import_module("torchrl")
    sys.path.append(str(Path(torchrl.__file__).parents[1] / "sota-implementations" / "dreamer_v3"))
    train: Any = importlib.import_module("train")
    nets = {"hidden_dim": 64, "rnn_hidden_dim": 256, "num_categoricals": 16, "num_classes": 8, "unimix": 0.01,
            "recurrent_model": "block_gru", "num_blocks": 8, "dynamics_layers": 1, "prior_layers": 2,
            "posterior_layers": 1, "encoder_layers": 3, "decoder_layers": 3, "decoder_event_dims": None,
            "reward_layers": 1, "value_layers": 3, "actor_layers": 3, "num_reward_bins": 255, "num_value_bins": 255,
            "norm_eps": 1e-4, "policy_min_std": 0.1, "policy_max_std": 1.0}
    learning = {"compile": "off", "compile_train_step": None, "compile_rssm": None, "cudagraph_train_step": None,
                "rssm_scan_unroll": 1, "compile_train_step_mode": "default", "mixed_precision": False,
                "replay_value_loss_weight": 0.3, "continuation_horizon": 333, "lmbda": 0.95, "gamma": 1 - 1 / 333,
                "free_bits": 1.0, "dynamic_loss_weight": 1.0, "representation_loss_weight": 0.1,
                "imagination_horizon": 15, "use_reinforce": True, "return_normalization_rate": 0.01,
                "return_normalization_min_scale": 1.0, "slow_critic_regularization": 1.0, "slow_critic_tau": 0.02,
                "lr": 3e-4, "adaptive_grad_clip": 0.3, "optimizer_eps": 1e-20, "warmup_steps": 100}
    cfg = importlib.import_module("omegaconf").OmegaConf.create({
        "env": {"backend": "gym", "name": "CartPole-v1", "vector_key": "observation", "pixels_key": None,
                "max_episode_steps": 500, "use_seed": True, "seed": 0},
        "networks": nets, "optimization": learning, "replay_buffer": {"batch_size": BATCH, "seq_len": STEPS}})
    device = torch.device("cpu")
    torch.manual_seed(0)
    learner = train._build_learner(cfg, device, 4, 2, None, True)
    step = train._make_learner_update(cfg, device, learner)
    sample = train._fake_learner_sample(cfg, device, 4, 2)
    g = torch.Generator().manual_seed(1)
    sample["action"] = torch.eye(2)[torch.randint(2, (BATCH, STEPS), generator=g)].to(sample["action"].dtype)
    sample["is_init"] = torch.rand(BATCH, STEPS, 1, generator=g) < 0.02
    sample["next", "observation"] = torch.randn(BATCH, STEPS, 4, generator=g)
    sample["next", "reward"] = torch.ones(BATCH, STEPS, 1)
    weights = [p for m in (learner.world_model, learner.actor_loss, learner.value_loss) for p in m.parameters()]
    return lambda: step.step(None, sample.clone()), sum(p.numel() for p in {id(p): p for p in weights}.values())


def main() -> None:
    """Print milliseconds an update of each, and the ratios to the others', medians over rounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=4)
    parser.add_argument("--keep", action="store_true", help="all keep freed memory, as ours does when it trains")
    parser.add_argument("--compiled", action="store_true", help="ours compiled besides, which takes minutes first")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.keep:
        devices.keep_memory()
    ways = {"small": ours("conv-small"), "first": ours("first-s", FIRST), "sheeprl": sheeprls(),
            "torchrl": torchrls()}
    if args.compiled:
        ways["small, compiled"] = ours("conv-small", compiled=True)
    spent: dict[str, list[float]] = {k: [] for k in ways}
    for f, _ in ways.values():
        f()
    for _ in range(args.rounds):
        for k, (f, _) in ways.items():
            begin = time.process_time()
            for _ in range(args.updates):
                f()
            spent[k].append((time.process_time() - begin) / args.updates)
    for k, (_, weights) in ways.items():
        shares = {o: sorted(a / b for a, b in zip(spent[k], spent[o])) for o in ("sheeprl", "torchrl") if o != k}
        said = ", ".join(f"{statistics.median(v):.2f} ({v[0]:.2f} to {v[-1]:.2f}) of {o}'s" for o, v in shares.items())
        print(f"{k}: {1000 * statistics.median(spent[k]):.0f} ms an update, {weights:,} weights, {said}")


if __name__ == "__main__":
    main()
