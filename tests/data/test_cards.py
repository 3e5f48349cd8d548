"""Every source has a complete card; its numbers are those of the files and of the audit."""

import json
from pathlib import Path

import pytest

from medssl.data import MODALITIES, SPLITS, _store, available, load
from medssl.data.audit import audit_source, matched
from medssl.data.brain_tumour import slice_numbers
from medssl.data.card import Card, leakage_found, markdown, measured, read_card, refresh
from medssl.errors import DataError, UsageError

REAL = tuple(name for name in available() if not name.startswith("phantom_"))
SMALL = ("pneumoniamnist", "breastmnist", "brain_tumour_64", "hippocampus")


@pytest.mark.parametrize("name", available())
def test_every_source_has_a_complete_card(name):
    """No field of a card is empty, except the file of a generated source."""
    card = read_card(name)
    assert card.name == name
    assert card.modality in MODALITIES
    for field, value in card.to_dict().items():
        if field != "file":
            assert value, f"{name}: {field} is empty"
    assert set(card.licence) == {"name", "url", "note"}
    assert all(set(cite) == {"key", "text", "doi"} and all(cite.values()) for cite in card.citations)
    assert set(card.splits) == set(SPLITS)


def test_every_citation_is_in_the_bibliography():
    """The key of each citation is an entry of the book's bibliography."""
    entries = (Path(__file__).parents[2] / "chapters" / "references.bib").read_text(encoding="utf-8")
    keys = {cite["key"] for name in available() for cite in read_card(name).citations}
    assert [key for key in sorted(keys) if f"{{{key}," not in entries] == []


@pytest.mark.parametrize("name", REAL)
def test_every_real_card_says_what_its_file_is(name):
    """A real source has size, md5, its origin, shape and the manual steps with that md5."""
    facts = read_card(name).file
    assert set(facts) == {"path", "bytes", "md5", "md5_origin", "image_shape", "url", "manual"}
    assert len(facts["md5"]) == 32
    assert facts["md5"] in facts["manual"]
    assert facts["path"] in facts["manual"]
    assert facts["url"] is None or facts["url"].startswith("https://zenodo.org/records/10519652/")


@pytest.mark.parametrize("name", available())
def test_the_audit_on_a_card_is_of_its_own_splits(name):
    """Audit, splits and classes of a card agree with each other."""
    card = read_card(name)
    assert card.audit["name"] == name
    assert len(card.audit["overlaps"]) == 6
    for split, facts in card.splits.items():
        assert card.audit["n"][split] == facts["n"]
        assert card.audit["class_counts"][split] == facts["class_counts"]
        assert len(facts["class_counts"]) == len(card.classes)
        if card.task == "classification":
            assert sum(facts["class_counts"]) == facts["n"]


@pytest.mark.parametrize("name", REAL)
def test_the_splits_on_a_card_are_those_of_the_file(sources, name):
    """Counts and classes are measured: loading the file gives the same ones."""
    card = read_card(name)
    for split in SPLITS:
        part = load(name, split)
        assert card.splits[split]["n"] == len(part)
        assert tuple(card.classes) == part.classes
        assert (card.modality, card.task) == (part.modality, part.task)
        counts = [int((part.labels == label).sum()) for label in range(len(part.classes))]
        assert card.splits[split]["class_counts"] == counts


@pytest.mark.parametrize("name", sorted(set(available()) - set(REAL)))
def test_the_card_of_a_phantom_is_of_what_it_generates(name):
    """Modality and classes of a generated source are those on its card; patients lie in one split."""
    card = read_card(name)
    parts = [load(name, split, n=8) for split in SPLITS]
    assert {part.modality for part in parts} == {card.modality}
    assert {part.classes for part in parts} == {tuple(card.classes)}
    assert card.audit["shared_groups"] == 0
    assert not set.intersection(*(set(part.groups.tolist()) for part in parts))


