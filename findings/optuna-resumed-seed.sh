#!/usr/bin/env bash
# Guess: a study in a file that is stopped and resumed, with one seed for its sampler, goes on with points that it has not tried.
# (The study keeps its trials. The sampler's generator is made anew with each program, from the same seed.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check optuna==5.0.0 numpy==2.4.6
cat > show.py <<'PY'
import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)


def run(seed, study):
    sampler = optuna.samplers.TPESampler(seed=seed)
    made = optuna.create_study(study_name=study, storage="sqlite:///trials.db", sampler=sampler, load_if_exists=True)
    made.optimize(lambda trial: (trial.suggest_float("x", 0, 1) - 0.3) ** 2, n_trials=4)
    return [round(t.params["x"], 4) for t in made.trials]


once = run(0, "one seed")
seen = {"one seed": run(0, "one seed")}
run(0, "another seed")
seen["another seed"] = run(1, "another seed")
print(f"optuna {optuna.__version__}")
print("Guess: four trials, and four more after the study was loaded again, are eight points.")
print("Seen: with the seed that it had before, the second four are the first four once more:")
for study, points in seen.items():
    print(f"    resumed with {study:12} {' '.join(f'{p:.4f}' for p in points)}")
same, other = seen.values()
raise SystemExit(not (same[:4] == same[4:] == once and not set(other[:4]) & set(other[4:])))
PY
env/bin/python -W ignore show.py
