"""The comparison with a reference sees what differs, says who is right, and leaves nothing out."""

import copy
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from medssl.errors import RunError, UsageError
from medssl.meta import _agreement_checks, random_effects
from medssl.meta._agreement_cells import Entry, expected_values, likelihood_misfit, relative_difference
from medssl.meta._stopping import stopped_tau2
from medssl.meta.agreement import INPUTS, absent, agreement, expected_count
from medssl.meta.leave_one_out import leave_one_out

REFERENCE = json.loads(Path(__file__).with_name("metafor_reference.json").read_text())
FULL = ("bcg", "raudenbush1985")


def changed(value, key=""):
    """Return a reference in which each number but the data is two percent larger, and each side the other."""
    if key in (*INPUTS, "meta"):
        return value
    if isinstance(value, dict):
        return {name: changed(part, name) for name, part in value.items()}
    if isinstance(value, list):
        return [changed(part) for part in value]
    if isinstance(value, str):
        return {"left": "right", "right": "left"}.get(value, value)
    return value if value is None else 1.02 * value


def test_a_change_of_any_number_is_seen():
    """With every number of the reference two percent off, every row but the zeros disagrees."""
    table = agreement(changed(REFERENCE))
    zero = table.metafor == 0
    assert len(table) == expected_count(REFERENCE)
    assert table.agrees[zero].all()
    assert not table.agrees[~zero].any()
    assert set(table.quantity[zero]) == {"tau2", "qprofile_tau2", "qprofile_I2"}


def test_a_wrong_number_that_nothing_excuses_is_unexplained():
    """A wrong coefficient of a closed form is neither within tolerance nor anybody's early stop."""
    reference = copy.deepcopy({"bcg": REFERENCE["bcg"]})
    fit = next(fit for fit in reference["bcg"]["fits"] if (fit["method"], fit["test"]) == ("DL", "knha"))
    fit["beta"] *= 1 + 1e-6
    (row,) = agreement(reference).query("status == 'unexplained'").itertuples()
    assert (row.model, row.quantity, row.nearer) == ("DL knha", "beta", "")
    assert row.relative_difference == pytest.approx(1e-6, rel=1e-3)


def test_who_is_nearer_follows_the_likelihood():
    """Whichever of the two values is higher up the likelihood is the nearer one."""

    def height(value):
        return -((value - 2.0) ** 2)

    def nearer(ours, theirs):
        misfit = likelihood_misfit((ours, theirs), height, lambda value: abs(value - 2.0))
        (row,) = Entry("model", "tau2", theirs, ours, 1e-5, misfit=misfit).rows("set")
        return row["nearer"]

    assert nearer(2.0, 2.1) == "ours"
    assert nearer(2.1, 2.0) == "metafor"
    assert nearer(1.9, 2.1) == "equal"
    assert nearer(2.0, 2.0) == ""  # the same number


def test_slopes_decide_where_rounding_hides_the_likelihood():
    """Two values whose likelihoods are the same to the last digits are told apart by their slopes."""
    misfit = likelihood_misfit((2.0, 2.0 + 1e-9), lambda x: 100 - (x - 2) ** 2, lambda x: abs(x - 2))
    assert misfit[0, 0] == 0 < misfit[0, 1]


def test_relative_differences():
    """The difference is relative to the reference, 0 for equal zeros and infinite beside a single zero."""
    ours, theirs = np.array([1.1, 0.0, 0.1, -1.0]), np.array([1.0, 0.0, 0.0, 1.0])
    np.testing.assert_allclose(relative_difference(ours, theirs), [0.1, 0, np.inf, 2])


def test_values_of_an_entry():
    """Numbers, vectors, sides and absent numbers are read alike."""
    assert expected_values(None).size == expected_values([]).size == 0
    assert expected_values("left").tolist() == [-1.0]
    assert expected_values("right").tolist() == [1.0]
    assert expected_values(3).tolist() == [3.0]
    assert expected_values([1, 2]).tolist() == [1.0, 2.0]


