"""How many losses a model and chance would make: closed forms, loops and limits."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, norm, t

from medssl.errors import UsageError
from medssl.evidence import published
from medssl.evidence.dispersion import dispersions
from medssl.evidence.variance import arm_variances
from medssl.meta import egger, multilevel, probability_of_gain
from medssl.synthesis.expected_losses import (
    _correlated_counts,
    _simulated_losses,
    clear_losses,
    expected_losses,
    gain_limits,
    small_study_direction,
)
from medssl.synthesis.negatives import comparisons

KEYS = ["low", "high", "as_few", "sampling_high"]


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """The primary analysis."""
    every = comparisons()
    return every[every.set == "primary"].reset_index(drop=True)


@pytest.fixture(scope="module")
def dice(rows) -> pd.DataFrame:
    """Dice against random initialisation."""
    return rows[(rows.metric == "Dice") & (rows.comparator == "random")]


def made(mean: float, between: float, within: float, clusters: int = 20, seed: int = 0) -> pd.DataFrame:
    """Effects of clusters of five with known mean and deviations, and sampling errors of 0.01."""
    random = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(clusters), 5)
    shared = random.normal(scale=between, size=clusters)[cluster]
    gain = mean + shared + random.normal(scale=np.hypot(within, 0.01), size=len(cluster))
    return pd.DataFrame({"yi": gain, "vi": 1e-4, "cluster_id": cluster.astype(str), "loss": gain < 0})


def test_expected_shares_agree_with_a_loop(dice):
    """Each expected share is the mean of one normal probability a comparison, at the fitted values."""
    found = expected_losses(dice, draws=50)
    fit = multilevel(dice.yi, dice.vi, dice.cluster_id, rho=0.6)
    mean, spread = fit.coef[0], sum(fit.sigma2)
    alone = [norm.cdf(0, loc=mean, scale=v**0.5) for v in dice.vi]
    both = [norm.cdf(0, loc=mean, scale=(v + spread) ** 0.5) for v in dice.vi]
    assert found["sampling"] == pytest.approx(np.mean(alone))
    assert found["expected"] == pytest.approx(np.mean(both))
    assert found["true"] == pytest.approx(norm.cdf(0, loc=mean, scale=spread**0.5))
    assert found["new"] == pytest.approx(1 - probability_of_gain(fit).probability[0])
    own = {}
    for cluster, share in zip(dice.cluster_id, both, strict=True):
        own.setdefault(cluster, []).append(share)
    assert found["expected_clusters"] == pytest.approx(np.mean([np.mean(each) for each in own.values()]))
    assert found["observed"] == pytest.approx(dice.loss.mean())


def test_simulated_literatures_have_the_expected_share(dice):
    """The mean number of losses over simulated literatures is the closed form, to Monte Carlo error."""
    fit = multilevel(dice.yi, dice.vi, dice.cluster_id, rho=0.6)
    counts = _simulated_losses(fit, fit.sigma2, 4000, seed=5)
    error = counts.std() / len(counts) ** 0.5
    assert counts.mean() / len(dice) == pytest.approx(
        expected_losses(dice, draws=2)["expected"], abs=4 * error / len(dice)
    )


def test_simulated_gains_have_the_covariance_of_the_model():
    """With one cluster of two, both losses happen together as often as a bivariate normal says."""
    table = made(0.0, 0.02, 0.01, clusters=12).groupby("cluster_id").head(2).reset_index(drop=True)
    fit = multilevel(table.yi, table.vi, table.cluster_id, rho=0.6)
    between, within, v = 0.02**2, 0.01**2, 1e-4
    counts = _simulated_losses(fit, (between, within), 20_000, seed=1)
    correlation = (between + 0.6 * v) / (between + within + v)
    both = 0.25 + np.arcsin(correlation) / (2 * np.pi)  # of two standard normals, at mean 0
    shift = norm.cdf(-fit.coef[0] / np.sqrt(between + within + v)) - 0.5
    variance = counts.var() / fit.clusters  # of the number of losses of a pair
    assert variance == pytest.approx(0.5 + 2 * (both - 0.25), rel=0.06)
    assert abs(shift) < 0.2


def test_the_model_expects_what_it_made():
    """Effects drawn from the model have about the expected share of losses, inside the simulated range."""
    table = made(0.02, 0.02, 0.01, clusters=200, seed=4)
    found = expected_losses(table, draws=400)
    assert found["observed"] == pytest.approx(found["expected"], abs=0.05)
    assert found["low"] <= found["observed"] <= found["high"]
    assert found["sampling"] < 0.05 < found["expected"]


def test_without_heterogeneity_only_sampling_error_is_left():
    """Alike true gains are all on one side, and both expected shares agree."""
    table = made(0.012, 0.0, 0.0, clusters=30, seed=8)
    found = expected_losses(table, rho=0.0, draws=200)
    assert found["expected"] == pytest.approx(found["sampling"], abs=0.03)
    assert found["true"] < 0.02


def test_two_clusters_have_counts_and_no_expectation(dice):
    """Below three clusters only what was observed is given."""
    two = dice[dice.cluster_id.isin(sorted(set(dice.cluster_id))[:2])]
    assert set(expected_losses(two)) == {
        "name", "effects", "clusters", "losses", "observed", "observed_clusters",
    }  # fmt: skip


def test_seeds_fix_the_simulated_numbers(dice):
    """The same seed gives the same ranges, and another one nearly the same."""
    first, again, other = (expected_losses(dice, draws=1500, seed=seed) for seed in (1, 1, 2))
    assert [first[key] for key in KEYS] == [again[key] for key in KEYS]
    assert [first[key] for key in KEYS] == pytest.approx([other[key] for key in KEYS], abs=0.05)


def test_limits_are_normal_except_over_runs(rows):
    """Over runs the limits are Welch's with the stated numbers of runs; elsewhere normal."""
    limits = gain_limits(rows)
    table = published("all").set_index("effect_id", drop=False).loc[rows.effect_id].reset_index(drop=True)
    arms, found = arm_variances(table), dispersions(table)
    assert (limits.df[rows.variance_origin != "runs"] == np.inf).all()
    over_runs = rows.index[rows.variance_origin == "runs"]
    for i in over_runs[::7]:
        v = {arm: arms[f"{arm}_variance"][i] for arm in ("baseline", "ssl")}
        n = {}
        for arm in v:
            stated = [table.n_runs[i], found[f"{arm}_n"][i], 3.0]
            n[arm] = next(value for value in stated if not np.isnan(value))
        df = sum(v.values()) ** 2 / sum(v[arm] ** 2 / (n[arm] - 1) for arm in v)
        assert limits.df[i] == pytest.approx(df)
        assert limits.high[i] == pytest.approx(rows.yi[i] + t.isf(0.025, df) * rows.vi[i] ** 0.5)
    assert len(over_runs[::7]) > 20
    np.testing.assert_allclose(limits.high + limits.low, 2 * rows.yi, atol=1e-12)


