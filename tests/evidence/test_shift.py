"""Gains under shift: what records hold is averaged by seed, and arms and sources stay paired."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from medssl.errors import UsageError
from medssl.evidence import corruption_gains, source_gains

BASE = {
    "dataset": "demo", "modality": "ct", "method": "simclr", "comparator_kind": "random", "pool": 1.0,
    "pretrain_on": None, "adaptation": "fine_tune", "selection": "budget", "n_labelled": 100,
    "n_unlabelled": 1000, "subset": None, "ssl": 0.7, "comparator": 0.7, "standard_error": 0.1, "n_test": 50,
}  # fmt: skip


def record(seed, corrupted, clean=(0.9, 0.8), n_labelled=100, **cell):
    """Return what a record holds: clean scores of both arms, and (ssl, comparator, error) by corruption."""
    parts = {
        name: SimpleNamespace(ssl=s, comparator=c, standard_error=e) for name, (s, c, e) in corrupted.items()
    }
    plan = {
        "dataset": "demo", "seed": seed, "pretrain": {"method": "simclr"},
        "transfer": {"adaptation": "fine_tune"}, "selection": {"validation": "budget"},
    }  # fmt: skip
    arms = {
        name: SimpleNamespace(scores={"auc": score})
        for name, score in zip(("ssl", "comparator"), clean, strict=True)
    }
    return SimpleNamespace(
        cell=plan | cell, modality="ct", n_labelled=n_labelled, n_unlabelled=1000, n_test=50,
        corrupted=parts, **arms,
    )  # fmt: skip


def two_seeds():
    """Return two seeds with one corruption at two severities."""
    return [
        record(1, {"bias_field-1": (0.85, 0.70, 0.01), "bias_field-3": (0.70, 0.60, 0.02)}),
        record(2, {"bias_field-1": (0.80, 0.70, 0.03), "bias_field-3": (0.70, 0.50, 0.02)}, (0.9, 0.7)),
    ]


def test_gain_drops_and_variance_by_hand():
    """Means over seeds, both components of the variance, and drops from the clean score."""
    found = corruption_gains(two_seeds()).set_index(["corruption", "severity"])
    row = found.loc[("bias_field", 1)]
    assert row.yi == pytest.approx(0.125)
    assert row.seed_variance == pytest.approx(0.05**2 / 4)
    assert row.case_variance == pytest.approx((0.01**2 + 0.03**2) / 2)
    assert row.vi == pytest.approx(row.seed_variance + row.case_variance)
    assert (row.ssl_drop, row.comparator_drop) == pytest.approx((0.075, 0.05))
    assert (row.ssl_kept, row.comparator_kept) == pytest.approx((0.325 / 0.4, 0.2 / 0.25))
    assert (row.seeds, row.positive) == (2, 2)


def test_robustness_is_the_paired_difference_of_drops():
    """The interval is scipy's t test over seeds of how much less the pretrained arm drops."""
    row = corruption_gains(two_seeds(), corruption="bias_field", severity=3).iloc[0]
    differences = [(0.8 - 0.6) - (0.9 - 0.7), (0.7 - 0.5) - (0.9 - 0.7)]
    assert row.robustness == pytest.approx(np.mean(differences), abs=1e-12)
    three = [*two_seeds(), record(3, {"bias_field-3": (0.8, 0.55, 0.02)})]
    row = corruption_gains(three, severity=3).iloc[0]
    interval = ttest_1samp([*differences, 0.25 - 0.1], 0).confidence_interval()
    assert (row.robustness_low, row.robustness_high) == pytest.approx(tuple(interval))


def test_corruptions_designs_and_subsets_stay_apart():
    """Severities and label counts are rows of their own, and a second subset is averaged within its seed."""
    records = two_seeds() + [record(s, {"noise-2": (0.6, 0.6, 0.01)}, n_labelled=20) for s in (1, 2)]
    found = corruption_gains([*records, record(1, {"noise-2": (0.8, 0.6, 0.01)}, n_labelled=20, subset=101)])
    assert len(found) == 3
    noise = found[found.corruption == "noise"].iloc[0]
    assert (noise.n_labelled, noise.severity, noise.seeds, noise.replicates) == (20, 2, 2, 3)
    assert noise.yi == pytest.approx((0.1 + 0.0) / 2)


def test_records_without_corruptions_or_seeds_are_refused():
    """Nothing corrupted, and a single seed, are named with the remedy."""
    with pytest.raises(UsageError, match="corruptions=True"):
        corruption_gains([record(1, {})])
    with pytest.raises(UsageError, match="more seeds"):
        corruption_gains(two_seeds()[:1])
    with pytest.raises(UsageError, match="severity 9; there are 1, 3"):
        corruption_gains(two_seeds(), severity=9)


def sources(gains):
    """Return a run for each (seed, source)."""
    return pd.DataFrame(BASE | {"seed": s, "pretrain_on": p, "gain": g} for (s, p), g in gains.items())


def test_sources_are_paired_by_seed():
    """Difference and interval are scipy's paired t test; each other source is a row."""
    own, other = np.array([0.0, 0.1, 0.3]), np.array([0.1, 0.1, 0.2])
    gains = {(s, None): own[s] for s in range(3)} | {(s, "e"): other[s] for s in range(3)}
    gains |= {(s, "f"): own[s] for s in range(3)}
    found = source_gains(sources(gains)).set_index("pretrain_on")
    interval = ttest_1samp(other - own, 0).confidence_interval()
    row = found.loc["e"]
    assert (row.gain, row.gain_own, row.difference) == pytest.approx(
        (other.mean(), own.mean(), (other - own).mean())
    )
    assert (row.difference_low, row.difference_high) == pytest.approx(tuple(interval))
    assert (found.difference["f"], found.difference_high["f"]) == pytest.approx((0, 0))


def test_only_seeds_with_both_sources_enter():
    """A seed that lacks either source changes nothing, and neither do other subsets or pools."""
    gains = {(1, None): 0.0, (1, "e"): 0.1, (2, None): 0.2, (2, "e"): 0.4, (3, None): 0.9, (4, "e"): 0.9}
    table = sources(gains)
    more = sources({(1, None): 0.5, (2, None): 0.5})
    table = pd.concat([table, more.assign(subset=201), more.assign(pool=0.25)])
    row = source_gains(table).iloc[0]
    assert (row.seeds, row.gain_own, row.difference) == pytest.approx((2, 0.1, 0.15))
    with pytest.raises(UsageError, match="no two seeds"):
        source_gains(table[table.seed == 1])
