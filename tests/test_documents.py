"""The prose pages and the documents of the repository agree with each other and with the package."""

import itertools
import json
import re
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from pybtex.database import parse_file

import medssl
from medssl.book.prose import typed_numbers

ROOT = Path(__file__).parents[1]
CHAPTERS = ROOT / "chapters"
PROSE = sorted(CHAPTERS.glob("*.md"))
PAGES = sorted([*CHAPTERS.rglob("*.md"), *CHAPTERS.rglob("*.py")])
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
NO_PROSE = {"math", "list-table", "bibliography", "code", "code-block", "literalinclude", "figure-card"}
FENCE = re.compile(r"^\s*(?P<marks>`{3,}|:{3,})(?:\{(?P<directive>[\w-]+)\})?")
NO_SENTENCE = re.compile(r"\s*(\||#{1,6} |:[\w-]+:|\([\w-]+\)=$|%)")
COMMENT = re.compile(r"<!--.*?-->")
CODE = re.compile(r"\{[\w:]+\}`[^`]*`|`[^`]*`|\$[^$]*\$")
SENTENCE_END = re.compile(r"(?<!et al)(?<!e\.g)(?<!i\.e)(?<!vs)[.!?][\"')*]*\s+[A-Z(*]")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def prose_lines(text: str) -> list[str]:
    """Return each line, blank where it is no prose: code, mathematics, tables, headings, options."""
    lines, skipping, open_directives = [], None, []
    for line in text.splitlines():
        fence = FENCE.match(line)
        if skipping:
            skipping = None if fence and fence["marks"] == skipping else skipping
        elif fence and open_directives[-1:] == [line.strip()]:
            open_directives.pop()
        elif fence and fence["directive"] not in {None, *NO_PROSE}:
            open_directives.append(fence["marks"])
        elif fence:
            skipping = fence["marks"]
        elif not NO_SENTENCE.match(line):
            lines.append(CODE.sub("Code", COMMENT.sub("", line)).rstrip())
            continue
        lines.append("")
    return lines


def without_marker(line: str) -> str:
    return re.sub(r"^\s*(>|[-*]|\d+\.)\s+(\[ \] )?", "", line).strip()


def two_sentences(text: str) -> list[str]:
    return [line for line in prose_lines(text) if SENTENCE_END.search(without_marker(line))]


def broken_sentences(text: str) -> list[str]:
    lines = prose_lines(text)
    pairs = itertools.pairwise(lines)
    return [after for before, after in pairs if before and re.match(r"\s*[a-z]", after)]


def cited_keys(path: Path) -> set[str]:
    found = re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", read(path))
    return {key.strip() for group in found for key in group.split(",")}


def carded_keys() -> set[str]:
    cards = (json.loads(read(path)) for path in (ROOT / "medssl" / "data" / "cards").glob("*.json"))
    return {citation["key"] for card in cards for citation in card["citations"]}


@pytest.fixture(scope="module")
def bibliography():
    return parse_file(CHAPTERS / "references.bib").entries


@pytest.mark.parametrize("path", [*PROSE, *DOCUMENTS], ids=name_of)
def test_one_sentence_a_line(path):
    """A line of prose holds one sentence, so that a change of one sentence is a change of one line."""
    assert two_sentences(read(path)) == []


@pytest.mark.parametrize("path", [*PROSE, *DOCUMENTS], ids=name_of)
def test_no_sentence_is_broken_over_lines(path):
    """A sentence stays on its line."""
    assert broken_sentences(read(path)) == []


def test_the_sentence_checks_find_what_they_look_for():
    """Two sentences on a line and a sentence on two lines are found; code and tables are left alone."""
    assert two_sentences("One. Two.") == ["One. Two."]
    assert two_sentences("Chen et al. Found it.\n| A. B. |\n```\nA. B.\n```\n1. One.") == []
    assert broken_sentences("A sentence\ngoes on.") == ["goes on."]
    assert broken_sentences("A sentence.\nAnother one.\n\n- goes on.") == []


@pytest.mark.parametrize("path", PROSE, ids=name_of)
def test_no_number_is_typed(path):
    """A page of prose types no number except those marked as facts."""
    assert typed_numbers(read(path)) == []


def test_every_cited_key_is_in_the_bibliography(bibliography):
    """Pages and dataset cards cite entries that exist."""
    cited = set().union(*map(cited_keys, PAGES), carded_keys())
    assert cited - set(bibliography) == set()


def test_every_entry_is_cited_and_listed(bibliography):
    """No entry is left over, and the references page lists all of them."""
    cited = set().union(*map(cited_keys, PAGES), carded_keys())
    assert set(bibliography) - cited == set()
    assert ":all:" in read(CHAPTERS / "references.md")


def test_every_entry_says_how_it_was_checked(bibliography):
    """Each entry is marked checked or unverified, with the source and the date."""
    for key, entry in bibliography.items():
        assert entry.fields["keywords"] in {"checked", "unverified"}, key
        assert re.search(r"\w.*\b\d{4}-\d{2}-\d{2}\b", entry.fields["annote"]), key


def test_the_references_page_says_whether_entries_are_unverified(bibliography):
    """The page says that no entry is unverified, as long as that is so."""
    unverified = [key for key, entry in bibliography.items() if entry.fields["keywords"] == "unverified"]
    assert ("listed here; there is none" in read(CHAPTERS / "references.md")) == (not unverified)


