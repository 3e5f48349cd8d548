"""Edge cases of the Q-profile interval, and the profile likelihood of tau2."""

import numpy as np
import pytest
from scipy.stats import chi2

from medssl.errors import UsageError
from medssl.meta import random_effects


def test_an_empty_interval_says_so():
    """Effects that scatter far less than their variances allow give an empty interval, in words too."""
    fit = random_effects([0.10, 0.11, 0.09, 0.10], [1.0] * 4)
    assert fit.tau2_interval().is_empty
    assert "Q-profile interval is empty" in fit.report()


def test_a_lower_limit_of_zero_is_not_empty():
    """An interval from 0 to a positive limit holds values and is reported with its limits."""
    fit = random_effects([0.0, 0.3, 0.1, -0.1], [0.02, 0.03, 0.02, 0.04])
    low, high = fit.tau2_interval()
    assert low == 0 < high
    assert not fit.tau2_interval().is_empty
    assert f"interval 0 to {high:.3g}" in fit.report()


def test_two_effects_have_a_huge_upper_limit_in_closed_form():
    """With two effects of equal variance the limits are (y1 - y2)^2 / 2 / quantile - v."""
    fit = random_effects([0.0, 2.0], [0.1, 0.1])
    expected = 2.0 / chi2.ppf([0.975, 0.025], 1) - 0.1
    np.testing.assert_allclose(fit.tau2_interval(), expected, rtol=1e-9)
    assert fit.tau2_interval().high > 1000


def test_the_profile_of_tau2_is_the_likelihood_ratio_interval():
    """Limits lie where twice the fall of the restricted likelihood is the chi-square quantile."""
    from medssl.meta._tau2 import log_likelihood

    fit = random_effects([0.0, 0.8, 0.1, -0.4, 0.5], [0.02, 0.03, 0.02, 0.04, 0.05])
    profile = fit.profile(level=0.9)
    top = log_likelihood(fit.tau2, fit.yi, fit.vi, fit.design, restricted=True)
    for limit in (profile.low, profile.high):
        fall = top - log_likelihood(limit, fit.yi, fit.vi, fit.design, restricted=True)
        assert limit == 0 or 2 * fall == pytest.approx(chi2.ppf(0.9, 1), rel=1e-6)
    assert profile.low < fit.tau2 < profile.high
    assert profile.table.log_likelihood.max() == pytest.approx(top)
    with pytest.raises(UsageError, match="fit with ML or REML"):
        random_effects([0.0, 0.8, 0.1], [0.02, 0.03, 0.02], method="DL").profile()
