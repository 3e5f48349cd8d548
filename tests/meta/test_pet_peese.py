"""PET, PEESE and the choice between them."""

import numpy as np
import pytest
import statsmodels.api as sm

from medssl.errors import UsageError
from medssl.meta import egger, multilevel, pet_peese

Y, V = [0.10, 0.04, 0.01, 0.02, 0.05], [0.0009, 0.0004, 0.0002, 0.0001, 0.0005]


def funnel(effect, slope, k=60, seed=0):
    """Effects with a linear trend in their standard error: yi, vi."""
    rng = np.random.default_rng(seed)
    se = rng.uniform(0.02, 0.3, size=k)
    return effect + slope * se + rng.normal(scale=se), se**2


def test_both_regressions_are_weighted_least_squares():
    """PET and PEESE are statsmodels' WLS on the standard error and on the variance."""
    y, v = funnel(0.1, 1.0)
    result = pet_peese(y, v)
    for limit, predictor in ((result.pet, np.sqrt(v)), (result.peese, v)):
        wls = sm.WLS(y, sm.add_constant(predictor), weights=1 / v).fit()
        assert (limit.estimate, limit.slope) == pytest.approx(tuple(wls.params))
        assert (limit.se, limit.slope_se) == pytest.approx(tuple(wls.bse))
        assert (limit.p_value, limit.slope_p) == pytest.approx(tuple(wls.pvalues))
        assert (limit.ci_low, limit.ci_high) == pytest.approx(tuple(wls.conf_int()[0]))
        assert limit.statistic == pytest.approx(wls.tvalues[0])
        assert limit.df == len(y) - 2


def test_pet_is_the_limit_of_eggers_classical_test():
    """The intercept of PET is Egger's limit and its slope Egger's slope."""
    y, v = funnel(0.1, 1.0)
    test, result = egger(y, v, form="classical"), pet_peese(y, v)
    assert (result.pet.estimate, result.pet.slope) == (test.limit, test.slope)


def test_clusters_give_robust_multilevel_regressions(clustered):
    """With clusters both are CR2 fits of the multilevel model with the correlation that was asked for."""
    data = clustered()
    result = pet_peese(data.y, data.v, cluster=data.cluster, rho=0.8)
    for limit, predictor in ((result.pet, np.sqrt(data.v)), (result.peese, data.v)):
        robust = multilevel(data.y, data.v, data.cluster, predictor, rho=0.8).robust("CR2")
        assert (limit.estimate, limit.slope) == pytest.approx(tuple(robust.coef))
        assert (limit.df, limit.p_value) == pytest.approx((robust.df[0], robust.p_value[0]))
        assert (limit.ci_low, limit.ci_high) == pytest.approx((robust.ci_low[0], robust.ci_high[0]))


def test_the_rule_takes_pet_without_and_peese_with_an_effect():
    """No true effect keeps PET; a clear one takes PEESE; each choice says why and copies its numbers."""
    for effect, taken in ((0.0, "PET"), (0.3, "PEESE")):
        result = pet_peese(*funnel(effect, 1.0))
        assert result.taken == taken
        chosen = result.pet if taken == "PET" else result.peese
        for name in ("estimate", "se", "ci_low", "ci_high", "p_value"):
            assert getattr(result, name) == getattr(chosen, name)
        assert result.estimate == pytest.approx(effect, abs=0.05)
        assert ("does not differ" in result.reason) == (taken == "PET")
        assert result.report().startswith(f"{taken} was taken for 60 effects because PET's intercept")
        assert f"{result.estimate:.3g}" in result.report()


def test_alpha_moves_the_choice_and_level_the_limits():
    """The choice turns at the p value of PET; a lower level narrows the limits."""
    y, v = funnel(0.05, 1.0, seed=3)
    p = pet_peese(y, v).pet.p_value
    assert pet_peese(y, v, alpha=p * 1.001).taken == "PEESE"
    assert pet_peese(y, v, alpha=p * 0.999).taken == "PET"
    wide, narrow = pet_peese(y, v).pet, pet_peese(y, v, level=0.5).pet
    assert narrow.ci_low > wide.ci_low
    assert narrow.ci_high < wide.ci_high
    assert "50% interval" in pet_peese(y, v, level=0.5).report()


@pytest.mark.parametrize("groups", [None, 3])
def test_unit_and_order_change_nothing(groups):
    """Effects in points give limits in points and the same choice, in any order of rows."""
    y, v = funnel(0.1, 1.0, k=30)
    cluster = None if groups is None else np.arange(30) // groups
    order = np.random.default_rng(0).permutation(30)
    moved_cluster = None if groups is None else cluster[order]
    plain = pet_peese(y, v, cluster=cluster)
    scaled = pet_peese(100 * y, 1e4 * v, cluster=cluster)
    moved = pet_peese(y[order], v[order], cluster=moved_cluster)
    for other, unit in ((scaled, 100), (moved, 1)):
        assert other.taken == plain.taken
        assert other.estimate == pytest.approx(unit * plain.estimate, rel=1e-6)
        assert other.pet.slope == pytest.approx(plain.pet.slope, rel=1e-6)
        assert other.peese.slope == pytest.approx(plain.peese.slope / unit, rel=1e-6)
        assert other.pet.p_value == pytest.approx(plain.pet.p_value, rel=1e-6)


@pytest.mark.parametrize(
    ("yi", "vi", "options", "text"),
    [
        ([0.1, np.nan, 0.3, 0.1, 0.2], V, {}, "yi has missing"),
        (Y, [0.0009, 0.0, 0.0002, 0.0001, 0.0005], {}, "vi must be positive"),
        (Y, V[:4], {}, "yi has 5 values and vi has 4"),
        (Y[:1], V[:1], {}, "vi are all equal"),
        (Y[:2], V[:2], {}, "needs at least 3 rows"),
        (Y, [0.01] * 5, {}, "vi are all equal"),
        (Y, V, {"alpha": 5}, "alpha is 5"),
        (Y, V, {"level": 95}, "level is 95"),
        (Y, V, {"cluster": list("aaaaa")}, "one cluster only"),
        (Y, V, {"cluster": list("ab")}, "cluster has 2 values"),
        (Y, V, {"cluster": list("aabbc"), "rho": 1.5}, "rho is 1.5"),
    ],
)
def test_bad_requests_are_refused(yi, vi, options, text):
    """Each malformed request raises a usage error that says what is wrong."""
    with pytest.raises(UsageError, match=text):
        pet_peese(yi, vi, **options)
