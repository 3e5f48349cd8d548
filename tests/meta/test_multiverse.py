"""One table with the estimate under every combination of choices."""

import numpy as np
import pandas as pd
import pytest

from medssl.errors import UsageError
from medssl.meta import multilevel, multiverse, random_effects


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    cluster = np.repeat([f"c{i}" for i in range(9)], rng.integers(2, 6, 9))
    k = len(cluster)
    return pd.DataFrame(
        {
            "yi": 0.02 + rng.normal(scale=0.03, size=k),
            "logit": 0.2 + rng.normal(scale=0.3, size=k),
            "vi": rng.uniform(1e-4, 9e-4, k),
            "logit_vi": rng.uniform(1e-2, 9e-2, k),
            "cluster_id": cluster,
            "confidence": rng.choice(["high", "low"], k),
            "x": rng.normal(size=k),
        }
    )


CHOICES = {
    "rows": {"all": {}, "high confidence": {"rows": "confidence == 'high'"}},
    "model": {
        "CHE 0.6": {"rho": 0.6},
        "CHE 0.8": {"rho": 0.8},
        "independent": {"model": "random_effects"},
    },
    "scale": {"difference": {}, "logit": {"yi": "logit", "vi": "logit_vi"}},
}


def test_each_row_is_the_fit_that_it_names(table):
    """Every analysis of the table equals the model called by hand."""
    result = multiverse(table, CHOICES)
    assert len(result) == 12
    assert result.fitted.all()
    for row in result.itertuples():
        kept = table[table.confidence == "high"] if row.rows == "high confidence" else table
        y, v = ("logit", "logit_vi") if row.scale == "logit" else ("yi", "vi")
        if row.model == "independent":
            fit, df = random_effects(kept[y], kept[v]), len(kept) - 1
        else:
            fit = multilevel(kept[y], kept[v], kept.cluster_id, rho=float(row.model[-3:])).robust()
            df = fit.df[0]
        assert row.k == len(kept)
        assert row.clusters == kept.cluster_id.nunique()
        np.testing.assert_allclose(
            [row.estimate, row.se, row.df, row.ci_low, row.ci_high, row.p_value],
            [fit.coef[0], fit.se[0], df, fit.ci_low[0], fit.ci_high[0], fit.p_value[0]],
        )


def test_the_first_options_are_the_main_analysis(table):
    """One row is the main one, and it takes the first option of every choice."""
    main = multiverse(table, CHOICES).query("main")
    assert main[["rows", "model", "scale"]].values.tolist() == [["all", "CHE 0.6", "difference"]]


def test_the_same_analysis_is_listed_once(table):
    """A rho changes nothing in a model of independent effects, so it is not counted twice."""
    choices = {
        "model": {"CHE": {}, "independent": {"model": "random_effects"}},
        "rho": {"0.6": {"rho": 0.6}, "0": {"rho": 0.0}},
    }
    result = multiverse(table, choices)
    assert result.model.tolist() == ["CHE", "CHE", "independent"]


def test_thin_and_failing_analyses_stay_with_their_reason(table):
    """Too few clusters and a model that cannot be fitted are rows with a reason, not errors or gaps."""
    choices = {
        "rows": {
            "all": {},
            "two clusters": {"rows": "cluster_id in ('c0', 'c1')"},
            "boolean": {"rows": (table.x > -9).to_numpy()},
        },
        "moderators": {"none": {}, "x": {"moderators": "x"}, "broken": {"moderators": "x + I(2 * x)"}},
    }
    result = multiverse(table, choices)
    thin = result[result["rows"] == "two clusters"]
    assert thin.reason.str.contains("2 clusters; a model needs 3").all()
    assert (
        result[(result["rows"] == "all") & (result.moderators == "broken")].reason.item().count("collinear")
    )
    assert result[~result.fitted].estimate.isna().all()
    assert result[result.fitted].estimate.notna().all()
    assert "boolean" not in set(result["rows"])  # all rows again


def test_another_coefficient_and_level_can_be_collected(table):
    """`term` and `level` are those of the robust fit."""
    row = multiverse(table, {"rho": {"0.8": {"rho": 0.8}}}, term="x", moderators="x", level=0.9).iloc[0]
    fit = multilevel(table.yi, table.vi, table.cluster_id, table.x, rho=0.8).robust(level=0.9)
    np.testing.assert_allclose(
        [row.estimate, row.ci_low, row.ci_high], [fit.coef[1], fit.ci_low[1], fit.ci_high[1]]
    )


@pytest.mark.parametrize(
    ("choices", "fixed", "text"),
    [
        ({"a": {"x": {"colour": 1}}}, {}, "unknown setting 'colour'"),
        ({"a": {"x": {"rho": 0.1}}, "b": {"y": {"rho": 0.2}}}, {}, "rho is set by the choices 'a' and 'b'"),
        ({"a": {}}, {}, "has no options"),
        ({"clusters": {"x": {}}}, {}, "choice 'clusters' has the name of a column"),
        ({"a": {"x": {"rows": "nothing > 1"}}}, {}, "a: x: the rows 'nothing > 1' cannot be selected"),
        ({"a": {"x": {"rows": [True]}}}, {}, "one true or false for each"),
        ({"a": {"x": {"yi": "absent"}}}, {}, "no column absent"),
        ({"a": {"x": {}}}, {"colour": 1}, "unknown setting 'colour'"),
        ({"a": {"x": {"model": "bayes"}}}, {}, "model is 'bayes'"),
    ],
)
def test_wrong_choices_are_named(table, choices, fixed, text):
    """A setting that is unknown or made twice, rows that cannot be selected and absent columns are errors."""
    with pytest.raises(UsageError, match=text):
        multiverse(table, choices, **fixed)
