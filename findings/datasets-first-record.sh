#!/usr/bin/env bash
# Guess: a field that only some records have becomes a column of `Dataset.from_list`, with None where it is absent.
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
records = [{"image": "empty.jpg"}, {"image": "cat.jpg", "boxes": [[1, 2, 3, 4]]}, {"image": "dog.jpg", "boxes": [[5, 6, 7, 8]]}]
as_told = Dataset.from_list(records).to_list()
turned = Dataset.from_list(records[::-1]).to_list()[::-1]
print(f"datasets {version('datasets')}, pyarrow {version('pyarrow')}")
print("Guess: a column `boxes`, with None for the first picture.")
print("Seen: the first record says what columns there are: as it has no boxes, no picture has any. From the other end all are there:")
for name, rows in (("as listed", as_told), ("turned round", turned)):
    print(f"    {name:13} {rows}")
raise SystemExit(not (as_told == [{"image": r["image"]} for r in records] and turned == [{"boxes": None} | r for r in records]))
PY
env/bin/python -W ignore show.py
