#!/usr/bin/env bash
# Guess: a step of `DDIMScheduler` ends at the noise level of the next one in `timesteps`, at which the network is asked then.
# The docs of diffusers 0.42 (Schedulers, DDIMScheduler): `timestep_spacing` is "the way the timesteps should be scaled", after Table 2 of
# "Common Diffusion Noise Schedules and Sample Steps are Flawed"; its sibling DDPMScheduler looks the next one up (`previous_timestep`).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check diffusers==0.42.1 torch==2.14.1 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

import torch
from diffusers import DDIMScheduler, DDPMScheduler

true, noise = torch.tensor([2.0], dtype=torch.double), torch.tensor([1.0], dtype=torch.double)
seen = {}
print(f"diffusers {version('diffusers')}, torch {torch.__version__}")
print("Guess: with a network that always tells the noise exactly, the sample is at each step what `add_noise` makes for that timestep.")
print("Seen: a step goes 1000 // n back, whatever comes next in the list; `linspace`, and `trailing` where n does not divide 1000, ask elsewhere:")
for spacing, n in (("leading", 10), ("linspace", 10), ("trailing", 10), ("linspace", 50), ("trailing", 30), ("linspace", 600), ("trailing", 600)):
    ddim = DDIMScheduler(timestep_spacing=spacing, clip_sample=False)
    ddpm = DDPMScheduler(timestep_spacing=spacing)
    ddim.set_timesteps(n)
    ddpm.set_timesteps(n)
    steps, levels = ddim.timesteps.tolist(), ddim.alphas_cumprod.double()
    at = lambda t: levels[t] ** 0.5 * true + (1 - levels[t]) ** 0.5 * noise
    sample, apart = at(steps[0]), 0.0
    for now, then in zip(steps, steps[1:] + [None]):
        told = (sample - levels[now] ** 0.5 * true) / (1 - levels[now]) ** 0.5  # the noise, if the sample is of timestep `now`
        sample = ddim.step(told, now, sample).prev_sample
        if then is not None:
            apart = max(apart, abs(sample - at(then)).item())
    wrong = sum(now - 1000 // n != then for now, then in zip(steps, steps[1:]))
    wrong_ddpm = sum(int(ddpm.previous_timestep(now)) != then for now, then in zip(steps, steps[1:]))
    seen[spacing, n] = wrong, wrong_ddpm, round(apart, 3), round(sample.item(), 3)
    print(f"    {spacing:8} {n:3} steps  {steps[0]}, {steps[1]}, …: {wrong:3} end beside the next timestep ({wrong_ddpm} of DDPM's), "
          f"up to {apart:.3f} from the sample it stands for; the end {sample.item():.3f} of 2")
raise SystemExit(not (all(seen[k][0] == 0 and seen[k][2] < 1e-6 for k in (("leading", 10), ("trailing", 10)))
                      and all(seen[k][0] > 5 and seen[k][2] > 0.005 for k in seen if k not in (("leading", 10), ("trailing", 10)))
                      and not any(v[1] for v in seen.values())))
PY
env/bin/python -W ignore show.py
