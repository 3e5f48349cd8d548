"""The Baujat plot draws both contributions and names the most remarkable points."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from medssl.errors import UsageError
from medssl.figures import baujat_plot
from medssl.figures._layout import drawn_texts, outside, overlapping, place_names


def contributions(count: int, seed: int = 0) -> pd.DataFrame:
    """Squares, most of them small, with long names."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "label": [
                f"A research group with a long name {i}, pleural effusion at 1% of labels"
                for i in range(count)
            ],
            "heterogeneity": rng.chisquare(1, count) ** 2,
            "influence": rng.chisquare(1, count) ** 3,
        }
    )


def marks(drawing):
    """The texts beside points."""
    return [text for text in drawing.figure.axes[0].texts if text.get_text()]


def test_points_stand_at_their_contributions():
    """Every row is one point at (heterogeneity, influence)."""
    table = contributions(40)
    drawing = baujat_plot(table)
    points = drawing.figure.axes[0].collections[0].get_offsets()
    expected = table[["heterogeneity", "influence"]].to_numpy()
    np.testing.assert_allclose(np.array(sorted(points.tolist())), np.array(sorted(expected.tolist())))
    assert drawing.data.sort_values("label").label.tolist() == sorted(table.label)


def test_the_furthest_points_are_named():
    """Ranks follow the distance from the origin on axes that both end at 1, as a loop finds them."""
    table = contributions(40)
    data = baujat_plot(table, labels_shown=5).data
    top = table.heterogeneity.max(), table.influence.max()
    distance = [np.hypot(r.heterogeneity / top[0], r.influence / top[1]) for r in table.itertuples()]
    expected = table.label[np.argsort(distance)[::-1]].tolist()
    assert data.sort_values("rank").label.tolist() == expected
    assert data[data.named].label.tolist() == expected[:5]


def test_numbers_stand_nearest_to_their_point():
    """A number's nearest named point is its own, or a line ties them; names stand below in this order."""
    drawing = baujat_plot(contributions(60), labels_shown=8)
    axes = drawing.figure.axes[0]
    named = drawing.data[drawing.data.named]
    where = axes.transData.transform(named[["heterogeneity", "influence"]])
    ties = [text.xy for text in axes.texts if not text.get_text()]
    for text in marks(drawing):
        assert text.xy == pytest.approx(
            named.iloc[int(text.get_text()) - 1][["heterogeneity", "influence"]].tolist()
        )
        box = text.get_window_extent()
        gaps = np.hypot(*(where - (box.p0 + box.p1) / 2).T)
        assert gaps.argmin() + 1 == int(text.get_text()) or any(np.allclose(text.xy, tie) for tie in ties)
    below = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert [words.split()[0] for words in below] == [str(i) for i in range(1, 9)]
    assert all(
        words.split(maxsplit=1)[1][:30] == label[:30] for words, label in zip(below, named.label, strict=True)
    )


def test_names_in_a_crowd_do_not_overlap():
    """Twenty numbers beside twenty points in a corner stand apart, inside the axes, the same each time."""
    rng = np.random.default_rng(4)
    table = contributions(60)
    table.loc[1:, ["heterogeneity", "influence"]] = rng.uniform(0.2, 0.24, (59, 2))
    table.loc[0, ["heterogeneity", "influence"]] = [1.0, 1.0]
    first, second = (baujat_plot(table, labels_shown=20) for _ in range(2))
    assert overlapping(first.figure) == []
    frame = first.figure.axes[0].get_window_extent()
    boxes = [text.get_window_extent() for text in marks(first)]
    assert len(boxes) == first.data.named.sum() >= 18
    assert all(
        frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
        for box in boxes
    )
    assert [text.get_position() for text in marks(first)] == [text.get_position() for text in marks(second)]


def test_a_name_without_room_is_left_out():
    """Where names fill the axes the rest gets none, and the answer says which have one."""
    figure = Figure(figsize=(2, 1))
    axes = figure.subplots()
    figure.draw_without_rendering()
    placed = place_names(axes, np.full((30, 2), 0.5), ["a long name"] * 30)
    assert 0 < len(placed) < 30
    assert overlapping(figure) == []
    assert len([text for text in axes.texts if text.get_text()]) == len(placed)


def test_rows_without_numbers_are_counted():
    """An effect without which nothing can be fitted is kept in the data and mentioned."""
    table = contributions(10)
    table.loc[4, "influence"] = np.nan
    drawing = baujat_plot(table, unit="studies")
    assert drawing.data[drawing.data.layer == "not_drawn"].label.tolist() == [table.label[4]]
    assert drawing.alt.startswith("Baujat plot of 9 studies")
    assert "1 more could not be drawn" in drawing.alt
    assert drawing.unsupported_numbers() == []


@pytest.mark.parametrize("count", [2, 120, 1400])
def test_nothing_is_clipped(count):
    """Two points or a thousand, with long names: all texts inside, apart, in 9 points or more."""
    drawing = baujat_plot(contributions(count))
    assert outside(drawing.figure) == []
    assert overlapping(drawing.figure) == []
    assert min(text.get_fontsize() for text in drawn_texts(drawing.figure)) >= 9
    assert drawing.unsupported_numbers() == []


def test_equal_effects_and_no_names():
    """Contributions of 0 and no names are a figure, not a division by 0."""
    drawing = baujat_plot(contributions(3).assign(heterogeneity=0.0, influence=0.0), labels_shown=0)
    assert not drawing.data.named.any()
    assert drawing.unsupported_numbers() == []


def test_what_cannot_be_drawn_is_refused():
    """Absent columns, negative squares, empty tables and too many names are usage errors."""
    table = contributions(5)
    with pytest.raises(UsageError, match="the table of contributions has no column influence"):
        baujat_plot(table.drop(columns="influence"))
    with pytest.raises(UsageError, match="negative contribution"):
        baujat_plot(table.assign(influence=-1.0))
    with pytest.raises(UsageError, match="no rows"):
        baujat_plot(table.assign(influence=np.nan))
    with pytest.raises(UsageError, match="labels_shown is 21; it must lie between 0 and 20"):
        baujat_plot(table, 21)
