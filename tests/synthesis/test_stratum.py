"""Pooled strata, the central model, the sensitivity analyses: the numbers behind the synthesis."""

import numpy as np
import pandas as pd
import pytest

from medssl.errors import UsageError
from medssl.evidence import effects, grade
from medssl.meta import leave_one_out, multilevel, probability_of_gain, shape
from medssl.synthesis.central import central_model
from medssl.synthesis.sensitivity import CHOICES, sensitivity, sensitivity_effects
from medssl.synthesis.stratum import STRONG_RUNGS, pool, strata


@pytest.fixture(scope="module")
def published():
    return effects()


@pytest.fixture(scope="module")
def random_auc(published):
    return published[(published.metric == "AUC") & (published.comparator == "random")]


def made(clusters=12, slope=-0.03, seed=0, **columns):
    """Effects in clusters with a known slope and two factors."""
    rng = np.random.default_rng(seed)
    cluster = np.repeat([f"c{i}" for i in range(clusters)], rng.integers(3, 7, clusters))
    k = len(cluster)
    ratio = rng.uniform(-3, 0, k)
    table = pd.DataFrame(
        {
            "yi": 0.02 + slope * ratio + rng.normal(scale=0.01, size=k),
            "vi": rng.uniform(5e-5, 2e-4, k),
            "cluster_id": cluster,
            "study_id": cluster,
            "variance_origin": "runs",
            "log10_label_ratio": ratio,
            "log10_label_fraction": ratio / 2,
            "comparator": rng.choice(["random", "imagenet_supervised"], k),
            "modality": rng.choice(["xray", "ct"], k),
            "family": "contrastive",
            "task_type": "classification",
        }
    )
    return table.assign(**columns)


def test_a_stratum_is_the_multilevel_mean(random_auc):
    """Mean, intervals, probabilities and influence are those of the functions of `medssl.meta`."""
    row = pool(random_auc, "x").row()
    fit = multilevel(random_auc.yi, random_auc.vi, random_auc.cluster_id, rho=0.6)
    means = fit.robust().predict().iloc[0]
    for name in ("estimate", "ci_low", "ci_high", "pi_low", "pi_high", "df"):
        assert row[name] == pytest.approx(means[name])
    assert row["p_minimal"] == pytest.approx(probability_of_gain(fit, 0.01).probability.iloc[0])
    left = leave_one_out(random_auc.yi, random_auc.vi, cluster=random_auc.cluster_id, rho=0.6)
    assert (row["left_low"], row["left_high"]) == pytest.approx((left.estimate.min(), left.estimate.max()))
    assert row["negative"] == (random_auc.yi < 0).sum()
    weight = 1 / (random_auc.vi + fit.heterogeneity)
    strong = weight[random_auc.variance_origin.isin(STRONG_RUNGS)].sum() / weight.sum()
    assert row["strong_weight"] == pytest.approx(strong)
    expected = grade(
        confidence=(means.ci_low, means.ci_high), prediction=(means.pi_low, means.pi_high), clusters=18,
        sign_changes=bool(left.sign_changes.any()), strong_weight=strong,
    )  # fmt: skip
    assert (row["grade"], row["reason"]) == (expected.name, expected.reason)


def test_under_three_clusters_nothing_is_fitted():
    """Two clusters are counted and graded insufficient, without a mean."""
    row = pool(made(clusters=2)).row()
    assert np.isnan([row["estimate"], row["ci_low"], row["p_gain"]]).all()
    assert row["grade"] == "insufficient"
    assert row["clusters"] == 2


def test_strata_hold_every_effect_once(published):
    """The rows of a table of strata add up to all effects, and none is pooled over comparators."""
    table = strata(published, ["metric", "comparator", "modality"])
    assert table.k.sum() == len(published)
    assert table.duplicated(["metric", "comparator", "modality"]).sum() == 0


def test_the_central_model_finds_a_known_slope():
    """The slope of made effects is recovered, beside factors that have no effect."""
    model = central_model(made(clusters=20))
    slope = model.slope()
    assert slope.coef[1] == pytest.approx(-0.03, abs=3 * slope.se[1])
    assert slope.ci_high[1] < 0
    assert model.factors == ("comparator", "modality")
    assert "family does not vary" in model.reason
    found = model.break_even(0.05)
    assert found.value == pytest.approx(-1.0, abs=0.2)
    curves = model.curves(points=3)
    assert set(curves.modality) == {"ct", "xray"}
    assert curves.groupby("modality").estimate.apply(lambda e: e.is_monotonic_decreasing).all()
    assert (curves.p_gain >= curves.p_minimal).all()


