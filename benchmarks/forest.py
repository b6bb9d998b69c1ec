"""RPN+BF's forest beside scikit-learn's boosted trees: processor seconds a tree and bytes of memory.

    OMP_NUM_THREADS=1 python benchmarks/forest.py                            10,000 regions of 1,000 features
    OMP_NUM_THREADS=1 python benchmarks/forest.py --examples 50000 --features 4000 --trees 4

A published stage has 2,048 trees; what they take is that many times one of `--trees`, since a tree takes as long
whatever came before. Ours and scikit-learn's draw a quarter of the features for every split; scikit-learn's histogram
trees are measured with all of them too, which is how they come. Binning is counted apart: ours are bytes already.
"""
from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

from stemma.parts.regions.boost import Boost, boost

PUBLISHED = 2048
Bytes = np.ndarray


def regions(examples: int, features: int, positive: float = 0.4) -> tuple[Bytes, int]:
    """Bytes (F, N), positives first; one feature in ten tells a little."""
    rng, n = np.random.default_rng(0), int(examples * positive)
    x = np.empty((features, examples), np.uint8)
    shift = np.where(np.arange(examples) < n, 10.0, -10.0)
    for f in range(features):
        x[f] = (rng.normal(128, 40, examples) + shift * (f % 10 == 0)).clip(0, 255)
    return x, n


def timed(run: Callable[[], Any]) -> float:
    """Processor seconds of this process."""
    start = time.process_time()
    run()
    return time.process_time() - start


def ours(x: Bytes, positives: int, trees: int) -> tuple[float, float]:
    """(processor seconds a tree, memory at its most as a share of the bytes)"""
    start = np.zeros(x.shape[1])
    run = lambda: boost(x, start, positives, trees, Boost(), np.random.default_rng(0))  # noqa: E731
    seconds = timed(run) / trees
    tracemalloc.start()
    boost(x, start, positives, 1, Boost(), np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return seconds, (x.nbytes + peak) / x.nbytes


def histogram(x: Bytes, positives: int, trees: int, share: float) -> tuple[float, float]:
    """(processor seconds a tree, of binning) of scikit-learn's histogram boosting."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    rows, y = np.ascontiguousarray(x.T), np.arange(x.shape[1]) < positives

    def fit(n: int) -> float:
        return timed(lambda: HistGradientBoostingClassifier(
            max_iter=n, max_depth=5, max_leaf_nodes=None, min_samples_leaf=1, learning_rate=1.0, max_features=share,
            early_stopping=False, random_state=0).fit(rows, y))

    one, more = min(fit(1) for _ in range(3)), fit(1 + 4 * trees)  # most of the first is binning
    each = (more - one) / (4 * trees)
    return each, one - each


def exact(x: Bytes, positives: int) -> float:
    """Processor seconds of a tree of scikit-learn's exact gradient boosting by the exponential loss."""
    from sklearn.ensemble import GradientBoostingClassifier

    rows, y = np.ascontiguousarray(x.T).astype(np.float32), np.arange(x.shape[1]) < positives
    peer = GradientBoostingClassifier(loss="exponential", n_estimators=1, max_depth=5, max_features=0.25,
                                      random_state=0)
    return timed(lambda: peer.fit(rows, y))


def main() -> None:
    ask = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    ask.add_argument("--examples", type=int, default=10_000)
    ask.add_argument("--features", type=int, default=1_000)
    ask.add_argument("--trees", type=int, default=8)
    told = ask.parse_args()
    x, n = regions(told.examples, told.features)
    print(f"{told.examples:,} regions of {told.features:,} features, {x.nbytes / 2**20:.0f} MiB of bytes, trees of "
          f"depth 5; processor seconds")
    mine, share = ours(x, n, told.trees)
    rows = [("ours, a quarter of the features a split", mine, 0.0)]
    rows += [(f"scikit-learn histogram, {'a quarter' if part < 1 else 'all'} of the features",
              *histogram(x, n, told.trees, part)) for part in (0.25, 1.0)]
    rows.append(("scikit-learn exact, a quarter of the features", exact(x, n), 0.0))
    print(f"{'':46}{'a tree':>10}{'binning':>10}{PUBLISHED:>8,} trees{'times ours':>12}")
    for name, each, before in rows:
        print(f"{name:46}{each:10.3f}{before:10.1f}{each * PUBLISHED + before:14.0f}{each / mine:12.1f}")
    print(f"memory of ours at its most, as a share of the bytes: {share:.2f}")


if __name__ == "__main__":
    main()
