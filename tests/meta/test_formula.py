"""Moderators as a formula: the same fit as columns made by hand, and clear errors."""

import numpy as np
import pandas as pd
import pytest

from medssl.errors import UsageError
from medssl.meta import default_knots, multilevel, natural_spline, random_effects

RNG = np.random.default_rng(0)
K = 45
TABLE = pd.DataFrame(
    {
        "yi": RNG.normal(0.1, 0.2, K),
        "vi": RNG.uniform(0.005, 0.02, K),
        "cluster": np.repeat([f"c{i}" for i in range(15)], 3),
        "ratio": RNG.uniform(-3, 0, K),
        "n": RNG.integers(10, 1000, K).astype(float),
        "year": RNG.integers(2018, 2025, K),
        "modality": RNG.choice(["ct", "mri", "us"], K),
        "public": RNG.random(K) < 0.5,
        "one": "same",
        "gap": np.where(np.arange(K) == 7, np.nan, RNG.normal(size=K)),
        "endless": np.where(np.arange(K) == 7, np.inf, RNG.normal(size=K)),
        "some zero": np.where(np.arange(K) == 7, 0.0, RNG.uniform(1, 2, K)),
    }
)
MRI, US = ((TABLE.modality == level).to_numpy(float) for level in ("mri", "us"))
RATIO, KNOTS = TABLE.ratio.to_numpy(), default_knots(TABLE.ratio, 3)
SPLINE = natural_spline(RATIO, knots=KNOTS)
LOW = natural_spline(RATIO, knots=default_knots(RATIO, 2)).T
SAME = {
    "ratio": [RATIO],
    "ratio + C(modality)": [RATIO, MRI, US],
    "ratio + modality": [RATIO, MRI, US],
    "ratio * C(modality)": [RATIO, MRI, US, RATIO * MRI, RATIO * US],
    "ratio + ratio:public": [RATIO, RATIO * TABLE.public],
    "log10(n) + public": [np.log10(TABLE.n), TABLE.public],
    "I(ratio**2) + ratio": [RATIO, RATIO**2],
    "ns(ratio, df=3)": list(SPLINE.T),
    "ns(ratio) + C(modality)": [*SPLINE.T, MRI, US],
    "ns(ratio, knots=(-2, -1, 0))": list(natural_spline(RATIO, knots=(-2, -1, 0)).T),
    "ns(ratio, df=2) * public": [*LOW, TABLE.public, *(LOW * TABLE.public.to_numpy())],
    "`some zero`": [TABLE["some zero"]],
}  # fmt: skip


def fit_of(formula, table=TABLE, **options):
    """The multilevel fit of a formula on the table."""
    return multilevel(table.yi, table.vi, table.cluster, formula, data=table, **options)