def test_the_count_walks_the_file():
    """Numbers and sides count; data, assumed correlations, names and absent numbers do not."""
    data = {"yi": [1, 2], "vi": [1, 2], "x": {"a": [1, 2]}, "cluster": [1, 1], "hat": [0.5, 0.5]}
    fits = [{"method": "FE", "tau2": 0, "R2": None, "pi_lb": [], "beta": [1, 2]}, {"rho": 0.6, "se": 1.5}]
    side = {"trimfill": {"k0": 2, "side": "left"}}
    assert expected_count({"meta": {"n": 3}, "a": {**data, "fits": fits, **side}}) == 2 + 3 + 1 + 2


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda data: data.update(radial=[1.0]), "set 'bcg' has 'radial'"),
        (lambda data: data["fits"][0].update(vb=1.0), "has 'vb' in a fit"),
    ],
)
def test_an_entry_that_nothing_compares_is_refused(change, match):
    """A new entry of the reference cannot be passed over in silence."""
    reference = copy.deepcopy({"bcg": REFERENCE["bcg"]})
    change(reference["bcg"])
    with pytest.raises(UsageError, match=match):
        agreement(reference)


def test_a_new_number_of_a_multilevel_fit_is_refused():
    """The same holds for effects in clusters."""
    reference = copy.deepcopy({"schools": REFERENCE["konstantopoulos2011"]})
    reference["schools"]["fits"][0]["aic"] = 1.0
    with pytest.raises(UsageError, match="has 'aic' in a fit"):
        agreement(reference)


def test_a_reference_without_numbers_is_refused():
    """An empty comparison would agree with anything."""
    with pytest.raises(UsageError, match="no number"):
        agreement({"meta": {}})


def test_a_number_of_ours_where_the_reference_has_none_is_seen():
    """A coefficient that the reference does not give counts as a disagreement of absent numbers."""
    reference = copy.deepcopy({"bcg": REFERENCE["bcg"]})
    reference["bcg"]["fits"][3]["beta"] = None
    cells = absent(reference)
    assert cells[~cells.agrees].quantity.tolist() == ["beta"]


@pytest.mark.parametrize("name", FULL)
def test_the_stopping_rule_reproduces_what_metafor_prints(name):
    """Fisher scoring stopped at 1e-5 gives metafor's leave-one-out tau2 to the printed digits."""
    y, v = np.array(REFERENCE[name]["yi"]), np.array(REFERENCE[name]["vi"])
    ones = np.ones((len(y) - 1, 1))
    ours = [stopped_tau2(np.delete(y, i), np.delete(v, i), ones) for i in range(len(y))]
    np.testing.assert_allclose(ours, REFERENCE[name]["leave1out"]["tau2"], rtol=1e-12)


@pytest.mark.parametrize("name", FULL)
def test_without_a_stopping_rule_the_same_iteration_reaches_our_estimate(name):
    """With a tiny threshold Fisher scoring ends where `random_effects` does."""
    y, v = np.array(REFERENCE[name]["yi"]), np.array(REFERENCE[name]["vi"])
    assert stopped_tau2(y, v, np.ones((len(y), 1)), 1e-14) == pytest.approx(
        random_effects(y, v).tau2, rel=1e-9
    )


@pytest.mark.parametrize("name", FULL)
def test_the_functions_are_the_textbook_formulas_at_the_optimum(name, monkeypatch):
    """Without the early stop, the formulas that reproduce metafor reproduce our functions."""
    monkeypatch.setattr(_agreement_checks, "stopped_tau2", partial(stopped_tau2, threshold=1e-12))
    data = copy.deepcopy(REFERENCE[name])
    data["leave1out"]["tau2"] = leave_one_out(data["yi"], data["vi"]).tau2.to_list()
    table = agreement({name: data})
    table = table[
        table.model.eq("REML z") & table.quantity.str.contains("egger|trim|leave|cook|rstud|hat|cumul")
    ]
    known = table.same_variance.notna()
    assert set(table.quantity[~known]) == {"trimfill.k0", "trimfill.side"}
    np.testing.assert_allclose(table.ours[known], table.same_variance[known], rtol=1e-8)


def test_scalars_have_no_index():
    """The index tells the entries of a vector apart, and is missing elsewhere."""
    table = agreement({"bcg": REFERENCE["bcg"]})
    assert table["index"][table.quantity == "tau2"].isna().all()
    assert table["index"][table.quantity == "hat"].to_list() == list(range(13))


def test_a_threshold_that_is_never_met_is_an_error():
    """Scoring that takes no step small enough stops with an error, not with any number."""
    y, v = np.array([0.1, 0.3, -0.2, 0.6]), np.array([0.01, 0.02, 0.04, 0.05])
    with pytest.raises(RunError, match="no step below"):
        stopped_tau2(y, v, np.ones((4, 1)), threshold=-1.0)
