"""The share plot draws what its table says, names every row, and refuses what it cannot draw."""

import numpy as np
import pandas as pd
import pytest

from medssl.errors import UsageError
from medssl.figures._layout import drawn_texts, outside, overlapping
from medssl.figures.share_plot import share_plot

COLUMNS = ("share_clusters", "ci_low", "ci_high", "share_rows")


def made(levels: dict[str, int] | None = None, seed: int = 0) -> pd.DataFrame:
    """Factors with some levels each; the last level of each has no interval."""
    random = np.random.default_rng(seed)
    rows = []
    for factor, count in (levels or {"Modality": 4, "Label ratio": 3}).items():
        for i in range(count):
            share, half = random.uniform(0.1, 0.5), 0.08 if i < count - 1 else np.nan
            rows.append(
                {
                    "factor": factor, "level": f"{factor.lower()} level {'abcdefghijkl'[i % 12]}{i // 12}",
                    "losses": int(random.integers(1, 20)), "effects": int(random.integers(20, 200)),
                    "clusters": int(random.integers(2, 20)), "share_clusters": share, "ci_low": share - half,
                    "ci_high": share + half, "share_rows": random.uniform(0.05, 0.6),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def offsets(axes, label: str) -> np.ndarray:
    (found,) = [item for item in axes.collections if item.get_label() == label]
    return found.get_offsets()


def test_rows_are_drawn_in_the_order_of_the_table():
    """Each heading is followed by its levels, and the shares are drawn in percent at their rows."""
    table = made()
    drawing = share_plot(table)
    data = drawing.data
    assert data.layer.tolist() == ["heading", *["level"] * 4, "heading", *["level"] * 3]
    levels = data[data.layer == "level"]
    assert levels.label.tolist() == table.level.tolist()
    np.testing.assert_allclose(
        levels[["estimate", "low", "high", "other"]], 100 * table[list(COLUMNS)].to_numpy()
    )
    axes = drawing.figure.axes[0]
    np.testing.assert_allclose(offsets(axes, "estimate"), levels[["estimate", "row"]])
    np.testing.assert_allclose(offsets(axes, "other"), levels[["other", "row"]])
    assert data.row.is_monotonic_decreasing


def test_only_levels_with_an_interval_have_a_line():
    """A level without limits gets its markers and no line."""
    drawing = share_plot(made())
    levels = drawing.data[drawing.data.layer == "level"]
    (lines,) = [item for item in drawing.figure.axes[0].collections if item.get_label() == "interval"]
    drawn = lines.get_segments()
    expected = levels.dropna(subset="low")
    assert len(drawn) == len(expected) == 5
    np.testing.assert_allclose([segment[:, 0] for segment in drawn], expected[["low", "high"]])


def test_the_counts_stand_beside_each_level():
    """The text on the right has losses, effects and clusters of its row."""
    table = made()
    axes = share_plot(table).figure.axes[0]
    texts = [text.get_text() for text in axes.texts]
    wanted = [f"{row.losses} of {row.effects}; {row.clusters}" for row in table.itertuples()]
    assert texts == [*wanted, "Losses; clusters"]


def test_the_reference_is_one_dotted_line():
    """A reference share is drawn once, in percent, and mentioned; without it there is none."""
    drawing = share_plot(made(), reference=0.2)
    dotted = [line for line in drawing.figure.axes[0].lines if line.get_linestyle() == ":"]
    assert [line.get_xdata()[0] for line in dotted] == [20.0]
    assert drawing.data[drawing.data.layer == "reference"].estimate.tolist() == [20.0]
    assert drawing.alt.endswith("The whole is at 20%.")
    plain = share_plot(made())
    assert not [line for line in plain.figure.axes[0].lines if line.get_linestyle() == ":"]
    assert "reference" not in set(plain.data.layer)


def test_without_groups_there_are_no_headings():
    """A table without factors is drawn as it is."""
    table = made({"Modality": 5})
    drawing = share_plot(table, groups=None)
    assert set(drawing.data.layer) == {"level"}
    assert drawing.count == table.effects.sum()
    assert "Share plot of comparisons with SSL below the comparator: 5 levels. " in drawing.alt


def test_marks_differ_in_shape_and_in_the_legend():
    """Filled and open markers have their own shape, and the legend names both."""
    words = ("Expected", "Observed")
    figure = share_plot(made(), words=words, reference=0.3).figure
    markers = {
        item.get_label(): len(item.get_paths()[0].vertices)
        for item in figure.axes[0].collections
        if item.get_label() in ("estimate", "other")
    }
    assert len(set(markers.values())) == 2
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["Expected, 95% interval", "Observed", "The whole"]


def test_words_follow_the_data():
    """The alternative text names the lowest and the highest level, with numbers from the data."""
    table = made()
    drawing = share_plot(table, level=0.9)
    assert "7 levels of 2 factors" in drawing.alt
    assert "90% intervals" in drawing.alt
    data = drawing.data[drawing.data.layer == "level"]
    lowest = data.loc[data.estimate.idxmin()]
    assert f"{lowest.estimate:.3g}% ({lowest.group}: " in drawing.alt
    assert drawing.unsupported_numbers() == []


def test_the_count_is_that_of_the_largest_factor():
    """Levels of one factor share out the comparisons; factors with blanks hold fewer."""
    table = made()
    totals = table.groupby("factor").effects.sum()
    assert share_plot(table).count == totals.max()
    assert share_plot(table, count=743).count == 743


def test_the_axis_holds_every_mark_and_starts_at_zero():
    """Shares of zero and of one are inside, and a small share does not fill the page."""
    table = made().assign(share_clusters=1.0, ci_low=np.nan, ci_high=np.nan, share_rows=0.0)
    low, high = share_plot(table).figure.axes[0].get_xlim()
    assert low < 0 < 100 < high < 110
    small = made().assign(share_clusters=0.01, ci_low=np.nan, ci_high=np.nan, share_rows=0.02)
    assert share_plot(small).figure.axes[0].get_xlim()[1] >= 20


@pytest.mark.parametrize("levels", [{"A": 2}, {"Modality": 12, "Comparator of this study": 40}])
def test_nothing_is_clipped(levels):
    """Two rows or fifty: all texts lie inside the page, apart, in nine points or more."""
    figure = share_plot(made(levels), reference=0.25).figure
    assert outside(figure) == []
    assert overlapping(figure) == []
    assert min(text.get_fontsize() for text in drawn_texts(figure)) >= 9


def test_what_cannot_be_drawn_is_refused():
    """Absent columns, shares outside their range, odd intervals and scattered groups are usage errors."""
    table = made()
    with pytest.raises(UsageError, match="has no column clusters"):
        share_plot(table.drop(columns="clusters"))
    with pytest.raises(UsageError, match="has no column ci_high; give both limits"):
        share_plot(table.drop(columns="ci_high"))
    with pytest.raises(UsageError, match="a share lies between 0 and 1"):
        share_plot(table.assign(share_rows=2.0))
    with pytest.raises(UsageError, match="the interval must hold its share, or be missing"):
        share_plot(table.assign(ci_low=0.9, ci_high=0.95))
    with pytest.raises(UsageError, match="the interval must hold its share, or be missing"):
        share_plot(table.assign(ci_low=np.nan, ci_high=0.99))
    with pytest.raises(UsageError, match="rows of one factor must stand together"):
        share_plot(table.iloc[[0, 4, 1]])
    with pytest.raises(UsageError, match="give two texts"):
        share_plot(table, words=("Expected",))
    with pytest.raises(UsageError, match="has 130 rows; at most 120"):
        share_plot(made({"A": 130}))
    with pytest.raises(UsageError, match="no rows"):
        share_plot(table.iloc[:0])
