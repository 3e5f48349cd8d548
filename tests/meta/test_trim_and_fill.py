"""Trim and fill against its definition, planted gaps and its symmetries."""

import sys

import numpy as np
import pytest

from medssl.errors import RunError, UsageError
from medssl.meta import egger, random_effects, trim_and_fill

MODULE = sys.modules[trim_and_fill.__module__]


def funnel(pairs=8, drop=0, seed=0):
    """A symmetric funnel around 0.3 with its `drop` smallest effects taken out: yi, vi."""
    rng = np.random.default_rng(seed)
    v = np.repeat(rng.uniform(0.01, 0.2, size=pairs), 2)
    distance = np.repeat(np.abs(rng.normal(size=pairs)), 2) * np.sqrt(v)
    y = 0.3 + distance * np.tile([1, -1], pairs)
    keep = np.argsort(y)[drop:]
    return y[keep], v[keep]


def by_hand(y, v, estimator, method):
    """The algorithm for the left side as Duval and Tweedie (2000) give it, with loops."""
    order = sorted(range(len(y)), key=lambda i: y[i])
    k, missing, before = len(y), 0, -1
    while missing != before:
        kept = order[: k - missing]
        centre = random_effects(y[kept], v[kept], method=method).coef[0]
        ranked = sorted(order, key=lambda i: abs(y[i] - centre))
        before = missing
        if estimator == "R0":
            run = 0
            while y[ranked[k - 1 - run]] > centre:
                run += 1
            missing = run - 1
        else:
            total = sum(rank for rank, i in enumerate(ranked, 1) if y[i] > centre)
            missing = (4 * total - k * (k + 1)) / (2 * k - 1)
        missing = max(0, round(missing))
    return missing, centre, [order[k - 1 - i] for i in range(missing)][::-1]


@pytest.mark.parametrize("estimator", ["L0", "R0"])
@pytest.mark.parametrize("method", ["FE", "DL", "REML"])
def test_the_algorithm_is_duval_and_tweedies(estimator, method):
    """Number, centre and mirror images agree with the algorithm written out with loops."""
    found = set()
    for seed in range(6):
        y, v = funnel(drop=4, seed=seed)
        result = trim_and_fill(y, v, side="left", estimator=estimator, method=method)
        missing, centre, extreme = by_hand(y, v, estimator, method)
        assert result.k0 == missing
        np.testing.assert_allclose(result.yi[len(y) :], 2 * centre - y[extreme])
        np.testing.assert_allclose(result.vi[len(y) :], v[extreme])
        found.add(missing)
    assert len(found) > 1


def test_a_symmetric_funnel_misses_nothing():
    """Balanced ranks give no missing effect on either side and the fit of the observed effects itself."""
    y = np.array([1.0, -2.0, -3.0, 4.0, 5.0, -6.0, -7.0, 8.0])  # positive ranks: half of all
    v = 0.1 * (1 + 1e-6 * np.arange(8))
    for side in ("left", "right", None):
        result = trim_and_fill(y, v, side=side)
        assert result.k0 == 0
        assert result.fit is result.observed
        assert not result.filled.any()


def test_the_side_follows_eggers_slope_and_the_fit_has_the_filled_effects():
    """Without the small effects on the left the slope is positive, and the estimate moves to the left."""
    y, v = funnel(pairs=10, drop=5, seed=3)
    assert egger(y, v).slope > 0
    result = trim_and_fill(y, v, test="z")
    assert result.side == "left"
    assert result.k0 == result.filled.sum() > 0
    assert len(result.yi) == len(result.vi) == result.fit.k == len(y) + result.k0
    np.testing.assert_array_equal(result.yi[: len(y)], y)
    refit = random_effects(result.yi, result.vi, test="z")
    assert (result.fit.coef[0], result.fit.se[0]) == (refit.coef[0], refit.se[0])
    assert result.fit.coef[0] < result.observed.coef[0]


@pytest.mark.parametrize("estimator", ["L0", "R0"])
def test_the_mirrored_funnel_gives_the_mirrored_result(estimator):
    """Effects of the other sign are filled on the other side with the same numbers."""
    y, v = funnel(pairs=10, drop=5, seed=3)
    left, right = (trim_and_fill(sign * y, v, estimator=estimator) for sign in (1, -1))
    assert (left.side, right.side) == ("left", "right")
    assert (left.k0, left.k0_se) == (right.k0, right.k0_se)
    np.testing.assert_allclose(np.sort(right.yi), np.sort(-left.yi))
    assert right.fit.coef[0] == pytest.approx(-left.fit.coef[0])


def test_unit_and_order_change_nothing():
    """Effects in points, or in another order, give the same number and the same funnel."""
    y, v = funnel(pairs=10, drop=5, seed=3)
    order = np.random.default_rng(0).permutation(len(y))
    plain = trim_and_fill(y, v)
    for other, unit in ((trim_and_fill(100 * y, 1e4 * v), 100), (trim_and_fill(y[order], v[order]), 1)):
        assert (other.k0, other.side) == (plain.k0, plain.side)
        np.testing.assert_allclose(np.sort(other.yi), unit * np.sort(plain.yi))
        assert other.fit.coef[0] == pytest.approx(unit * plain.fit.coef[0])


