#!/usr/bin/env bash
# Guess: ROUGE-1 counts words: a summary that repeats one right word ten times has a precision of one in ten.
# The package's page (pypi.org/project/rouge, 1.0.1) says "a full Python library for the ROUGE metric" and names the paper (Lin 2004, section 2),
# whose Count_match is the number of n-grams that occur in both, clipped; it warns of results that are "slightly" different.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check rouge==1.0.1 rouge-score==0.1.2 nltk==3.10.4 numpy==2.4.6
cat > show.py <<'PY'
from importlib.metadata import version

from rouge import Rouge
from rouge_score.rouge_scorer import RougeScorer

reference = "a man rides a horse on the beach"
summaries = ("a man rides a horse on the beach", "beach beach beach beach beach beach beach beach beach beach", "the horse the horse the horse the horse")
scorer, plain, counted = RougeScorer(["rouge1", "rouge2"]), Rouge(), Rouge(exclusive=False)
seen = []
print(f"rouge {version('rouge')}, rouge-score {version('rouge-score')}")
print("Guess: both packages count a word as often as it stands there.")
print("Seen: rouge compares sets of words, so that repeating one costs nothing; with `exclusive=False`, which no page of it names, it counts:")
print(f"    the reference: {reference}")
for summary in summaries:
    by_google = scorer.score(reference, summary)
    row = [plain.get_scores(summary, reference)[0][f"rouge-{n}"]["p"] for n in (1, 2)]
    row += [by_google[f"rouge{n}"].precision for n in (1, 2)] + [counted.get_scores(summary, reference)[0]["rouge-1"]["p"]]
    seen.append([round(value, 3) for value in row])
    print(f"    {summary}\n        precision of ROUGE-1 and -2: rouge {row[0]:.3f} {row[1]:.3f}, rouge-score {row[2]:.3f} {row[3]:.3f}; "
          f"ROUGE-1 of rouge with exclusive=False {row[4]:.3f}")
raise SystemExit(not (seen[0][:4] == [1, 1, 1, 1] and seen[1][0] == 1 and seen[1][2] == 0.1 and seen[2][0] == 1 and seen[2][2] == 0.25 and seen[1][4] == 0.1))
PY
env/bin/python -W ignore show.py
