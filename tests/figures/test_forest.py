"""The forest plot draws intervals, diamonds and the prediction bar where the numbers say."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Polygon, Rectangle
from scipy.stats import norm

from medssl.errors import UsageError
from medssl.figures import forest, forest_by_cluster
from medssl.figures._layout import drawn_texts, outside, overlapping
from medssl.meta import multilevel, random_effects


@pytest.fixture
def clustered(effects):
    """The effects in five clusters of one to four, two clusters under both methods."""
    return effects.assign(cluster_id=[*"abacbb", *"ddcaae"])


@pytest.fixture
def dependent(clustered):
    """The effects pooled by the multilevel model."""
    return multilevel(clustered.yi, clustered.vi, clustered.cluster_id, rho=0.6)


def test_each_effect_is_a_square_on_its_interval(effects, pooled):
    """Squares stand at the effects in the order given, on normal intervals."""
    axes = forest(effects, pooled).figure.axes[0]
    segments, squares = axes.collections
    half = norm.ppf(0.975) * np.sqrt(effects.vi.to_numpy())
    np.testing.assert_allclose(squares.get_offsets()[:, 0], effects.yi)
    assert (np.diff(squares.get_offsets()[:, 1]) == -1).all()  # top to bottom
    for segment, low, high in zip(segments.get_segments(), effects.yi - half, effects.yi + half, strict=True):
        np.testing.assert_allclose(segment[:, 0], [low, high])


def test_the_diamond_and_the_bar_are_the_model(effects, pooled):
    """The diamond spans the confidence interval, the bar the prediction interval."""
    axes = forest(effects, pooled, level=0.9).figure.axes[0]
    row = pooled.predict(level=0.9).iloc[0]
    diamond = next(patch for patch in axes.patches if isinstance(patch, Polygon))
    bar = next(patch for patch in axes.patches if isinstance(patch, Rectangle))
    np.testing.assert_allclose(diamond.get_xy()[:3, 0], [row.ci_low, row.estimate, row.ci_high])
    np.testing.assert_allclose([bar.get_x(), bar.get_x() + bar.get_width()], [row.pi_low, row.pi_high])


def test_groups_have_headings_and_diamonds(effects, pooled):
    """Rows are gathered under their heading, with a diamond for each fitted group and one for all."""
    fits = {name: random_effects(rows.yi, rows.vi) for name, rows in effects.groupby("method")}
    drawing = forest(effects, pooled, groups="method", group_fits=fits)
    one = ["heading", *["effect"] * 6, "diamond"]
    assert drawing.data.layer.tolist() == [*one, *one, "diamond", "prediction"]
    assert drawing.data.label[0] == "SimCLR"
    assert drawing.data.estimate[7] == pytest.approx(fits["simclr"].coef[0])
    texts = [label.get_text() for label in drawing.figure.axes[0].get_yticklabels()]
    assert texts[0] == "SimCLR"
    assert len({label.get_position()[1] for label in drawing.figure.axes[0].get_yticklabels()}) == len(texts)


def test_a_group_without_a_fit_gets_no_diamond(effects):
    """With fewer clusters than a model needs, the rows are shown and nothing is pooled."""
    drawing = forest(effects, groups="method")
    assert set(drawing.data.layer) == {"heading", "effect"}
    assert drawing.alt.endswith("No pooled effect was computed.")


def test_a_common_effect_model_has_no_prediction_bar(effects):
    """FE has a diamond and no prediction."""
    drawing = forest(effects, random_effects(effects.yi, effects.vi, method="FE", test="z"))
    assert "prediction" not in set(drawing.data.layer)
    assert drawing.unsupported_numbers() == []


def test_alternative_text_holds_the_pooled_gain(effects, pooled):
    """The alternative text gives n, the pooled gain and the prediction, all found in the data."""
    drawing = forest(effects, pooled)
    assert "12 effects" in drawing.alt
    assert f"{pooled.coef[0]:.3g}" in drawing.alt
    assert drawing.unsupported_numbers() == []


def test_nothing_is_clipped_and_rows_do_not_overlap(effects, pooled):
    """All texts lie inside the figure, and no row label touches the next."""
    long = effects.assign(
        label=[f"An author with a long name {i}, 2024, pleural effusion" for i in range(12)]
    )
    figure = forest(long, pooled).figure
    box = figure.bbox
    texts = [*figure.axes[0].get_yticklabels(), *figure.axes[0].texts, figure.axes[0].xaxis.label]
    for text in texts:
        extent = text.get_window_extent()
        assert box.x0 <= extent.x0 <= extent.x1 <= box.x1
        assert box.y0 <= extent.y0 <= extent.y1 <= box.y1
    extents = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert all(upper.y0 >= lower.y1 for upper, lower in itertools.pairwise(extents))
    assert figure.axes[0].get_position().width > 0.3


def test_long_labels_are_whole_in_the_data(effects):
    """A label that is shortened on the page is whole in the data."""
    label = "Azizi 2021, a label of more than thirty-two letters"
    drawing = forest(effects.assign(label=label))
    assert drawing.data.label[0] == label
    assert drawing.figure.axes[0].get_yticklabels()[0].get_text().endswith("…")


def test_what_cannot_be_drawn_is_refused(effects, slope, pooled):
    """Moderators, other numbers of rows, unknown groups and too many rows are usage errors."""
    with pytest.raises(UsageError, match="without moderators"):
        forest(effects, slope)
    with pytest.raises(UsageError, match="of 12 effects and the table has 11"):
        forest(effects.iloc[1:], pooled)
    with pytest.raises(UsageError, match="group_fits names byol"):
        forest(effects, groups="method", group_fits={"byol": pooled})
    with pytest.raises(UsageError, match="at most 120"):
        forest(pd.concat([effects] * 11))
    with pytest.raises(UsageError, match="no column label"):
        forest(effects.drop(columns="label"))


def test_a_multilevel_fit_gives_weights_diamond_and_bar(clustered, dependent):
    """Squares weigh the inverse total variance, and the pooled rows are the multilevel predictions."""
    data = forest(clustered, dependent).data
    weight = 1 / (clustered.vi + dependent.sigma2.sum())
    singles = data[data.layer == "effect"]
    np.testing.assert_allclose(singles.weight_percent, 100 * weight / weight.sum())
    row = dependent.predict().iloc[0]
    pooled = data[data.layer == "diamond"].iloc[0]
    np.testing.assert_allclose(pooled[["estimate", "low", "high"]].tolist(), row[:3])
    bar = data[data.layer == "prediction"].iloc[0]
    np.testing.assert_allclose(bar[["low", "high"]].tolist(), row[3:5])


def test_robust_intervals_are_those_of_the_robust_form(clustered, dependent):
    """With interval="robust" limits come from `robust()` at the level of the figure, and the words say so."""
    drawing = forest(clustered, dependent, interval="robust", level=0.9)
    row = dependent.robust().predict(level=0.9).iloc[0]
    pooled = drawing.data[drawing.data.layer == "diamond"].iloc[0]
    np.testing.assert_allclose(pooled[["low", "high"]].tolist(), [row.ci_low, row.ci_high])
    assert "cluster-robust limits" in drawing.alt
    assert drawing.unsupported_numbers() == []


def test_an_interval_that_the_fit_lacks_is_refused(effects, pooled):
    """A fit with one level has no robust form, and other words are no interval."""
    with pytest.raises(UsageError, match="RandomEffectsFit, which has no robust form"):
        forest(effects, pooled, interval="robust")
    with pytest.raises(UsageError, match="must be one of model, robust"):
        forest(effects, pooled, interval="bootstrap")


def test_a_cluster_row_is_the_weighted_mean_of_its_effects(clustered, dependent):
    """Mean and limits agree with matrix algebra on the working covariance of the cluster."""
    data = forest_by_cluster(clustered, dependent, level=0.9).data
    rows = data[data.layer == "cluster"].set_index("label")
    assert set(rows.index) == set("abcde")
    for name, members in clustered.groupby("cluster_id"):
        deviation = np.sqrt(members.vi.to_numpy())
        sampling = 0.6 * np.outer(deviation, deviation)
        np.fill_diagonal(sampling, members.vi)
        weight = 1 / (members.vi.to_numpy() + dependent.sigma2[1])
        weight /= weight.sum()
        mean = weight @ members.yi
        variance = weight @ (sampling + dependent.sigma2[1] * np.eye(len(members))) @ weight
        half = norm.ppf(0.95) * np.sqrt(variance)
        expected = [mean, mean - half, mean + half, members.yi.min(), members.yi.max(), len(members)]
        columns = ["estimate", "low", "high", "smallest", "largest", "effects"]
        np.testing.assert_allclose(rows.loc[name, columns].astype(float), expected)


def test_without_a_fit_a_cluster_is_pooled_by_its_variances(clustered):
    """Nothing is known of heterogeneity then: inverse-variance means, and no pooled row."""
    drawing = forest_by_cluster(clustered)
    rows = drawing.data.set_index("label")
    for name, members in clustered.groupby("cluster_id"):
        alone = random_effects(members.yi, members.vi, method="FE", test="z")
        limits = [alone.coef[0], alone.ci_low[0], alone.ci_high[0]]
        np.testing.assert_allclose(rows.loc[name, ["estimate", "low", "high"]].astype(float), limits)
    assert drawing.alt.endswith("No pooled effect was computed.")


def test_clusters_are_sorted_and_drawn_where_the_data_say(clustered, dependent):
    """Rows go from the smallest mean to the largest; squares, intervals and ranges stand on them."""
    drawing = forest_by_cluster(clustered, dependent)
    rows = drawing.data[drawing.data.layer == "cluster"]
    assert rows.estimate.is_monotonic_increasing
    assert rows.row.is_monotonic_decreasing
    ranges, left, right, intervals, squares = drawing.figure.axes[0].collections
    np.testing.assert_allclose(squares.get_offsets(), rows[["estimate", "row"]])
    segments = [segment[:, 0] for segment in intervals.get_segments()]
    np.testing.assert_allclose(segments, rows[["low", "high"]])
    several = rows[rows.effects > 1]
    assert len(several) < len(rows)  # one effect has no range
    limits = several[["smallest", "largest"]]
    np.testing.assert_allclose([line[:, 0] for line in ranges.get_segments()], limits)
    np.testing.assert_allclose(np.column_stack([end.get_offsets()[:, 0] for end in (left, right)]), limits)


def test_a_cluster_in_two_groups_has_two_rows(clustered, dependent):
    """Below each heading stand the group's own effects of the cluster, and group fits get a diamond."""
    fits = {
        name: multilevel(g.yi, g.vi, g.cluster_id, rho=0.6)
        for name, g in clustered.groupby("method")
        if name == "simclr"
    }
    drawing = forest_by_cluster(clustered, dependent, groups="method", group_fits=fits, interval="robust")
    layers = ["heading", *["cluster"] * 3, "diamond", "heading", *["cluster"] * 4, "diamond", "prediction"]
    assert drawing.data.layer.tolist() == layers
    assert drawing.data[drawing.data.layer == "cluster"].effects.sum() == 12
    assert drawing.data.low[4] == pytest.approx(fits["simclr"].robust().predict().ci_low[0])
    assert drawing.unsupported_numbers() == []