def test_standard_errors_and_the_test_of_none_missing():
    """R0 has the variance 2 k0 + 2 and the negative-binomial test; L0's error follows from its variance."""
    y, v = funnel(pairs=10, drop=6, seed=1)
    right_run = trim_and_fill(y, v, side="left", estimator="R0", method="FE")
    assert right_run.k0 > 0
    assert right_run.k0_se == pytest.approx(np.sqrt(2 * right_run.k0 + 2))
    assert right_run.p_value == 0.5 ** (right_run.k0 + 1)
    deviation = np.array([-6.0, -4.5, -2.0, -0.5, 1.0, 5.0, 7.0])  # ranks 6 4 3 1 2 5 7, mean 0
    rank_sum = trim_and_fill(deviation + 4, np.full(7, 0.1), side="left", method="FE")
    k, raw = 7, (4 * (2 + 5 + 7) - 56) / 13
    assert raw == 0
    assert rank_sum.k0_se == pytest.approx(4 * np.sqrt(k * (k + 1) * (2 * k + 1) / 24) / (2 * k - 1))
    assert np.isnan(rank_sum.p_value)
    _, error = MODULE.ESTIMATORS["L0"](np.array([1.0, 2.0, 3.0, 4.0]))  # raw 20 / 7 of four
    raw = 20 / 7
    variance = 180 + 10 * raw**3 + 27 * raw**2 + 17 * raw - 72 * raw**2 - 72 * raw + 96 * raw
    assert error == pytest.approx(4 * np.sqrt(variance / 24) / 7)


def test_a_number_that_does_not_settle_is_an_error(monkeypatch):
    """An estimate that jumps for ever, or trims all effects, stops with a reason."""
    y, v = funnel(drop=3)
    jumps = iter(range(1000))
    monkeypatch.setitem(MODULE.ESTIMATORS, "L0", lambda ranks: (1 + next(jumps) % 2, 1.0))
    with pytest.raises(RunError, match="did not settle in 100 steps"):
        trim_and_fill(y, v, side="left")
    monkeypatch.setitem(MODULE.ESTIMATORS, "L0", lambda ranks: (len(ranks), 1.0))
    with pytest.raises(RunError, match="trimmed all effects;"):
        trim_and_fill(y, v, side="left")


def test_one_effect_may_be_left_in_the_middle():
    """With all but the smallest effect trimmed, the others are mirrored at that one."""
    y, v = np.array([0.0, 0.5, 0.6]), np.array([0.0001, 0.2, 0.3])
    result = trim_and_fill(y, v, side="left", method="REML")
    assert result.k0 == 2
    np.testing.assert_allclose(result.yi, [0.0, 0.5, 0.6, -0.5, -0.6])


def test_the_report_states_number_side_and_both_estimates():
    """The sentence gives the number of missing effects, the side, and the estimate before and after."""
    y, v = funnel(pairs=10, drop=5, seed=3)
    for estimator in ("L0", "R0"):
        result = trim_and_fill(y, v, estimator=estimator)
        text = result.report()
        assert f"{result.k0} effect" in text
        assert "on the left" in text
        assert f"{result.fit.coef[0]:.3g}" in text
        assert f"instead of {result.observed.coef[0]:.3g}" in text
        assert ("that none is" in text) == (estimator == "R0")


@pytest.mark.parametrize(
    ("yi", "vi", "options", "text"),
    [
        ([0.1, np.nan, 0.3], [0.1, 0.2, 0.3], {}, "yi has missing"),
        ([0.1, 0.2, 0.3], [0.1, 0.0, 0.3], {}, "vi must be positive"),
        ([0.1, 0.2, 0.3], [0.1, 0.2], {}, "yi has 3 values and vi has 2"),
        ([0.1], [0.1], {}, "needs at least 2 rows"),
        ([0.1, 0.2], [0.1, 0.2], {}, "give side"),
        ([0.1, 0.1, 0.1], [0.1, 0.2, 0.3], {"side": "left"}, "yi are all equal"),
        ([0.1, 0.2, 0.3], [0.1, 0.1, 0.1], {}, "vi are all equal"),
        ([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], {"side": "top"}, "side is 'top'"),
        ([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], {"estimator": "Q0"}, "estimator is 'Q0'"),
        ([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], {"method": "reml"}, "method is 'reml'"),
        ([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], {"test": "t"}, "test is 't'"),
    ],
)
def test_bad_requests_are_refused(yi, vi, options, text):
    """Each malformed request raises a usage error that says what is wrong."""
    with pytest.raises(UsageError, match=text):
        trim_and_fill(yi, vi, **options)
