#!/usr/bin/env bash
# Guess: `MedianPruner` stops a training whose loss has risen above the median of the others at this step.
# (Its page: "if the trial's best intermediate result is worse than the median of intermediate results of previous trials at the same step": the
# best so far is held against what the others have now.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check optuna==5.0.0 numpy==2.4.6
cat > show.py <<'PY'
import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)
others = [2.0, 1.5, 1.0, 0.8, 0.7]
late = {"falls apart": [0.6, 9.0, 99.0, 999.0, 9999.0], "is a little worse": [2.1, 1.6, 1.1, 0.9, 0.8]}


def losses(values):
    def run(trial):
        for step, value in enumerate(values):
            trial.report(value, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return values[-1]
    return run


seen = {}
for name, values in late.items():
    study = optuna.create_study(pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=0))
    for curve in [others] * 5 + [values]:
        study.optimize(losses(curve), n_trials=1)
    last = study.trials[-1]
    seen[name] = (last.state.name, len(last.intermediate_values))
print(f"optuna {optuna.__version__}")
print(f"Guess: beside five trials with the losses {others} one whose loss falls apart after a good first step is stopped.")
print("Seen: it is trained to its end, as its best loss is better than what the others reach; one that is a little worse at each step is stopped:")
for name, (state, steps) in seen.items():
    print(f"    a trial that {name:18} {late[name]}: {state}, {steps} of 5 steps")
raise SystemExit(seen != {"falls apart": ("COMPLETE", 5), "is a little worse": ("PRUNED", 1)})
PY
env/bin/python -W ignore show.py
