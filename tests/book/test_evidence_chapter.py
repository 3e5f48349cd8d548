"""The evidence chapter: executed once, and compared with the tables that it describes."""

import json
import re
from html import unescape
from pathlib import Path

import jupytext
import nbformat
import numpy as np
import pytest
from scipy.stats import binomtest

from medssl.book.evidence_checks import check_table, listed_rules
from medssl.book.evidence_page import (
    NAMES,
    candidate_table,
    comparison_table,
    comparisons,
    dispersion_table,
    map_table,
    outcome_table,
    read_agreement,
    rung_table,
    study_table,
)
from medssl.book.execute import Chapter, Task, execute
from medssl.book.prose import typed_numbers
from medssl.evidence import flow, ladder_coverage, published, read_table, risk_of_bias, suspicious
from medssl.evidence.risk_of_bias import DOMAINS

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "chapters/evidence.py"
NOTES = ROOT / "medssl/evidence/notes/second_reading.md"
FIGURES = (
    "evidence-flow-diagram", "evidence-map-tasks", "evidence-map-designs", "evidence-bias-summary",
    "evidence-bias-studies",
)  # fmt: skip


@pytest.fixture(scope="module")
def product(tmp_path_factory) -> Path:
    """Execute the chapter and return what it made."""
    build = tmp_path_factory.mktemp("build")
    task = Task(Chapter("evidence", SOURCE), profile="quick", values={}, root=ROOT, build=build, threads=1)
    return execute(task)


