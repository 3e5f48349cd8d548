"""Gain against minutes: points, bars, words and refusals."""

import pandas as pd
import pytest

from medssl.errors import UsageError
from medssl.figures.cost_plot import cost_plot


def table():
    """Two data sets, one of them with two methods."""
    return pd.DataFrame(
        {
            "dataset": ["a", "a", "b"], "method": ["simclr", "byol", "simclr"], "minutes": [4.0, 8.0, 2.0],
            "gain": [0.02, 0.03, -0.01], "ci_low": [0.0, 0.01, -0.02], "ci_high": [0.04, 0.05, 0.0],
        }
    )  # fmt: skip


def test_each_method_has_its_point_in_the_panel_of_its_data():
    """Panels are data sets; a point stands at the minutes and the gain."""
    first, second = cost_plot(table()).figure.axes
    assert (first.get_title(), second.get_title()) == ("a", "b")
    points = [tuple(map(float, line.get_xydata()[0])) for line in first.lines if len(line.get_xdata()) == 1]
    assert points == [(4.0, 0.02), (8.0, 0.03)]
    assert len(second.collections) == 1


def test_a_method_looks_the_same_everywhere_and_is_listed_once():
    """One entry of the legend for each method."""
    legend = cost_plot(table()).figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["SimCLR", "BYOL"]


def test_the_alternative_text_names_the_largest_gain_and_the_quickest():
    """Numbers of the text are numbers of the data."""
    drawing = cost_plot(table())
    assert "a: the largest gain is 0.03 (0.01 to 0.05) by BYOL in 8 minutes" in drawing.alt
    assert "the quickest is SimCLR with 4 minutes and a gain of 0.02" in drawing.alt
    assert drawing.unsupported_numbers() == []


def test_a_repeated_method_or_no_minutes_is_refused():
    """A data set has each method once, and pretraining takes time."""
    with pytest.raises(UsageError, match="once"):
        cost_plot(pd.concat([table(), table()]))
    with pytest.raises(UsageError, match="above 0"):
        cost_plot(table().assign(minutes=0.0))
