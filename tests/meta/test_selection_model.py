"""The selection model against slow densities, other optimisers, metafor's printed values and simulation."""

from itertools import pairwise, product

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.optimize import minimize
from statsmodels.tools.numdiff import approx_hess3

from medssl.errors import RunError, UsageError
from medssl.meta import _selection, random_effects, selection_model
from medssl.meta._selection import Selection
from medssl.meta._tau2 import log_likelihood

# odds ratio, lower and upper 95% limit of 37 studies (Hackshaw 1998, Stat Methods Med Res 7:119-136)
PASSIVE_SMOKING = """
1.18 0.90 1.54, 1.45 1.02 2.08, 2.02 0.48 8.56, 1.20 0.80 1.60, 0.75 0.43 1.30, 2.07 0.81 5.25,
2.13 1.19 3.83, 0.80 0.34 1.90, 0.79 0.25 2.45, 2.01 1.09 3.72, 1.23 0.81 1.87, 1.20 0.50 3.30,
1.52 0.87 2.63, 1.03 0.41 2.55, 1.55 0.90 2.67, 1.03 0.61 1.74, 2.34 0.81 6.75, 1.65 1.16 2.35,
1.19 0.82 1.73, 1.52 0.39 5.96, 2.16 1.08 4.29, 1.08 0.64 1.82, 2.55 0.74 8.78, 1.62 0.90 2.91,
1.06 0.74 1.52, 0.79 0.62 1.02, 0.74 0.32 1.69, 2.27 0.75 6.82, 0.97 0.78 1.21, 1.60 0.80 3.00,
1.19 0.66 2.13, 1.66 0.73 3.78, 1.26 1.04 1.54, 1.10 0.62 1.96, 1.66 1.12 2.45, 1.16 0.80 1.69,
1.11 0.67 1.84
"""


def selected(k=40, mu=0.2, tau=0.2, delta=0.3, seed=0):
    """Effects of which those with a one-sided p above 0.025 were kept with chance `delta`: yi, vi."""
    rng = np.random.default_rng(seed)
    v = rng.uniform(0.05, 0.4, size=20 * k) ** 2
    y = rng.normal(mu, np.sqrt(v + tau**2))
    kept = (y / np.sqrt(v) > stats.norm.isf(0.025)) | (rng.random(20 * k) < delta)
    return y[kept][:k], v[kept][:k]


def density(y, v, mu, tau2, steps, delta):
    """The density of an effect, unnormalised: its chance of selection times a normal density."""
    interval = sum(stats.norm.sf(y / np.sqrt(v)) > step for step in steps)
    return delta[interval] * stats.norm.pdf(y, mu, np.sqrt(v + tau2))


def slow(y, v, mu, tau2, steps, delta):
    """The log-likelihood, one effect after the other, normalised by numerical integration."""
    total = 0.0
    for each, variance in zip(y, v, strict=True):
        edges = np.sqrt(variance) * stats.norm.isf(np.array(steps))
        width = 12 * np.sqrt(variance + tau2)
        bounds = [mu - width, *sorted(edges), mu + width]
        area = sum(
            quad(density, low, high, args=(variance, mu, tau2, steps, delta), epsabs=1e-13)[0]
            for low, high in pairwise(bounds)
        )
        total += np.log(density(each, variance, mu, tau2, steps, delta) / area)
    return total


@pytest.mark.parametrize(("steps", "delta"), [((0.025,), (1, 0.4)), ((0.025, 0.1, 0.5), (1, 0.8, 1.7, 0.1))])
def test_the_likelihood_is_the_integrated_density(steps, delta):
    """Each likelihood equals one that loops over effects and integrates their densities numerically."""
    y, v = selected(k=12)
    for mu, tau2 in ((0.2, 0.05), (-0.3, 0.0), (0.6, 0.4)):
        value = Selection.of(y, v, steps).value(mu, tau2, np.log(delta[1:]))
        assert value == pytest.approx(slow(y, v, mu, tau2, steps, delta), rel=1e-9)


