"""Risk of bias of each study: seven domains judged by stated rules on the columns of the table.

Every judgement is `low`, `some`, `high` or `unclear`. What only the reading notes tell stands in
`risk_of_bias_manual.csv`, with its place, and takes the place of the rule.
"""

import re

import pandas as pd

from medssl.evidence.dispersion import dispersions
from medssl.evidence.tables import read_table, typed

__all__ = ["DOMAINS", "JUDGEMENTS", "overall", "risk_of_bias"]

JUDGEMENTS = ("low", "some", "high", "unclear")
DOMAINS = {
    "test_images_seen": "the pretraining saw the test images",
    "chosen_on_test": "a model, an epoch or a result was chosen on the test set",
    "single_run": "each arm was trained once",
    "unequal_arms": "the arms differ in architecture, adaptation or compute",
    "private_data": "outsiders cannot get the data",
    "indirect_values": "the values were digitised or read second-hand",
    "sponsor_evaluates": "the authors of the method evaluate it",
}
DECISIVE = ("test_images_seen", "chosen_on_test")

# Words that say nothing about which data set or which method is meant.
_WORDS = """the and for with without from not only then all named abstract data set sets train training test
source target transfer zero-shot external internal pool public private institutional in-house stage fold
image images scan scans volume volumes video videos frame frames case cases subjects patients labels
natural unlabelled uncurated released release chest brain lung head neck cardiac echo liver prostate
ultrasound mri mr fmri bpmri mpmri ct cts x-ray x-rays xray rays 3d 2d models weights
self-supervised supervised self learning pre-training pretraining pre pretrain ssl contrastive masked
autoencoder autoencoders mae imagenet medical representation prediction encoder transformer transformers
context patch model foundation method fine-tuned tuned fine frozen random"""
_COMMON = frozenset(_WORDS.split())
_NAME_OF_SET = re.compile(r"[A-Z]{3,}|[A-Z][a-z]+[A-Z]|[A-Za-z]{2,}-?\d|Biobank")
_TRAINING_PART = re.compile(r"(?i)\btrain(?:ing)?\b")
_COLLECTION = re.compile(
    r"(?i)collection|data ?sets|as released|\bseries\b|\(public\)|(?<![-\w])\d+[kK]\b|\bpublic\b|^$"
)
_CHOSEN = re.compile(r"(?i)chosen on this set|best-epoch|optimistic")


def risk_of_bias() -> pd.DataFrame:
    """Judge each study with effects in the table.

    Returns
    -------
    DataFrame
        One row a study, in alphabetical order: `study_id`, the keys of `DOMAINS`, `overall`, and
        `reasons`, which gives for each domain the rule or the note behind it.

    Notes
    -----
    Rules, over all rows of a study:

    - test_images_seen: `low` where every pretraining set is of natural images, shares no name with the
      task's data, or is its training part; `some` where a name is shared; `high` where `pretrain_data`
      says "same data" or "same scans"; `unclear` for collections and sets without a name.
    - chosen_on_test: `high` or `some` where `source_locator` says so of all or some rows; else `unclear`.
    - single_run: `low` where every row has three runs or folds or a deviation over them; `some` where
      part of the rows has, or a test-set interval is printed; `high` where `n_runs` is 1; else `unclear`.
    - unequal_arms: `high` or `some` where all or some rows have arms of different architectures or
      adaptation; `unclear` where no architecture is stated; else `low`, compute unknown.
    - private_data: `low`, `some` or `high` for all, some or no rows with public data; `unclear` if blank.
    - indirect_values: `low` where nothing was digitised or read second-hand, `high` where all was.
    - sponsor_evaluates: `high` or `some` where all or some rows use a method that the title or the
      study's name names; else `low`.

    `overall` is explained there. The rules ask what a table can tell; they replace no expert's reading.

    Examples
    --------
    >>> table = risk_of_bias().set_index("study_id")
    >>> table.loc["truong2021_transferable", ["test_images_seen", "private_data"]].tolist()
    ['low', 'low']
    """
    table = typed(read_table("published_effects"))
    table["_tested"] = (
        dispersions(table)[["baseline_over", "ssl_over"]].isin(["cases", "test_bootstrap"]).all(axis=1)
    )
    table["_repeated"] = _repeated(table)
    judged = {study: _study(rows) for study, rows in table.groupby("study_id")}
    for _, row in read_table("risk_of_bias_manual").iterrows():
        judged[row["study_id"]][row["domain"]] = (row["judgement"], f"{row['reason']} ({row['place']})")
    return pd.DataFrame([_row(study, domains) for study, domains in judged.items()])


