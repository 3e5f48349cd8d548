"""The global maximum of the restricted likelihood, against fine grids and closed forms."""

import numpy as np
import pytest

from medssl.errors import RunError
from medssl.meta import _likelihood, multilevel
from medssl.meta._likelihood import maximise

RHOS = (0.0, 0.6, -0.05, 0.95)


def heights(likelihood, first, second):
    """The likelihood on a grid of both variances, one by one."""
    return np.array([[likelihood.at((a, b), derivatives=False).value for b in second] for a in first])


def strict_peaks(surface) -> int:
    """Points of a grid that are higher than all their neighbours."""
    padded = np.pad(surface, 1, constant_values=-np.inf)
    n, m = surface.shape
    around = [padded[1 + i : n + 1 + i, 1 + j : m + 1 + j] for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
    return int(np.sum(surface > np.max(around, axis=0) + 1e-9))


@pytest.mark.parametrize("rho", RHOS)
def test_no_point_of_a_fine_grid_is_more_likely(likelihood_of, clustered, rho):
    """Over ten sets of effects, no pair of variances of a fine grid beats the estimate."""
    singular = 0
    for seed in range(10):
        data = clustered(seed=seed, m=seed % 3, rho=rho, sizes=(1, 3, 2, 4, 1, 2))
        likelihood = likelihood_of(data, rho)
        point = maximise(likelihood)
        axis = np.append(0.0, np.geomspace(1e-4, 1.0, 25))
        near = [np.append(0.0, s * np.linspace(0.8, 1.2, 9)) for s in point.sigma2]
        for grid in ((axis, axis), near):
            assert heights(likelihood, *grid).max() <= point.value + 1e-9
        singular += int(np.any(point.sigma2 == 0))
    assert 0 < singular < 10  # boundary and inner optima were both met


def two_groups(seed):
    """A few precise effects near 0 and imprecise ones far from it: surfaces with several peaks."""
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(5), (3, 1, 4, 2, 3))
    precise = rng.random(len(cluster)) < 0.5
    v = np.where(precise, 1e-4, 1.0)
    y = rng.normal(size=len(v)) * np.sqrt(v) + np.where(precise, 0, 2.5 * rng.normal(size=len(v)))
    return y, v, cluster


def test_the_highest_of_several_peaks_is_taken():
    """Where the surface has several peaks, on the boundary or inside, the global one is returned."""
    several, axis = 0, np.append(0.0, np.geomspace(1e-6, 30, 30))
    for seed in range(16):
        y, v, cluster = two_groups(seed)
        fit = multilevel(y, v, cluster)
        surface = heights(fit._likelihood, axis, axis)
        several += strict_peaks(surface) > 1
        assert fit.log_likelihood >= surface.max() - 1e-9
    assert several >= 5


def test_a_start_climbs_the_nearest_peak_only():
    """A warm start may end on a lower peak, which is why fits without one scan the surface first."""
    lower = 0
    for seed in range(16):
        fit = multilevel(*two_groups(seed))
        for start in ((0.0, 0.0), (10.0, 0.0), (0.0, 10.0)):
            lower += maximise(fit._likelihood, start=start).value < fit.log_likelihood - 1e-3
    assert lower > 0


def test_peaks_far_below_the_scatter_of_the_effects_are_found():
    """A peak at the scale of the most precise effects, far below the total variance, is not overlooked."""
    cluster, axis = np.repeat(np.arange(5), (3, 1, 4, 2, 3)), np.append(0.0, np.geomspace(1e-9, 1, 90))
    tiny = 0
    for seed in (1, 12, 58, 60):
        rng = np.random.default_rng(seed)
        v = 10 ** rng.uniform(-8, 0, 13)
        y = rng.normal(size=13) * np.sqrt(v + 0.1 * 10 ** rng.uniform(-6, 0, 13))
        fit = multilevel(y, v, cluster)
        surface = np.column_stack([fit._likelihood.heights(axis, within) for within in axis])
        assert fit.log_likelihood >= surface.max() - 1e-7
        tiny += 0 < fit.sigma2.sum() < 1e-3 * fit._likelihood.scale
    assert tiny > 0


