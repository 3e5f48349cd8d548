"""The reliability figure draws the table's bins, and its words hold no other number."""

import numpy as np
import pandas as pd
import pytest

from medssl.errors import UsageError
from medssl.evaluation.calibration import reliability_table
from medssl.figures import reliability_plot


@pytest.fixture
def table() -> pd.DataFrame:
    """Two arms on 200 cases; the second is too certain."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 200)
    score = np.clip(0.25 + 0.5 * labels + random.normal(scale=0.2, size=200), 0.01, 0.99)
    sharp = score**3 / (score**3 + (1 - score) ** 3)
    arms = {"simclr": score, "supervised": sharp}
    return pd.concat(
        [
            reliability_table(labels, np.stack([1 - p, p], 1), bins=10).assign(arm=arm)
            for arm, p in arms.items()
        ],
        ignore_index=True,
    )


def line_of(axes, label):
    return next(item for item in axes.lines if item.get_label() == label)


def test_points_are_the_bins_of_the_table(table):
    """Each arm's line runs through its bins in order, however the rows are sorted, with the table's bars."""
    drawing = reliability_plot(table.sample(frac=1, random_state=1))
    upper = drawing.figure.axes[0]
    for (arm, label), bars in zip(
        (("simclr", "SimCLR"), ("supervised", "Supervised")), upper.collections, strict=True
    ):
        part = table[table.arm == arm].sort_values("bin_low")
        np.testing.assert_allclose(line_of(upper, label).get_xdata(), part.confidence)
        np.testing.assert_allclose(line_of(upper, label).get_ydata(), part.accuracy)
        ends = np.array([segment[:, 1] for segment in bars.get_segments()])
        np.testing.assert_allclose(ends, part[["ci_low", "ci_high"]])


def test_the_diagonal_is_drawn(table):
    """Perfect calibration is a line to compare with."""
    upper = reliability_plot(table).figure.axes[0]
    assert any(np.allclose(line.get_xydata(), [[0, 0], [1, 1]]) for line in upper.lines)


def test_the_lower_panel_holds_all_predictions(table):
    """The area under each outline, in bins, is one, and a bin without a prediction is drawn as 0."""
    holes = table[~((table.arm == "simclr") & (table.bin_low.round(1) == 0.7))]
    drawing = reliability_plot(holes)
    for line in drawing.figure.axes[1].lines:
        x, y = line.get_data()
        assert np.trapezoid(y, x) == pytest.approx(0.1)
        assert y[0] == y[-1] == 0
    x, y = drawing.figure.axes[1].lines[0].get_data()
    assert (y[(x > 0.69) & (x < 0.81)] == 0).sum() >= 2


def test_arms_differ_in_more_than_colour(table):
    """Marker and line style tell arms apart in grey, in both panels."""
    upper, lower = reliability_plot(table).figure.axes
    first, second = line_of(upper, "SimCLR"), line_of(upper, "Supervised")
    assert first.get_marker() != second.get_marker()
    assert first.get_linestyle() != second.get_linestyle()
    assert lower.lines[0].get_linestyle() != lower.lines[1].get_linestyle()


def test_words_and_counts_come_from_the_data(table):
    """The n counts every arm's predictions, and the text's numbers are in the data."""
    drawing = reliability_plot(table)
    assert (drawing.count, drawing.unit) == (400, "predictions")
    assert drawing.unsupported_numbers() == []
    part = table[table.arm == "supervised"]
    error = (part["count"] * part.gap.abs()).sum() / 200
    assert f"Supervised has a mean gap of {error:.3g}" in drawing.alt
    worst = part.loc[part.gap.abs().idxmax()]
    assert f"at {worst.confidence:.3g}, where accuracy is {worst.accuracy:.3g}" in drawing.alt


def test_the_labels_say_what_is_compared(table):
    """Another comparison names its own axes."""
    drawing = reliability_plot(
        table, x_label="Predicted probability", y_label="Observed frequency", level=0.9
    )
    upper, lower = drawing.figure.axes
    assert upper.get_ylabel() == "Observed frequency\n(90% interval)"
    assert lower.get_xlabel().startswith("Predicted probability")
    assert "Observed frequency against predicted probability" in drawing.alt


def test_what_cannot_be_drawn_is_refused(table):
    """Absent columns, repeated bins and values that are no shares are usage errors."""
    with pytest.raises(UsageError, match="no column arm"):
        reliability_plot(table.drop(columns="arm"))
    with pytest.raises(UsageError, match=r"repeats simclr in the bin from 0.5 \(\d+ rows\); select one run"):
        reliability_plot(pd.concat([table, table]))
    for bad in (table.assign(accuracy=1.2), table.assign(ci_low=-0.1), table.assign(count=0)):
        with pytest.raises(UsageError, match="shares between 0 and 1 and counts of at least 1"):
            reliability_plot(bad)
    with pytest.raises(UsageError, match="accuracy has 1 missing"):
        reliability_plot(table.assign(accuracy=table.accuracy.where(table.index > 0)))