def test_keys_are_author_year_word(bibliography):
    """A key is the first author, the year of the entry and a word."""
    for key, entry in bibliography.items():
        match = re.fullmatch(r"[a-z]+(\d{4})[a-z]+", key)
        assert match, key
        assert match[1] == entry.fields["year"], key


def test_identifiers_are_well_formed(bibliography):
    """Digital object identifiers and arXiv numbers have their form and occur once."""
    for field, form in (("doi", r"10\.\d{4,9}/\S+"), ("eprint", r"\d{4}\.\d{4,5}")):
        values = [entry.fields[field] for entry in bibliography.values() if field in entry.fields]
        assert all(re.fullmatch(form, value) for value in values)
        assert len(set(values)) == len(values)


def test_the_disclaimer_is_said_once():
    """ "Medical advice" is mentioned in the index, once, and nowhere else."""
    counts = {name_of(path): read(path).lower().count("medical advice") for path in [*PAGES, *DOCUMENTS]}
    assert {name: count for name, count in counts.items() if count} == {"chapters/index.md": 1}


def test_one_version_everywhere():
    """Package, project file, citation file and changelog state the same version."""
    citation = yaml.safe_load(read(ROOT / "CITATION.cff"))
    project = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]
    newest = re.search(r"^## \[([^\]]+)\]", read(ROOT / "CHANGELOG.md"), re.MULTILINE)[1]
    assert {str(citation["version"]), project["version"], newest} == {medssl.__version__}


def test_the_citation_file_is_complete():
    """The citation file has the fields that its format requires, and the licence of the project."""
    citation = yaml.safe_load(read(ROOT / "CITATION.cff"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    project = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]
    assert citation["license"] == project["license"]


def test_both_licences_are_whole():
    """The two licence texts are there from first to last paragraph."""
    code, text = read(ROOT / "LICENSE"), read(ROOT / "LICENSE-CC-BY-4.0.txt")
    assert code.lstrip().startswith("Apache License")
    assert "END OF TERMS AND CONDITIONS" in code
    assert text.startswith("Attribution 4.0 International")
    assert "Section 8 -- Interpretation" in text


def test_the_readme_names_the_two_commands():
    """A reader finds `make book` and `make test` in the README."""
    assert {"make book", "make test"} <= set(re.findall(r"^make \w+", read(ROOT / "README.md"), re.MULTILINE))


def test_the_python_examples_of_the_readme_run(capsys):
    """The examples run as printed: a pooled gain, and a pretraining whose last number is a rank."""
    examples = re.findall(r"^```python\n(.*?)^```", read(ROOT / "README.md"), re.MULTILINE | re.DOTALL)
    for example in examples:
        exec(compile(example, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "pi_low" in printed
    assert float(printed.split()[-1]) >= 1


@pytest.mark.parametrize("path", DOCUMENTS[:2], ids=name_of)
def test_make_targets_exist(path):
    """A document names only targets that the Makefile has."""
    targets = set(re.findall(r"^([a-z-]+):", read(ROOT / "Makefile"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`|\d )make ([a-z]+)", read(path), re.MULTILINE)) <= targets


def test_files_named_in_the_documents_exist():
    """A path or a relative link in a document leads to something."""
    for path in DOCUMENTS:
        links = re.findall(r"\]\((?!https?:)([^)#]+)\)", read(path))
        scripts = re.findall(r"\b(?:benchmarks|chapters|medssl|tests)/[\w/]+\.(?:py|bib)\b", read(path))
        missing = [name for name in [*links, *scripts] if "NAME" not in name and not (ROOT / name).exists()]
        assert missing == []


def test_links_between_pages_exist():
    """A relative link, a figure and a document reference of a page lead to a file."""
    for path in CHAPTERS.rglob("*.md"):
        links = re.findall(r"\]\((?!https?:)([^)#]+)\)|^```\{figure\} (\S+)", read(path), re.MULTILINE)
        for name in (link or figure for link, figure in links):
            assert (path.parent / name).exists(), f"{name_of(path)}: {name}"
        for name in re.findall(r"\{doc\}`(?:[^`<]*<)?([^`>]+)>?`", read(path)):
            assert any((path.parent / f"{name}{end}").exists() for end in (".md", ".py")), name


@pytest.mark.parametrize("path", sorted((CHAPTERS / "images").glob("*.svg")), ids=name_of)
def test_drawings_describe_themselves_and_load_nothing(path):
    """A drawing is well-formed, has a title and a description, and refers to no other host."""
    root = ElementTree.parse(path).getroot()
    space = "{http://www.w3.org/2000/svg}"
    assert root.find(f"{space}title").text
    assert root.find(f"{space}desc").text
    assert "http" not in read(path).replace("http://www.w3.org/2000/svg", "")


def test_figures_have_alternative_text():
    """Each figure of a page of prose says in words what it shows."""
    for path in PROSE:
        figures = re.findall(r"^```\{figure\}.*?^```", read(path), re.MULTILINE | re.DOTALL)
        assert all(re.search(r"^:alt: \S.{40,}", figure, re.MULTILINE) for figure in figures), path.name