def test_limits_of_unknown_effects_are_refused(rows):
    """An effect that is not published has no runs to look up."""
    with pytest.raises(UsageError, match="effect X1 is not among the published comparisons"):
        gain_limits(rows.head(3).assign(effect_id=["E0001", "X1", "E0003"]))


def test_clear_losses_agree_with_a_loop(rows):
    """Counts on both sides of zero and of the minimal gain are those of a slow loop over intervals."""
    table = clear_losses(rows, draws=20).set_index("basis")
    limits = gain_limits(rows)
    kinds = {"measured": {"paired_ci", "runs", "test_ci"}}
    kinds["modelled"] = {"hanley_mcneil", "binomial", "dice_quadratic"}
    for basis, kind in kinds.items():
        counts = dict.fromkeys(["effects", "below", "below_minimal", "above", "above_minimal"], 0)
        clusters = set()
        for row, low, high in zip(rows.itertuples(), limits.low, limits.high, strict=True):
            if row.variance_origin in kind:
                counts["effects"] += 1
                counts["below"] += high < 0
                counts["below_minimal"] += high < -0.01
                counts["above"] += low > 0
                counts["above_minimal"] += low > 0.01
                clusters |= {row.cluster_id} if high < 0 else set()
        assert counts == {name: table.loc[basis, name] for name in counts}
        assert table.loc[basis, "below_clusters"] == len(clusters)


def test_chance_makes_one_in_forty(rows):
    """Were every true gain zero, 2.5% of intervals would lie below it, and fewer below the minimum."""
    table = clear_losses(rows, draws=20)
    np.testing.assert_allclose(table.chance, 0.025 * table.effects)
    assert (table.minimal_chance < table.chance).all()
    strict = clear_losses(rows, minimal=0.0, draws=20)
    np.testing.assert_allclose(strict.minimal_chance, strict.chance)
    assert (table.cluster_high >= table.chance_high).all()


def test_independent_events_are_binomial():
    """With groups of one the counts are a binomial; the mean stays when groups share their errors."""
    each = np.full(200, 0.025)
    alone = _correlated_counts(each, pd.Series(range(200)), 0.6, 4000, seed=1)
    assert np.quantile(alone, 0.975) == pytest.approx(binom.ppf(0.975, 200, 0.025), abs=1)
    assert alone.var() == pytest.approx(200 * 0.025 * 0.975, rel=0.1)
    together = _correlated_counts(each, pd.Series(["a"] * 200), 0.6, 4000, seed=1)
    error = together.std() / 4000**0.5
    assert together.mean() == pytest.approx(5.0, abs=4 * error)
    assert together.var() > 10 * alone.var()


def test_events_with_one_error_happen_together():
    """With a correlation near one a group has all of its events or none."""
    counts = _correlated_counts(np.full(50, 0.3), pd.Series(["a"] * 50), 1 - 1e-12, 500, seed=2)
    assert set(counts) == {0, 50}
    assert (counts == 50).mean() == pytest.approx(0.3, abs=0.07)


def test_directions_are_those_of_egger(rows):
    """Slope and limits are Egger's with robust errors, and words follow the limits."""
    strata = {
        f"{metric}, {comparator}": rows[(rows.metric == metric) & (rows.comparator == comparator)]
        for metric, comparator in itertools.product(("AUC", "Dice"), ("random", "imagenet_supervised"))
    }
    table = small_study_direction(strata).set_index("name")
    for name, part in strata.items():
        row = table.loc[name]
        if part.cluster_id.nunique() < 10:
            assert row.direction == "too few clusters"
            assert np.isnan(row.slope)
            continue
        test = egger(part.yi, part.vi, form="cluster", cluster=part.cluster_id, rho=0.6)
        assert (row.slope, row.ci_low, row.df) == (test.slope, test.ci_low, test.df)
        clear = {"larger": row.ci_low > 0, "smaller": row.ci_high < 0}
        assert clear.get(row.direction, not any(clear.values()))


def test_a_made_up_small_study_effect_is_seen():
    """Gains that grow with their standard errors point to larger, and their mirror image to smaller."""
    random = np.random.default_rng(0)
    error = random.uniform(0.005, 0.05, size=80)
    gain = 2 * error + random.normal(scale=0.3 * error)
    table = pd.DataFrame({"yi": gain, "vi": error**2, "cluster_id": np.repeat(np.arange(20), 4).astype(str)})
    mirrored = table.assign(yi=-table.yi)
    found = small_study_direction({"up": table, "down": mirrored})
    assert found.direction.tolist() == ["larger", "smaller"]
