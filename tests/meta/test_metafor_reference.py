"""Every number of the R reference, compared one by one; the book shows the same table."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

from medssl.meta import random_effects
from medssl.meta._tau2 import _generalised_q, log_likelihood
from medssl.meta.agreement import SAME, STATUSES, absent, agreement, expected_count

REFERENCE = json.loads(Path(__file__).with_name("metafor_reference.json").read_text())
SETS = ("bcg", "bcg_ablat", "bcg_ablat_year", "raudenbush1985", "raudenbush1985_weeks")
CLUSTERED = ("konstantopoulos2011", "konstantopoulos2011_year")
FULL = ("bcg", "raudenbush1985")
CHECKS = (
    "egger_rma",
    "egger_lm",
    "ranktest",
    "trimfill",
    "leave1out",
    "cooks",
    "rstudent",
    "hat",
    "cumulative",
)
STOPPED = ("qprofile", "egger_rma", "trimfill", "leave1out", "cooks", "rstudent", "hat", "cumulative")


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Return the comparison of the whole reference."""
    return agreement(REFERENCE)


def of_fits(table: pd.DataFrame) -> pd.Series:
    """Tell the numbers of the fits, made with a tight stopping rule, from those made with the default one."""
    return ~table.quantity.str.startswith(STOPPED)


@pytest.mark.parametrize("name", [*SETS, *CLUSTERED])
def test_no_number_is_skipped(table, name):
    """The comparison of a set has as many rows as the file has numbers, and no row twice."""
    part = table[table.set == name]
    assert len(part) == expected_count({name: REFERENCE[name]})
    assert not part.duplicated(["model", "quantity", "index"]).any()
    assert part[["metafor", "ours"]].notna().all(axis=None)


@pytest.mark.parametrize("name", [*SETS, *CLUSTERED])
def test_every_number_of_a_fit_agrees_with_metafor(table, name):
    """Each number of each fit is within its tolerance."""
    part = table[(table.set == name) & of_fits(table)]
    assert len(part) > 0
    pd.testing.assert_frame_equal(part[~part.agrees], part.head(0))


def test_closed_forms_agree_to_1e_8(table):
    """What needs no iteration is the same number."""
    closed = table.model.str.split().str[0].isin(["FE", "DL", "HE", "HS", "SJ", "lm", "Kendall"])
    closed |= table.quantity.isin(["QE", "QEp", "df", "trimfill.k0", "trimfill.side"])
    assert closed.sum() > 2000
    assert table.relative_difference[closed].max() <= 1e-8
    assert (table.tolerance[closed] == 1e-8).all()


def test_beyond_tolerance_the_stopping_rule_is_the_reason(table):
    """What differs more comes from fits that stopped early, and only the stop makes the difference."""
    outside = table[~table.agrees]
    assert not of_fits(outside).any()
    assert set(outside.status) <= set(STATUSES[1:3])


def test_ours_is_never_farther_from_the_optimum(table):
    """Wherever two values differ and something is maximised or solved, ours does it better."""
    assert set(table.nearer) == {"", "ours"}
    solved = table.quantity.isin(["sigma2", "leave1out.tau2"]) | table.quantity.str.startswith("qprofile")
    differs = table.relative_difference > 1e-10
    assert (table.nearer[solved & differs] == "ours").all()


def test_at_equal_variance_all_formulas_agree(table):
    """At the variance where metafor's iteration ended, whatever depends on it is the same number."""
    assert table.same_variance_difference.max() <= SAME
    depends = table.quantity.str.startswith(
        ("leave1out", "cooks", "rstudent", "hat", "egger_rma", "cumulative")
    )
    assert table.same_variance[depends].notna().all()


def test_where_metafor_has_no_number_neither_have_we():
    """A prediction interval of a common effect and the like are absent on both sides."""
    cells = absent(REFERENCE)
    assert cells.agrees.all()
    nulls = sum(
        cell in (None, []) for name in SETS for fit in REFERENCE[name]["fits"] for cell in fit.values()
    )
    assert len(cells) == nulls > 0


def test_the_grid_cannot_shrink_to_the_cases_that_pass(table):
    """All estimators, tests, models and checks are in the reference, for all seven sets."""
    random = ("DL", "HE", "HS", "SJ", "ML", "REML", "EB", "PM")
    complete = {(method, test) for method in random for test in ("z", "knha", "adhoc")}
    complete.add(("FE", "z"))
    for name in SETS:
        assert {(f["method"], f["test"]) for f in REFERENCE[name]["fits"]} == complete
        cells = 21 if "x" in REFERENCE[name] else 15
        assert [len(fit) - 2 for fit in REFERENCE[name]["fits"]] == [cells] * 25
    for name in CLUSTERED:
        fits = [(fit["model"], fit["rho"]) for fit in REFERENCE[name]["fits"]]
        assert fits == [("three_level", 0), ("che", 0.6), ("che", 0.8)]
    for name in FULL:
        assert set(CHECKS) <= set(REFERENCE[name])
    assert set(table.set) == {*SETS, *CLUSTERED} == set(REFERENCE) - {"meta"}
    assert len(table) == 3955


@pytest.mark.parametrize("name", SETS)
def test_q_profile_limits_solve_their_equation_better_than_the_printed_ones(table, name):
    """Limits agree within the printed ones' stopping rule, 1.3e-4, and ours solve the equation."""
    data = REFERENCE[name]
    fit = random_effects(data["yi"], data["vi"], pd.DataFrame(data["x"]) if "x" in data else None)
    np.testing.assert_allclose(fit.tau2_interval(), data["qprofile_tau2"][1:], rtol=0, atol=1.3e-4)
    np.testing.assert_allclose(fit.i2_interval(), data["qprofile_I2"][1:], rtol=0, atol=0.02)
    for tail, mine in zip((0.975, 0.025), fit.tau2_interval(), strict=True):
        target = chi2.ppf(tail, fit.k - len(fit.names))
        gap = _generalised_q(mine, fit.yi, fit.vi, fit.design) - target
        assert abs(gap) < 1e-9 * target or (mine == 0 and gap < 0)
    limits = table[(table.set == name) & table.quantity.str.startswith("qprofile")]
    assert ((limits.nearer == "ours") | (limits.relative_difference <= 1e-10)).all()


@pytest.mark.parametrize("name", SETS)
def test_reml_is_at_least_as_likely_as_the_estimate_that_metafor_prints(name):
    """The restricted likelihood at our tau2 is not below that at metafor's less exact printed estimate."""
    data = REFERENCE[name]
    fit = random_effects(data["yi"], data["vi"], pd.DataFrame(data["x"]) if "x" in data else None)
    theirs = data["qprofile_tau2"][0]  # made with metafor's default threshold
    heights = [log_likelihood(t, fit.yi, fit.vi, fit.design, restricted=True) for t in (fit.tau2, theirs)]
    assert heights[0] >= heights[1]
    assert fit.tau2 == pytest.approx(theirs, abs=1e-5)
