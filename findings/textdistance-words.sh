#!/usr/bin/env bash
# Guess: with `qval=None`, "split text by words", a normalised distance is a share of the words.
# (textdistance/algorithms/base.py, `Base.maximum`: the length of the text as it was handed over, before it is split.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check textdistance==4.6.3
cat > show.py <<'PY'
from importlib.metadata import version

import textdistance

one, other = "the red cat sat there", "a blue dog ran away"  # not a word in common
seen = {}
for name in ("Levenshtein", "Hamming", "Jaccard"):
    measure = getattr(textdistance, name)
    seen[name] = [round(float(v), 2) for v in (measure(qval=None).distance(one, other), measure(qval=None).normalized_distance(one, other),
                                               measure().normalized_distance(one.split(), other.split()))]
print(f"textdistance {version('textdistance')}: {one!r} and {other!r}")
print("Guess: five of five words differ, so that the normalised distance is 1, by every measure.")
print("Seen: five words are divided by the 21 characters of the text; 1 comes where the words are handed over in lists:")
print("    measure        words   normalised   of lists")
for name, (words, share, lists) in seen.items():
    print(f"    {name:12}{words:8g}{share:13g}{lists:11g}")
raise SystemExit(seen != {"Levenshtein": [5, 0.24, 1], "Hamming": [5, 0.24, 1], "Jaccard": [1, 1, 1]})
PY
env/bin/python -W ignore show.py
