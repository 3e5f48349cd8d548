"""Dataset cards: what a source is, who may use it, how it is split, and what its audit found.

A card is one JSON file in ``medssl/data/cards``.
The facts are written by hand; ``splits`` and ``audit`` are measured by `refresh` and never typed.
"""

import json
from dataclasses import asdict, dataclass, fields

from medssl.data import SPLITS, check_name, load
from medssl.data._store import card_path
from medssl.data.audit import Audit, audit_splits
from medssl.errors import DataError
from medssl.files import write_json

__all__ = ["Card", "leakage_found", "markdown", "read_card", "refresh"]


@dataclass(frozen=True)
class Card:
    """One source, described.

    Parameters
    ----------
    name, title, modality, task, summary : str
        What it is; the modality is one of `medssl.data.MODALITIES`.
    classes : list of str
        Class names; the index is the label.
    licence : dict
        ``name``, ``url`` and ``note``.
    citations : list of dict
        ``key`` (of the bibliography), ``text`` and ``doi``.
    acquisition, label_source, unit_of_independence, known_leakage : str
        How images and labels came about, and what is not independent.
    cautions : list of str
        What a reader of results must bear in mind.
    file : dict or None
        ``path``, ``bytes``, ``md5``, ``md5_origin``, ``image_shape``, ``url``, ``manual``; None when
        generated.
    splits : dict
        ``n`` and ``class_counts`` of each split, measured.
    audit : dict
        `Audit.to_dict`, measured; ``options`` are those that the images were loaded with.
    """

    name: str
    title: str
    modality: str
    task: str
    summary: str
    classes: list
    licence: dict
    citations: list
    acquisition: str
    label_source: str
    unit_of_independence: str
    known_leakage: str
    cautions: list
    file: dict | None
    splits: dict
    audit: dict

    def to_dict(self) -> dict:
        """Return plain types that JSON can hold."""
        return asdict(self)


def read_card(name: str) -> Card:
    """Return the card of a source.

    Raises
    ------
    UsageError
        Unknown name.
    DataError
        A field is missing or unknown.

    Examples
    --------
    >>> read_card("breastmnist").licence["name"]
    'CC BY 4.0'
    """
    path = card_path(check_name(name))
    values = json.loads(path.read_text(encoding="utf-8"))
    known = {field.name for field in fields(Card)}
    if set(values) != known:
        wrong = sorted(set(values) ^ known)
        raise DataError(f"{path}: missing or unknown field {', '.join(wrong)}.")
    return Card(**values)


def refresh(name: str, **options) -> Card:
    """Measure splits and audit anew and write them into the card; for maintainers of this package.

    Parameters
    ----------
    name : str
        One of `medssl.data.available()`.
    **options
        Passed to `medssl.data.load`.

    Returns
    -------
    Card
        The card as written.
    """
    path = card_path(check_name(name))
    values = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, {**values, **measured(name, **options)})
    return read_card(name)


def measured(name: str, **options) -> dict:
    """Return ``classes``, ``splits`` and ``audit`` as they are in the files now."""
    parts = [load(name, split, **options) for split in SPLITS]
    audit = audit_splits(parts)
    splits = {split: {"n": audit.n[split], "class_counts": audit.class_counts[split]} for split in SPLITS}
    classes = list(parts[0].classes)
    return {
        "classes": classes,
        "splits": splits,
        "audit": json.loads(json.dumps({**audit.to_dict(), "options": options})),
    }


def leakage_found(audit: Audit | dict) -> list[str]:
    """Return what an audit found, one sentence an item, worst first.

    Examples
    --------
    >>> leakage_found(read_card("organamnist").audit)[0]
    'No exact and no near duplicate was found between splits.'
    """
    facts = audit.to_dict() if isinstance(audit, Audit) else audit
    if not facts:
        return ["No audit has been made."]
    between = [entry for entry in facts["overlaps"] if entry["first"] != entry["second"]]
    within = [entry for entry in facts["overlaps"] if entry["first"] == entry["second"]]
    found = [
        _sentence(entry, facts) for entry in between + within if entry["near_pairs"] or entry["exact_pairs"]
    ]
    if not any(entry["near_pairs"] or entry["exact_pairs"] for entry in between):
        found.insert(0, "No exact and no near duplicate was found between splits.")
    if facts["shared_groups"] > 0:
        found.append(f"{facts['shared_groups']} units of independence occur in more than one split.")
    if any(facts["constant"].values()):
        found.append(f"Constant images: {_listed(facts['constant'])}.")
    return found


def _sentence(entry: dict, facts: dict) -> str:
    split, level = entry["second"], f"{facts['threshold']:g}"
    other = "another image of the same split" if entry["first"] == split else f"a {entry['first']} image"
    return (
        f"{entry['near_images'][level]} of {facts['n'][split]} {split} images match {other} "
        f"(thumbnail correlation at least {level}), {entry['exact_images']} of them exactly; "
        f"{entry['near_conflicts']} of the {entry['near_pairs']} matching pairs disagree on the label."
    )


def _listed(values: dict) -> str:
    return ", ".join(f"{value} in {key}" for key, value in values.items())


def markdown(card: Card) -> str:
    """Return the card as Markdown with one heading a topic.

    Examples
    --------
    >>> markdown(read_card("breastmnist")).splitlines()[0]
    '# BreastMNIST (breastmnist)'
    """
    sections = {
        "Licence": [_licence(card)],
        "Cite": [f"- {cite['text']} doi {cite['doi']} [{cite['key']}]" for cite in card.citations],
        "Splits": [_split_table(card)],
        "Unit of independence": [card.unit_of_independence],
        "Known leakage": [card.known_leakage],
        "What the audit found": [f"- {line}" for line in [*leakage_found(card.audit), _imbalance(card)]],
        "Acquisition": [card.acquisition],
        "Labels": [card.label_source],
        "Cautions": [f"- {line}" for line in card.cautions],
        "File": [_file(card)],
    }
    head = f"# {card.title} ({card.name})\n\n{card.summary}\n\nModality: {card.modality}. Task: {card.task}."
    body = (f"## {title}\n\n" + "\n".join(lines) for title, lines in sections.items())
    return "\n\n".join([head, *body]) + "\n"


def _licence(card: Card) -> str:
    return f"{card.licence['name']} ({card.licence['url']}). {card.licence['note']}".strip()


def _split_table(card: Card) -> str:
    rows = ["| class | " + " | ".join(card.splits) + " |", "|---" + "|---:" * len(card.splits) + "|"]
    for index, name in enumerate(card.classes):
        counts = (str(split["class_counts"][index]) for split in card.splits.values())
        rows.append(f"| {name} | " + " | ".join(counts) + " |")
    rows.append("| images | " + " | ".join(str(split["n"]) for split in card.splits.values()) + " |")
    return "\n".join(rows)


def _imbalance(card: Card) -> str:
    ratios = {split: ratio for split, ratio in card.audit.get("imbalance", {}).items() if ratio}
    return f"Largest over smallest class: {_listed(ratios)}." if ratios else "Class imbalance: not known."


def _file(card: Card) -> str:
    if card.file is None:
        return "None: the images are generated on the spot, deterministic by seed."
    facts = card.file
    return (
        f"`{facts['path']}`, {facts['bytes']} bytes, md5 `{facts['md5']}` ({facts['md5_origin']}), "
        f"images {facts['image_shape']} uint8. {facts['url'] or 'No plain address.'}\n\n{facts['manual']}"
    )
