"""Every bias and influence cell of metafor's reference values, under its stopping rule and at our optimum."""

import json
from pathlib import Path

import numpy as np
import pytest

from medssl.meta import (
    cumulative,
    egger,
    influence,
    leave_one_out,
    random_effects,
    rank_correlation,
    trim_and_fill,
)
from medssl.meta._tau2 import METHODS, Tau2, _score
from medssl.meta._wls import weighted_fit

REFERENCE = json.loads(Path(__file__).with_name("metafor_reference.json").read_text())
SETS = ("bcg", "raudenbush1985")
OTHER = {"yi", "vi", "fits", "qprofile_tau2", "qprofile_I2"}  # compared in test_metafor_reference.py
CLOSED = ("egger_lm", "ranktest")
# metafor stops once a step of tau2 is below 1e-5, and the smallest tau2 of the second set is 0.0026
STOPPED = {"bcg": 1e-5, "raudenbush1985": 6e-3}


def cells(name) -> dict[str, dict[str, object]]:
    """Our values in the shape of the reference; its fits are REML with z tests."""
    y, v = REFERENCE[name]["yi"], REFERENCE[name]["vi"]
    regression, classical = egger(y, v), egger(y, v, form="classical")
    rank, filled = rank_correlation(y, v), trim_and_fill(y, v, test="z")
    left, moved = leave_one_out(y, v, test="z"), influence(y, v, test="z")
    return {
        "egger_rma": {"stat": regression.statistic, "p": regression.p_value},
        "egger_lm": {"stat": classical.statistic, "p": classical.p_value},
        "ranktest": {"tau": rank.tau, "p": rank.p_value},
        "trimfill": {
            "k0": filled.k0,
            "side": filled.side,
            "beta": filled.fit.coef[0],
            "se": filled.fit.se[0],
        },
        "leave1out": {key: left[key] for key in ("estimate", "se", "tau2")},
        "cooks": moved.cook_d,
        "rstudent": moved.rstudent,
        "hat": moved.hat,
        "cumulative": cumulative(y, v, test="z").estimate,
    }


def leaves(tree, path=()):
    """Yield the path and the value of every number, text or list of a nested dictionary."""
    if isinstance(tree, dict):
        for key, branch in tree.items():
            yield from leaves(branch, (*path, key))
    else:
        yield path, tree


def expected(name):
    return {path: value for path, value in leaves(REFERENCE[name]) if path[0] not in OTHER}


@pytest.fixture
def metafors_reml(monkeypatch):
    """REML as metafor iterates it: Fisher scoring from Hedges' estimate until a step is below 1e-5."""

    def scoring(y, v, design):
        tau2, step = METHODS["HE"](y, v, design).value, np.inf
        while abs(step) > 1e-5:
            fit = weighted_fit(y, design, 1 / (v + tau2))
            step = (fit.quadratic_square() - fit.trace()) / fit.trace_square()
            while tau2 + step < 0:
                step /= 2
            tau2 += step
        return Tau2(float(tau2), float("nan"))

    monkeypatch.setitem(METHODS, "REML", scoring)


@pytest.mark.parametrize("name", SETS)
def test_every_cell_agrees_once_iterations_stop_where_metafors_do(name, metafors_reml):
    """With metafor's own stopping rule each of its numbers is ours to a relative 1e-8."""
    ours, theirs = dict(leaves(cells(name))), expected(name)
    assert set(ours) == set(theirs)
    for path, value in theirs.items():
        if isinstance(value, str):
            assert ours[path] == value
        else:
            np.testing.assert_allclose(ours[path], value, rtol=1e-8, err_msg=str(path))


@pytest.mark.parametrize("name", SETS)
def test_every_cell_agrees_at_the_exact_optimum(name):
    """At our optimum closed forms agree to 1e-8, the rest within what metafor's stopping rule leaves open."""
    ours = dict(leaves(cells(name)))
    for path, value in expected(name).items():
        if isinstance(value, str | int):
            assert ours[path] == value
        else:
            tolerance = 1e-8 if path[0] in CLOSED else STOPPED[name]
            np.testing.assert_allclose(ours[path], value, rtol=tolerance, err_msg=str(path))


