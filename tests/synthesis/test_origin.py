"""Ours and the published effects in one model: the same numbers as the models by hand, and honest errors."""

import numpy as np
import pandas as pd
import pytest

from medssl.errors import UsageError
from medssl.evidence import effects
from medssl.meta import multilevel
from medssl.synthesis import origin_model


def ours(datasets=("d", "e"), shift=0.0, **columns):
    """Return effects of the study in some data sets, with a slope and a shift."""
    ratio = np.tile([-2.0, -1.0, 0.0], len(datasets))
    noise = np.random.default_rng(0).normal(0, 0.005, len(ratio))
    names = np.repeat(datasets, 3)
    table = pd.DataFrame(
        {
            "yi": 0.02 - 0.01 * ratio + noise + shift, "vi": 1e-4, "cluster_id": names, "dataset": names,
            "modality": "ct", "log10_label_ratio": ratio, "label": "x", "variance_origin": "runs",
            "comparator_kind": "random", "pool": 1.0, "pretrain_on": names, "adaptation": "fine_tune",
            "selection": "budget",
        }
    )  # fmt: skip
    return table.assign(**columns)


def published(clusters=5, shift=0.0, **columns):
    """Return published effects like ours, three in each cluster."""
    table = ours(tuple(f"c{i}" for i in range(clusters)), shift)
    noise = np.random.default_rng(1).normal(0, 0.01, len(table))
    return table.assign(yi=table.yi + noise, metric="AUC", comparator="random", pool="primary", **columns)


def test_the_numbers_are_those_of_the_multilevel_model():
    """Each row equals a coefficient of the model by hand, with either origin as the intercept."""
    mine, theirs = ours(("d", "e", "f")), published(shift=0.03)
    model = origin_model(mine, theirs)
    joint = pd.concat([mine, theirs], ignore_index=True)
    is_ours = np.arange(len(joint)) < len(mine)
    x = joint.log10_label_ratio - joint.log10_label_ratio.mean()
    cluster = np.where(is_ours, "o", "p") + joint.cluster_id.to_numpy(object)
    for row, flag in (("published", is_ours), ("ours", ~is_ours)):
        robust = multilevel(joint.yi, joint.vi, cluster, np.column_stack([x, flag]), rho=0.6).robust()
        found = model.table.loc[row]
        assert (found.estimate, found.se, found.df, found.p_value, found.ci_low) == pytest.approx(
            tuple(getattr(robust, n)[0] for n in ("coef", "se", "df", "p_value", "ci_low"))
        )
    difference = model.table.loc["difference"]
    assert difference.estimate == pytest.approx(
        model.table.estimate["ours"] - model.table.estimate["published"]
    )
    assert model.table.estimate["slope"] == pytest.approx(robust.coef[1])
    assert set(model.table.error) == {"CR2"}


def test_a_shift_of_ours_moves_the_difference_by_as_much():
    """Adding a constant to our effects changes ours and the difference, and nothing else."""
    first, second = (origin_model(ours(shift=s), published()).table.estimate for s in (0.0, 0.05))
    np.testing.assert_allclose((second - first)[["ours", "difference"]], 0.05, rtol=1e-3)
    np.testing.assert_allclose((second - first)[["published", "slope"]], 0, atol=1e-4)


def test_the_centre_moves_the_gains_along_the_slope():
    """At another ratio both gains change by the slope, and their difference stays."""
    at = [origin_model(ours(), published(), centre=c).table.estimate for c in (-1.0, -2.0)]
    moved = at[1] - at[0]
    assert moved["ours"] == pytest.approx(-at[0]["slope"])
    assert moved["difference"] == pytest.approx(0, abs=1e-9)


def test_one_data_set_alone_takes_the_error_of_the_model():
    """The robust error of a lone cluster is too small, so the model's is given and the reason says so."""
    model = origin_model(ours(("d",)), published())
    row = model.table.loc["difference"]
    assert row.error == "model"
    assert row.df == 6 - 3
    assert row.se == pytest.approx(model.fit.se[2])
    assert "one cluster alone supports ours and difference" in model.reason


def test_too_few_published_clusters_are_shown_and_not_fitted():
    """With two published clusters there are effects and counts, a reason, and no estimate."""
    model = origin_model(ours(), published(2))
    assert model.fit is None
    assert len(model.effects) == 12
    assert model.counts.clusters.to_dict() == {"ours": 2, "published": 2}
    assert "2 published clusters have a known ratio" in model.reason
    assert model.table.estimate.isna().all()


def test_only_comparable_published_effects_enter():
    """Other metrics, comparators, pools and modalities, and rows without a ratio, stay out."""
    good = published(4)
    bad = [
        {"metric": "Dice"}, {"comparator": "imagenet_supervised"}, {"pool": "sensitivity"},
        {"modality": "mri"}, {"log10_label_ratio": np.nan},
    ]  # fmt: skip
    mixed = pd.concat([good, *(published(4, shift=1.0).assign(**change) for change in bad)])
    first, second = (origin_model(ours(), table, modality="ct") for table in (good, mixed))
    pd.testing.assert_frame_equal(first.table, second.table)
    assert len(origin_model(ours(), mixed).effects) == 6 + 24


def test_clusters_of_both_origins_never_merge():
    """A published cluster with the name of our data set remains another cluster."""
    model = origin_model(ours(("c0", "c1")), published(3))
    assert model.fit.clusters == 5


def test_all_published_effects_can_be_joined():
    """By default the shipped evidence enters, and its clusters are those with a known ratio."""
    model = origin_model(ours())
    theirs = effects()
    known = theirs[
        (theirs.metric == "AUC") & (theirs.comparator == "random") & theirs.log10_label_ratio.notna()
    ]
    assert model.counts.loc["published"].tolist() == [len(known), known.cluster_id.nunique()]


def test_mixed_designs_of_ours_are_refused():
    """Another comparator, source, pool or protocol among ours would be compared with what it is not."""
    with pytest.raises(UsageError, match="against supervised"):
        origin_model(ours(comparator_kind="supervised"), published())
    with pytest.raises(UsageError, match="pretrain_on=None"):
        origin_model(ours(pretrain_on="z"), published())
    with pytest.raises(UsageError, match="differ in pool"):
        origin_model(ours(pool=[1.0, 0.5] * 3), published())
    with pytest.raises(UsageError, match="no effect of mri"):
        origin_model(ours(), published(), modality="mri")
    with pytest.raises(UsageError, match="lack vi"):
        origin_model(ours().drop(columns="vi"), published())