@pytest.mark.parametrize("formula", SAME)
def test_a_formula_is_the_fit_of_columns_made_by_hand(formula):
    """Fitted values, variances, likelihood and the joint test are those of hand-made columns."""
    columns = np.column_stack(SAME[formula]).astype(float)
    by_hand = multilevel(TABLE.yi, TABLE.vi, TABLE.cluster, columns, rho=0.6)
    fit = fit_of(formula, rho=0.6)
    assert len(fit.names) == columns.shape[1] + 1
    np.testing.assert_allclose(fit.predict(), by_hand.predict(), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(fit.sigma2, by_hand.sigma2, rtol=1e-7, atol=1e-12)
    assert fit.log_likelihood == pytest.approx(by_hand.log_likelihood)
    ours, theirs = fit.robust().wald(), by_hand.robust().wald()
    assert (ours.statistic, ours.df_den) == pytest.approx((theirs.statistic, theirs.df_den))


def test_random_effects_takes_formulas_too():
    """The model of independent effects reads the same formulas."""
    fit = random_effects(TABLE.yi, TABLE.vi, "ratio + C(modality)", data=TABLE)
    by_hand = random_effects(TABLE.yi, TABLE.vi, np.column_stack([RATIO, MRI, US]))
    np.testing.assert_allclose(fit.coef, by_hand.coef)
    assert fit.names == ("intercept", "ratio", "C(modality)[T.mri]", "C(modality)[T.us]")
    assert fit.predict(TABLE[["ratio", "modality"]].head(2)).estimate[1] == pytest.approx(
        by_hand.predict().estimate[1]
    )


def test_names_are_those_of_terms_and_levels():
    """Coefficients carry the column, the level and the interaction that they belong to."""
    assert fit_of("ratio * C(modality)").names == (
        "intercept", "ratio", "C(modality)[T.mri]", "C(modality)[T.us]",
        "ratio:C(modality)[T.mri]", "ratio:C(modality)[T.us]",
    )  # fmt: skip
    assert fit_of("ns(ratio, df=2)").names == ("intercept", "ns(ratio, df=2)[1]", "ns(ratio, df=2)[2]")
    assert fit_of("1").names == ("intercept",)


def test_a_formula_of_one_is_the_pooled_model():
    """The formula 1 gives the intercept alone."""
    fit, plain = fit_of("1"), multilevel(TABLE.yi, TABLE.vi, TABLE.cluster)
    np.testing.assert_array_equal(fit.coef, plain.coef)
    pd.testing.assert_frame_equal(fit.predict(), plain.predict())
    with pytest.raises(UsageError, match="no moderators"):
        fit.predict(TABLE)


def test_a_term_is_tested_by_its_name():
    """The joint test takes terms as written in the formula, with any spacing, beside single coefficients."""
    robust = fit_of("ns(ratio,df=2) + C(modality) + n", rho=0.6).robust()
    by_name = {
        "C(modality)": ["C(modality)[T.mri]", "C(modality)[T.us]"],
        "ns(ratio,df=2)": ["ns(ratio, df=2)[1]", "ns(ratio, df=2)[2]"],
        "ns( ratio, df = 2 )": ["ns(ratio, df=2)[1]", "ns(ratio, df=2)[2]"],
        "n": ["n"],
    }
    for term, names in by_name.items():
        test, single = robust.wald(term), robust.wald(names)
        assert (test.statistic, test.df_den) == (single.statistic, single.df_den)
        assert test.names == (term,)
    both = robust.wald(["C(modality)", "n"])
    assert both.df_num == 3
    with pytest.raises(UsageError, match=r"no term 'C\(task\)'; it has intercept, .*C\(modality\)"):
        robust.wald("C(task)")
    with pytest.raises(UsageError, match="each once"):
        robust.wald(["C(modality)", "C(modality)[T.us]"])


def test_a_table_of_variables_is_predicted_with_the_knots_and_levels_of_the_fit():
    """New rows keep the fit's knots and levels, whatever their own range, order of columns and labels."""
    fit = fit_of("ns(ratio, df=3) + C(modality)", rho=0.6)
    new = pd.DataFrame({"modality": ["us", "ct"], "extra": [1, 2], "ratio": [-1.0, 4.0]}, index=["a", "b"])
    table = fit.predict(new)
    assert list(table.index) == ["a", "b"]
    spline = natural_spline([-1.0, 4.0], knots=KNOTS)
    rows = np.column_stack([np.ones(2), spline, [0, 0], [1, 0]])
    order = [
        "intercept",
        *[f"ns(ratio, df=3)[{i}]" for i in (1, 2, 3)],
        "C(modality)[T.mri]",
        "C(modality)[T.us]",
    ]
    coef = fit.table().coef[order]
    np.testing.assert_allclose(table.estimate, rows @ coef)
    robust = fit.robust().predict(new)
    np.testing.assert_allclose(robust.estimate, table.estimate)
    one_by_one = pd.concat([fit.predict(new.iloc[[i]]) for i in (0, 1)])
    pd.testing.assert_frame_equal(one_by_one, table)
    np.testing.assert_allclose(fit.predict(TABLE), fit.predict())


def test_rows_and_index_are_matched():
    """A table with its own index gives the same fit when effects carry the same one, or none."""
    moved = TABLE.set_axis([f"row {i}" for i in range(K)])
    fit = fit_of("ratio", moved)
    np.testing.assert_array_equal(fit.coef, fit_of("ratio").coef)
    assert multilevel(
        list(TABLE.yi), list(TABLE.vi), list(TABLE.cluster), "ratio", data=moved
    ).coef == pytest.approx(fit.coef)


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        ("ratio ~ modality", "without a tilde"),
        ("~ ratio", "without a tilde"),
        ("0 + ratio", "keeps its intercept"),
        ("ratio - 1", "keeps its intercept"),
        ("-1", "keeps its intercept"),
        ("", "empty formula"),
        ("  ", "empty formula"),
        ("ratio +", r"'ratio \+' cannot be read"),
        ("ratio year", "cannot be read"),
        ("(((", "cannot be read"),
        ("ns(ratio", "cannot be read"),
        ("2 * ratio", "cannot be read"),
        (".", "cannot be read"),
        ("ratio & year", "cannot be read"),
        ("ratio | year", r"has several parts; join its terms with \+"),
        ("task", "needs the columns task; the table has yi, vi, cluster, ratio"),
        ("ratio + C(task) + size", "needs the columns size, task"),
        ("spline(ratio)", "needs the columns spline"),
        ("gap", r"column gap of the formula 'gap' is missing in 1 rows \(first in row 7\)"),
        ("ns(gap)", "column gap"),
        ("endless", r"makes a missing or infinite value of endless \(first in row 7\)"),
        (
            "ratio + log10(`some zero`)",
            r"missing or infinite value of log10\(.*some zero.*\) \(first in row 7\)",
        ),
        ("log10(ratio)", "missing or infinite value"),
        ("log10(modality)", "cannot be used"),
        ("one", "the term one of the formula 'one' has one value in all rows"),
        ("ratio + C(one)", r"the term C\(one\)"),
        ("ratio + I(2 * ratio)", "collinear"),
        ("ratio + I(0 * ratio)", "does not vary"),
        ("C(ratio)", "cannot support 45 coefficients"),
        ("ns(modality)", "cannot be used: x is not numeric"),
        ("ns(ratio, df=0)", r"cannot be used: df is 0"),
        ("ns(ratio, df=60)", "cannot be used: 45 distinct values cannot carry"),
        ("ns(ratio, knots=(1, 0))", "cannot be used: knots are"),
        ("ns(ratio, df=3, knots=(-3, 0))", "both df and knots"),
        ("ns()", "cannot be used"),
    ],
)
def test_bad_formulas_are_refused_with_their_reason(formula, text):
    """Each formula that cannot be used raises one usage error of printable text."""
    with pytest.raises(UsageError, match=text) as caught:
        fit_of(formula)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda table: table.iloc[1:], "data has 44 rows and yi has 45"),
        (lambda table: table.set_axis(range(1, K + 1)), "different row labels"),
        (lambda table: None, "give a table of moderators as data="),
        (lambda table: table.to_dict("list"), "give a table of moderators as data="),
        (lambda table: table.drop(columns="ratio"), "needs the columns ratio"),
        (lambda table: pd.concat([table, table[["ratio"]]], axis=1), "several columns ratio"),
        (lambda table: table.rename(columns={"ratio": 3}), "needs the columns ratio"),
        (
            lambda table: table.assign(ratio=pd.array([None, *range(K - 1)], dtype="Int64")),
            "is missing in 1 rows",
        ),
    ],
)
def test_tables_that_do_not_fit_the_effects_are_refused(change, text):
    """Another length, index or kind of table, and missing or repeated columns, raise a usage error."""
    with pytest.raises(UsageError, match=text):
        multilevel(TABLE.yi, TABLE.vi, TABLE.cluster, "ratio", data=change(TABLE))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"modality": ["pet"]}, r"meets the value 'pet', which the fit has not seen"),
        ({"modality": [None]}, "column modality .* is missing in 1 rows"),
        ({"ratio": [float("nan")]}, "column ratio .* is missing in 1 rows"),
        ({"ratio": [float("inf")]}, "missing or infinite"),
        ({"ratio": ["low"]}, "cannot be used"),
    ],
)
def test_bad_prediction_tables_are_refused(change, text):
    """Levels that the fit has not seen and values that are missing or infinite raise a usage error."""
    fit = fit_of("ns(ratio, df=2) + C(modality)")
    for model in (fit, fit.robust()):
        with pytest.raises(UsageError, match=text):
            model.predict(pd.DataFrame({"ratio": [-1.0], "modality": ["ct"]} | change))


def test_predictions_of_a_formula_need_its_variables():
    """Arrays and tables without a variable of the formula are refused, with what is missing."""
    fit = fit_of("ratio + C(modality)")
    with pytest.raises(UsageError, match="give a table with its variables"):
        fit.predict([[0.0, 1.0, 0.0]])
    with pytest.raises(UsageError, match="needs the columns modality; the table has ratio"):
        fit.predict(TABLE[["ratio"]])


def test_columns_without_values_in_other_variables_do_not_matter():
    """Missing values in columns that the formula does not read are no obstacle."""
    assert np.isfinite(fit_of("ratio").coef).all()
    assert TABLE.gap.isna().any()