def overall(judgements: dict[str, str]) -> str:
    """Join the domains of one study.

    Parameters
    ----------
    judgements : dict
        From the keys of `DOMAINS` to `low`, `some`, `high` or `unclear`.

    Returns
    -------
    str
        `high` where test images were seen or a choice was made on them, or two other domains are high;
        `some` where any domain is some or high; `unclear` where any is unclear; else `low`.

    Examples
    --------
    >>> overall(dict.fromkeys(DOMAINS, "low"))
    'low'
    >>> overall(dict.fromkeys(DOMAINS, "low") | {"chosen_on_test": "high"})
    'high'
    """
    high = [domain for domain, judgement in judgements.items() if judgement == "high"]
    if len(high) >= 2 or any(domain in DECISIVE for domain in high):
        return "high"
    for level in ("high", "some", "unclear"):
        if level in judgements.values():
            return "some" if level == "high" else level
    return "low"


def _row(study, domains):
    judgements = {domain: domains[domain][0] for domain in DOMAINS}
    reasons = "; ".join(f"{domain}: {domains[domain][1]}" for domain in DOMAINS)
    return {"study_id": study, **judgements, "overall": overall(judgements), "reasons": reasons}


def _study(rows):
    rules = (_seen, _chosen, _single, _unequal, _private, _indirect, _sponsor)
    return {domain: rule(rows) for domain, rule in zip(DOMAINS, rules, strict=True)}


def _share(mask, reason, otherwise=("low", "no row says otherwise")):
    """Judge `high` for all rows, `some` for part of them."""
    if not mask.any():
        return otherwise
    return ("high" if mask.all() else "some"), f"{reason} in {mask.sum()} of {len(mask)} rows"


def _words(text):
    words = {word.lower() for word in re.findall(r"[A-Za-z0-9][\w-]*\w", text)}
    parts = {part for word in words for part in re.split(r"[-_]", word)}
    return {word for word in words | parts if len(word) > 2 and not word.isdigit()} - _COMMON


def _data_words(text):
    return (
        {word.lower() for word in re.findall(r"[A-Za-z0-9][\w-]*\w", text) if len(word) > 2}
        - _COMMON
        - {"genesis"}
    )


def _seen(rows):
    medical = rows[rows["pool"] != "natural_images"]
    medical = medical[~medical["pretrain_data"].str.match(r"(?i)imagenet")]
    pairs = set(zip(medical["pretrain_data"], medical["downstream_data"], strict=True))
    if not pairs:
        return "low", "natural images"
    if any(re.search(r"(?i)same (?:data|scans)", pool) for pool, _ in pairs):
        return "high", "pretrained on the same scans"
    shared = {pool for pool, task in pairs if _data_words(pool) & _data_words(task)}
    if any(not _TRAINING_PART.search(pool) for pool in shared):
        return "some", "the pretraining set and the task's data share a name"
    if any(_COLLECTION.search(pool) or not _NAME_OF_SET.search(_no_modality(pool)) for pool, _ in pairs):
        return "unclear", "the pretraining set is a collection, or has no name"
    return "low", "its training part only" if shared else "the names of the data sets differ"


def _no_modality(text):
    return re.sub(r"\w*MRI|CMR|CXR", "", text)


def _chosen(rows):
    told = rows["source_locator"].str.contains(_CHOSEN)
    return _share(told, "the source tells of a choice on the evaluated cases", ("unclear", "not stated"))


def _repeated(table):
    found = dispersions(table)
    over_runs = found[["baseline_over", "ssl_over"]].isin(["runs", "folds"]).all(axis=1)
    return over_runs | table["n_runs"].ge(3)


def _single(rows):
    if rows["_repeated"].all():
        return "low", "three or more runs or folds, or a deviation over them"
    if rows["n_runs"].eq(1).all():
        return "high", "one run"
    if rows["_repeated"].any() or rows["_tested"].any():
        return "some", "runs for part of the rows, or a test-set interval of single runs"
    return "unclear", "the number of runs is not stated"


def _unequal(rows):
    told = rows["architecture"].str.contains(r"(?i) vs |\(baseline|comparator")
    differ = told | (rows["pool_reason"] == "architectures of the two arms differ")
    differ |= rows["adaptation"] == "ssl_frozen_only"
    if not differ.any() and (rows["architecture"] == "").all():
        return "unclear", "no architecture is stated"
    return _share(
        differ, "architectures or adaptation differ", ("low", "one architecture; compute is not recorded")
    )


def _private(rows):
    stated = rows.loc[rows["public_data"] != "", "public_data"]
    if stated.empty:
        return "unclear", "not stated"
    return _share(stated == "no", "private data", ("low", "public data"))


def _indirect(rows):
    indirect = rows["extraction"].isin(["digitised", "second_hand"])
    return _share(indirect, "digitised or second-hand values", ("low", "printed or computed values"))


def _sponsor(rows):
    name = rows["study_id"].iloc[0].rstrip("0123456789").partition("_")
    names = _words(rows["title"].iloc[0]) | _words(name[2] or name[0])
    own = rows["ssl_method"].map(lambda method: bool(_words(method) & names))
    return _share(own, "the study names the method as its own", ("low", "methods of others"))
