"""The coverage simulation draws what it says, repeats itself, and finds 95% where 95% is exact."""

import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from medssl.errors import UsageError
from medssl.meta import random_effects
from medssl.meta._coverage_designs import RATIOS, SIGMA2, SIZES
from medssl.meta._inputs import design_matrix
from medssl.meta._tau2 import Tau2, typical_variance
from medssl.meta.coverage import (
    COLUMNS,
    DependentSetting,
    IndependentSetting,
    draw,
    of_setting,
    read_table,
    replicate,
    settings,
    simulate,
    to_csv,
)
from medssl.meta.random_effects import fit_given_tau2

SCRIPT = Path(__file__).parents[2] / "simulations" / "coverage.py"
INDEPENDENT = IndependentSetting(count=8, variances="diagnostic", i2=0.5)
DEPENDENT = DependentSetting(count=5, rho=0.8)


def draws(setting, n):
    """Return the effects of many data sets, [n, k]."""
    generator = np.random.default_rng(3)
    return np.array([draw(setting, generator).yi for _ in range(n)])


@pytest.mark.parametrize("variances", RATIOS)
def test_sampling_variances_span_the_stated_range_around_a_typical_one_of_1(variances):
    """The largest is 3 or 100 times the smallest, and the typical sampling variance is the unit."""
    v = draw(IndependentSetting(20, variances, 0.5), np.random.default_rng(0)).vi
    assert v.max() / v.min() == pytest.approx(RATIOS[variances])
    assert typical_variance(v, v, np.ones((20, 1))) == pytest.approx(1)


@pytest.mark.parametrize("i2", [0.0, 0.5, 0.8])
def test_tau2_gives_the_stated_share(i2):
    """I2 at the true tau2 and the typical sampling variance is the share of the setting."""
    setting = IndependentSetting(10, "mild", i2)
    assert setting.tau2 / (setting.tau2 + 1) == pytest.approx(i2)


def test_independent_effects_have_the_stated_variances():
    """Means are 0, variances vi + tau2, correlations 0, all within four Monte Carlo standard errors."""
    n = 10_000
    y, v = draws(INDEPENDENT, n), draw(INDEPENDENT, np.random.default_rng(0)).vi
    expected = v + INDEPENDENT.tau2
    assert np.all(np.abs(y.mean(axis=0)) < 4 * np.sqrt(expected / n))
    assert np.all(np.abs(y.var(axis=0) / expected - 1) < 4 * np.sqrt(2 / n))
    correlations = np.corrcoef(y.T)[np.triu_indices(8, 1)]
    assert np.all(np.abs(correlations) < 4 / np.sqrt(n))


@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_dependent_effects_have_the_stated_covariance(rho):
    """The covariance within clusters is that of the model at the true rho, and 0 between clusters."""
    n, setting = 10_000, DependentSetting(5, rho)
    y, sample = draws(setting, n), draw(setting, np.random.default_rng(0))
    together = sample.cluster[:, None] == sample.cluster
    deviation = np.sqrt(sample.vi)
    expected = together * (SIGMA2[0] + rho * np.outer(deviation, deviation))
    expected[np.diag_indices(20)] = sample.vi + sum(SIGMA2)
    spread = np.sqrt((expected**2 + np.outer(np.diag(expected), np.diag(expected))) / n)
    assert np.abs((np.cov(y.T) - expected) / spread).max() < 5


def test_clusters_are_unequal_and_moderators_vary_where_they_should():
    """Sizes repeat 1, 2, 3, 5, 9; one moderator is constant in each cluster, the other varies in it."""
    sample = draw(DependentSetting(10, 0.4), np.random.default_rng(1))
    assert np.bincount(sample.cluster).tolist() == [*SIZES, *SIZES]
    by_cluster = pd.DataFrame(sample.moderators).groupby(sample.cluster)[0]
    assert (by_cluster.nunique() == 1).all()
    assert by_cluster.first().sum() == 4
    assert len(np.unique(sample.moderators[:, 1])) == 40
    sizes = np.bincount(sample.cluster)
    precision = pd.Series(sample.vi).groupby(sample.cluster).mean()
    assert abs(np.corrcoef(sizes, precision)[0, 1]) < 0.5  # large clusters are not the precise ones


@pytest.mark.parametrize("setting", [INDEPENDENT, DEPENDENT])
def test_a_replicate_repeats_itself_bit_for_bit(setting):
    """The same setting, number and seed give the same table; another number or seed does not."""
    first = replicate(setting, 4, seed=11)
    pd.testing.assert_frame_equal(first, replicate(setting, 4, seed=11), check_exact=True)
    assert not first.equals(replicate(setting, 5, seed=11))
    assert not first.equals(replicate(setting, 4, seed=12))


def test_settings_do_not_share_random_numbers():
    """No two settings of the table have the same seeds."""
    seeds = [setting.seeds for setting in settings()]
    assert len(seeds) == len(set(seeds)) == 4 * 2 * 3 + 4 * 3


def test_a_replicate_says_what_the_fits_say():
    """Width and coverage are those of the interval of each test, taken from `random_effects` directly."""
    sample = draw(INDEPENDENT, np.random.default_rng([11, *INDEPENDENT.seeds, 4]))
    table = replicate(INDEPENDENT, 4, seed=11).set_index("method")
    for test in ("z", "knha", "adhoc"):
        fit = random_effects(sample.yi, sample.vi, test=test)
        assert table.width[test] == pytest.approx(fit.ci_high[0] - fit.ci_low[0], rel=1e-12)
        assert table.covers[test] == (fit.ci_low[0] <= 0 <= fit.ci_high[0])