def test_the_score_is_the_derivative_of_the_likelihood():
    """The gradient agrees with central differences for every parameter."""
    selection = Selection.of(*selected(), (0.025, 0.5))
    point = np.array([0.3, 0.04, -0.5, -1.5])
    gradient = selection.value_and_gradient(*point[:2], point[2:])[1]
    for i, shift in enumerate(1e-6 * np.eye(4)):
        ends = [selection.value(*each[:2], each[2:]) for each in (point + shift, point - shift)]
        assert gradient[i] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6)


def test_no_point_of_a_fine_grid_is_more_likely():
    """The maximum beats 9261 points near it, which come close, and as many over a wide range."""
    y, v = selected()
    fit = selection_model(y, v)
    selection = Selection.of(y, v, (0.025,))
    at = np.array([fit.mu, fit.tau2, np.log(fit.delta[1])])
    assert selection.value(*at[:2], at[2:]) == pytest.approx(fit.log_likelihood)
    near = [np.linspace(-1, 1, 21) * error for error in (fit.mu_se, fit.tau2, 1.0)]
    wide = [np.linspace(-1, 1, 21), np.linspace(0, 0.3, 21), np.linspace(-6, 3, 21)]
    for axes in ([axis + each * 1.001 for axis, each in zip(near, at, strict=True)], wide):
        heights = [selection.value(mu, tau2, np.array([log])) for mu, tau2, log in product(*axes)]
        assert max(heights) <= fit.log_likelihood
        assert axes is wide or max(heights) > fit.log_likelihood - 1e-4


@pytest.mark.parametrize("steps", [(0.025,), (0.025, 0.5)])
def test_another_optimiser_and_hessian_give_the_same_fit(steps):
    """A simplex search from a poor start finds the same maximum; its numerical Hessian the same errors."""
    y, v = selected(k=60, seed=2)
    fit = selection_model(y, v, steps=steps)
    selection = Selection.of(y, v, steps)

    def negative(parameters):
        mu, tau2, *delta = parameters
        if tau2 < 0 or min(delta) <= 0:
            return np.inf
        return -selection.value(mu, tau2, np.log(delta))

    options = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 10000, "maxfev": 10000}
    other = minimize(negative, [0.5, 0.2, *[0.5] * len(steps)], method="Nelder-Mead", options=options)
    ours = np.array([fit.mu, fit.tau2, *fit.delta[1:]])
    np.testing.assert_allclose(ours, other.x, rtol=1e-4)
    assert -negative(ours) >= -other.fun - 1e-10
    errors = np.sqrt(np.diag(np.linalg.inv(approx_hess3(ours, negative))))
    np.testing.assert_allclose([fit.mu_se, fit.tau2_se, *fit.delta_se[1:]], errors, rtol=1e-4)


def test_metafor_prints_the_same_fit_of_the_passive_smoking_studies():
    """Weights, errors, tau2 and likelihood ratio agree with the six digits that metafor's selmodel gives."""
    rows = [row.split() for row in PASSIVE_SMOKING.replace("\n", " ").split(",")]
    ratio, low, high = np.array(rows, dtype=float).T
    v = ((np.log(high) - np.log(low)) / (2 * stats.norm.isf(0.025))) ** 2
    fit = selection_model(np.log(ratio), v, steps=(0.05, 0.10, 0.50))
    np.testing.assert_allclose(fit.delta, [1, 2.422079, 0.977543, 0.396713], rtol=1e-5)
    np.testing.assert_allclose(fit.delta_se[1:], [1.66085, 0.820387, 0.469235], rtol=1e-5)
    assert fit.lr_statistic == pytest.approx(7.066137, rel=1e-6)
    assert fit.tau2 == pytest.approx(0.03071325, rel=1e-5)
    assert fit.lr_df == 3


