"""The strata plot draws each stratum where its numbers say, and shows what is too thin to pool."""

import numpy as np
import pandas as pd
import pytest

from medssl.errors import UsageError
from medssl.figures._layout import outside, overlapping
from medssl.figures.strata_plot import MARKS, strata_plot


@pytest.fixture
def table():
    rows = [
        ("random", "All", 260, 18, "moderate", 0.065, 0.03, 0.1, -0.11, 0.24),
        ("random", "xray", 119, 5, "insufficient", 0.029, -0.006, 0.065, -0.1, 0.16),
        ("random", "ultrasound", 21, 1, "insufficient", *[np.nan] * 5),
        ("imagenet_supervised", "All", 98, 7, "against", -0.02, -0.03, -0.01, -0.9, 0.8),
    ]
    columns = [
        "comparator",
        "modality",
        "k",
        "clusters",
        "grade",
        "estimate",
        "ci_low",
        "ci_high",
        "pi_low",
        "pi_high",
    ]
    return pd.DataFrame(rows, columns=columns)


def test_rows_stand_under_their_headings(table):
    """Headings, pooled strata and thin ones appear in the order given."""
    data = strata_plot(table).data
    assert data.layer.tolist() == ["heading", "stratum", "stratum", "thin", "heading", "stratum"]
    assert data.label.tolist()[:4] == ["Random initialisation", "All", "X-ray", "Ultrasound"]
    assert (np.diff(data.row) == -1).all()


def test_marks_and_bars_are_the_numbers(table):
    """Each mark stands at its estimate with the marker of its grade; bars span both intervals."""
    axes = strata_plot(table, limits=(-1, 1)).figure.axes[0]
    prediction, confidence = axes.collections[:2]
    fitted = table.dropna(subset="estimate")
    spans = np.array([segment[:, 0] for segment in confidence.get_segments()])
    np.testing.assert_allclose(spans, fitted[["ci_low", "ci_high"]])
    spans = np.array([segment[:, 0] for segment in prediction.get_segments()])
    np.testing.assert_allclose(spans, fitted[["pi_low", "pi_high"]])
    marks = [c.get_offsets()[0, 0] for c in axes.collections[2:]]
    np.testing.assert_allclose(marks, fitted.estimate)


def test_what_reaches_beyond_the_axis_ends_in_an_arrow(table):
    """A very wide prediction interval is cut with a mark at each end, and the data keep its limits."""
    whole = len(strata_plot(table, limits=(-1, 1)).figure.axes[0].collections)
    drawing = strata_plot(table, limits=(-0.2, 0.2))
    cut = drawing.figure.axes[0]
    assert len(cut.collections) == whole + 3  # both ends of the last row, the upper end of the first
    assert cut.get_xlim() == (-0.2, 0.2)
    assert drawing.data.pi_low.min() == -0.9


def test_words_count_and_fit_the_page(table):
    """The alternative text holds the means of all strata; nothing overlaps or leaves the page."""
    drawing = strata_plot(table, count=358)
    assert drawing.count == 358
    assert drawing.unsupported_numbers() == []
    assert "3 strata" in drawing.alt
    assert "0.065 (0.03 to 0.1), moderate" in drawing.alt
    assert outside(drawing.figure) == []
    assert overlapping(drawing.figure) == []


def test_grades_have_markers_of_their_own(table):
    """Each grade is told apart without colour: by marker, or hollow and filled."""
    assert set(MARKS) == {"strong", "moderate", "weak", "insufficient", "against"}
    legend = strata_plot(table).figure.legends[0]
    words = [text.get_text() for text in legend.get_texts()]
    assert {"Grade: moderate", "Grade: insufficient", "Grade: against"} <= set(words)
    assert "Grade: strong" not in words


def test_wrong_tables_are_refused(table):
    """An absent column and an unknown grade are usage errors; strata that are all thin are drawn."""
    with pytest.raises(UsageError, match="no column pi_low"):
        strata_plot(table.drop(columns="pi_low"))
    with pytest.raises(UsageError, match="grade is 'superb'"):
        strata_plot(table.assign(grade="superb"))
    thin = strata_plot(table[table.modality == "ultrasound"])
    assert thin.data.layer.tolist() == ["heading", "thin"]
