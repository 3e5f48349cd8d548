"""The chapter of the pooled picture, executed with few choices, against the models it shows."""

import json
import re
from pathlib import Path

import pytest

from medssl.book._percent import markdown_text
from medssl.book.execute import Chapter, Task, execute
from medssl.evidence import effects
from medssl.meta import multilevel
from medssl.synthesis.claims import assess, claims

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "chapters/synthesis.py"
TINY = {"replicates": 10, "varied": ["variance", "model"]}


@pytest.fixture(scope="module")
def product(tmp_path_factory) -> Path:
    """Execute the chapter once."""
    build = tmp_path_factory.mktemp("build")
    task = Task(
        Chapter("synthesis", SOURCE), profile="published", values=TINY, root=ROOT, build=build, threads=1
    )
    return execute(task)


@pytest.fixture(scope="module")
def results(product) -> dict:
    return json.loads((product / "results.json").read_text(encoding="utf-8"))


def test_every_claim_is_shown_with_its_own_words(results):
    """Each claim of the file is a result whose text and grade are those of the model fitted here."""
    found = effects()
    for claim in claims():
        finding = assess(claim, found)
        assert results[f"claim_{claim.id}"]["text"] == finding.text
        assert results[f"grade_{claim.id}"]["text"] == finding.grade.name


def test_every_quoted_result_exists_and_comes_from_a_labelled_cell(results):
    """Takeaways quote results of the chapter, and each result names a label of it."""
    prose = markdown_text(SOURCE.read_text(encoding="utf-8"))
    quoted = set(re.findall(r"\{result\}`synthesis:([a-z_]+)`", prose))
    assert quoted
    assert quoted <= set(results)
    labels = set(re.findall(r"^\(([a-z-]+)\)=$", prose, re.MULTILINE))
    assert {entry["source"] for entry in results.values()} <= labels


def test_the_slope_against_the_ratio_is_that_of_the_model(results):
    """The slope that the page prints is refitted here, modality as a factor."""
    found = effects()
    part = found[(found.metric == "AUC") & (found.comparator == "random")]
    part = part[part.log10_label_ratio.notna() & (part.modality != "ultrasound")].reset_index(drop=True)
    fit = multilevel(part.yi, part.vi, part.cluster_id, "log10_label_ratio + C(modality)", data=part, rho=0.6)
    assert results["ratio_slope"]["value"] == pytest.approx(
        fit.coef[fit.names.index("log10_label_ratio")], rel=1e-6
    )


def test_figures_have_cards_and_words(product):
    """Each figure has its five files, an alternative text and a caption that counts its effects."""
    cards = sorted(product.glob("figures/*/*.json"))
    assert len(cards) >= 12
    for card in cards:
        facts = json.loads(card.read_text(encoding="utf-8"))
        assert facts["alt_text"]
        assert re.search(r"n = \d+ ", facts["caption"])
        assert {path.suffix for path in card.parent.iterdir()} == {".svg", ".pdf", ".png", ".csv", ".json"}


def test_the_notebook_has_the_finder_and_no_error(product):
    """The executed notebook holds the menus with every answer, and no cell failed."""
    notebook = json.loads(next(product.glob("*.ipynb")).read_text(encoding="utf-8"))
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output["output_type"] == "error"]
    html = "".join("".join(output.get("data", {}).get("text/html", "")) for output in outputs)
    assert 'id="medssl-finder"' in html
    assert html.count("<select") == 4
