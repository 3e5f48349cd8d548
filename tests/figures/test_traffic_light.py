"""The traffic light draws every judgement with a colour and a sign, and the summary counts them."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from medssl.errors import UsageError
from medssl.evidence import risk_of_bias
from medssl.figures._layout import drawn_texts, outside, overlapping
from medssl.figures.traffic_light import JUDGEMENTS, traffic_light, traffic_light_summary

DOMAINS = {
    "seen": "the pretraining saw the test images",
    "runs": "each arm was trained once",
    "arms": "the arms differ in architecture, adaptation or compute",
}


@pytest.fixture
def table():
    """Twenty studies with judgements of every kind."""
    return studies(20)


def studies(count: int) -> pd.DataFrame:
    """Studies with long names and judgements drawn at random."""
    rng = np.random.default_rng(count)
    columns = {name: rng.choice(list(JUDGEMENTS), count) for name in (*DOMAINS, "overall")}
    return pd.DataFrame(
        {"study_id": [f"researcher2021_a_long_name_{i:03d}" for i in range(count)], **columns}
    )


def discs(drawing):
    """The judgements of the data."""
    return drawing.data[drawing.data.layer == "judgement"]


def test_every_judgement_is_one_disc(table):
    """Each study has one disc a domain and one for all, with the judgement of the table."""
    shown = discs(traffic_light(table, DOMAINS))
    assert len(shown) == 20 * 4
    judged = table.set_index("study_id")
    for row in shown.itertuples():
        assert row.judgement == judged.loc[row.label, row.domain]


def test_discs_and_signs_stand_at_the_same_places(table):
    """Every disc carries a sign, and both are drawn where the data say."""
    drawing = traffic_light(table, DOMAINS)
    shown, collections = discs(drawing), drawing.figure.axes[0].collections
    assert len(collections) == 2 * len(JUDGEMENTS)
    for level, disc, sign in zip(JUDGEMENTS, collections[::2], collections[1::2], strict=True):
        expected = shown.loc[shown.judgement == level, ["x", "row"]].to_numpy()
        np.testing.assert_array_equal(disc.get_offsets(), expected)
        np.testing.assert_array_equal(sign.get_offsets(), expected)


def test_studies_are_ordered_by_their_overall_judgement(table):
    """The worst stand first, then names in alphabetical order, under a heading with their number."""
    data = traffic_light(table, DOMAINS).data
    shown = data[data.layer == "judgement"].drop_duplicates("label")
    order = table.assign(rank=table.overall.map(list(JUDGEMENTS).index)).sort_values(["rank", "study_id"])
    assert shown.label.tolist() == order.study_id.tolist()
    assert shown.row.is_monotonic_decreasing
    headings = data[data.layer == "heading"].set_index("judgement").studies
    assert headings.to_dict() == table.overall.value_counts().to_dict()


def test_signs_and_hatches_alone_tell_judgements_apart():
    """No two judgements share a sign or a hatch, and some concerns are lighter in grey than a high risk."""
    signs = [sign for _, sign, _, _ in JUDGEMENTS.values()]
    hatches = [hatch for *_, hatch in JUDGEMENTS.values()]
    assert len(set(signs)) == len(set(hatches)) == len(JUDGEMENTS)
    grey = {level: np.dot(to_rgb(color), [0.299, 0.587, 0.114]) for level, (color, *_) in JUDGEMENTS.items()}
    assert grey["unclear"] > grey["some"] + 0.1 > grey["high"] + 0.2


def test_the_domains_are_explained(table):
    """Codes stand above the columns, and the legend says what each of them asks."""
    drawing = traffic_light(table, DOMAINS)
    ticks = [text.get_text() for text in drawing.figure.axes[0].get_xticklabels()]
    assert ticks == ["D1", "D2", "D3", "Overall"]
    words = [text.get_text() for legend in drawing.figure.legends for text in legend.get_texts()]
    assert [text for text in words if text.startswith("D")] == [
        f"D{i}: {text}" for i, text in enumerate(DOMAINS.values(), 1)
    ]


def test_the_words_count_the_overall_judgements(table):
    """The alternative text counts overall judgements and names the worst studies."""
    drawing = traffic_light(table, DOMAINS)
    counts = table.overall.value_counts()
    assert f"Overall: {counts['high']} high, {counts['some']} some concerns" in drawing.alt
    assert table[table.overall == "high"].study_id.min() in drawing.alt
    assert drawing.unsupported_numbers() == []


def test_bars_add_up(table):
    """Parts of each bar count the studies of a slow loop, touch each other and end at 100 percent."""
    data = traffic_light_summary(table, DOMAINS).data
    for domain, parts in data.groupby("domain"):
        assert parts.judgement.tolist() == list(JUDGEMENTS)
        assert parts.studies.tolist() == [sum(table[domain] == level) for level in JUDGEMENTS]
        np.testing.assert_allclose(parts.start, np.r_[0, parts.share.cumsum()[:-1]])
        assert parts.share.sum() == pytest.approx(100)


def test_bars_are_drawn_as_the_data_say(table):
    """Left edges and widths of the drawn bars are those of the data."""
    drawing = traffic_light_summary(table, DOMAINS)
    bars = [
        (bar.get_y() + bar.get_height() / 2, bar.get_x(), bar.get_width())
        for bar in drawing.figure.axes[0].patches
    ]
    expected = drawing.data.sort_values(["judgement", "row"])[["row", "start", "share"]].to_numpy()
    np.testing.assert_allclose(sorted(bars), sorted(map(tuple, expected)), atol=1e-9)


def test_the_words_of_the_summary_count_each_domain(table):
    """Every domain is named with its counts, and no number is made up."""
    drawing = traffic_light_summary(table, DOMAINS)
    assert f"Each arm was trained once: {(table.runs == 'high').sum()} high" in drawing.alt
    assert drawing.unsupported_numbers() == []


@pytest.mark.parametrize("count", [1, 20, 110])
def test_nothing_is_clipped(count):
    """One study or over a hundred: all texts inside, apart, in 9 points or more."""
    table = studies(count)
    for drawing in (traffic_light(table, DOMAINS), traffic_light_summary(table, DOMAINS)):
        assert outside(drawing.figure) == []
        assert overlapping(drawing.figure) == []
        assert min(text.get_fontsize() for text in drawn_texts(drawing.figure)) >= 9
        assert drawing.unsupported_numbers() == []


def test_the_judgements_are_those_of_the_evidence():
    """The package's own judgements can be drawn: every level of risk_of_bias is known."""
    judged = risk_of_bias()
    domains = {name: name for name in judged.columns.drop(["study_id", "overall", "reasons"])}
    assert len(discs(traffic_light(judged, domains))) == len(judged) * (len(domains) + 1)


def test_what_cannot_be_drawn_is_refused(table):
    """Unknown judgements, absent columns, a study twice and too many studies are usage errors."""
    with pytest.raises(UsageError, match="column seen holds 'medium'"):
        traffic_light(table.assign(seen="medium"), DOMAINS)
    with pytest.raises(UsageError, match="no column overall"):
        traffic_light_summary(table.drop(columns="overall"), DOMAINS)
    with pytest.raises(UsageError, match=r"researcher2021_a_long_name_000 twice"):
        traffic_light(pd.concat([table, table[:1]]), DOMAINS)
    with pytest.raises(UsageError, match="121 studies are more than the 120"):
        traffic_light(studies(121), DOMAINS)
    with pytest.raises(UsageError, match="names no column"):
        traffic_light_summary(table, {})
