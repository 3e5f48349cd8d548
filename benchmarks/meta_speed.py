"""Seconds to fit dependent effects, for 100, 1,336 and 10,000 rows in realistic clusters.

OMP_NUM_THREADS=1 .venv/bin/python benchmarks/meta_speed.py
.venv/bin/python benchmarks/meta_speed.py --peers peers/bin/python --refits 1000

"CHE + CR2" is `medssl.meta.multilevel(..., rho=0.6)` with eight moderators and its `robust()`.
"bootstrap" is that many refits of drawn clusters, both variances estimated anew in each.
Cluster sizes have a long tail: the largest holds about a fifth of 1,336 rows.
With `--peers` the same arrays are given, in that interpreter, to PyMARE (one variance component by REML, CR2
errors with groups) and statsmodels (weighted least squares with cluster-robust errors).
Both fit smaller models than CHE, which neither has.
Each figure is the median of the repeats, and ratios are to CHE + CR2.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROWS = (100, 1336, 10_000)
MODERATORS = 8
WORKER = "--worker"


def clustered(rows: int, seed: int = 0):
    """Return yi, vi, cluster and eight moderators, half of them constant within clusters."""
    rng = np.random.default_rng(seed)
    sizes, block = [], np.round(np.geomspace(1, 430, 55) ** 0.9).astype(int)
    while sum(sizes) < rows:
        sizes.extend(rng.permutation(block))
    ends = np.minimum(np.cumsum(sizes), rows)
    cluster = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    if len(np.unique(cluster)) < 2 * MODERATORS:  # few rows: small clusters, so that the model can be fitted
        cluster = np.sort(rng.integers(0, 2 * MODERATORS, rows))
    between = rng.normal(size=(cluster.max() + 1, MODERATORS // 2))[cluster]
    x = np.column_stack([between, rng.normal(size=(rows, MODERATORS - MODERATORS // 2))])
    v = rng.lognormal(np.log(2e-4), 1.2, rows)
    y = 0.02 + 0.01 * x[:, 0] + rng.normal(scale=0.03, size=cluster.max() + 1)[cluster]
    return y + rng.normal(scale=np.sqrt(v + 4e-4)), v, cluster, x


def median_seconds(call, repeats: int) -> float:
    """Time `call` after one run that is not counted."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def ours(rows: int, repeats: int, refits: int) -> dict[str, float]:
    """Time this package."""
    from medssl.meta import leave_one_out, multilevel, random_effects
    from medssl.meta.cluster_bootstrap import bootstrap_coefficients

    y, v, cluster, x = clustered(rows)
    fit = multilevel(y, v, cluster, x, rho=0.6)
    return {
        "CHE fit": median_seconds(lambda: multilevel(y, v, cluster, x, rho=0.6), repeats),
        "CHE + CR2": median_seconds(lambda: multilevel(y, v, cluster, x, rho=0.6).robust(), repeats),
        "random effects": median_seconds(lambda: random_effects(y, v, x), repeats),
        f"{refits} bootstrap refits": median_seconds(
            lambda: bootstrap_coefficients(fit, replicates=refits, seed=1), 1
        ),
        f"leave one of {fit.clusters} clusters out": median_seconds(
            lambda: leave_one_out(y, v, cluster=cluster, rho=0.6), 1
        ),
    }


def theirs(arrays: str, repeats: int) -> dict[str, float]:
    """Time the peers; runs in their interpreter."""
    import statsmodels.api as sm
    from pymare.estimators import VarianceBasedLikelihoodEstimator

    with np.load(arrays, allow_pickle=False) as data:
        y, v, cluster, x = (data[name] for name in ("y", "v", "cluster", "x"))
    design = np.column_stack([np.ones(len(y)), x])

    def reml(groups):
        estimator = VarianceBasedLikelihoodEstimator(method="reml")
        return estimator.fit(y[:, None], v[:, None], design, g=groups)

    def least_squares():
        model = sm.WLS(y, design, weights=1 / v)
        return model.fit(cov_type="cluster", cov_kwds={"groups": cluster})

    return {
        "PyMARE REML": median_seconds(lambda: reml(None), repeats),
        "PyMARE REML + CR2": median_seconds(lambda: reml(cluster), repeats),
        "statsmodels WLS + cluster errors": median_seconds(least_squares, repeats),
    }


def ask_peers(python: str, rows: int, repeats: int) -> dict[str, float]:
    """Give the same arrays to the interpreter of the peers."""
    y, v, cluster, x = clustered(rows)
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder) / "arrays.npz"
        np.savez(arrays, y=y, v=v, cluster=cluster, x=x)
        command = [python, __file__, WORKER, str(arrays), "--repeats", str(repeats)]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Print one table a number of rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=list(ROWS), help="numbers of effects")
    parser.add_argument("--repeats", type=int, default=5, help="counted repeats (default 5)")
    parser.add_argument("--refits", type=int, default=1000, help="bootstrap refits (default 1000)")
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter with requirements-meta-peers.txt")
    parser.add_argument(WORKER, metavar="ARRAYS", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        json.dump(theirs(options.worker, options.repeats), sys.stdout)
        return
    for rows in options.rows:
        times = ours(rows, options.repeats, options.refits)
        if options.peers:
            times |= ask_peers(options.peers, rows, options.repeats)
        print(f"\n{rows} rows, {len(np.unique(clustered(rows)[2]))} clusters, {MODERATORS} moderators")
        print("| what | seconds | times CHE + CR2 |\n|---|---|---|")
        for what, seconds in times.items():
            print(f"| {what} | {seconds:.4f} | {seconds / times['CHE + CR2']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
