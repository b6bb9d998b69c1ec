#!/usr/bin/env bash
# Guess: the word error rate of a sentence where nothing was said is no number, or 1: it divides by the words of the truth, which has none.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check jiwer==4.0.0
cat > show.py <<'PY'
from importlib.metadata import version

import jiwer

rows = [(r, h, jiwer.wer(r, h)) for r, h in ([[""], ["a b"]], [[""], ["a b c d e"]], [["a"], ["a b c d e"]], [[""], [""]], [["", "one two"], ["a b", "one two"]])]
print(f"jiwer {version('jiwer')}")
print("Guess: an error is raised, or it is 1.")
print("Seen: it is how many words were put in, as if the truth had one word; beside another sentence they count over its words:")
for r, h, said in rows:
    print(f"    truth {r!s:15} said {h!s:20} wer {said:.2f}")
raise SystemExit(not ([s for *_, s in rows] == [2, 5, 4, 0, 1]))
PY
env/bin/python -W ignore show.py
