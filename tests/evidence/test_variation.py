"""Components of variance: closed forms, a slow analysis of variance, known components, refusals."""

import numpy as np
import pandas as pd
import pytest

from medssl.errors import UsageError
from medssl.evidence import variation
from medssl.evidence.variation import crossed_components

BASE = {
    "dataset": "demo", "modality": "ct", "method": "simclr", "comparator_kind": "random", "pool": 1.0,
    "pretrain_on": None, "adaptation": "fine_tune", "selection": "budget", "n_labelled": 100,
    "n_unlabelled": 1000, "comparator": 0.7, "standard_error": 0.1, "n_test": 50,
}  # fmt: skip


def runs(gains):
    """Return a run for each (seed, subset) of a dict."""
    return pd.DataFrame(
        BASE | {"seed": s, "subset": u, "gain": g, "ssl": 0.7 + g} for (s, u), g in gains.items()
    )


def full(rows, columns, deviations, seed):
    """Return values and levels of a full table with known deviations of both factors and the rest."""
    rng = np.random.default_rng(seed)
    sizes = (rows, columns, rows * columns)
    a, b, e = (rng.normal(0, d, size) for d, size in zip(deviations, sizes, strict=True))
    first, second = np.repeat(np.arange(rows), columns), np.tile(np.arange(columns), rows)
    return a[first] + b[second] + e, first, second


def anova(values, rows, columns):
    """Textbook analysis of variance of a full two-way table without replication, by loops."""
    y = values.reshape(rows, columns)
    mean, by_row, by_column = y.mean(), y.mean(axis=1), y.mean(axis=0)
    rest = sum((y[i, j] - by_row[i] - by_column[j] + mean) ** 2 for i in range(rows) for j in range(columns))
    rest /= (rows - 1) * (columns - 1)
    first = columns * sum((m - mean) ** 2 for m in by_row) / (rows - 1)
    second = rows * sum((m - mean) ** 2 for m in by_column) / (columns - 1)
    return {"first": (first - rest) / columns, "second": (second - rest) / rows, "rest": rest}


def test_two_by_two_in_closed_form():
    """With values a, b, c, d the rest is (a - b - c + d)^2 / 4, and each factor follows from its means."""
    a, b, c, d = 0.0, 0.3, 0.5, 1.2
    rest = (a - b - c + d) ** 2 / 4
    between = ((c + d) - (a + b)) ** 2 / 4
    across = ((b + d) - (a + c)) ** 2 / 4
    found = crossed_components([a, b, c, d], [1, 1, 2, 2], [1, 2, 1, 2])
    assert found == pytest.approx(
        {"first": (between - rest) / 2, "second": (across - rest) / 2, "rest": rest}
    )


@pytest.mark.parametrize(("rows", "columns"), [(2, 5), (4, 5), (6, 3)])
def test_a_full_table_is_the_analysis_of_variance(rows, columns):
    """On a full table the method of fitting constants is the textbook analysis by loops."""
    values, first, second = full(rows, columns, (0.2, 0.1, 0.3), seed=rows)
    assert crossed_components(values, first, second) == pytest.approx(anova(values, rows, columns))


@pytest.mark.parametrize("missing", [0, 6])
def test_known_components_are_recovered_without_bias(missing):
    """Means of many simulated tables, full or with holes, are the components that made them."""
    kept = np.random.default_rng(9).permutation(20)[missing:]
    tables = (full(4, 5, (0.3, 0.2, 0.1), seed=s) for s in range(800))
    found = pd.DataFrame([crossed_components(*(part[kept] for part in table)) for table in tables])
    error = 4 * found.std() / np.sqrt(len(found))
    expected = pd.Series({"first": 0.09, "second": 0.04, "rest": 0.01})
    assert ((found.mean() - expected).abs() < error).all()


