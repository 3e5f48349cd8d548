"""The check over seeds: closed forms and refusals."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from medssl.errors import UsageError
from medssl.evidence import by_seed


def table(seeds=(1, 2, 3), counts=(10, 100, 1000), methods=("simclr", "masked_autoencoder")):
    """Return random gains of a full grid."""
    rows = pd.DataFrame(
        [(s, n, m) for s in seeds for n in counts for m in methods], columns=["seed", "n_labelled", "method"]
    )
    gains = np.random.default_rng(0).normal(0.02, 0.01, len(rows))
    return rows.assign(n_unlabelled=1000, gain=gains)


def test_the_mean_is_a_t_test_of_the_seed_means():
    """Estimate and interval equal scipy's one-sample t test of one mean a seed."""
    rows = table()
    expected = ttest_1samp(rows.groupby("seed").gain.mean(), 0)
    low, high = expected.confidence_interval()
    found = by_seed(rows).loc["mean"]
    assert found.estimate == pytest.approx(rows.gain.mean())
    assert (found.ci_low, found.ci_high) == pytest.approx((low, high))


def test_the_slope_is_the_mean_of_least_squares_slopes():
    """Each seed's slope is numpy's straight line on log10 of the label ratio."""
    rows = table()
    slopes = [
        np.polyfit(np.log10(part.n_labelled / part.n_unlabelled), part.gain, 1)[0]
        for _, part in rows.groupby("seed")
    ]
    assert by_seed(rows).loc["slope"].estimate == pytest.approx(np.mean(slopes))


def test_seeds_that_lack_a_cell_are_refused():
    """An unbalanced grid would mix seeds with label counts."""
    with pytest.raises(UsageError, match="same methods and label counts"):
        by_seed(table().iloc[1:])


def test_one_seed_is_refused():
    """A single seed has no spread."""
    with pytest.raises(UsageError, match="two seeds"):
        by_seed(table(seeds=(1,)))
