"""Profile likelihoods of the two variances against dense grids, closed forms and their defining equation."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import chi2

from medssl.meta import multilevel, random_effects
from medssl.meta._likelihood import maximise
from medssl.meta._profile import profile_curve

COMPONENTS = ("cluster", "effect")


def fit_of(data, rho=0.6):
    """The multilevel fit of clustered effects."""
    return multilevel(data.y, data.v, data.cluster, data.z if data.z.shape[1] else None, rho=rho)


def dense_height(fit, component, value):
    """The likelihood at one variance, the other one maximised over a dense grid."""
    other = np.append(0.0, np.geomspace(1e-5, 50, 600))
    pairs = [(value, b) if component == "cluster" else (b, value) for b in other]
    return max(fit._likelihood.at(pair, derivatives=False).value for pair in pairs)


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_the_curve_peaks_at_the_estimate(clustered, component, rho):
    """The estimate stands in the table, at the height of the fit, and nothing is higher."""
    for seed in range(5):
        fit = fit_of(clustered(seed=seed, m=seed % 2), rho)
        profile = fit.profile(component)
        estimate = fit.sigma2[COMPONENTS.index(component)]
        assert (profile.component, profile.estimate, profile.level) == (component, estimate, 0.95)
        heights = profile.table.set_index("value").log_likelihood
        assert heights[estimate] == pytest.approx(fit.log_likelihood, abs=1e-9)
        assert heights.max() <= fit.log_likelihood + 1e-9
        assert list(profile.table.columns) == ["value", "log_likelihood"]
        assert profile.table.value.is_monotonic_increasing
        assert len(profile.table) in (40, 41)  # 40 where the estimate is one of the even steps


@pytest.mark.parametrize("component", COMPONENTS)
def test_limits_solve_the_likelihood_ratio_equation(clustered, component):
    """At each limit the likelihood is half a chi-square quantile below its maximum, 0 where it never is."""
    inner = 0
    for seed, level in ((0, 0.95), (1, 0.8), (2, 0.5), (3, 0.95)):
        fit = fit_of(clustered(seed=seed, sigma2=(0.1, 0.05)))
        profile = fit.profile(component, level=level)
        assert profile.cutoff == pytest.approx(fit.log_likelihood - chi2.ppf(level, 1) / 2)
        assert profile.low <= profile.estimate <= profile.high
        assert dense_height(fit, component, profile.high) == pytest.approx(profile.cutoff, abs=1e-3)
        if profile.low > 0:
            inner += 1
            assert dense_height(fit, component, profile.low) == pytest.approx(profile.cutoff, abs=1e-3)
        else:
            assert dense_height(fit, component, 0.0) >= profile.cutoff - 1e-3
        inside = profile.table.value.between(profile.low, profile.high)
        above = profile.table.log_likelihood >= profile.cutoff - 1e-9
        assert (inside == above).all()
        assert (~inside).any()  # the curve goes on beyond the limits
    assert inner > 0


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_curve_is_the_dense_profile(clustered, component):
    """Every point of the curve is the maximum over a dense grid of the other variance."""
    fit = fit_of(clustered(m=1, seed=4))
    for value, height in fit.profile(component, points=9).table.itertuples(index=False):
        dense = dense_height(fit, component, value)
        assert dense - 1e-9 <= height <= dense + 1e-3  # the grid can only be a little lower


def test_other_peaks_of_the_other_variance_are_not_missed():
    """Where the other variance has several peaks, the curve follows the highest."""
    lower = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        cluster = np.repeat(np.arange(5), (3, 1, 4, 2, 3))
        precise = rng.random(13) < 0.5
        v = np.where(precise, 1e-4, 1.0)
        y = rng.normal(size=13) * np.sqrt(v) + np.where(precise, 0, 2.5 * rng.normal(size=13))
        fit = multilevel(y, v, cluster)
        for number, component in enumerate(COMPONENTS):
            for value, height in fit.profile(component, points=5).table.itertuples(index=False):
                assert height >= dense_height(fit, component, value) - 1e-9
                near = maximise(fit._likelihood, start=fit.sigma2, fixed={number: value})
                lower += near.value < height - 1e-3
    assert lower > 0  # climbing from the estimate alone would have missed some


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_balanced_clusters_have_a_profile_in_closed_form(rho):
    """With equal variances and sizes the profile of clusters is that of two chi-square sums of squares."""
    rng, clusters, n, v = np.random.default_rng(2), 12, 3, 0.02
    y = 0.3 * rng.normal(size=(clusters, 1)) + 0.3 * rng.normal(size=(clusters, n))
    fit = multilevel(y.ravel(), np.full(y.size, v), np.repeat(np.arange(clusters), n), rho=rho)
    within = np.sum((y - y.mean(axis=1, keepdims=True)) ** 2)
    between = n * np.sum((y.mean(axis=1) - y.mean()) ** 2)

    def height(cluster, effect):
        e = effect + (1 - rho) * v
        b = e + n * (cluster + rho * v)
        free = clusters * (n - 1)
        return -0.5 * (free * np.log(e) + within / e + (clusters - 1) * np.log(b) + between / b)

    effects = np.geomspace(1e-4, 2, 40_001)
    constant = fit.log_likelihood - height(*fit.sigma2)
    table = fit.profile("cluster", points=7).table
    expected = [height(value, effects).max() + constant for value in table.value]
    np.testing.assert_allclose(table.log_likelihood, expected, atol=1e-6)
    assert fit.profile().high == pytest.approx(
        brentq(
            lambda c: height(c, effects).max() - height(*fit.sigma2) + chi2.ppf(0.95, 1) / 2, fit.sigma2[0], 5
        ),
        rel=1e-5,
    )


def test_an_estimate_at_the_boundary_has_a_lower_limit_of_zero(clustered):
    """Where a variance is estimated as 0, the interval starts at 0 and has a positive end."""
    rng = np.random.default_rng(1)
    cluster, noise = np.repeat(np.arange(10), 4), rng.normal(size=40)
    centred = noise - np.array([noise[cluster == c].mean() for c in cluster])
    profile = multilevel(centred, np.full(40, 0.01), cluster).profile("cluster")
    assert (profile.estimate, profile.low) == (0, 0)
    assert 0 < profile.high < 1
    assert (np.diff(profile.table.log_likelihood) < 0).all()
    assert profile.table.value[0] == 0


def test_identical_effects_bound_both_variances():
    """Equal effects have estimates of 0 and finite upper limits, of the size of the sampling variances."""
    fit = multilevel([0.2] * 12, np.linspace(0.01, 0.03, 12), np.repeat(np.arange(6), 2), rho=0.3)
    for component in COMPONENTS:
        profile = fit.profile(component)
        assert (profile.estimate, profile.low) == (0, 0)
        assert 0.001 < profile.high < 0.1
        assert dense_height(fit, component, profile.high) == pytest.approx(profile.cutoff, abs=1e-6)


def test_two_clusters_have_a_huge_but_finite_limit():
    """With one degree of freedom between clusters the limit is many times the estimate, and not cut."""
    fit = multilevel([0.0, 0.1, 1.0, 1.1], [0.01] * 4, ["a", "a", "b", "b"])
    profile = fit.profile("cluster")
    assert 100 * profile.estimate < profile.high < np.inf
    assert dense_height(fit, "cluster", profile.high) == pytest.approx(profile.cutoff, abs=1e-3)


def test_a_likelihood_that_never_falls_has_an_infinite_limit():
    """A curve above the cutoff everywhere has the interval from 0 to infinity, and a finite table."""
    profile = profile_curve(lambda value: -0.1 * value / (1 + value), "tau2", 0.0, 0.0, 1.0, 0.95, 5)
    assert (profile.low, profile.high) == (0, np.inf)
    assert np.isfinite(profile.table).all(axis=None)


@pytest.mark.parametrize("component", COMPONENTS)
def test_units_of_the_effects_scale_the_profile(clustered, component):
    """Effects times c and variances times c squared multiply the limits by c squared."""
    data = clustered(sigma2=(0.1, 0.05), seed=3)
    plain = fit_of(data).profile(component)
    for c in (1e-6, 1e-2, 1e6):
        scaled = fit_of(replace(data, y=c * data.y, v=c**2 * data.v)).profile(component)
        for name in ("estimate", "low", "high"):
            assert getattr(scaled, name) == pytest.approx(c**2 * getattr(plain, name), rel=1e-6)


def test_higher_levels_hold_lower_ones(clustered):
    """The interval of a higher level contains that of a lower one."""
    fit = fit_of(clustered(sigma2=(0.1, 0.05), seed=3))
    for component in COMPONENTS:
        profiles = [fit.profile(component, level=level, points=3) for level in (0.5, 0.8, 0.95, 0.99)]
        assert (np.diff([p.low for p in profiles]) <= 0).all()
        assert (np.diff([p.high for p in profiles]) > 0).all()


def test_one_effect_a_cluster_profiles_as_random_effects(clustered):
    """With clusters of one, the profile of clusters is that of tau2 in the random-effects model."""
    data = clustered(sizes=(1,) * 15, sigma2=(0.1, 0.0))
    ours = fit_of(data, 0.0).profile("cluster")
    single = random_effects(data.y, data.v).profile()
    for name in ("estimate", "low", "high"):
        assert getattr(ours, name) == pytest.approx(getattr(single, name), rel=1e-6)
