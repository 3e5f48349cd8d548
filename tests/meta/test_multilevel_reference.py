"""Every cell of metafor's and clubSandwich's multilevel fits, compared one by one."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medssl.meta import multilevel

REFERENCE = json.loads(Path(__file__).with_name("metafor_reference.json").read_text())
SETS = ("konstantopoulos2011", "konstantopoulos2011_year")
GRID = [(name, i) for name in SETS for i in range(len(REFERENCE[name]["fits"]))]
# how to read a cell from a fit, and its relative tolerance
CELLS = {
    "sigma2": (lambda fit: fit.sigma2, 1e-4),
    "beta": (lambda fit: fit.coef, 1e-5),
    "se": (lambda fit: fit.se, 1e-5),
    "logLik": (lambda fit: fit.log_likelihood, 1e-8),
    "QE": (lambda fit: fit.q, 1e-8),
    "cr2_se": (lambda fit: fit.robust("CR2").se, 1e-5),
    "cr2_df": (lambda fit: fit.robust("CR2").df, 1e-3),
    "cr2_p": (lambda fit: fit.robust("CR2").p_value, 1e-3),
    "cr1_se": (lambda fit: fit.robust("CR1").se, 1e-5),
}
LABELS = {"model", "rho"}


def fit_of(name, rho):
    data = REFERENCE[name]
    moderators = pd.DataFrame(data["x"]) if "x" in data else None
    return multilevel(data["yi"], data["vi"], data["cluster"], moderators, rho=rho)


@pytest.mark.parametrize(("name", "i"), GRID)
def test_every_cell_of_a_fit_agrees_with_metafor_and_clubsandwich(name, i):
    """Each number that the reference gives for a fit is ours too, and none is left out."""
    cells = REFERENCE[name]["fits"][i]
    fit = fit_of(name, cells["rho"])
    assert set(cells) == LABELS | set(CELLS)
    assert (cells["model"] == "three_level") == (cells["rho"] == 0)
    for key, (read, tolerance) in CELLS.items():
        ours, theirs = np.atleast_1d(read(fit)), np.atleast_1d(cells[key])
        assert ours.shape == theirs.shape, key
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, err_msg=key)


def test_the_grid_cannot_shrink_to_the_cases_that_pass():
    """The three working models are in the reference for both sets, with every cell a number."""
    models = {("three_level", 0), ("che", 0.6), ("che", 0.8)}
    for name in SETS:
        fits = REFERENCE[name]["fits"]
        assert {(fit["model"], fit["rho"]) for fit in fits} == models
        assert len(fits) == len(models)
        assert all(np.isfinite(fit[key]).all() for fit in fits for key in CELLS)
    assert len(GRID) == 6
    with_clusters = {name for name, value in REFERENCE.items() if "cluster" in value}
    assert with_clusters == set(SETS)


@pytest.mark.parametrize(("name", "i"), GRID)
def test_our_variances_are_at_least_as_likely_as_the_printed_ones(name, i):
    """The restricted likelihood at our variances is not below that at metafor's."""
    cells = REFERENCE[name]["fits"][i]
    fit = fit_of(name, cells["rho"])
    assert fit.log_likelihood >= fit._likelihood.at(cells["sigma2"], derivatives=False).value - 1e-12


@pytest.mark.parametrize("name", SETS)
def test_rho_of_none_and_of_zero_are_the_three_level_model(name):
    """Leaving rho out gives the three-level fit."""
    left_out, zero = fit_of(name, None), fit_of(name, 0)
    np.testing.assert_array_equal(left_out.sigma2, zero.sigma2)
    assert left_out.rho == zero.rho == 0
    assert left_out.log_likelihood == zero.log_likelihood
