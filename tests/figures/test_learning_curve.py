"""Learning curves draw the summary over seeds of each arm."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from medssl.errors import UsageError
from medssl.figures import arm_scores, learning_curve


def line_of(drawing, label):
    return next(item for item in drawing.figure.axes[0].lines if item.get_label() == label)


def test_lines_are_means_and_bars_are_t_intervals(runs):
    """Each point is the mean over seeds, each bar scipy's t interval."""
    drawing = learning_curve(runs)
    for arm, label in (("simclr", "SimCLR"), ("supervised", "Supervised")):
        cells = [rows.score for _, rows in runs[runs.arm == arm].groupby("n_labelled")]
        np.testing.assert_allclose(line_of(drawing, label).get_ydata(), [cell.mean() for cell in cells])
        table = drawing.data[(drawing.data.arm == arm) & (drawing.data.layer == "summary")]
        limits = [stats.t.interval(0.95, 2, cell.mean(), stats.sem(cell)) for cell in cells]
        np.testing.assert_allclose(table[["low", "high"]], limits)


def test_median_and_range(runs):
    """The other summary is the median with the smallest and largest score."""
    table = learning_curve(runs, summary="median").data.query("layer == 'summary' and arm == 'simclr'")
    scores = runs[runs.arm == "simclr"].groupby("n_labelled").score
    np.testing.assert_allclose(table.centre, scores.median())
    np.testing.assert_allclose(table[["low", "high"]], np.column_stack([scores.min(), scores.max()]))


def test_the_axis_is_logarithmic_and_shows_the_counts(runs):
    """Label counts are the ticks of a log axis, and arms stand apart by colour, marker and line style."""
    drawing = learning_curve(runs)
    axes = drawing.figure.axes[0]
    assert axes.get_xscale() == "log"
    assert {text.get_text() for text in axes.get_xticklabels()} == {"10", "100", "1000"}
    simclr, supervised = line_of(drawing, "SimCLR"), line_of(drawing, "Supervised")
    assert simclr.get_marker() != supervised.get_marker()
    assert simclr.get_linestyle() != supervised.get_linestyle()


def test_every_run_is_drawn_and_counted(runs):
    """Single runs are drawn too, and they are the n of the figure."""
    drawing = learning_curve(runs)
    assert (drawing.count, drawing.unit) == (18, "runs")
    assert (drawing.data.layer == "run").sum() == 18
    assert drawing.unsupported_numbers() == []


def test_one_seed_has_no_interval(runs):
    """A single seed is a point without a bar, not a bar of length 0."""
    table = learning_curve(runs[runs.seed == 0]).data.query("layer == 'summary'")
    assert table[["low", "high"]].isna().all(axis=None)


def test_a_comparator_that_methods_share_is_drawn_once(runs):
    """Paired rows become arms; a shared comparator is one run, a differing one is refused when drawn."""
    wide = runs.pivot(index=["n_labelled", "seed"], columns="arm", values="score").reset_index()
    wide = wide.rename(columns={"simclr": "ssl", "supervised": "comparator"})
    pairs = pd.concat([wide.assign(method="simclr"), wide.assign(method="byol")])
    scores = arm_scores(pairs)
    assert scores.groupby("arm").size().to_dict() == {"byol": 9, "simclr": 9, "supervised": 9}
    learning_curve(scores)
    pairs.iloc[0, pairs.columns.get_loc("comparator")] += 0.1
    with pytest.raises(UsageError, match="repeats supervised, 10 labels, seed 0"):
        learning_curve(arm_scores(pairs))


def test_what_cannot_be_drawn_is_refused(runs):
    """Repeated runs, counts of 0 and unknown summaries are usage errors."""
    with pytest.raises(UsageError, match=r"repeats supervised, 10 labels, seed 0 \(18 rows\)"):
        learning_curve(pd.concat([runs, runs]))
    with pytest.raises(UsageError, match="not positive"):
        learning_curve(runs.assign(n_labelled=0))
    with pytest.raises(UsageError, match="summary is 'mode'"):
        learning_curve(runs, summary="mode")
