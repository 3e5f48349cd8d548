"""The coverage figure draws the simulated shares with their Monte Carlo error."""

import itertools

import numpy as np
import pandas as pd
import pytest

from medssl.errors import UsageError
from medssl.figures.coverage_plot import coverage_plot

METHODS = {"z": "Normal", "knha": "Knapp-Hartung"}


@pytest.fixture
def table() -> pd.DataFrame:
    """Return two methods at four counts, two shares and two patterns, 1,000 data sets each."""
    grid = itertools.product((5, 10, 20, 40), (0.0, 0.5), ("mild", "diagnostic"), METHODS)
    rows = pd.DataFrame(grid, columns=["count", "i2", "variances", "method"])
    rows["coverage"] = np.linspace(0.85, 0.97, len(rows))
    rows["coverage_se"] = np.sqrt(rows.coverage * (1 - rows.coverage) / 1000)
    return rows.assign(replicates=1000)


def draw(table, **options):
    return coverage_plot(table, **{"columns": "i2", "rows": "variances", "methods": METHODS, **options})


def line_of(axes, label):
    return next(item for item in axes.lines if item.get_label() == label)


def test_each_panel_shows_its_own_shares(table):
    """A line in a panel is the coverage of one method, in percent, at the counts in order."""
    figure = draw(table.sample(frac=1, random_state=0).sort_values(["variances", "i2"])).figure
    panels = {("diagnostic", 0.0): 0, ("diagnostic", 0.5): 1, ("mild", 0.0): 2, ("mild", 0.5): 3}
    for (variances, i2), place in panels.items():
        part = table[(table.variances == variances) & (table.i2 == i2)]
        for name, label in METHODS.items():
            expected = 100 * part[part.method == name].sort_values("count").coverage
            np.testing.assert_allclose(line_of(figure.axes[place], label).get_ydata(), expected)


def test_bars_are_monte_carlo_intervals(table):
    """Bars reach 1.96 standard errors up and down, or what another level asks for."""
    data = draw(table).data
    np.testing.assert_allclose(data.high - data.coverage, 100 * 1.959964 * data.coverage_se, rtol=1e-6)
    np.testing.assert_allclose(data.coverage - data.low, data.high - data.coverage)
    assert (draw(table, level=0.8).data.low > data.low).all()


def test_bars_stay_inside_0_and_100_percent(table):
    """A share is no more than all."""
    assert draw(table.assign(coverage=0.999, coverage_se=0.01)).data.high.max() == 100


def test_the_nominal_line_is_drawn_in_every_panel(table):
    """Each panel has the line of the coverage that was asked for."""
    for axes in draw(table, nominal=0.9).figure.axes:
        assert any(np.allclose(line.get_ydata(), 90) for line in axes.lines)


def test_methods_differ_in_more_than_colour(table):
    """Marker and line style tell methods apart in grey, and points of one count do not hide each other."""
    axes = draw(table).figure.axes[0]
    first, second = (line_of(axes, label) for label in METHODS.values())
    assert first.get_marker() != second.get_marker()
    assert first.get_linestyle() != second.get_linestyle()
    assert np.all(np.abs(first.get_xdata() - second.get_xdata()) > 0.05)


def test_panels_share_their_scales_and_say_what_they_are(table):
    """Titles are those given, ticks are the counts, and heights can be compared across panels."""
    figure = draw(table, titles={0.0: "none", 0.5: "half", "mild": "mild ones"}, x_label="Studies").figure
    assert [axes.get_title() for axes in figure.axes[:2]] == ["none", "half"]
    assert [figure.axes[i].get_ylabel() for i in (0, 2)] == ["mild ones", "diagnostic"]
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    assert [text.get_text() for text in figure.axes[2].get_xticklabels()] == ["5", "10", "20", "40"]
    assert figure.get_supxlabel() == "Studies"


def test_one_row_of_panels_needs_no_rows(table):
    """Without `rows` there is one panel for each value of `columns`."""
    drawing = draw(table[table.variances == "mild"], rows=None)
    assert len(drawing.figure.axes) == 2
    assert len(drawing.data) == 16


def test_data_sets_are_counted_once(table):
    """Methods share their data sets, so n counts settings times replicates."""
    drawing = draw(table)
    assert (drawing.count, drawing.unit) == (16 * 1000, "simulated data sets")
    assert draw(table, rows_share_data=True).count == 8 * 1000


def test_the_alternative_text_gives_the_range_of_each_method(table):
    """Lowest and highest coverage of each method are in words, and in the data."""
    drawing = draw(table)
    low = 100 * table[table.method == "z"].coverage.min()
    assert f"Normal lies between {low:.3g} (count 5)" in drawing.alt
    assert drawing.alt.startswith("Small multiples, four panels of coverage in percent; a line marks 95.")
    assert drawing.unsupported_numbers() == []


def test_what_cannot_be_drawn_is_refused(table):
    """Absent methods and columns, settings that appear twice and missing numbers are usage errors."""
    with pytest.raises(UsageError, match="no method adhoc"):
        draw(table, methods={"adhoc": "guard"})
    with pytest.raises(UsageError, match="no method to draw"):
        draw(table, methods={})
    with pytest.raises(UsageError, match=r"repeats z at count 5 \(16 rows\)"):
        draw(table, rows=None)
    with pytest.raises(UsageError, match="no column rho"):
        draw(table, columns="rho")
    with pytest.raises(UsageError, match="coverage has 1 missing"):
        draw(table.assign(coverage=table.coverage.where(table.index > 0)))
