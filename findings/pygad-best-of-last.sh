#!/usr/bin/env bash
# Guess: best_solution() of a PyGAD run is the best that it found.
# (Its page: it "returns information about the best solution"; keep_elitism=1, the default, makes the two alike, keep_elitism=0 does not.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check pygad==3.9.2 numpy==2.4.6
cat > show.py <<'PY'
import pygad

print(f"pygad {pygad.__version__}")
rows = []
for seed in range(4):
    ga = pygad.GA(num_generations=30, num_parents_mating=2, sol_per_pop=6, num_genes=2, random_seed=seed, keep_elitism=0, keep_parents=0,
                  mutation_percent_genes=100, suppress_warnings=True, fitness_func=lambda ga, x, i: -float(abs(x - 3.3).sum()))
    ga.run()
    rows.append((seed, float(ga.best_solution()[1]), float(max(ga.best_solutions_fitness)), int(ga.best_solution_generation)))
print("Guess: with keep_elitism=0 it says the best of the 30 generations, of which best_solution_generation says the number.")
print("Seen: it says the best of the last generation; the other number is that of the best one, and belongs to another solution:")
for seed, last, best, when in rows:
    print(f"    seed {seed}: best_solution {last:7.3f}, best that was seen {best:7.3f}, in generation {when}")
raise SystemExit(not (all(b >= l for _, l, b, _ in rows) and sum(b > l + 0.05 for _, l, b, _ in rows) >= 2))
PY
env/bin/python -W ignore show.py
