"""The evidence map counts clusters and effects of every cell, empty ones included."""

import numpy as np
import pandas as pd
import pytest

from medssl.errors import UsageError
from medssl.figures._layout import drawn_texts, outside, overlapping
from medssl.figures.evidence_map import evidence_map


@pytest.fixture
def table():
    """Two hundred effects of thirty clusters in three modalities and four families, one of them unused."""
    rng = np.random.default_rng(0)
    cluster = rng.integers(0, 30, 200)
    modality = pd.Categorical(rng.choice(["ct", "mri"], 200), ["xray", "ct", "mri"])
    families = ["hybrid", "generative", "predictive"]
    return pd.DataFrame(
        {
            "cluster_id": [f"c{i}" for i in cluster],
            "study_id": [f"s{i}" for i in cluster // 2],
            "modality": modality,
            "family": pd.Categorical(rng.choice(families, 200), [*families, "contrastive"]),
            "task": rng.choice(["classification", "segmentation"], 200),
        }
    )


def cells(drawing):
    """The cells with their counts, margins left out."""
    return drawing.data[drawing.data.layer.isin(["cell", "empty"])]


def test_counts_are_those_of_a_slow_loop(table):
    """Clusters, studies and effects of each cell are counted as a loop over rows counts them."""
    for row in cells(evidence_map(table, "family", groups="task")).itertuples():
        here = [
            r
            for r in table.itertuples()
            if r.task == row.block and r.family == row.label and r.modality == row.column
        ]
        assert row.effects == len(here)
        assert row.clusters == len({r.cluster_id for r in here})
        assert row.studies == len({r.study_id for r in here})


def test_categories_without_effects_are_shown(table):
    """An unused category keeps its row or column, in the order of the categories, as empty cells."""
    data = cells(evidence_map(table, "family"))
    assert data.column.unique().tolist() == ["xray", "ct", "mri"]
    assert data.label.unique().tolist() == ["hybrid", "generative", "predictive", "contrastive"]
    empty = data[(data.label == "contrastive") | (data.column == "xray")]
    assert set(empty.layer) == {"empty"}
    assert (empty.effects == 0).all()


def test_margins_count_each_cluster_once(table):
    """The last column and row count the distinct clusters of all cells, and all effects."""
    data = evidence_map(table, "family").data
    margin = data[(data.layer == "margin") & (data.label == "All")].set_index("column")
    assert margin.loc["All", "clusters"] == table.cluster_id.nunique()
    assert margin.loc["All", "effects"] == 200
    assert margin.loc["ct", "clusters"] == table[table.modality == "ct"].cluster_id.nunique()


def test_several_columns_stand_below_each_other(table):
    """With several columns in rows every effect counts once in each block."""
    drawing = evidence_map(table, ["family", "task"])
    assert cells(drawing).groupby("block").effects.sum().to_dict() == {"family": 200, "task": 200}
    assert drawing.data[drawing.data.layer == "heading"].label.tolist() == ["family", "task"]


def test_areas_go_by_clusters(table):
    """The area of each circle is proportional to the number of clusters of its cell."""
    drawing = evidence_map(table, "family")
    sizes = drawing.figure.axes[0].collections[0].get_sizes()
    clusters = cells(drawing)[lambda data: data.layer == "cell"].clusters.to_numpy()
    np.testing.assert_allclose(sizes / clusters, sizes[0] / clusters[0])


def test_every_cell_is_written(table):
    """Each cell says its clusters and effects, and an empty one says 0."""
    drawing = evidence_map(table, "family")
    counted = drawing.data[drawing.data.layer != "heading"]
    expected = [f"{r.clusters:.0f} ({r.effects:.0f})" if r.effects else "0" for r in counted.itertuples()]
    assert [text.get_text() for text in drawing.figure.axes[0].texts] == expected


def test_values_are_named(table):
    """Names replace values on the page and in the words, and the data keep the values."""
    drawing = evidence_map(table, "family", groups="task", names={"hybrid": "Mixed", "task": "Task"})
    labels = [text.get_text().strip() for text in drawing.figure.axes[0].get_yticklabels()]
    assert labels.count("Mixed") == 2
    assert "hybrid" in set(drawing.data.label)
    assert "X-ray" in [text.get_text() for text in drawing.figure.axes[0].get_xticklabels()]


def test_the_words_say_what_is_full_and_what_is_empty(table):
    """The alternative text has the totals, the fullest cell, the gaps, and no number that was not drawn."""
    drawing = evidence_map(table, "family", groups="task")
    data = cells(drawing)
    assert f"{(data.layer == 'cell').sum()} cells hold comparisons" in drawing.alt
    assert f"{(data.layer == 'empty').sum()} are empty" in drawing.alt
    assert "Nothing at all: classification, contrastive; segmentation, contrastive." in drawing.alt
    assert drawing.unsupported_numbers() == []
    assert drawing.count == 200


@pytest.mark.parametrize("effects", [1, 1999])
def test_nothing_is_clipped_or_covered(effects):
    """With long names and thousands of effects no text is cut, no text or circle covers another."""
    rng = np.random.default_rng(1)
    family = [f"a family of methods with a long name {i}" for i in rng.integers(0, 6, effects)]
    table = pd.DataFrame(
        {
            "cluster_id": rng.integers(0, 60, effects).astype(str),
            "study_id": "s",
            "modality": pd.Categorical(
                rng.choice(["xray", "ultrasound"], effects), ["xray", "ct", "mri", "ultrasound"]
            ),
            "family": family,
        }
    )
    drawing = evidence_map(table, "family")
    figure, axes = drawing.figure, drawing.figure.axes[0]
    assert outside(figure) == []
    assert overlapping(figure) == []
    assert min(text.get_fontsize() for text in drawn_texts(figure)) >= 9
    circles = axes.collections[0]
    centres = axes.transData.transform(circles.get_offsets())
    radii = np.sqrt(circles.get_sizes()) / 2 * figure.dpi / 72
    for text in axes.texts:
        box = text.get_window_extent()
        beside = (np.abs(centres[:, 1] - (box.y0 + box.y1) / 2)) < 5
        apart = (centres[:, 0] + radii <= box.x0) | (centres[:, 0] - radii >= box.x1)
        assert (apart | ~beside).all(), text.get_text()


def test_what_cannot_be_drawn_is_refused(table):
    """Absent columns, missing values, groups of several columns, and too much to read are usage errors."""
    with pytest.raises(UsageError, match="no column organ"):
        evidence_map(table, "organ")
    with pytest.raises(UsageError, match="column family has 200 missing values"):
        evidence_map(table.assign(family=None), "family")
    with pytest.raises(UsageError, match="single column"):
        evidence_map(table, ["family", "task"], groups="task")
    with pytest.raises(UsageError, match="names no column"):
        evidence_map(table, [])
    with pytest.raises(UsageError, match="at most 60 and 4"):
        evidence_map(table.assign(modality=table.cluster_id), "family")