@pytest.mark.parametrize("alternative", ["greater", "less"])
def test_equal_chances_are_the_model_without_selection(alternative):
    """With delta of 1 mean, tau2 and likelihood are those of the maximum-likelihood random-effects model."""
    y, v = selected(seed=1)
    fit = selection_model(y, v, steps=(0.025, 0.5), alternative=alternative, delta=[1.0, 1.0])
    plain = random_effects(y, v, method="ML", test="z")
    assert fit.mu == pytest.approx(plain.coef[0], rel=1e-8)
    assert fit.tau2 == pytest.approx(plain.tau2, rel=1e-7)
    height = log_likelihood(plain.tau2, y, v, plain.design, restricted=False)
    assert fit.log_likelihood == pytest.approx(height)
    assert np.isnan([fit.lr_statistic, fit.lr_p, *fit.delta_se]).all()
    assert fit.lr_df == 0


def test_the_likelihood_ratio_compares_with_the_model_without_selection():
    """It is twice the rise of the likelihood, tested with one degree of freedom a step."""
    y, v = selected(seed=1)
    fit = selection_model(y, v)
    plain = fit.unselected
    rise = 2 * (fit.log_likelihood - log_likelihood(plain.tau2, y, v, plain.design, restricted=False))
    assert fit.lr_statistic == pytest.approx(rise)
    assert fit.lr_p == pytest.approx(stats.chi2.sf(rise, 1))
    assert plain.method == "ML"


def test_selection_is_recovered_in_simulations():
    """Over 40 sets of 150 the mean of mu and log delta is near the truth, where the plain mean is far off."""
    fits = [selection_model(*selected(k=150, seed=seed)) for seed in range(40)]
    for values, truth in (
        ([fit.mu for fit in fits], 0.2),
        ([np.log(fit.delta[1]) for fit in fits], np.log(0.3)),
    ):
        error = np.std(values, ddof=1) / np.sqrt(len(fits))
        assert abs(np.mean(values) - truth) < 3 * error
    plain = [fit.unselected.coef[0] for fit in fits]
    assert np.mean(plain) - 0.2 > 10 * np.std(plain, ddof=1) / np.sqrt(len(fits))
    assert np.mean([fit.ci_low <= 0.2 <= fit.ci_high for fit in fits]) > 0.85


def test_mirror_images_and_units():
    """Selection of negative effects mirrors that of positive ones; points instead of fractions rescale."""
    y, v = selected(seed=4)
    plain, mirrored = selection_model(y, v), selection_model(-y, v, alternative="less")
    assert mirrored.mu == pytest.approx(-plain.mu)
    assert (mirrored.tau2, mirrored.mu_se) == pytest.approx((plain.tau2, plain.mu_se))
    np.testing.assert_allclose(mirrored.delta, plain.delta)
    order = np.random.default_rng(0).permutation(len(y))
    scaled, moved = selection_model(100 * y, 1e4 * v), selection_model(y[order], v[order])
    for other, unit in ((scaled, 100), (moved, 1)):
        assert (other.mu, other.mu_se) == pytest.approx((unit * plain.mu, unit * plain.mu_se), rel=1e-6)
        assert (other.tau2, other.lr_p) == pytest.approx((unit**2 * plain.tau2, plain.lr_p), rel=1e-6)
        np.testing.assert_allclose(other.delta, plain.delta, rtol=1e-6)


def test_a_variance_at_zero_has_no_error():
    """Where tau2 is 0 its error is missing, and the score there points outwards."""
    y, v = selected(tau=0.0, seed=3)
    fit = selection_model(y, v)
    assert fit.tau2 == 0
    assert np.isnan(fit.tau2_se)
    assert np.isfinite([fit.mu_se, fit.delta_se[1]]).all()
    selection = Selection.of(y, v, (0.025,))
    gradient = selection.value_and_gradient(fit.mu, 0.0, np.log(fit.delta[1:]))[1]
    assert gradient[1] <= 0
    np.testing.assert_allclose(gradient[[0, 2]], 0, atol=1e-6)


