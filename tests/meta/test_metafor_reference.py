"""Every cell of metafor's reference fits, compared one by one."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

from medssl.meta import random_effects
from medssl.meta._tau2 import _generalised_q, log_likelihood

REFERENCE = json.loads(Path(__file__).with_name("metafor_reference.json").read_text())
SETS = ("bcg", "bcg_ablat", "bcg_ablat_year", "raudenbush1985", "raudenbush1985_weeks")
ITERATED = ("ML", "REML", "EB", "PM")
SCALARS = {
    "tau2": "tau2", "se_tau2": "tau2_se", "I2": "i2", "H2": "h2", "QE": "q", "QEp": "q_p",
    "df": "df", "QM": "qm", "QMp": "qm_p", "R2": "r2",
}  # fmt: skip
ARRAYS = {
    "beta": "coef",
    "se": "se",
    "stat": "statistic",
    "p": "p_value",
    "ci_lb": "ci_low",
    "ci_ub": "ci_high",
}
PREDICTIONS = {
    "pi_lb": "pi_low", "pi_ub": "pi_high",
    "pred": "estimate", "pred_ci_lb": "ci_low", "pred_ci_ub": "ci_high",
    "pred_pi_lb": "pi_low", "pred_pi_ub": "pi_high",
}  # fmt: skip
GRID = [(name, i) for name in SETS for i in range(len(REFERENCE[name]["fits"]))]


def fit_of(name, **options):
    data = REFERENCE[name]
    moderators = pd.DataFrame(data["x"]) if "x" in data else None
    return random_effects(data["yi"], data["vi"], moderators, **options)


def ours(fit, key):
    """Our value for a cell of the reference, as an array."""
    if key in PREDICTIONS:
        return fit.predict()[PREDICTIONS[key]].to_numpy()[:3]
    return np.atleast_1d(getattr(fit, {**SCALARS, **ARRAYS}[key]))


def tolerance(method, key):
    """Relative tolerance of a cell: 1e-8 for closed forms, 1e-5 for iterated tau2, 1e-6 for coefficients."""
    if method not in ITERATED:
        return 1e-8
    return 1e-6 if key in ARRAYS else 1e-5


@pytest.mark.parametrize(("name", "i"), GRID)
def test_every_cell_of_a_fit_agrees_with_metafor(name, i):
    """Each number that metafor gives for a fit is ours too, and none is left out."""
    cells = dict(REFERENCE[name]["fits"][i])
    method, test = cells.pop("method"), cells.pop("test")
    fit = fit_of(name, method=method, test=test)
    assert set(cells) <= {*SCALARS, *ARRAYS, *PREDICTIONS}
    for key, expected in cells.items():
        if expected is None or expected == []:  # metafor has no such number here, and neither have we
            assert not np.isfinite(ours(fit, key)).any(), key
        else:
            expected = np.atleast_1d(expected)
            np.testing.assert_allclose(ours(fit, key), expected, tolerance(method, key), err_msg=key)


def test_the_grid_cannot_shrink_to_the_cases_that_pass():
    """All nine estimators and three tests are in the reference grid, for all five sets."""
    random = ("DL", "HE", "HS", "SJ", "ML", "REML", "EB", "PM")
    complete = {(method, test) for method in random for test in ("z", "knha", "adhoc")}
    complete.add(("FE", "z"))
    for name in SETS:
        assert {(f["method"], f["test"]) for f in REFERENCE[name]["fits"]} == complete
    assert len(GRID) == 5 * 25
    counts = {name: sum(len(fit) - 2 for fit in REFERENCE[name]["fits"]) for name in SETS}
    assert counts == {name: 25 * (21 if "x" in REFERENCE[name] else 15) for name in SETS}


@pytest.mark.parametrize("name", SETS)
def test_q_profile_limits_solve_their_equation_better_than_the_printed_ones(name):
    """Limits agree within the printed ones' stopping rule, 1.3e-4, and ours are nearer to the quantiles."""
    data = REFERENCE[name]
    fit = fit_of(name)
    np.testing.assert_allclose(fit.tau2_interval(), data["qprofile_tau2"][1:], rtol=0, atol=1.3e-4)
    np.testing.assert_allclose(fit.i2_interval(), data["qprofile_I2"][1:], rtol=0, atol=0.02)
    pairs = zip(fit.tau2_interval(), data["qprofile_tau2"][1:], strict=True)
    for tail, (mine, theirs) in zip((0.975, 0.025), pairs, strict=True):
        target = chi2.ppf(tail, fit.k - len(fit.names))
        gap = [abs(_generalised_q(t, fit.yi, fit.vi, fit.design) - target) for t in (mine, theirs)]
        assert mine == theirs == 0 or (gap[0] <= gap[1] and gap[0] < 1e-9 * target)


@pytest.mark.parametrize("name", SETS)
def test_reml_is_at_least_as_likely_as_the_estimate_that_metafor_prints(name):
    """The restricted likelihood at our tau2 is not below that at metafor's less exact printed estimate."""
    fit = fit_of(name)
    theirs = REFERENCE[name]["qprofile_tau2"][0]  # made with metafor's default threshold
    heights = [log_likelihood(t, fit.yi, fit.vi, fit.design, restricted=True) for t in (fit.tau2, theirs)]
    assert heights[0] >= heights[1]
    assert fit.tau2 == pytest.approx(theirs, abs=1e-5)
