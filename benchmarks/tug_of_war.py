"""Tug-of-war by rejection beside webppl, an interpreter that shares nothing with ours: the same posterior,
and the time.

    npm install webppl; python benchmarks/tug_of_war.py --webppl node_modules/webppl/webppl

The model of the paper's first domain: Tom beat John, then John and Mary beat Tom and Sue; how strong is Mary? Both draw
worlds until --samples agree. Time is processor time; of webppl what the same program takes for one sample (to start,
and to be made ready) is taken off, of ours nothing.
"""
from __future__ import annotations

import argparse
import math
import resource
import subprocess
import tempfile
import time
from pathlib import Path

from stemma.data.language.meanings import DOMAINS
from stemma.parts.language.church.infer import infer
from stemma.parts.language.church.reader import read

PROGRAM = """
var model = function() {
  var strength = mem(function(who) { return gaussian(50, 20) });
  var laziness = mem(function(who) { return uniform(0, 1) });
  var pull = function(who) { return flip(laziness(who)) ? strength(who) / 2 : strength(who) };
  var total = function(team) { return sum(map(pull, team)) };
  var won = function(ours, theirs) { return total(ours) > total(theirs) };
  condition(won(['tom'], ['john']));
  condition(won(['john', 'mary'], ['tom', 'sue']));
  return strength('mary');
};
var found = Infer({method: 'rejection', samples: SAMPLES}, model);
var mean = expectation(found);
console.log(mean + ' ' + Math.sqrt(expectation(found, function(x) { return (x - mean) * (x - mean) })));
"""
OURS = """(condition (won-against '(tom) '(john))) (condition (won-against '(john mary) '(tom sue)))
(query (strength 'mary))"""


def theirs(webppl: str, samples: int) -> tuple[float, float, float]:
    """(mean, deviation, processor seconds)"""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tug.wppl"
        file.write_text(PROGRAM.replace("SAMPLES", str(samples)))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        said = subprocess.run(["node", webppl, str(file)], check=True, capture_output=True, text=True).stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    mean, deviation = map(float, said.split()[:2])
    return mean, deviation, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    ask = argparse.ArgumentParser()
    ask.add_argument("--webppl", required=True)
    ask.add_argument("--samples", type=int, default=20_000)
    ask.add_argument("--rounds", type=int, default=3)
    a = ask.parse_args()
    forms = read(DOMAINS["tug-of-war"].model + OURS)
    infer(forms, "rejection", 10)
    for k in range(a.rounds):
        start = theirs(a.webppl, 1)[2]
        mean, deviation, whole = theirs(a.webppl, a.samples)
        begin = time.process_time()
        p = infer(forms, "rejection", a.samples, k, tries=10**8)
        took = time.process_time() - begin
        far = abs(mean - p.mean) / math.hypot(deviation / math.sqrt(a.samples), p.deviation / math.sqrt(a.samples))
        print(f"webppl: mean {mean:.2f}, deviation {deviation:.2f}, {whole - start:.2f} s beyond {start:.2f} s to "
              f"start; ours: {p.mean:.2f}, {p.deviation:.2f}, {took:.3f} s, {100 * p.accepted:.1f} % of {p.tried:,} "
              f"worlds; {far:.1f} standard errors apart; a share of {took / (whole - start):.4f} of the time",
              flush=True)


if __name__ == "__main__":
    main()