def test_every_target_has_every_method():
    """The mean, both slopes and the joint test are judged by all four methods."""
    table = replicate(DEPENDENT, 0, seed=1)
    targets = ("mean", "cluster moderator", "effect moderator", "joint test")
    pairs = set(zip(table.target, table.method, strict=True))
    assert pairs == {(target, method) for target in targets for method in ("naive", "model", "CR1", "CR2")}
    assert table.width[table.target == "joint test"].isna().all()
    assert set(table.covers) <= {0.0, 1.0}


def test_knapp_hartung_with_equal_variances_is_the_t_interval_and_covers_95_percent():
    """With k equal variances, tau2 known or not, it is the t interval, whose coverage is exactly 95%."""
    k, n, tau2 = 6, 2000, 0.5
    generator = np.random.default_rng(8)
    data = generator.normal(0, np.sqrt(1 + tau2), (n, k))
    intervals = []
    for y in data:
        fit = random_effects(y, np.ones(k))
        intervals.append((fit.ci_low[0], fit.ci_high[0]))
    expected = stats.t.interval(0.95, k - 1, data.mean(axis=1), stats.sem(data, axis=1))
    np.testing.assert_allclose(intervals, np.transpose(expected), rtol=1e-9)
    known = fit_given_tau2(y, np.ones(k), design_matrix(None, y, k), Tau2(tau2, 0.0), "REML", "knha")
    assert known.ci_low[0] == pytest.approx(expected[0][-1], rel=1e-9)
    coverage = np.mean((expected[0] <= 0) & (expected[1] >= 0))
    assert abs(coverage - 0.95) < 3 * np.sqrt(0.95 * 0.05 / n)


def test_a_summary_counts_its_replicates():
    """Coverage is a mean of zeros and ones with its binomial error, widths are mean and median."""
    rows = pd.concat([replicate(DEPENDENT, number, 5) for number in range(12)])
    table = simulate(DEPENDENT, 12, 5)
    assert table.columns.to_list() == COLUMNS
    for row in table.itertuples():
        part = rows[(rows.target == row.target) & (rows.method == row.method)]
        assert row.undefined == part.covers.isna().sum()
        assert row.coverage == pytest.approx(part.covers.mean())
        error = np.sqrt(row.coverage * (1 - row.coverage) / (12 - row.undefined))
        assert row.coverage_se == pytest.approx(error)
        if row.target != "joint test":
            assert row.mean_width == pytest.approx(part.width.mean())
            assert row.median_width == pytest.approx(part.width.median())


def test_ignoring_clusters_covers_less_than_cr2():
    """With twenty correlated clusters the naive interval of the mean misses far more often than CR2's."""
    table = simulate(DependentSetting(20, 0.8), 80, 2)
    coverage = table[table.target == "mean"].set_index("method").coverage
    assert coverage["naive"] < 0.8 < 0.85 < coverage["CR2"]


def test_the_guard_never_narrows():
    """The ad hoc interval is as wide as the wider of the other two at least, so it covers no less."""
    table = simulate(IndependentSetting(5, "diagnostic", 0.0), 100, 2).set_index("method")
    assert table.mean_width["adhoc"] >= max(table.mean_width["z"], table.mean_width["knha"])
    assert table.coverage["adhoc"] >= max(table.coverage["z"], table.coverage["knha"])


def test_the_text_of_a_table_can_be_read_and_written_again(tmp_path):
    """A file that was read gives the same text, and each setting finds its own rows in it."""
    table = pd.concat([simulate(INDEPENDENT, 3, 1), simulate(DEPENDENT, 3, 1)])
    text = to_csv(table)
    (tmp_path / "table.csv").write_text(text)
    again = read_table(tmp_path / "table.csv")
    assert to_csv(again) == text
    assert of_setting(again, INDEPENDENT).tolist() == [True] * 3 + [False] * 16
    assert of_setting(again, DEPENDENT).tolist() == [False] * 3 + [True] * 16
    assert not of_setting(again, DependentSetting(5, 0.4)).any()


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: IndependentSetting(1, "mild", 0.5), "count is 1"),
        (lambda: IndependentSetting(5, "mild", 1.0), "i2 1"),
        (lambda: IndependentSetting(5, "wild", 0.5), "variances is 'wild'"),
        (lambda: DependentSetting(3, 0.5), "count is 3"),
        (lambda: DependentSetting(5, 1.0), "rho 1"),
        (lambda: simulate(INDEPENDENT, 0, 1), "replicates is 0"),
    ],
)
def test_impossible_settings_are_refused(make, match):
    """Too few effects or clusters, shares and correlations of 1, unknown patterns and no replicates."""
    with pytest.raises(UsageError, match=match):
        make()


def test_the_script_goes_on_where_it_stopped(tmp_path, monkeypatch):
    """A run that lost its last settings, or has some of another size, ends with the same bytes."""
    output = tmp_path / "coverage.csv"

    def run(dependent: int) -> str:
        options = ["--independent", "2", "--dependent", str(dependent), "--output", str(output)]
        monkeypatch.setattr("sys.argv", [str(SCRIPT), *options])
        runpy.run_path(str(SCRIPT), run_name="__main__")
        return output.read_text()

    whole = run(1)
    assert len(read_table(output)) == 24 * 3 + 12 * 16
    output.write_text("".join(whole.splitlines(keepends=True)[: 1 + 24 * 3 + 2 * 16]))
    assert run(1) == whole
    assert run(2) != whole
    assert run(1) == whole
