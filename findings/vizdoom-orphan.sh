#!/usr/bin/env bash
# Guess: the engine that a program started ends with the program when that is ended by SIGTERM, and by SIGTERM itself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
[ -d /proc/self ] || { echo "needs a Linux /proc"; exit 2; }
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check vizdoom==1.3.2 numpy==2.4.6
cat > plays.py <<'PY'
import os
import time

import vizdoom

game = vizdoom.DoomGame()
game.load_config(os.path.join(vizdoom.scenarios_path, "basic.cfg"))
game.set_window_visible(False)
game.set_sound_enabled(False)
game.init()
print("ready", flush=True)
time.sleep(30)
PY
cat > show.py <<'PY'
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path


def of_group(group):
    """Living processes of a process group, by number."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, in_group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(in_group) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found


with open("said", "w") as said:
    one = subprocess.Popen([sys.executable, "plays.py"], stdout=said, stderr=subprocess.STDOUT, start_new_session=True)
try:
    for _ in range(300):
        time.sleep(0.1)
        if "ready" in Path("said").read_text() or one.poll() is not None:
            break
    if "ready" not in Path("said").read_text():
        print("the engine does not start here: " + Path("said").read_text()[-200:].replace("\n", " "))
        raise SystemExit(2)
    one.terminate()
    status = one.wait(timeout=20)
    time.sleep(2)
    left = of_group(one.pid)
    for engine in left:
        os.kill(engine, signal.SIGTERM)
    time.sleep(2)
    still = of_group(one.pid)
finally:
    try:
        os.killpg(one.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
print(f"vizdoom {version('vizdoom')}, Python {sys.version.split()[0]}")
print("Guess: SIGTERM ends the program and with it the engine it started, or at least the engine too when sent to that.")
print("Seen: the program ends, the engine stays, and goes on after a SIGTERM of its own:")
print(f"    the program's status {status}")
print(f"    engines two seconds later {len(left)}, and two seconds after SIGTERM to them {len(still)}")
raise SystemExit(not (status == -15 and len(left) == len(still) == 1))
PY
env/bin/python show.py
