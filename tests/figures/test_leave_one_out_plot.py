"""The leave-one-out plot shows each deletion and marks those that change the conclusion."""

import numpy as np
import pandas as pd
import pytest

from medssl.errors import UsageError
from medssl.figures import leave_one_out_plot
from medssl.figures._layout import drawn_texts, outside, overlapping
from medssl.figures._rows import spoken

FULL = {"estimate": 0.02, "ci_low": 0.002, "ci_high": 0.038}


def deletions(count: int, seed: int = 0, half: float = 0.018) -> pd.DataFrame:
    """Estimates around 0.02; the first changes its sign, the second gets an interval with 0."""
    estimate = 0.02 + np.random.default_rng(seed).normal(scale=0.0004, size=count)
    estimate[:2] = [-0.001, 0.012][:count]
    return pd.DataFrame(
        {
            "left_out": [f"cluster_{i}" for i in range(count)],
            "estimate": estimate,
            "ci_low": estimate - half,
            "ci_high": estimate + half,
            "sign_changes": estimate < 0,
        }
    )


def test_rows_are_sorted_on_their_intervals():
    """From the smallest estimate to the largest, each marker stands on its interval, the full data last."""
    table = deletions(20)
    drawing = leave_one_out_plot(table, FULL)
    rows = drawing.data
    assert rows.layer.tolist() == ["left_out"] * 20 + ["full"]
    expected = table.sort_values("estimate")
    assert rows.label[:20].tolist() == expected.left_out.tolist()
    np.testing.assert_allclose(rows[["estimate", "low", "high"]][:20], expected.iloc[:, 1:4])
    axes = drawing.figure.axes[0]
    segments = [segment[:, 0] for segment in axes.collections[0].get_segments()]
    np.testing.assert_allclose(segments, rows[["low", "high"]])
    offsets = np.concatenate([item.get_offsets() for item in axes.collections[1:]])
    drawn = rows.sort_values(["kind", "row"])[["estimate", "row"]].to_numpy()
    np.testing.assert_allclose(np.array(sorted(offsets.tolist())), np.array(sorted(drawn.tolist())))


@pytest.mark.parametrize("full", [FULL, FULL | {"ci_low": -0.01}, FULL | {"ci_low": -0.1, "ci_high": -0.01}])
def test_kinds_agree_with_a_loop(full):
    """A row is marked for its sign, else for whether its interval includes 0, compared with all the data."""
    table = deletions(30, half=0.0199)
    kinds = leave_one_out_plot(table, full).data.set_index("label").kind
    for row in table.itertuples():
        includes, did = row.ci_low <= 0 <= row.ci_high, full["ci_low"] <= 0 <= full["ci_high"]
        expected = "sign" if row.sign_changes else ("zero" if includes != did else "same")
        assert kinds[row.left_out] == expected


def test_marks_differ_in_shape():
    """Without colours each kind still has its own marker, in the figure and in the legend."""
    figure = leave_one_out_plot(deletions(10), FULL).figure
    kinds = [item for item in figure.axes[0].collections if item.get_label() in ("same", "zero", "sign")]
    shapes = {len(item.get_paths()[0].vertices) for item in kinds}
    assert len(shapes) == len(kinds) == 3
    handles = [item.get_marker() for item in figure.legends[0].legend_handles if hasattr(item, "get_marker")]
    assert sorted(handles) == ["D", "o", "v"]


def test_the_interval_of_all_the_data_is_shaded():
    """The band and the dotted line are those of the full fit, given as a mapping or a row."""
    for full in (FULL, pd.Series(FULL | {"pi_low": -1.0})):
        axes = leave_one_out_plot(deletions(5), full).figure.axes[0]
        band = next(patch for patch in axes.patches if patch.get_label() == "full")
        assert band.get_x() == pytest.approx(0.002)
        assert band.get_x() + band.get_width() == pytest.approx(0.038)
        assert any(line.get_linestyle() == ":" and line.get_xdata()[0] == 0.02 for line in axes.lines)


