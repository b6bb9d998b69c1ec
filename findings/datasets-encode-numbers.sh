#!/usr/bin/env bash
# Guess: `class_encode_column` of datasets leaves labels that are 0 to 11 already as they are, or numbers them in their order.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check datasets==5.2.0
cat > show.py <<'PY'
from importlib.metadata import version

from datasets import Dataset, logging
from datasets.utils import disable_progress_bars

disable_progress_bars()
logging.set_verbosity_error()
seen = {}
for many in (10, 12):
    done = Dataset.from_dict({"label": list(range(many))}).class_encode_column("label")
    seen[many] = done["label"][:], done.features["label"].names
print(f"datasets {version('datasets')}")
print("Guess: class 2 stays 2.")
print("Seen: numbers are made text and sorted as text, so that from eleven classes on all but 0 and 1 get another number:")
for many, (labels, names) in seen.items():
    print(f"    0 to {many - 1:2} becomes {labels}")
raise SystemExit(not (seen[10][0] == list(range(10)) and seen[12][0] == [0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 2, 3]))
PY
env/bin/python -W ignore show.py