def test_adding_effects_of_one_factor_changes_that_factor_only():
    """A constant added to each seed leaves subset and rest as they were, holes or not."""
    values, first, second = full(4, 5, (0.3, 0.2, 0.1), seed=1)
    kept = np.arange(20) != 7
    before = crossed_components(values[kept], first[kept], second[kept])
    after = crossed_components((values + first)[kept], first[kept], second[kept])
    assert after["second"] == pytest.approx(before["second"])
    assert after["rest"] == pytest.approx(before["rest"])
    assert after["first"] > before["first"] + 0.5


def test_the_table_holds_components_cases_and_shares():
    """Cases are the mean squared error of a run's gain, and shares of the four add up to one."""
    values, seeds, subsets = full(3, 4, (0.3, 0.2, 0.1), seed=2)
    table = runs(dict(zip(zip(seeds, subsets, strict=True), values, strict=True)))
    table["standard_error"] = np.linspace(0.1, 0.2, 12)
    found = variation(table).set_index(["quantity", "component"])
    gain = found.loc["gain"]
    expected = crossed_components(values, seeds, subsets, ("seed", "subset"))
    assert gain.estimate.to_dict() == pytest.approx(
        expected | {"cases": float((table.standard_error**2).mean())}
    )
    assert gain.share.sum() == pytest.approx(1)
    np.testing.assert_allclose(gain.deviation**2, gain.variance)
    assert gain[["runs", "seeds", "subsets"]].drop_duplicates().values.tolist() == [[12, 3, 4]]


def test_scores_have_no_error_over_cases():
    """The SSL arm splits like the gain when the comparator is constant; its cases are unknown."""
    values, seeds, subsets = full(3, 4, (0.3, 0.2, 0.1), seed=2)
    table = runs(dict(zip(zip(seeds, subsets, strict=True), values, strict=True)))
    found = variation(table).set_index(["quantity", "component"])
    parts = ["subset", "seed", "rest"]
    np.testing.assert_allclose(found.loc["ssl"].estimate[parts], found.loc["gain"].estimate[parts])
    assert np.isnan(found.loc[("ssl", "cases"), "variance"])
    assert found.loc["ssl"].share.sum() == pytest.approx(1)
    np.testing.assert_allclose(found.loc["comparator"].variance[parts], 0, atol=1e-15)


def test_a_negative_estimate_is_set_to_zero_and_flagged():
    """Values that interact and nothing else give negative factors, shown as 0."""
    found = variation(runs({(1, 201): 0.1, (1, 202): -0.1, (2, 201): -0.1, (2, 202): 0.1}))
    gain = found[found.quantity == "gain"].set_index("component")
    assert gain.estimate["seed"] == pytest.approx(-0.02)
    assert gain.truncated.to_dict() == {"cases": False, "subset": True, "seed": True, "rest": False}
    assert gain.variance["seed"] == 0


def test_the_subset_of_a_seed_is_one_more_level():
    """Runs without a named subset hold the subset that the seed drew, which no other seed has."""
    gains = {(s, u): s + u for s in (1, 2) for u in (201, 202)} | {(1, None): 0.5, (2, None): 0.7}
    found = variation(runs(gains))
    assert found[["runs", "seeds", "subsets"]].drop_duplicates().values.tolist() == [[6, 2, 4]]
    named = {(s, u or s): g for (s, u), g in gains.items()}
    np.testing.assert_allclose(found.variance, variation(runs(named)).variance)


def test_thin_crossings_are_refused():
    """Nested subsets, one seed, or two designs cannot be split."""
    with pytest.raises(UsageError, match="too few to tell subset, seed"):
        variation(runs({(1, 1): 0.1, (2, 2): 0.2, (3, 3): 0.3}))
    with pytest.raises(UsageError, match="one seed only"):
        variation(runs({(1, 201): 0.1, (1, 202): 0.2}))
    table = runs({(s, u): 0.1 for s in (1, 2) for u in (201, 202)})
    with pytest.raises(UsageError, match="differ in n_labelled"):
        variation(pd.concat([table, table.assign(n_labelled=10)]))
