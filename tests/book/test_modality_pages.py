"""Pages of the modalities: four studies with the same code, and recommendations that quote them."""

import re
from pathlib import Path

import pytest

from medssl.data.card import read_card
from medssl.experiments.records import find_records, load_records, to_table
from medssl.experiments.study import METHODS, PHASES, SEEDS, STUDY
from medssl.training import TransferConfig

CHAPTERS = Path(__file__).parents[2] / "chapters"
MODALITIES = ("xray", "ct", "mri", "ultrasound")
OWN = {"frozen", "chosen_on_validation"}  # sections of the X-ray study only: its older runs


def source(modality: str) -> str:
    return (CHAPTERS / modality / "study.py").read_text(encoding="utf-8")


def page(modality: str) -> str:
    return (CHAPTERS / modality / "recommendations.md").read_text(encoding="utf-8")


def code_cells(modality: str) -> list[str]:
    """The code of each cell after the parameters, without what names the data set."""
    cells = [cell.split("\n", 1)[1] for cell in source(modality).split("# %% tags=")[2:]]
    code = ["\n".join(line for line in cell.splitlines() if not line.startswith("#")) for cell in cells]
    dataset = {read_card(name).modality: name for name in STUDY}[modality]
    return [text.replace(modality, "M").replace(dataset, "D").strip() for text in code]


def calls(cell: str) -> set[str]:
    return set(re.findall(r"(?:study_of|running|variations)\.(\w+)\(", cell))


@pytest.mark.parametrize("modality", MODALITIES[1:])
def test_the_four_studies_are_one_analysis(modality):
    """After the first cell, which names images and files, every cell is that of the X-ray study."""
    shared = [cell for cell in code_cells("xray") if not calls(cell) & OWN]
    assert code_cells(modality)[1:] == shared[1:]


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_study_names_its_data_set_and_its_defaults_are_the_protocol(modality):
    """The parameters are those of the design."""
    text = source(modality)
    name = re.search(r'^dataset: str = "(\w+)"', text, re.M)[1]
    assert read_card(name).modality == modality
    assert name in STUDY
    assert f"methods: list[str] = {list(METHODS)!r}".replace("'", '"') in text
    assert f"seeds: list[int] = {list(SEEDS)!r}" in text
    assert f"phases: list[str] = {list(PHASES)!r}".replace("'", '"') in text
    assert f'"records/{name}/*.json"' in text


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_section_has_a_label_of_its_own(modality):
    """Cells that report have the label under which their results are found."""
    labels = re.findall(rf"^# \(({modality}-[a-z-]+)\)=$", source(modality), re.M)
    assert len(labels) == len(set(labels)) >= 17


@pytest.mark.parametrize("modality", MODALITIES)
def test_takeaways_lead_to_sections_of_the_page(modality):
    """Every takeaway is linked to the section that argues it."""
    text = page(modality)
    labels = set(re.findall(rf"^\(({modality}-advice-[a-z]+)\)=$", text, re.M))
    block = text.split("```{admonition} Key takeaways")[1].split("```")[0]
    takeaways = [line for line in block.splitlines() if line.startswith("- ")]
    assert len(takeaways) >= 6
    for line in takeaways:
        (target,) = re.findall(r"\{ref\}`More <([a-z-]+)>`", line)
        assert target in labels


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_page_says_where_it_does_not_hold(modality):
    """Grade, limits, published evidence, cost and the protocol are on every page."""
    text = page(modality)
    for words in (
        "## Where it does not hold", "*When this does not hold.*", "{result}`grade`", "{doc}`the protocol",
        "## What the published evidence says", "## What it costs", "{result}`negative_effects`",
    ):  # fmt: skip
        assert words in text.replace("{doc}`protocol", "{doc}`the protocol"), words


@pytest.mark.parametrize("modality", MODALITIES)
def test_advice_states_its_evidence(modality):
    """Each piece of advice on how to pretrain says what it rests on."""
    section = page(modality).split(f"({modality}-advice-how)=")[1].split("\n(")[0]
    for piece in re.split(r"^- ", section, flags=re.M)[1:]:
        assert "Evidence:" in piece or "{result}`" in piece or "not part of this study" in piece, piece


def test_what_the_ct_page_says_of_the_schedule_holds():
    """Training on all labels ends before every image was seen once."""
    assert "less than one pass over all labelled images" in page("ct")
    table = to_table(load_records(find_records(CHAPTERS.parent / "records", "organamnist")))
    labels, schedule = int(table.n_labelled.max()), TransferConfig()
    assert schedule.steps(labels) * schedule.batch_size < labels == table.n_unlabelled.max()