def test_the_central_model_is_the_shape_with_dummies():
    """Line, spline and tests equal `shape` on hand-made dummies with the survey's reference levels."""
    table = made(clusters=14, seed=3)
    model = central_model(table)
    dummies = pd.DataFrame(
        {
            "comparator: imagenet_supervised": (table.comparator == "imagenet_supervised").astype(float),
            "modality: ct": (table.modality == "ct").astype(float),
        }
    )
    fitted = shape(table.yi, table.vi, table.log10_label_ratio, table.cluster_id, dummies)
    np.testing.assert_allclose(model.shape.line.coef, fitted.line.coef)
    row = model.tests.set_index("term").loc["comparator"]
    assert row.p_value == pytest.approx(fitted.line.robust().wald("comparator: imagenet_supervised").p_value)
    assert model.interaction.df_num == 1


def test_a_curve_is_the_prediction_of_its_level():
    """The curve of a modality has its dummy at one and the other factors at their means."""
    table = made(clusters=14, seed=4)
    model = central_model(table)
    curve = model.curves(points=2).query("modality == 'ct'")
    share = (table.comparator == "imagenet_supervised").mean()
    at = table.loc[table.modality == "ct", "log10_label_ratio"]
    rows = np.array([[at.min(), share, 1.0], [at.max(), share, 1.0]])
    expected = model.shape.line.robust().predict(rows)
    np.testing.assert_allclose(curve.estimate, expected.estimate)
    np.testing.assert_allclose(curve.pi_high, expected.pi_high)


def test_thin_evidence_is_not_modelled():
    """Under ten clusters with a known ratio nothing is fitted, and the reason says so."""
    model = central_model(made(clusters=9))
    assert model.shape is None
    assert "9 clusters have a known ratio" in model.reason
    unknown = made(clusters=20).assign(log10_label_ratio=np.nan)
    assert central_model(unknown).shape is None
    with pytest.raises(UsageError, match="x is 'ratio'"):
        central_model(made(), "ratio")


def test_rare_levels_are_merged_or_left_out():
    """Levels of under three clusters become "other", or leave when all of them are too few."""
    table = made(clusters=16, seed=5)
    few = table.cluster_id.isin(["c0", "c1"])
    alone = central_model(table.assign(modality=table.modality.mask(few, "mri")))
    assert "mri" not in set(alone.effects.modality)
    assert f"mri left out, {few.sum()} effects" in alone.reason
    more = table.cluster_id.isin(["c2", "c3"])
    both = central_model(table.assign(modality=table.modality.mask(few, "mri").mask(more, "ultrasound")))
    assert "mri, ultrasound merged as other" in both.reason
    assert "other" in set(both.effects.modality)


def test_sensitivity_starts_from_the_main_analysis():
    """The main row is the pooled stratum; the others differ in what their choices say."""
    rows = sensitivity_effects()
    rows = rows[(rows.metric == "AUC") & (rows.comparator == "imagenet_supervised")]
    table = sensitivity(rows, ["rows", "variance", "largest cluster"])
    primary = rows[rows.primary]
    fit = multilevel(primary.yi, primary.vi, primary.cluster_id, rho=0.6).robust()
    main = table[table.main].iloc[0]
    assert main.estimate == pytest.approx(fit.coef[0])
    assert main.k == len(primary)
    largest = primary.cluster_id.value_counts().index[0]
    left = table[(table["largest cluster"] == "left out") & (table["rows"] == "primary pool")].iloc[0]
    assert left.k == len(primary) - (primary.cluster_id == largest).sum()
    assert len(table) == 8
    with pytest.raises(UsageError, match="no choice 'colour'"):
        sensitivity(rows, ["colour"])


def test_sensitivity_lists_each_analysis_of_a_small_stratum():
    """The whole list of choices runs; what is thin keeps its reason."""
    rows = sensitivity_effects()
    rows = rows[(rows.metric == "AUC") & (rows.comparator == "other_supervised")]
    table = sensitivity(rows)
    assert set(CHOICES) <= set(table)
    assert table.main.sum() == 1
    assert table[~table.fitted].reason.str.len().gt(0).all()
    assert len(table) > 20


def test_primary_rows_of_the_sensitivity_table_are_the_primary_effects(published):
    """Gains and variances of the primary pool do not depend on which table they are computed from."""
    rows = sensitivity_effects().set_index("effect_id")
    primary = rows[rows.primary]
    same = published.set_index("effect_id").loc[primary.index]
    np.testing.assert_allclose(primary.yi, same.yi)
    np.testing.assert_allclose(primary.vi, same.vi)