@pytest.mark.parametrize("name", SMALL)
def test_the_audit_on_a_card_can_be_repeated(sources, name):
    """A new audit of the files gives the counts on the card."""
    on_card, anew = read_card(name).audit, measured(name)["audit"]
    for entry in [*on_card["overlaps"], *anew["overlaps"]]:
        entry["highest"] = round(entry["highest"], 2)  # the last digits depend on the linear algebra library
    assert anew == on_card


def test_the_test_images_of_breastmnist_have_copies_in_train(sources):
    """The leakage that the card warns of is in the files: a third of the test images, one relabelled."""
    entry = audit_source("breastmnist").overlap("train", "test")
    if sources.real:
        assert entry.near_images["0.98"] > 156 / 3
        assert entry.exact_conflicts == 1
    mask = matched(load("breastmnist", "train"), load("breastmnist", "test"))
    assert mask.sum() == entry.near_images["0.98"]


def test_one_head_of_the_brain_source_is_in_val_and_in_test(sources):
    """The card's remark on three consecutive slices holds: equal distance between matching slice numbers."""
    entry = audit_source("brain_tumour_64").overlap("val", "test")
    files = {split: _store.read_split("brain_tumour_64", split, ("files",))[2] for split in ("val", "test")}
    numbers = {split: slice_numbers("brain_tumour_64", names) for split, names in files.items()}
    distances = [int(numbers["test"][j] - numbers["val"][i]) for i, j in entry.examples]
    assert distances == ([289] * 3 if sources.real else [])


def test_leakage_sentences_take_their_numbers_from_the_audit():
    """Changing a count in the audit changes the sentence."""
    audit = read_card("breastmnist").audit
    entry = audit["overlaps"][2]
    entry["near_images"]["0.98"], entry["exact_images"], entry["near_conflicts"] = 41, 17, 13
    sentences = leakage_found(audit)
    assert any(line.startswith("41 of 156 test images match a train image") for line in sentences)
    assert any("17 of them exactly; 13 of the" in line for line in sentences)


def test_leakage_names_shared_groups_and_constant_images():
    """Patients in two splits and constant images are part of what was found."""
    audit = read_card("organamnist").audit | {
        "shared_groups": 3,
        "constant": {"train": 2, "val": 0, "test": 0},
    }
    text = " ".join(leakage_found(audit))
    assert "3 units of independence occur in more than one split" in text
    assert "2 in train" in text


def test_a_card_without_an_audit_says_so():
    """A source that was not audited does not look clean."""
    assert leakage_found({}) == ["No audit has been made."]


@pytest.mark.parametrize("name", available())
def test_markdown_has_every_section(name):
    """The printed card holds licence, citation, splits, leakage, audit and file."""
    card = read_card(name)
    text = markdown(card)
    for title in ("Licence", "Cite", "Splits", "Unit of independence", "Known leakage", "Cautions", "File"):
        assert f"\n## {title}\n" in text
    for part in (card.licence["name"], card.citations[0]["doi"], *leakage_found(card.audit)):
        assert part in text
    assert f"| images | {card.splits['train']['n']} |" in text


def test_refresh_writes_what_is_measured_and_nothing_else(copies):
    """A refresh replaces classes, splits and audit; the facts written by hand stay."""
    before = read_card("breastmnist").to_dict()
    after = refresh("breastmnist").to_dict()
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {"splits", "audit"}
    assert after["splits"]["test"]["n"] == 9
    assert json.loads(_store.card_path("breastmnist").read_text()) == after


def test_a_card_with_an_unknown_or_missing_field_is_refused(copies):
    """A misspelt field is an error that names it."""
    path = _store.card_path("breastmnist")
    card = json.loads(path.read_text())
    card["licenze"] = card.pop("licence")
    path.write_text(json.dumps(card))
    with pytest.raises(DataError, match="licence, licenze"):
        read_card("breastmnist")


def test_an_unknown_name_has_no_card():
    """The nearest known name is offered."""
    with pytest.raises(UsageError, match="did you mean 'breastmnist'"):
        read_card("brestmnist")


def test_a_card_cannot_be_edited():
    """A card is frozen."""
    with pytest.raises(AttributeError):
        read_card("breastmnist").title = "other"
    assert isinstance(read_card("breastmnist"), Card)