@pytest.mark.parametrize("name", SETS)
def test_our_deleted_variances_solve_the_likelihood_equation_better(name):
    """Without each effect the score of the likelihood is nearer to 0 at our tau2 than at metafor's."""
    y, v = np.array(REFERENCE[name]["yi"]), np.array(REFERENCE[name]["vi"])
    table = leave_one_out(y, v, test="z")
    for i, theirs in enumerate(REFERENCE[name]["leave1out"]["tau2"]):
        rest, variances = np.delete(y, i), np.delete(v, i)
        one = np.ones((len(rest), 1))
        scores = [_score(t, rest, variances, one, restricted=True) for t in (table.tau2[i], theirs)]
        assert abs(scores[0]) <= abs(scores[1])
        assert abs(scores[0]) < 1e-8
        assert table.tau2[i] == pytest.approx(theirs, abs=5e-5)


def test_no_cell_of_the_reference_is_left_out():
    """The two sets hold the nine kinds of values that are compared, 10 cells and 7 lists of k numbers."""
    for name in SETS:
        found = expected(name)
        assert {path[0] for path in found} == set(cells(name))
        lists = [value for value in found.values() if isinstance(value, list)]
        assert all(len(value) == len(REFERENCE[name]["yi"]) for value in lists)
        assert (len(found) - len(lists), len(lists)) == (10, 7)
    others = [name for name in REFERENCE if name not in (*SETS, "meta")]
    assert not any(set(cells("bcg")) & set(REFERENCE[name]) for name in others)


def test_other_numbers_that_metafor_prints_for_the_bcg_trials(metafors_reml):
    """The first row of metafor's influence() and leave1out() agrees, and so do their flags for FE."""
    y, v = REFERENCE["bcg"]["yi"], REFERENCE["bcg"]["vi"]
    row = influence(y, v, test="z").iloc[0]
    printed = {
        "dffits": -0.0407075604868486, "cov_r": 1.11644891104804, "q_deleted": 151.582572747109,
        "weight": 5.05948307931551, "dfbetas_intercept": -0.0402659025974144,
    }  # fmt: skip
    for column, value in printed.items():
        assert row[column] == pytest.approx(value, rel=1e-10)
    left = leave_one_out(y, v, test="z").iloc[0]
    printed = {
        "statistic": -3.72225717953459, "p_value": 0.000197449759023198, "ci_low": -1.07940055491509,
        "ci_high": -0.334767021147788, "q_p": 7.0778599767807e-27, "i2": 93.2259349111223,
    }  # fmt: skip
    for column, value in printed.items():
        assert left[column] == pytest.approx(value, rel=1e-7)
    assert influence(y, v, method="FE", test="z").influential.sum() == 3


def test_cook_and_leverage_that_metafor_prints_with_a_moderator(metafors_reml):
    """With absolute latitude as the moderator both agree to the four decimals that are printed."""
    data = REFERENCE["bcg_ablat"]
    table = influence(data["yi"], data["vi"], data["x"]["ablat"], test="z")
    cook = [
        0.0048, 0.0489, 0.0104, 0.2495, 0.0072, 0.2883, 0.3643, 0.2719, 0.02, 0.1645, 0.0009, 0.0403, 0.1433,
    ]  # fmt: skip
    hat = [
        0.049, 0.1493, 0.0351, 0.3481, 0.2248, 0.2367, 0.064, 0.357, 0.0926, 0.1157, 0.2309, 0.0189, 0.0778,
    ]  # fmt: skip
    np.testing.assert_allclose(table.cook_d, cook, rtol=0, atol=1e-4)
    np.testing.assert_allclose(table.hat, hat, rtol=0, atol=1e-4)


def test_the_stopping_rule_is_what_keeps_the_two_apart(metafors_reml):
    """Under metafor's rule tau2 of all effects is the printed one; tolerances hide nothing else."""
    for name in SETS:
        fit = random_effects(REFERENCE[name]["yi"], REFERENCE[name]["vi"])
        assert fit.tau2 == pytest.approx(REFERENCE[name]["qprofile_tau2"][0], rel=1e-10)