def test_variances_of_very_different_size_are_both_solved():
    """Next to a large variance between clusters, a ten-million times smaller one is still stationary."""
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(12), 4)
    v = np.full(48, 1e-7)
    y = 2 * rng.normal(size=12)[cluster] + 5e-4 * rng.normal(size=48)
    point = maximise(multilevel(y, v, cluster)._likelihood)
    unit = 1 / np.sqrt(np.diag(point.information))  # standard errors, nearly uncorrelated
    assert point.sigma2[0] / point.sigma2[1] > 1e6
    assert np.all(np.abs(point.score * unit) < 1e-4)
    within = (y - np.array([y[cluster == c].mean() for c in cluster])) @ y / 36
    assert point.sigma2[1] == pytest.approx(within - 1e-7, rel=1e-6)  # closed form of analysis of variance


@pytest.mark.parametrize("span", [4, 8, 12])
@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_sampling_variances_over_many_orders_of_magnitude_are_solved(span, rho):
    """Variances over up to twelve orders of magnitude give the maximum of a grid, with finite errors."""
    rng = np.random.default_rng(span)
    cluster = np.repeat(np.arange(8), 3)
    v = rng.permutation(np.geomspace(10.0**-span, 1, 24))
    y = rng.normal(size=24) * np.sqrt(v + 0.01)
    fit = multilevel(y, v, cluster, rho=rho)
    axis = np.append(0.0, np.geomspace(10.0 ** (-span - 1), 10, 20))
    surface = heights(fit._likelihood, axis, axis[1:])
    assert fit.log_likelihood >= surface.max() - 1e-6
    assert np.isfinite([fit.se[0], fit.robust().se[0], fit.robust().df[0]]).all()


def test_a_variance_of_zero_is_found_exactly():
    """Components that the data do not need are exactly 0: that of clusters, of effects, or both."""
    rng = np.random.default_rng(1)
    cluster, v = np.repeat(np.arange(10), 4), np.full(40, 0.01)
    noise, shift = rng.normal(size=40), rng.normal(size=10)
    centred = noise - np.array([noise[cluster == c].mean() for c in cluster])
    cases = {
        (False, True): centred,  # equal cluster means
        (True, False): shift[cluster] + 0.01 * noise,  # less scatter within clusters than v
        (False, False): 0.01 * noise,
    }
    for positive, y in cases.items():
        point = maximise(multilevel(y, v, cluster)._likelihood)
        assert tuple(point.sigma2 != 0) == positive
        assert np.all(point.score[point.sigma2 == 0] < 0)


def test_identical_effects_have_no_heterogeneity():
    """Equal effects pool to themselves, with both variances exactly 0."""
    for value in (0.2, 0.0, -3e5):
        fit = multilevel([value] * 8, np.linspace(0.1, 0.4, 8), list("aabbbcde"), rho=0.5)
        assert fit.coef[0] == pytest.approx(value, rel=1e-12)
        np.testing.assert_array_equal(fit.sigma2, [0, 0])
        assert fit.q == pytest.approx(0, abs=1e-9 * max(1, value**2))


def test_a_start_a_hair_above_zero_still_ends_at_zero():
    """From variances so small that their removal is lost in rounding, the search ends at exactly 0."""
    likelihood = multilevel([0.2] * 8, np.linspace(0.1, 0.4, 8), list("aabbbcde"))._likelihood
    for start in ((1e-15, 1e-15), (0.0, 1e-14), (1e-18, 0.0)):
        np.testing.assert_array_equal(maximise(likelihood, start=start).sigma2, [0, 0])


def test_no_convergence_is_an_error(likelihood_of, clustered, monkeypatch):
    """A search that runs out of steps raises an error that says what to do."""
    likelihood = likelihood_of(clustered(sigma2=(0.3, 0.2)))
    monkeypatch.setattr(_likelihood, "STEPS", 1)
    with pytest.raises(RunError, match="did not converge in 1 steps"):
        maximise(likelihood)
