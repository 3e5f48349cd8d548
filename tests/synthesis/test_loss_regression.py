"""The linear probability model of losses: its coefficients, its errors, and when it is not fitted."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp
from statsmodels.regression.mixed_linear_model import MixedLM

from medssl.errors import UsageError
from medssl.synthesis import loss_regression as module
from medssl.synthesis.loss_regression import LEAST_DF, loss_regression, single_regressions
from medssl.synthesis.negatives import comparisons


def made(clusters: int = 14, seed: int = 0) -> pd.DataFrame:
    """Clusters of unequal size with a number, a factor of three levels and losses that depend on both."""
    random = np.random.default_rng(seed)
    parts = []
    for cluster in range(clusters):
        base = random.normal(scale=0.2)
        for _ in range(int(random.integers(4, 12))):
            x, kind = random.normal(), random.choice(["u", "v", "w"])
            chance = np.clip(0.35 + base + 0.1 * x + 0.2 * (kind == "v"), 0.02, 0.98)
            parts.append(
                {"cluster_id": f"c{cluster}", "x": x, "kind": kind, "loss": random.random() < chance}
            )
    return pd.DataFrame(parts)


def paired(clusters: int = 12, seed: int = 3) -> pd.DataFrame:
    """Each cluster has four comparisons of each of two levels."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        [
            {"cluster_id": str(cluster), "kind": kind, "loss": random.random() < 0.3 + 0.3 * (kind == "v")}
            for cluster in range(clusters) for kind in "uv" for _ in range(4)
        ]
    )  # fmt: skip


def test_coefficients_are_those_of_a_mixed_model():
    """With one constant for all variances the fit is statsmodels' random-intercept model by REML."""
    rows = made()
    found = loss_regression(rows, ["kind"], ["x"])
    design = pd.DataFrame({"one": 1.0, "x": rows.x, "v": rows.kind == "v", "w": rows.kind == "w"}).astype(
        float
    )
    reference = MixedLM(rows.loss.astype(float), design, rows.cluster_id).fit(reml=True)
    np.testing.assert_allclose(found.fit.coef, reference.fe_params, rtol=2e-4)
    assert found.fit.sigma2[0] == pytest.approx(reference.cov_re.iloc[0, 0], rel=2e-3)
    assert found.fit.sigma2[1] + module.CONSTANT == pytest.approx(reference.scale, rel=1e-3)


def test_the_constant_does_not_matter(monkeypatch):
    """Another small constant in place of sampling variances gives the same coefficients and errors."""
    rows = made()
    first = loss_regression(rows, ["kind"], ["x"]).coefficients
    monkeypatch.setattr(module, "CONSTANT", 1e-2)
    second = loss_regression(rows, ["kind"], ["x"]).coefficients
    numbers = ["change", "ci_low", "ci_high", "df", "p_value"]
    np.testing.assert_allclose(first[numbers], second[numbers], rtol=1e-4, atol=1e-8)


def test_paired_clusters_give_the_paired_t_test():
    """Where every cluster has both levels equally often, the p value is that of cluster differences."""
    rows = paired()
    found = loss_regression(rows, ["kind"]).coefficients.set_index("name").loc["kind: v"]
    means = rows.groupby(["cluster_id", "kind"]).loss.mean().unstack()
    difference = means.v - means.u
    assert found.change == pytest.approx(difference.mean(), rel=1e-6)
    assert found.df == pytest.approx(len(means) - 1, rel=1e-6)
    assert found.p_value == pytest.approx(ttest_1samp(difference, 0).pvalue, rel=1e-5)


def test_order_and_names_do_not_matter():
    """Shuffled rows and other cluster names give the same coefficients and tests."""
    rows = made()
    first = loss_regression(rows, ["kind"], ["x"])
    other = rows.sample(frac=1, random_state=1).assign(cluster_id=lambda table: "z" + table.cluster_id)
    second = loss_regression(other, ["kind"], ["x"])
    np.testing.assert_allclose(first.coefficients.change, second.coefficients.change, rtol=1e-6)
    np.testing.assert_allclose(first.tests.p_value, second.tests.p_value, rtol=1e-5)


