"""The flow diagram draws every stage and reason with its counts, and no text leaves its box."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from medssl.errors import UsageError
from medssl.evidence import flow
from medssl.figures._layout import drawn_texts, outside, overlapping
from medssl.figures.flow_diagram import flow_diagram


def step(stage, reason="", studies=1, clusters=1, effects=1):
    """One row of a table of steps."""
    return {"stage": stage, "reason": reason, "studies": studies, "clusters": clusters, "effects": effects}


@pytest.fixture
def steps():
    """A flow in which studies are lost, found and lost again."""
    return pd.DataFrame(
        [
            step("candidates", studies=30, clusters=None, effects=None),
            step("not read", "no scores", studies=12, clusters=None, effects=None),
            step("not read", "no supervised arm", studies=8, clusters=None, effects=None),
            step("read", studies=10, clusters=9, effects=90),
            step("found while extracting", "not listed", studies=5, clusters=4, effects=40),
            step("extracted", studies=15, clusters=12, effects=130),
            step("excluded", "frozen", studies=3, clusters=3, effects=20),
            step("excluded", "unequal", studies=4, clusters=2, effects=10),
            step("analysed", studies=11, clusters=10, effects=100),
        ]
    )


def boxes(drawing):
    """The boxes of the data."""
    return drawing.data[drawing.data.layer == "box"].set_index("label")


def lines_in(drawing, label):
    """The texts whose middle lies in a box, from top to bottom."""
    box = boxes(drawing).loc[label]
    inside = [
        text
        for text in drawing.figure.axes[0].texts
        if text.get_text()
        and box.x <= text.get_position()[0] <= box.x + box.width
        and box.y <= text.get_position()[1] <= box.y + box.height
    ]
    return " ".join(text.get_text() for text in inside).replace("\N{NO-BREAK SPACE}", " ")


def test_each_stage_is_one_box_and_each_reason_one_line(steps):
    """Boxes follow the stages in their order, and reasons stand in the box of their stage."""
    drawing = flow_diagram(steps)
    assert boxes(drawing).index.tolist() == list(dict.fromkeys(steps.stage))
    reasons = drawing.data[drawing.data.layer == "reason"]
    assert reasons.label.tolist() == [reason for reason in steps.reason if reason]
    for row in steps[steps.reason != ""].itertuples():
        assert row.reason in lines_in(drawing, row.stage)


def test_the_counts_are_drawn(steps):
    """Every count of the table can be read in its box, and a missing one is left out."""
    drawing = flow_diagram(steps)
    assert lines_in(drawing, "extracted") == "Extracted 15 studies, 12 clusters, 130 effects"
    assert lines_in(drawing, "candidates") == "Candidates 30 studies"
    assert "unequal (4 studies, 2 clusters, 10 effects)" in lines_in(drawing, "excluded")
    assert drawing.count == 100
    assert drawing.unit == "effects in the analysed"


def test_only_what_adds_up_is_added(steps):
    """A box of several reasons sums effects, or candidate studies, but not studies of several reasons."""
    shown = boxes(flow_diagram(steps))
    assert shown.loc["not read", "studies"] == 20
    assert shown.loc["excluded", "effects"] == 30
    assert np.isnan(shown.loc["excluded", ["studies", "clusters"]].astype(float)).all()


def test_arrows_lead_out_into_and_down(steps):
    """Arrows go down from box to box of the trunk, out to what is lost, and in from what is found."""
    drawing = flow_diagram(steps)
    shown, arrows = boxes(drawing), drawing.data[drawing.data.layer == "arrow"].set_index("label")
    trunk = shown[shown.side == "main"]
    for upper, lower in pairwise(trunk.index):
        arrow = arrows.loc[f"{upper} → {lower}"]
        assert arrow.y == pytest.approx(shown.loc[upper, "y"] + shown.loc[upper, "height"])
        assert arrow.y_end == pytest.approx(shown.loc[lower, "y"])
        assert arrow.y_end > arrow.y
    for name in ("not read", "excluded"):
        assert arrows.loc[name, "x"] < arrows.loc[name, "x_end"] == shown.loc[name, "x"]
    found = arrows.loc["found while extracting"]
    assert found.x_end < found.x == shown.loc["found while extracting", "x"]
    assert trunk.loc["read", "y"] < found.y < trunk.loc["extracted", "y"]


def test_boxes_do_not_overlap(steps):
    """No two boxes share a point."""
    shown = boxes(flow_diagram(steps))
    for i, one in enumerate(shown.itertuples()):
        for other in list(shown.itertuples())[i + 1 :]:
            apart_x = one.x + one.width < other.x or other.x + other.width < one.x
            apart_y = one.y + one.height < other.y or other.y + other.height < one.y
            assert apart_x or apart_y


def test_no_text_leaves_its_box(steps):
    """Long reasons are broken into lines that stay in their box, apart, in 9 points or more."""
    long = steps.assign(reason=steps.reason.map(lambda text: text and f"{text} " * 12))
    for table in (steps, long, flow()):
        drawing = flow_diagram(table)
        frames = [p.get_window_extent() for p in drawing.figure.axes[0].patches if isinstance(p, Rectangle)]
        for text in drawn_texts(drawing.figure):
            box = text.get_window_extent()
            assert any(
                frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
                for frame in frames
            ), text.get_text()
            assert text.get_fontsize() >= 9
        assert outside(drawing.figure) == []
        assert overlapping(drawing.figure) == []


def test_the_alternative_text_says_everything(steps):
    """Each box and reason is named with its counts, which the data hold."""
    drawing = flow_diagram(steps)
    assert drawing.alt.startswith("Flow diagram. Candidates, 30 studies. Leaving: not read, 20 studies.")
    assert "Of these, unequal: 4 studies, 2 clusters, 10 effects." in drawing.alt
    assert "Coming in: found while extracting, 5 studies, 4 clusters, 40 effects." in drawing.alt
    assert drawing.unsupported_numbers() == []


def test_one_is_singular():
    """One study is a study."""
    drawing = flow_diagram(pd.DataFrame([step("all", studies=2), step("end")]))
    assert lines_in(drawing, "end") == "End 1 study, 1 cluster, 1 effect"
    assert "End, 1 study, 1 cluster, 1 effect." in drawing.alt


def test_the_evidence_is_drawn_whole():
    """Every step of the package's evidence is in the figure with its own counts."""
    steps = flow()
    data = flow_diagram(steps).data
    drawn = data[data.layer.isin(["box", "reason"])]
    for row in steps.itertuples():
        same = drawn[drawn.label == (row.reason or row.stage)]
        assert (same.studies == row.studies).any()


def test_what_cannot_be_drawn_is_refused(steps):
    """Absent columns, no rows, and a flow that ends beside the trunk are usage errors."""
    with pytest.raises(UsageError, match="no column clusters"):
        flow_diagram(steps.drop(columns="clusters"))
    with pytest.raises(UsageError, match="no rows"):
        flow_diagram(steps[:0])
    with pytest.raises(UsageError, match="blank reason"):
        flow_diagram(steps[:3])