def test_p_values_are_counted_in_intervals_closed_above():
    """A p value at a step belongs to the interval below it."""
    v = np.ones(3)
    y = stats.norm.isf([0.01, 0.5, 0.9])
    np.testing.assert_array_equal(Selection.of(y, v, (0.5,)).counts, [2, 1])
    fit = selection_model(*selected(), steps=(0.025, 0.5))
    p = stats.norm.sf(fit.unselected.yi / np.sqrt(fit.unselected.vi))
    np.testing.assert_array_equal(fit.counts, np.histogram(p, [0, 0.025, 0.5, 1])[0])


def test_an_interval_without_p_values_is_an_error_unless_its_chance_is_given():
    """With nothing significant the chance cannot be estimated, but a given one can be tried."""
    y, v = np.array([0.1, -0.2, 0.3, 0.05]), np.full(4, 0.1)
    with pytest.raises(RunError, match=r"no effect has a one-sided p value between 0 and 0\.025"):
        selection_model(y, v)
    with pytest.raises(RunError, match=r"between 0\.025 and 1"):
        selection_model(y + 5, v)
    harsh, mild = (selection_model(y, v, delta=[delta]) for delta in (5.0, 0.2))
    assert harsh.mu > mild.mu
    assert "were given, not estimated" in mild.report()


def test_a_likelihood_without_a_maximum_is_an_error(monkeypatch):
    """Weights that run to the limit, a flat top and a slope that does not rise stop with a reason."""
    y, v = selected()
    with monkeypatch.context() as patch:
        patch.setattr(_selection, "LOG_WEIGHT", 0.1)
        with pytest.raises(RunError, match="drifts away"):
            selection_model(y, v)
    with monkeypatch.context() as patch:
        patch.setattr(_selection, "_information", lambda selection, point: -np.eye(3))
        with pytest.raises(RunError, match="too flat"):
            selection_model(y, v)
    selection, point = Selection.of(y, v, (0.025,)), np.array([0.2, 0.04, -1.0])
    with pytest.raises(RunError, match="does not rise"):
        _selection._uphill(selection, point, 1e6, np.array([0.1, 0.0, 0.0]))


def test_the_report_states_chances_and_both_means():
    """The sentence gives the steps, the chances, the mean before selection and without it, and the test."""
    fit = selection_model(*selected())
    text = fit.report()
    for part in (f"{fit.delta[1]:.3g} times", f"{fit.mu:.3g}", f"{fit.unselected.coef[0]:.3g}", "at 0.025"):
        assert part in text
    assert f"chi-square(1) = {fit.lr_statistic:.2f}" in text


Y, V = [0.5, 0.1, 0.6, -0.1], [0.01, 0.02, 0.03, 0.04]


@pytest.mark.parametrize(
    ("yi", "vi", "options", "text"),
    [
        ([0.5, np.nan, 0.6, 0.1], V, {}, "yi has missing"),
        (Y, [0.01, 0.0, 0.03, 0.04], {}, "vi must be positive"),
        (Y, V[:3], {}, "yi has 4 values and vi has 3"),
        ([0.5], [0.01], {}, "needs at least 2 rows"),
        (Y, V, {"alternative": "two.sided"}, "alternative is 'two.sided'"),
        (Y, V, {"steps": (0.5, 0.025)}, "give increasing p values"),
        (Y, V, {"steps": (0.025, 1.0)}, "give increasing p values"),
        (Y, V, {"steps": ()}, "give increasing p values"),
        (Y, V, {"steps": "many"}, "steps is 'many'"),
        (Y, V, {"delta": [0.5, 0.5]}, "each of the 1 step"),
        (Y, V, {"delta": [0.0]}, "each of the 1 step"),
        (Y, V, {"delta": ["low"]}, "give one positive number"),
    ],
)
def test_bad_requests_are_refused(yi, vi, options, text):
    """Each malformed request raises a usage error that says what is wrong."""
    with pytest.raises(UsageError, match=text):
        selection_model(yi, vi, **options)
