"""The models of the study: data sets as clusters, families beside the ratio, the size of the pool."""

import numpy as np
import pandas as pd
import pytest

from medssl.errors import UsageError
from medssl.meta import multilevel, random_effects
from medssl.synthesis import pool_model, study_model

PROTOCOL = {"comparator_kind": "random", "adaptation": "fine_tune", "selection": "budget"}


def study(datasets="abcd", families=("contrastive", "generative", "predictive"), slope=-0.01, extra=0.0):
    """Return effects of families at three ratios in each data set; `extra` goes to the first family."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        PROTOCOL | {
            "dataset": d, "family": f, "log10_label_ratio": x, "vi": 1e-4,
            "yi": 0.02 + slope * x + extra * (f == families[0]) + rng.normal(0, 0.005),
        }
        for d in datasets for f in families for x in (-2.0, -1.0, 0.0)
    )  # fmt: skip


def test_gain_and_slope_are_those_of_the_multilevel_model():
    """The table is the robust inference of the model by hand at the mean ratio, degrees of freedom shown."""
    rows = study()
    model = study_model(rows)
    x = rows[["log10_label_ratio"]] - rows.log10_label_ratio.mean()
    robust = multilevel(rows.yi, rows.vi, rows.dataset, x, rho=0.6).robust()
    np.testing.assert_allclose(model.table.estimate, robust.coef)
    np.testing.assert_allclose(model.table.df, robust.df)
    np.testing.assert_allclose(model.table.ci_high, robust.ci_high)
    assert model.centre == pytest.approx(-1)
    assert "fewer than 4 degrees of freedom: gain, slope" in model.reason


def test_a_family_that_gains_more_shows_its_difference():
    """What is added to one family appears as its difference from the others, and in its mean."""
    plain, moved = (study_model(study(extra=e)).families.set_index("family") for e in (0.0, 0.05))
    assert moved.difference["contrastive"] - plain.difference["contrastive"] == pytest.approx(0.05, abs=1e-4)
    assert moved.estimate["contrastive"] - plain.estimate["contrastive"] == pytest.approx(0.05, abs=1e-4)
    assert moved.difference_ci_low["contrastive"] > 0
    assert moved.estimate["generative"] == pytest.approx(plain.estimate["generative"])


def test_family_rows_are_fits_by_hand():
    """The mean is from the family's own effects; the difference from an indicator among all."""
    rows = study(extra=0.02)
    row = study_model(rows).families.set_index("family").loc["generative"]
    x, mine = rows.log10_label_ratio + 1, rows.family == "generative"
    own = multilevel(rows.yi[mine], rows.vi[mine], rows.dataset[mine], x[mine], rho=0.6).robust()
    beside = multilevel(rows.yi, rows.vi, rows.dataset, np.column_stack([x, mine]), rho=0.6).robust()
    assert (row.estimate, row.df) == pytest.approx((own.coef[0], own.df[0]))
    assert (row.difference, row.difference_p_value) == pytest.approx((beside.coef[2], beside.p_value[2]))


def test_a_single_family_has_no_difference():
    """One family has a mean, and nothing to differ from."""
    families = study_model(study(families=("contrastive",))).families
    assert "difference" not in families
    assert families.clusters.tolist() == [4]


def test_thin_families_and_thin_studies_are_not_fitted():
    """A family in two data sets has counts only, and two data sets have no model at all."""
    rows = study()
    rows = rows[(rows.family != "predictive") | rows.dataset.isin(["a", "b"])]
    families = study_model(rows).families.set_index("family")
    assert families.clusters["predictive"] == 2
    assert np.isnan(families.estimate["predictive"])
    model = study_model(study(datasets="ab"))
    assert model.fit is None
    assert "2 data set(s)" in model.reason


def pools(slope=0.02, **columns):
    """Return effects at three pools for two methods of one data set."""
    table = pd.DataFrame(
        PROTOCOL | {
            "dataset": "d", "pretrain_on": "d", "method": m, "n_labelled": 100, "log10_pool": x, "vi": 1e-4,
            "yi": 0.03 + slope * x,
        }
        for m in ("simclr", "masked_autoencoder") for x in np.log10([1 / 16, 1 / 4, 1])
    )  # fmt: skip
    return table.assign(**columns)


def test_an_exact_line_in_the_pool_is_recovered():
    """The intercept is the gain at the whole pool, the coefficient the change for a tenfold pool."""
    fit = pool_model(pools())
    assert fit.coef.tolist() == pytest.approx([0.03, 0.02])
    assert (fit.method, fit.test, fit.names[1]) == ("REML", "adhoc", "log10_pool")


def test_only_series_with_several_pools_enter():
    """A method that was pretrained on one pool only, and other label counts at it, change nothing."""
    rows = pools()
    other = rows[rows.log10_pool == 0].assign(yi=0.9)
    fit = pool_model(pd.concat([rows, other.assign(method="jigsaw"), other.assign(n_labelled=20)]))
    expected = random_effects(rows.yi, rows.vi, rows[["log10_pool"]], test="adhoc")
    assert fit.coef.tolist() == pytest.approx(expected.coef.tolist())
    assert fit.k == 6


def test_what_cannot_be_regressed_is_refused():
    """One pool, several label counts with pools, and mixed protocols are named."""
    with pytest.raises(UsageError, match="two pools"):
        pool_model(pools(log10_pool=0.0))
    with pytest.raises(UsageError, match="several label counts"):
        pool_model(pd.concat([pools(), pools(n_labelled=20)]))
    with pytest.raises(UsageError, match="differ in comparator_kind"):
        pool_model(pd.concat([pools(), pools(comparator_kind="supervised")]))
    with pytest.raises(UsageError, match="differ in adaptation"):
        study_model(study().assign(adaptation=["fine_tune", "linear_probe"] * 18))
