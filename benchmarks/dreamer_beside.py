"""What one update of DreamerV3's small default costs beside another library's at equal sizes, in turns, in processor
time: `python benchmarks/dreamer_beside.py [--rounds 5]`, with sheeprl installed apart (tests/test_world_oracles.py says
how, and `pip install` of what it imports besides).

16 sequences of 32 steps, dreams of 15 from each of the 512 beliefs, a memory of 256, 16 variables of 8 classes, layers
of 64; four numbers are seen, two choices are had. sheeprl's is the first version (one dense gated unit, layer norms, no
loss of the critic on what was lived), so ours is timed in both: "small", and "first", the first version at these sizes.
"""
from __future__ import annotations

import argparse
import importlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from stemma.engine.running import devices
from updates import AGENTS, agent_of, update_of

_, BATCH, STEPS, *_ = AGENTS["dreamerv3"]
FIRST = {"dynamics.cell.size": 256, "dynamics.cell.hidden": 64, "dynamics.hidden": 64, "dynamics.latent.groups": 16,
         "dynamics.latent.classes": 8, "dynamics.expecting": 1, "senses.0.net.units": 64, "senses.0.net.layers": 3,
         "heads.0.net.units": 64, "heads.0.net.layers": 3, "heads.1.net.units": 64, "heads.1.net.layers": 1,
         "heads.2.net.units": 64, "heads.2.net.layers": 1, "actor.units": 64, "actor.layers": 3, "critic.units": 64,
         "critic.layers": 3}


def ours(preset: str, sets: dict[str, Any] | None = None) -> tuple[Callable[[], None], int]:
    """(one update, weights) of ours."""
    m = agent_of("dreamerv3", preset, sets)
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


def main() -> None:
    """Print milliseconds an update of each, and the ratio to sheeprl's, medians over rounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=4)
    parser.add_argument("--keep", action="store_true", help="all keep freed memory, as ours does when it trains")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.keep:
        devices.keep_memory()
    ways = {"small": ours("small"), "first": ours("first-s", FIRST), "sheeprl": sheeprls()}
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
        share = statistics.median(a / b for a, b in zip(spent[k], spent["sheeprl"]))
        print(f"{k}: {1000 * statistics.median(spent[k]):.0f} ms an update, {weights:,} weights, {share:.2f} of "
              "sheeprl's")


if __name__ == "__main__":
    main()
