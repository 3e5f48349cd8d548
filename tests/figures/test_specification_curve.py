"""The specification curve sorts the estimates and shows the choices behind each."""

import itertools

import numpy as np
import pandas as pd
import pytest

from medssl.errors import UsageError
from medssl.figures import specification_curve
from medssl.figures._layout import drawn_texts, outside, overlapping

CHOICES = {
    "rows": ["primary", "printed only", "high confidence", "public data only"],
    "variance_origin": ["all rungs", "the upper three rungs and nothing that was imputed"],
    "comparator": ["any", "random", "ImageNet"],
    "correlation": ["0", "0.5", "0.8"],
    "interval": ["model", "cluster-robust"],
}


def specifications(names=tuple(CHOICES), seed: int = 0) -> pd.DataFrame:
    """Every combination of the choices, with estimates around 0.02; a tenth cannot be fitted."""
    table = pd.DataFrame(itertools.product(*(CHOICES[name] for name in names)), columns=list(names))
    rng = np.random.default_rng(seed)
    estimate = rng.normal(0.02, 0.03, len(table))
    half = rng.uniform(0.01, 0.03, len(table))
    fitted = np.arange(len(table)) % 10 != 9
    numbers = np.where(fitted[:, None], np.column_stack([estimate, estimate - half, estimate + half]), np.nan)
    table[["estimate", "ci_low", "ci_high"]] = numbers
    return table.assign(fitted=fitted, k=rng.integers(5, 900, len(table)), clusters=9)


def test_estimates_rise_from_left_to_right():
    """All fitted specifications stand at their rank with their interval."""
    table = specifications()
    drawing = specification_curve(table, list(CHOICES))
    rows = drawing.data[drawing.data.layer == "specification"]
    fitted = table[table.fitted].sort_values("estimate")
    np.testing.assert_allclose(
        rows[["estimate", "ci_low", "ci_high"]], fitted[["estimate", "ci_low", "ci_high"]]
    )
    assert rows["rank"].tolist() == list(range(1, len(fitted) + 1))
    top = drawing.figure.axes[0]
    intervals = np.array([segment[:, 1] for segment in top.collections[0].get_segments()])
    np.testing.assert_allclose(intervals, rows[["ci_low", "ci_high"]])
    points = np.concatenate([item.get_offsets() for item in top.collections if item.get_label() in VERDICTS])
    np.testing.assert_allclose(points[points[:, 0].argsort()], rows[["rank", "estimate"]])
    assert any(np.allclose(line.get_ydata(), 0) for line in top.lines)


VERDICTS = ("above", "includes", "below")


def test_each_mark_of_the_matrix_is_a_choice():
    """In each column there is one mark for each choice, in the row of its value."""
    table = specifications(("rows", "comparator"))
    drawing = specification_curve(table, ["rows", "comparator"])
    rows = drawing.data[drawing.data.layer == "specification"]
    bottom = drawing.figure.axes[1]
    heights = {
        text.get_text().strip(): tick
        for text, tick in zip(bottom.get_yticklabels(), bottom.get_yticks(), strict=True)
    }
    marks = 0
    for item in bottom.collections:
        segments = np.array(item.get_segments())
        marks += len(segments)
        choice = next(name for name in ("rows", "comparator") if item.get_label() in CHOICES[name])
        assert segments[:, 0, 0].tolist() == rows.loc[rows[choice] == item.get_label(), "rank"].tolist()
        np.testing.assert_allclose(segments[:, :, 1].mean(axis=1), heights[item.get_label()])
    assert marks == 2 * len(rows)


def test_values_are_grouped_under_their_choice():
    """Below the bold name of a choice stand its values, in the order of their first row."""
    bottom = specification_curve(specifications(("rows", "comparator")), ["comparator", "rows"]).figure.axes[
        1
    ]
    labels = bottom.get_yticklabels()
    order = ["Comparator", *CHOICES["comparator"], "Rows", *CHOICES["rows"]]
    assert [label.get_text().strip() for label in labels] == order
    assert (np.diff(bottom.get_yticks()) == -1).all()
    bold = [label.get_text() for label in labels if label.get_fontweight() == "bold"]
    assert bold == ["Comparator", "Rows"]