def test_many_effects_and_long_names_fit_on_the_page():
    """120 clusters of 10 effects: nothing is clipped or overlaps, letters have 9 points or more."""
    rng = np.random.default_rng(2)
    name = [f"A research group with a long name, {i}" for i in range(120)]
    table = pd.DataFrame({"cluster_id": np.repeat(name, 10), "yi": rng.normal(0.02, 0.05, 1200), "vi": 4e-4})
    drawing = forest_by_cluster(table, random_effects(table.yi, table.vi))
    assert (drawing.data.layer == "cluster").sum() == 120
    assert outside(drawing.figure) == []
    assert overlapping(drawing.figure) == []
    assert min(text.get_fontsize() for text in drawn_texts(drawing.figure)) >= 9
    assert drawing.unsupported_numbers() == []
    assert drawing.count == 1200


def test_two_clusters_fit_too(clustered):
    """Two rows make a small figure with the same words."""
    figure = forest_by_cluster(clustered[clustered.cluster_id.isin(["a", "b"])]).figure
    assert outside(figure) == []
    assert overlapping(figure) == []


def test_clusters_can_have_names(clustered):
    """A column of labels names the rows; it must be the same for all effects of a cluster."""
    named = clustered.assign(paper="Paper " + clustered.cluster_id)
    assert set(forest_by_cluster(named, label="paper").data.label) == {f"Paper {name}" for name in "abcde"}
    with pytest.raises(UsageError, match=r"cluster 'a' has 2 values of method"):
        forest_by_cluster(clustered, label="method")


def test_cluster_tables_that_cannot_be_drawn_are_refused(clustered, dependent):
    """Absent columns, fits of other rows and too many clusters are usage errors."""
    with pytest.raises(UsageError, match="no column paper_id"):
        forest_by_cluster(clustered, cluster="paper_id")
    with pytest.raises(UsageError, match="of 12 effects and the table has 11"):
        forest_by_cluster(clustered.iloc[1:], dependent)
    with pytest.raises(UsageError, match="121 clusters do not fit"):
        forest_by_cluster(pd.DataFrame({"cluster_id": range(121), "yi": 0.0, "vi": 1.0}))