@pytest.fixture(scope="module")
def results(product) -> dict:
    """Return the numbers that the chapter quotes."""
    return json.loads((product / "results.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def html(product) -> str:
    """Return the HTML of all outputs, as the page will hold it."""
    notebook = nbformat.read(next(product.glob("*.ipynb")), as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(output.get("data", {}).get("text/html", "") for output in outputs)


@pytest.fixture(scope="module")
def prose() -> str:
    """Return the text cells of the chapter."""
    cells = jupytext.read(SOURCE).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


@pytest.fixture(scope="module")
def rows():
    """Return every comparison."""
    return comparisons()


def labels(prose: str) -> set[str]:
    return set(re.findall(r"^\(([a-z-]+)\)=$", prose, re.MULTILINE))


def body(html: str, name: str) -> list[list[str]]:
    """Return the cells of one filter table."""
    part = html[html.index(f'id="{name}"') :]
    part = part[part.index("<tbody>") : part.index("</tbody>")].replace("<wbr>", "")
    found = [row.split("<td>")[1:] for row in re.findall(r"<tr>(.*?)</tr>", part)]
    return [[unescape(cell) for cell in row] for row in found]


def test_every_quoted_result_exists_and_names_a_label(prose, results):
    """The prose quotes only results of the chapter, and each result leads to a label of it."""
    quoted = set(re.findall(r"\{result\}`evidence:([a-z_]+)`", prose))
    assert quoted
    assert quoted <= set(results)
    assert {entry["source"] for entry in results.values()} <= labels(prose)


def test_the_prose_types_no_number_and_one_sentence_a_line(prose):
    """Digits in the prose are results, facts or code, and each line holds one sentence."""
    assert typed_numbers(prose) == []
    plain = re.sub(r"\{[\w:]+\}`[^`]*`|`[^`]*`|\[[^\]]*\]\([^)]*\)", "Code", prose)
    assert [
        line for line in plain.splitlines() if re.search(r"[.!?]\s+[A-Z]", line.replace("*. ", "* "))
    ] == []


def test_each_takeaway_leads_to_a_section(prose):
    """Every takeaway ends in a reference to a label that the chapter has."""
    box = prose[prose.index("Key takeaways") : prose.index("## Parameters")]
    takeaways = [line for line in box.splitlines() if line.startswith("- ")]
    assert len(takeaways) >= 5
    for line in takeaways:
        assert re.search(r"\{ref\}`More <([a-z-]+)>`$", line)[1] in labels(prose)


def test_the_flow_is_that_of_the_evidence(results):
    """Counts of candidates, studies and effects are those of the flow of the package."""
    steps = flow().groupby("stage", sort=False).sum(numeric_only=True)
    for stage, prefix in (
        ("effects extracted", "all"),
        ("primary pool", "pool"),
        ("primary analysis", "primary"),
    ):
        for name in ("studies", "clusters", "effects"):
            assert results[f"{prefix}_{name}"]["value"] == steps.loc[stage, name]
    assert (
        results["candidates_with"]["value"] + results["candidates_without"]["value"]
        == results["candidates"]["value"]
    )
    assert results["candidates_seen"]["value"] + results["candidates_recalled"]["value"] == len(
        read_table("studies")
    )


def test_losses_are_counted_and_none_is_dropped(results, rows):
    """The number of losses is that of a loop over the table, and every row of it is on the page."""
    kept = published("all")
    losses = sum(row.ssl_value < row.baseline_value for row in kept.itertuples())
    assert results["losses"]["value"] == losses > 0
    assert results["kept_effects"]["value"] == len(kept)
    assert len(rows) == len(read_table("published_effects"))


def test_outcomes_add_up(results, rows):
    """Comparisons and losses by pool and comparator add up to those that the page quotes."""
    table = outcome_table(rows)
    assert table["comparisons"].sum() == results["kept_effects"]["value"]
    assert table["losses"].sum() == results["losses"]["value"]
    assert table["ties"].sum() == results["ties"]["value"]


def test_findings_add_up(results):
    """Findings by check add up to those that the page quotes, in the primary pool too."""
    found = suspicious()
    table = check_table(found)
    assert table["findings"].sum() == results["findings"]["value"] == len(found)
    assert table["findings in the primary pool"].sum() == (found["pool"] == "primary").sum()
    assert results["suspicious_rows"]["value"] == found["effect_id"].nunique()


def test_the_table_of_all_comparisons_is_whole(html, rows):
    """The page holds each row of the evidence once, with its gain, comparator and label ratio."""
    table = comparison_table(rows)
    cells = body(html, "comparisons")
    assert len(cells) == len(rows)
    names = list(table.columns)
    assert {row[names.index("Comparison")] for row in cells} == set(
        read_table("published_effects")["effect_id"]
    )
    for row, (_, source) in zip(cells, rows.iterrows(), strict=True):
        gain = float(row[names.index("Gain")].replace("−", "-"))
        assert gain == pytest.approx(source.ssl_value - source.baseline_value, abs=6e-5)
        assert row[names.index("Comparator")] == NAMES[source.baseline_type]
        assert (row[names.index("Label ratio")] == "") == np.isnan(source.label_ratio)


def test_label_ratios_are_labels_over_pretraining_images(rows):
    """The ratio divides two counts of the row, and is undefined for pretraining on natural images."""
    known = rows[rows.label_ratio.notna()]
    expected = known.n_labelled / known.n_pretrain_unlabelled
    np.testing.assert_allclose(known.label_ratio, expected)
    assert "natural_images" not in set(known.pool)


def test_the_page_stays_light_and_offline(html):
    """All outputs together take less than three megabytes, and nothing in them comes from another host."""
    assert len(html.encode()) < 3e6
    assert set(re.findall(r'<script src="([^"]+)"', html)) == {"../scripts/filter_table.js"}
    assert not re.search(r'(?:src|href)="(?:https?:)?//', html)


def test_categories_of_the_maps_lose_no_row(rows):
    """Every comparison but the excluded ones has a place in each category of the maps."""
    table = map_table(rows)
    assert len(table) == len(published("all"))
    for name in ("modality", "task_type", "family", "comparator", "share", "ratio", "access"):
        assert table[name].notna().all(), name


def test_bins_of_the_map_follow_a_slow_loop(rows):
    """Shares and ratios of labels fall into the bins that a chain of comparisons gives."""
    for row in map_table(rows).itertuples():
        fraction, ratio = row.label_fraction, row.label_ratio
        if np.isnan(fraction):
            share = "not stated" if np.isnan(row.n_labelled) else "a count only"
        elif fraction <= 0.1:
            share = "at most 1%" if fraction <= 0.01 else "over 1% to 10%"
        elif fraction < 1:
            share = "over 10% to 50%" if fraction <= 0.5 else "over 50%, not all"
        else:
            share = "all labels"
        assert row.share == share
        if np.isnan(ratio):
            assert row.ratio == "unknown"
        elif ratio < 0.01:
            assert row.ratio == ("under 0.001" if ratio < 0.001 else "0.001 to 0.01")
        elif ratio < 1:
            assert row.ratio == ("0.01 to 0.1" if ratio < 0.1 else "0.1 to 1")
        else:
            assert row.ratio == "1 and more"


def test_gaps_are_those_of_a_slow_loop(results, rows):
    """Empty combinations of modality, task and family are counted from the rows."""
    kept = rows[rows.pool != "excluded"]
    families = [*sorted(set(kept.family))]
    filled = {(row.modality, row.task_type, row.family) for row in kept.itertuples()}
    cells = len(set(kept.modality)) * len(set(kept.task_type)) * len(families)
    assert results["map_cells"]["value"] == cells
    assert results["map_empty"]["value"] == cells - len(filled)


def test_the_agreement_is_that_of_the_notes(results):
    """Intervals in the notes are exact binomial ones, and the page quotes their counts."""
    agreement = read_agreement(NOTES)
    assert {"ssl_value", "baseline_value", "metric", "baseline_type", "ALL"} <= set(agreement["field"])
    for row in agreement.itertuples():
        exact = binomtest(row.agreed, row.read).proportion_ci(method="exact")
        assert 100 * exact.low == pytest.approx(row.low, abs=0.051)
        assert 100 * exact.high == pytest.approx(row.high, abs=0.051)
    values = agreement[agreement["field"].isin(["ssl_value", "baseline_value"])]
    assert results["values_agreed"]["value"] == values["agreed"].sum()
    assert results["values_read_again"]["value"] == values["read"].sum()


def test_dispersions_and_rungs_count_the_primary_analysis():
    """Both tables count each arm and each effect of the primary analysis once."""
    primary = published("primary", supervision="self")
    assert dispersion_table(primary)["arms"].sum() == 2 * len(primary)
    table = rung_table(primary)
    assert table["all"].sum() == len(primary) == ladder_coverage(primary)["total"].sum()
    assert (table[["X-ray", "CT", "MRI", "Ultrasound"]].sum(axis=1) == table["all"]).all()


def test_each_domain_and_each_check_has_its_rule(html):
    """The page states the rule of every domain and of every check that found something."""
    rules, checks = listed_rules(risk_of_bias), listed_rules(suspicious)
    assert set(rules) == set(DOMAINS)
    assert set(suspicious()["check"]) <= set(checks)
    page = re.sub(r"\s+", " ", unescape(html))
    assert all(rule in page for rule in rules.values())
    assert all(checks[name] in page for name in set(suspicious()["check"]))


def test_every_study_and_finding_is_on_the_page(html, rows, results):
    """The tables of studies, findings, and candidates that the diagram counts have all their rows."""
    judged = risk_of_bias()
    table = study_table(rows, judged)
    assert [row[0] for row in body(html, "study-list")] == table["Study"].tolist()
    assert set(table["Study"]) == set(judged["study_id"])
    assert table["Comparisons"].sum() == len(rows)
    assert len(body(html, "suspicious-rows")) == len(suspicious())
    assert (
        len(body(html, "candidate-list")) == len(candidate_table()) == results["candidates_without"]["value"]
    )


def test_bias_counts_are_those_of_the_judgements(results):
    """Studies by overall judgement add up, and the domains are counted from the table."""
    judged = risk_of_bias()
    levels = [results[f"bias_{level}"]["value"] for level in ("low", "some", "high", "unclear")]
    assert sum(levels) == results["judged"]["value"] == len(judged)
    assert results["choice_unclear"]["value"] == (judged["chosen_on_test"] == "unclear").sum()


@pytest.mark.parametrize("name", FIGURES)
def test_each_figure_has_its_files_and_its_cell(product, prose, name):
    """SVG, PDF, PNG, CSV and card are there; the card names its sources and a cell of the page."""
    folder = product / "figures" / name
    assert {path.suffix for path in folder.iterdir()} == {".svg", ".pdf", ".png", ".csv", ".json"}
    card = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    assert card["cell"] in labels(prose)
    assert "published_effects" in card["records"]["ids"]
    assert len(card["alt_text"]) > 100


def test_no_figure_is_made_that_is_not_checked(product):
    """The list of figures in this file is complete."""
    assert {path.name for path in (product / "figures").iterdir()} == set(FIGURES)
