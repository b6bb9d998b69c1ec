"""The path of 45 strengths beside scikit-learn's cold fits, by processor time: ours walked whole with warm starts,
theirs from zero at some of the same strengths, in turns.

    python benchmarks/strengths.py                                  # 5,000 rows, 1,280 features, 100 classes
    python benchmarks/strengths.py --rows 2000 --features 256 --classes 20 --every 4
    python benchmarks/strengths.py --apart 0.25 --tolerance 1e-4                      # classes that overlap

Rows are drawn: classes with centres of their own, --apart times the noise's size, in noise whose axes differ in
strength, as features' do; at a quarter some are always mistaken, as on real pictures. With --every K scikit-learn is
given each Kth strength, and its time is told for all 45 in proportion; accuracy on rows apart is compared where both
were fitted. Both stop at a gradient of the mean loss of --tolerance: scikit-learn by its largest
number, ours by its whole length, which is stricter (1e-4 is scikit-learn's default, where weak penalties are far from
their minimum; 1e-7 is near it).
"""
from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from stemma.ops import softmax_regression as regression


def drawn(n: int, d: int, classes: int, apart: float,
          seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows to learn from and as many apart, float64, with their labels."""
    rng = np.random.default_rng(seed)
    spread = np.geomspace(3.0, 0.05, d)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    centres = rng.normal(size=(classes, d)) * spread * apart
    y = rng.integers(0, classes, 2 * n)
    x = ((centres[y] + rng.normal(size=(2 * n, d)) * spread) @ turn).clip(-1.0)  # features are seldom below nothing
    return x[:n], y[:n], x[n:], y[n:]


def main() -> None:
    ask = argparse.ArgumentParser()
    for name, value in (("rows", 5000), ("features", 1280), ("classes", 100), ("every", 6), ("iterations", 10_000)):
        ask.add_argument(f"--{name}", type=int, default=value)
    for name, part in (("tolerance", 1e-7), ("apart", 0.5)):
        ask.add_argument(f"--{name}", type=float, default=part)
    a = ask.parse_args()
    x, y, test, truth = drawn(a.rows, a.features, a.classes, a.apart)
    strengths = regression.path(1e-6, 1e5, 45)
    ours, theirs, scores = 0.0, 0.0, []
    begin = time.process_time()
    rows, found = regression.turned(torch.from_numpy(x)), list[torch.Tensor]()
    labels = torch.from_numpy(y)
    ours += time.process_time() - begin
    tried = 0
    for i, strength in enumerate(strengths):
        begin = time.process_time()
        fitted = regression.fit(rows, labels, [strength], a.classes, regression.ahead(found), tolerance=a.tolerance)
        found = [*found[-1:], fitted.w]
        ours += time.process_time() - begin
        if i % a.every == a.every // 2:
            weight, bias = rows.back(fitted.w[0])
            own = float(((test @ weight.numpy() + bias.numpy()).argmax(1) == truth).mean())
            begin = time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = LogisticRegression(C=1 / (a.rows * strength), max_iter=a.iterations, tol=a.tolerance).fit(x, y)
            took = time.process_time() - begin
            theirs, tried = theirs + took, tried + 1
            other = model.score(test, truth)
            scores.append((own, other))
            print(f"{strength:8.1e}  ours {own:.4f} in {int(fitted.iterations)} steps from those before, scikit-learn "
                  f"{other:.4f} in {int(np.max(model.n_iter_))} steps, {took:.1f} s", flush=True)
    whole = theirs * len(strengths) / tried
    print(f"{a.rows:,} rows, {a.features:,} features, {a.classes} classes, tolerance {a.tolerance:g}: the path of 45 "
          f"took {ours:.1f} s of processor "
          f"time; scikit-learn's cold fits {theirs:.1f} s at {tried} strengths, {whole:.0f} s for 45 in proportion: a "
          f"share of {ours / whole:.3f}. Accuracy apart: at most {max(abs(p - q) for p, q in scores):.4f}, best "
          f"{max(p for p, _ in scores):.4f} and {max(q for _, q in scores):.4f}.")


if __name__ == "__main__":
    main()
