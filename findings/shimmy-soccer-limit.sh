#!/usr/bin/env bash
# Guess: shimmy tells the end of a game of dm_control as dm_env does: a discount of 0 is an end of the world (terminated), one of 1 is a
# time limit (truncated), in the soccer of two players as in a task of one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check shimmy==2.0.1 dm-control==1.0.50 mujoco==3.17.0 pettingzoo==1.27.0 \
    gymnasium==1.4.0 imageio==2.38.2 packaging==26.0 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import numpy as np
from dm_control import suite
from dm_control.locomotion import soccer
from shimmy import DmControlCompatibilityV0, DmControlMultiAgentCompatibilityV0


def game(limit, scored):
    """How a game of two ends, in which nobody moves and the ball is laid into a goal or not."""
    world = soccer.load(team_size=1, time_limit=limit, walker_type=soccer.WalkerType.BOXHEAD, terminate_on_goal=True, random_state=0)
    env = DmControlMultiAgentCompatibilityV0(world)
    env.reset()
    if scored:
        world.task.ball.set_pose(world.physics, position=world.physics.named.data.site_xpos["home_goal/mid"])
    while True:
        _, _, terminated, truncated, info = env.step({a: np.zeros(env.action_space(a).shape) for a in env.possible_agents})
        if any(terminated.values()) or any(truncated.values()):
            return terminated["player_0"], truncated["player_0"], float(info["player_0"]["timestep.discount"])


def alone(limit):
    env = DmControlCompatibilityV0(suite.load("cartpole", "balance", task_kwargs={"random": 0, "time_limit": limit}))
    env.reset()
    while True:
        _, _, terminated, truncated, info = env.step(np.zeros(1))
        if terminated or truncated:
            return terminated, truncated, float(info["timestep.discount"])


seen = {"cartpole of one, at its time limit": alone(0.3), "soccer of two, at its time limit": game(0.3, False), "soccer of two, a goal": game(45, True)}
print(f"shimmy {version('shimmy')}, dm_control {version('dm_control')}")
print("Guess: the limit truncates (discount 1), the goal terminates (discount 0).")
print("Seen: in games of several agents it is the other way round, so that a limit is a death to a learner, and a goal is none:")
for name, (terminated, truncated, discount) in seen.items():
    print(f"    {name:35} discount {discount:.0f}, terminated {terminated}, truncated {truncated}")
raise SystemExit(list(seen.values()) != [(False, True, 1.0), (True, False, 1.0), (False, True, 0.0)])
PY
MUJOCO_GL=disable env/bin/python -W ignore show.py
