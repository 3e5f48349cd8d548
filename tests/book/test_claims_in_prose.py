"""Prose and grades agree: a page quotes claims and types no grade of its own."""

import re
from pathlib import Path

import pytest

from medssl.book._percent import markdown_text
from medssl.synthesis.claims import VERBS, claims

CHAPTERS = Path(__file__).parents[2] / "chapters"
PAGES = sorted([*CHAPTERS.rglob("*.md"), *CHAPTERS.rglob("*.py")])
EXPLAIN = {"glossary.md", "methods/statistics.md", "methods/evidence_base.md"}  # pages that define the words
WORDS = "|".join(name for name in VERBS if name != "against")  # which is a common word
GRADED = re.compile(
    rf"\b(?:{WORDS})\b(?:ly)?\s+(?:\w+\s+)?(?:evidence|support|grade)"
    rf"|\b(?:evidence|grade|support)\s+(?:is|was|of this \w+ is)\s+(?:{WORDS})\b",
    re.IGNORECASE,
)
ROLE = re.compile(r"\{[\w:-]+\}`[^`]*`")
QUOTED = re.compile(r"\{result\}`synthesis:(?:claim|grade)_([a-z_]+)`")
MODALITIES = {"xray", "ct", "mri", "ultrasound"}


def name_of(path: Path) -> str:
    return str(path.relative_to(CHAPTERS))


def prose(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    return markdown_text(text) if path.suffix == ".py" else text


def typed_grades(text: str) -> list[str]:
    """Return the grades that somebody typed; those inside a role come from a model."""
    return [match[0] for match in GRADED.finditer(ROLE.sub("", text))]


@pytest.mark.parametrize("path", [p for p in PAGES if name_of(p) not in EXPLAIN], ids=name_of)
def test_no_grade_is_typed(path):
    """A page says how good evidence is only through a result."""
    assert typed_grades(prose(path)) == []


@pytest.mark.parametrize(
    "text", ["There is strong evidence.", "The evidence is moderate.", "Weak support only."]
)
def test_a_typed_grade_is_found(text):
    """The check finds what it looks for, and lets a quoted grade pass."""
    assert typed_grades(text)
    assert typed_grades("The evidence is {result}`grade_random_auc_all`.") == []


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_quoted_claims_exist_and_belong_to_the_page(path):
    """A claim that a page quotes is in the file, and a page of a modality quotes no other modality."""
    by_id = {claim.id: claim for claim in claims()}
    quoted = QUOTED.findall(prose(path))
    assert set(quoted) <= set(by_id)
    folder = name_of(path).split("/")[0]
    if folder in MODALITIES:
        assert {by_id[each].modality for each in quoted} <= {folder, "all"}


def test_every_modality_page_quotes_its_claims():
    """A page of recommendations rests on the claims of its modality."""
    for page in CHAPTERS.glob("*/recommendations.md"):
        own = {claim.id for claim in claims() if claim.modality == page.parent.name}
        assert own
        assert own <= set(QUOTED.findall(prose(page))), name_of(page)