def test_what_could_not_be_fitted_is_kept_and_counted():
    """Failed specifications have a layer of their own, no rank, and are mentioned in figure and words."""
    table = specifications()
    drawing = specification_curve(table, list(CHOICES))
    lost = drawing.data[drawing.data.layer == "not_fitted"]
    assert len(lost) == (~table.fitted).sum() == 14
    assert lost["rank"].isna().all()
    assert lost.rows.tolist() == table[~table.fitted]["rows"].tolist()
    assert "14 more could not be fitted" in drawing.alt
    assert "14 more could not be fitted" in drawing.figure.axes[1].get_xlabel()
    assert drawing.count == len(table)


def test_summary_agrees_with_loops():
    """The median and the number of intervals above, around and below 0 are those of a loop."""
    table = specifications()
    drawing = specification_curve(table, list(CHOICES))
    summary = drawing.data[drawing.data.layer == "summary"].set_index("label")
    fitted = table[table.fitted]
    assert summary.estimate["median"] == pytest.approx(np.median(fitted.estimate))
    assert summary.specifications["above"] == sum(low > 0 for low in fitted.ci_low)
    assert summary.specifications["below"] == sum(high < 0 for high in fitted.ci_high)
    assert summary.specifications[list(VERDICTS)].sum() == len(fitted)
    assert drawing.unsupported_numbers() == []


def test_the_primary_specification_is_highlighted():
    """A star stands at the rank of `main`, a line runs through the matrix, and the words give its numbers."""
    table = specifications(("rows", "comparator")).set_index(np.arange(100, 112))
    drawing = specification_curve(table, ["rows", "comparator"], main=103)
    row = drawing.data[drawing.data.main == True].iloc[0]  # noqa: E712, the column has missing values
    assert row.estimate == table.estimate[103]
    star = next(item for item in drawing.figure.axes[0].collections if item.get_label() == "main")
    np.testing.assert_allclose(star.get_offsets(), [[row["rank"], row.estimate]])
    assert any(line.get_linestyle() == "--" for line in drawing.figure.axes[1].lines)
    assert f"The primary specification gives {row.estimate:.3g}" in drawing.alt
    assert drawing.unsupported_numbers() == []
    assert "Primary specification" in [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    lost = specification_curve(table, ["rows", "comparator"], main=109)
    assert "The primary specification could not be fitted." in lost.alt


def test_verdicts_differ_in_shape():
    """Intervals above, around and below 0 have different markers."""
    top = specification_curve(specifications(), list(CHOICES)).figure.axes[0]
    shapes = [item.get_paths()[0].vertices for item in top.collections if item.get_label() in VERDICTS]
    assert len({len(shape) for shape in shapes}) == len(shapes) == 3


@pytest.mark.parametrize("count", [2, 144, 700])
def test_nothing_is_clipped(count):
    """Two specifications or hundreds, with long names: all texts inside, apart, in 9 points or more."""
    table = pd.concat([specifications(seed=seed) for seed in range(5)], ignore_index=True).iloc[:count]
    figure = specification_curve(table, list(CHOICES), main=0, comparator="random initialisation").figure
    assert outside(figure) == []
    assert overlapping(figure) == []
    assert min(text.get_fontsize() for text in drawn_texts(figure)) >= 9
    assert figure.axes[0].get_position().width > 0.4


def test_what_cannot_be_drawn_is_refused():
    """Absent columns, no fitted row, unknown primary rows and too many values are usage errors."""
    table = specifications(("rows",))
    with pytest.raises(UsageError, match="no column scale"):
        specification_curve(table, ["rows", "scale"])
    with pytest.raises(UsageError, match="choices names no column"):
        specification_curve(table, [])
    with pytest.raises(UsageError, match="none of the 4 specifications was fitted"):
        specification_curve(table.assign(fitted=False), ["rows"])
    with pytest.raises(UsageError, match="estimate has 4 missing values"):
        specification_curve(table.assign(estimate=np.nan), ["rows"])
    with pytest.raises(UsageError, match="main is 'primary', which is no index label"):
        specification_curve(table, ["rows"], main="primary")
    wide = pd.concat([table] * 25, ignore_index=True)
    with pytest.raises(UsageError, match="the choices need 101 rows"):
        specification_curve(wide.assign(left_out=wide.index.astype(str)), ["left_out"])