def test_joint_tests_belong_to_their_variables():
    """A number and a factor have one test each; that of the number is its t test squared."""
    found = loss_regression(made(), ["kind"], ["x"])
    assert found.tests.term.tolist() == ["x", "kind"]
    assert found.tests.df_num.tolist() == [1, 2]
    coefficient = found.coefficients.set_index("name").loc["x"]
    assert found.tests.p_value[0] == pytest.approx(coefficient.p_value, rel=1e-6)


def test_few_clusters_are_not_fitted():
    """Nine clusters have no fit and a reason; ten have one."""
    few = loss_regression(made(9), ["kind"], ["x"])
    assert few.fit is None
    assert few.reason == "9 clusters; a regression needs 10"
    assert few.coefficients.empty
    assert few.tests.empty
    assert loss_regression(made(10), ["kind"], ["x"]).fit is not None


def test_what_does_not_vary_is_not_fitted():
    """Without a loss, or with one level, there is nothing to regress."""
    rows = made()
    assert loss_regression(rows.assign(loss=False), ["kind"]).reason == "nothing varies"
    assert loss_regression(rows.assign(kind="u"), ["kind"]).reason == "nothing varies"
    with pytest.raises(UsageError, match="name at least one factor or number"):
        loss_regression(rows)


def test_rare_levels_are_merged_or_left_out():
    """Levels in one cluster each are merged where together they have three, else left out and named."""
    rows = made()
    first = [rows.index[rows.cluster_id == f"c{i}"][0] for i in range(4)]
    merged = rows.assign(
        kind=rows.kind.where(~rows.index.isin(first[:3]), ["r" + c for c in rows.cluster_id])
    )
    found = loss_regression(merged, ["kind"])
    assert found.reason == "kind: rc0, rc1, rc2 merged as other"
    assert "kind: u" in set(found.coefficients.name)
    lost = rows.assign(kind=rows.kind.mask(rows.index.isin(first[:1]), "rare"))
    found = loss_regression(lost, ["kind"])
    assert found.reason == "kind: rare left out (1 comparisons)"
    assert len(found.rows) == len(rows) - 1


def test_rows_without_a_number_are_left_out():
    """A comparison with a missing number does not enter, and the count says so."""
    rows = made().assign(y=lambda table: table.x.mask(table.index < 5))
    assert len(loss_regression(rows, numbers=["y"]).rows) == len(rows) - 5


def test_thin_terms_are_marked():
    """A term with fewer than four degrees of freedom is thin, in both tables."""
    rows = made(12).assign(one=lambda table: table.cluster_id.isin(["c1", "c2"]).astype(float))
    found = loss_regression(rows, numbers=["x", "one"])
    thin = found.coefficients.set_index("name").thin
    assert thin["one"]
    assert not thin["x"]
    assert (found.coefficients.thin == ~(found.coefficients.df >= LEAST_DF)).all()
    assert found.tests.set_index("term").thin["one"]


def test_probabilities_outside_are_counted():
    """The share of fitted probabilities below zero or above one is that of a loop."""
    rows = made()
    found = loss_regression(rows, ["kind"], ["x"])
    fitted = [float(row @ found.fit.coef) for row in found.fit.design]
    assert found.outside == pytest.approx(np.mean([not 0 <= value <= 1 for value in fitted]))


def test_single_regressions_are_regressions_of_one_variable():
    """Each row repeats the test of its own model, and a variable that cannot be fitted says why."""
    rows = made().assign(flat=1.0)
    table = single_regressions(rows, ["kind"], ["x", "flat"]).set_index("term")
    assert table.p_value["kind"] == loss_regression(rows, ["kind"]).tests.p_value[0]
    assert table.p_value["x"] == loss_regression(rows, numbers=["x"]).tests.p_value[0]
    assert np.isnan(table.p_value["flat"])
    assert table.reason["flat"] == "nothing varies"


def test_the_published_losses_can_be_regressed():
    """The primary analysis has a fit with all variables, whose reference levels are those of the survey."""
    rows = comparisons()
    found = loss_regression(
        rows[rows.set == "primary"], ["comparator", "modality", "family"], ["log10_label_ratio"]
    )
    names = set(found.coefficients.name)
    assert names.isdisjoint({"comparator: random", "modality: xray", "family: contrastive"})
    assert {"comparator: imagenet_supervised", "modality: ct", "family: generative"} <= names
    assert found.clusters >= 10
