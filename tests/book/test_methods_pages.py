"""The pages on methods say what the code does: constants, rungs, choices and the rule of grades."""

import re
from pathlib import Path

import pytest

from medssl.book.prose import typed_numbers
from medssl.evidence import MINIMAL_GAIN, POOLS, RUNGS, grade
from medssl.evidence.risk_of_bias import DOMAINS, JUDGEMENTS
from medssl.evidence.variance import ASSUMED_RUNS
from medssl.synthesis.central import LEAST_FOR_MODERATORS, LEAST_IN_LEVEL
from medssl.synthesis.loss_regression import LEAST_CLUSTERS as LEAST_FOR_LOSSES
from medssl.synthesis.loss_regression import LEAST_DF
from medssl.synthesis.negatives import LEAST_FOR_INTERVAL
from medssl.synthesis.sensitivity import CHOICES, CORRELATIONS
from medssl.synthesis.stratum import LEAST_CLUSTERS, RHO

CHAPTERS = Path(__file__).parents[2] / "chapters"
PAGES = {name: CHAPTERS / f"methods/{name}.md" for name in ("statistics", "evidence_base")}
FACT = re.compile(r"\{fact\}`([^`]*)`")


def read(name: str) -> str:
    """Return a page with the marks of facts taken off."""
    return FACT.sub(r"\1", PAGES[name].read_text(encoding="utf-8"))


def table(text: str, heading: str) -> list[list[str]]:
    """Return the cells of the table whose first heading is given."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def rule() -> list[str]:
    """Return the lines of the rule in the docstring of `grade`, one a grade."""
    text = grade.__doc__.partition("Returns")[2].partition("Raises")[0]
    return [f"`{part}" for part in re.sub(r"\s+", " ", text).strip().split(" `")[1:]]


@pytest.mark.parametrize("name", PAGES)
def test_no_number_is_typed(name):
    """Numbers are results, mathematics or marked facts."""
    assert typed_numbers(PAGES[name].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", PAGES)
def test_one_sentence_a_line(name):
    """A line of prose holds one sentence."""
    text = re.sub(r"```.*?```", "", PAGES[name].read_text(encoding="utf-8"), flags=re.DOTALL)
    lines = [line for line in text.splitlines() if not line.startswith(("|", "#", "**"))]
    assert [line for line in lines if re.search(r"(?<!et al)[.!?] [A-Z]", line.removeprefix("- "))] == []


def test_the_rule_of_grades_is_that_of_the_code():
    """Each grade of the docstring stands on the page word for word, in the same order."""
    text = read("statistics")
    lines = rule()
    assert [line.split("`")[1] for line in lines] == ["against", "insufficient", "strong", "moderate", "weak"]
    places = [text.find(f"- {line}") for line in lines]
    assert -1 not in places
    assert places == sorted(places)


def test_the_rule_of_grades_holds_at_its_limits():
    """The counts of clusters on the page are where the grade changes."""
    facts = {"sign_changes": False, "strong_weight": 0.5}
    wide, high = {"confidence": (0.005, 0.03)}, {"confidence": (0.02, 0.03)}
    assert grade(**wide, prediction=(0.001, 0.05), clusters=10, **facts).name == "strong"
    assert grade(**wide, prediction=(0.001, 0.05), clusters=9, **facts).name == "weak"
    assert grade(**high, prediction=None, clusters=5, **facts).name == "moderate"
    assert grade(**high, prediction=None, clusters=4, **facts).name == "weak"
    assert grade(confidence=(-0.03, -0.02), prediction=None, clusters=3, **facts).name == "against"
    assert grade(confidence=(-0.03, -0.02), prediction=None, clusters=2, **facts).name == "insufficient"


def test_constants_are_those_of_the_code():
    """The facts of the page on statistics are the constants that the code uses."""
    text = read("statistics")
    assert f"The minimal important gain is {MINIMAL_GAIN:g} in AUC or Dice" in text
    assert rf"with $\rho =$ {RHO:g}." in text
    assert f"Where the number of runs is not stated it is taken as {ASSUMED_RUNS}" in text
    assert "is assumed to be 0.5" in text
    assert {"0", "0.5", "0.8"} == set(CORRELATIONS)


def test_the_table_of_thin_data_is_that_of_the_code():
    """The least numbers of clusters and of degrees of freedom are the constants of the code."""
    rows = [row[0] for row in table(read("statistics"), "where")]
    assert rows[:5] == [
        f"fewer than {LEAST_CLUSTERS} clusters",
        f"fewer than {LEAST_FOR_INTERVAL} clusters",
        f"fewer than {LEAST_FOR_MODERATORS} clusters",
        f"a level of a factor in fewer than {LEAST_IN_LEVEL} clusters",
        f"fewer than {LEAST_DF} degrees of freedom",
    ]
    assert LEAST_FOR_LOSSES == LEAST_FOR_MODERATORS


def test_every_rung_and_every_choice_is_described():
    """The page names each rung in its order, and each choice of the multiverse with its options."""
    text = read("statistics")
    places = [text.index(f"`{rung}`") for rung in RUNGS]
    assert places == sorted(places)
    rows = table(text, "choice")
    assert len(rows) == len(CHOICES)
    for (_, options), (name, settings) in zip(rows, CHOICES.items(), strict=True):
        assert len(options.split(";")) == len(settings), name


def test_pools_and_domains_are_described():
    """The page on the evidence names each pool, each judgement and as many domains as there are."""
    text = read("evidence_base")
    assert [row[0] for row in table(text, "pool")] == [pool.replace("_", " ") for pool in POOLS]
    (sentence,) = re.findall(r"is judged in (\w+) domains: (.*)\.", text)
    words = {7: "seven"}
    assert sentence[0] == words[len(DOMAINS)]
    assert len(sentence[1].split("whether ")[1:]) == len(DOMAINS)
    assert set(
        re.findall(r"\*(\w+)\*", text.partition("A judgement is")[2].partition("by a rule")[0])
    ) == set(JUDGEMENTS)


def test_numbers_come_from_a_chapter_that_exists():
    """Each quoted result names the notebook that makes it."""
    quoted = re.findall(r"\{result\}`([^`]+)`", PAGES["evidence_base"].read_text(encoding="utf-8"))
    assert quoted
    for name in quoted:
        chapter, colon, key = name.partition(":")
        assert colon
        assert (CHAPTERS / f"{chapter}.py").is_file()
        assert re.fullmatch(r"[a-z][a-z0-9_]*", key)
