#!/usr/bin/env bash
# Guess: `kill PID` ends a Python program that sets no handler, also where it draws an environment without a window.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check gymnasium==1.4.0 pygame-ce==2.5.8 numpy==2.4.6
cat > lives.py <<'PY'
import sys
import time

import gymnasium as gym

env = gym.make("CartPole-v1", render_mode="rgb_array")
env.reset(seed=0)
if sys.argv[1] == "draws":
    env.render()
print("ready", flush=True)
time.sleep(3)
print("three seconds later", flush=True)
PY
cat > show.py <<'PY'
import os
import signal
import subprocess
import sys
from importlib.metadata import version

print(f"gymnasium {version('gymnasium')}, pygame-ce {version('pygame-ce')}, Python {sys.version.split()[0]}")
print("Guess: SIGTERM ends the program, drawing (rgb_array, no window) or not: status -15.")
print("Seen: the first picture has SDL take the signal for a window's close button; the program goes on to its end:")
seen = {}
for what in ("idles", "draws"):
    one = subprocess.Popen([sys.executable, "lives.py", what], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                           text=True, env={**os.environ, "SDL_VIDEODRIVER": "dummy"})
    while "ready" not in (line := one.stdout.readline()):
        if not line:
            raise SystemExit(1)
    one.send_signal(signal.SIGTERM)
    rest = one.stdout.read().strip()
    seen[what] = one.wait(timeout=30), rest
    print(f"    {what}  status {seen[what][0]:3}  {rest}")
raise SystemExit(seen != {"idles": (-15, ""), "draws": (0, "three seconds later")})
PY
env/bin/python show.py