def test_words_name_what_changes_the_conclusion():
    """The alternative text counts and names the deletions that matter, with numbers from the data."""
    drawing = leave_one_out_plot(deletions(20), FULL, unit="studies")
    assert drawing.alt.startswith("Leave-one-out plot of 20 studies")
    assert "smallest, -0.001, without cluster_0" in drawing.alt
    assert "sign changes in 1 of the deletions, and in 1 others" in drawing.alt
    assert drawing.alt.endswith("come from leaving out cluster_0, cluster_1.")
    assert drawing.unsupported_numbers() == []
    calm = leave_one_out_plot(deletions(20).iloc[2:], FULL)
    assert "changes in 0 of the deletions" in calm.alt


def test_names_with_numbers_do_not_look_like_results():
    """A year in a name is left out of the words, and whole in the data."""
    table = deletions(3).assign(left_out=["Azizi 2021, CheXpert", "Vu 2021", "2019"])
    drawing = leave_one_out_plot(table, FULL)
    assert "without Azizi …" in drawing.alt
    assert drawing.unsupported_numbers() == []
    assert "Azizi 2021, CheXpert" in set(drawing.data.label)
    assert (spoken("he2023_gvsl"), spoken("Vu 2021"), spoken("3")) == ("he2023_gvsl", "Vu …", "…")


def test_of_many_rows_the_most_influential_are_drawn():
    """Above 120 rows those that change the conclusion stay, then the largest changes; the rest is counted."""
    table = deletions(300).sample(frac=1, random_state=0)
    table.loc[299, ["ci_low", "ci_high"]] = [-0.001, 0.04]  # changes little, and the interval includes 0
    drawing = leave_one_out_plot(table, FULL)
    shown = drawing.data[drawing.data.layer == "left_out"]
    hidden = drawing.data[drawing.data.layer == "not_shown"]
    assert (len(shown), len(hidden), drawing.count) == (120, 180, 300)
    assert {"cluster_0", "cluster_1", "cluster_299"} == set(shown[shown.kind != "same"].label)
    assert shown[shown.kind == "same"].change.abs().min() >= hidden.change.abs().max()
    assert hidden.row.isna().all()
    assert "180 of 300 clusters not shown" in drawing.figure.axes[0].get_xlabel()
    assert drawing.unsupported_numbers() == []


def test_deletions_that_cannot_be_fitted_are_counted():
    """A row without numbers is not drawn, is kept in the data, and is mentioned."""
    table = deletions(6)
    table.loc[3, ["estimate", "ci_low", "ci_high"]] = np.nan
    drawing = leave_one_out_plot(table, FULL)
    assert drawing.data[drawing.data.layer == "not_fitted"].label.tolist() == ["cluster_3"]
    assert "1 deletions leave too little to fit" in drawing.figure.axes[0].get_xlabel()
    assert "1 deletions leave too little to fit" in drawing.alt
    assert drawing.unsupported_numbers() == []


@pytest.mark.parametrize("count", [2, 120])
def test_nothing_is_clipped(count):
    """Long names, two rows or 120: all texts lie inside the page, apart, in 9 points or more."""
    table = deletions(count)
    table["left_out"] = "A research group with a very long name, " + table.left_out
    figure = leave_one_out_plot(table, FULL, comparator="random initialisation").figure
    assert outside(figure) == []
    assert overlapping(figure) == []
    assert min(text.get_fontsize() for text in drawn_texts(figure)) >= 9
    assert figure.axes[0].get_position().width > 0.25


def test_what_cannot_be_drawn_is_refused():
    """Absent columns, an incomplete full row, repeated names and empty tables are usage errors."""
    table = deletions(4)
    with pytest.raises(UsageError, match="the leave-one-out table has no column sign_changes"):
        leave_one_out_plot(table.drop(columns="sign_changes"), FULL)
    with pytest.raises(UsageError, match="the row of all the data has no column ci_high"):
        leave_one_out_plot(table, {"estimate": 0.0, "ci_low": 0.0})
    with pytest.raises(UsageError, match="has 'cluster_0' twice; select the rows of one coefficient"):
        leave_one_out_plot(pd.concat([table, table]), FULL)
    with pytest.raises(UsageError, match="no rows"):
        leave_one_out_plot(table.assign(estimate=np.nan), FULL)
