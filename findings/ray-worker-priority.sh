#!/usr/bin/env bash
# Guess: a task that Ray runs on this very machine has the priority of the program that asked for it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
[ "$(uname)" = Linux ] || { echo "needs Linux"; exit 2; }
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check ray==2.60.0
cat > show.py <<'PY'
import os
import sys

import ray

ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="error")


@ray.remote
def niceness():
    return os.nice(0)


here, there = os.nice(0), ray.get(niceness.remote())
ray.shutdown()
print(f"ray {ray.__version__}, Python {sys.version.split()[0]}")
print("Guess: niceness is inherited, so a task's is that of the program.")
print("Seen: Ray's workers are made nicer by 15 (19 is the most); beside any other program they wait:")
print(f"    the program {here}, its task {there}")
raise SystemExit(there != min(19, here + 15))
PY
env/bin/python show.py 2> /dev/null
