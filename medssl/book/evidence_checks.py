"""What the evidence page shows of risk of bias and of suspicious rows: rules in words, and findings."""

import re
from collections.abc import Callable

import pandas as pd

from medssl.book.evidence_page import POOL_WORDS
from medssl.evidence import risk_of_bias, suspicious
from medssl.evidence.risk_of_bias import DOMAINS

__all__ = ["check_table", "domain_table", "listed_rules", "suspicious_table"]


def listed_rules(function: Callable) -> dict[str, str]:
    """Return the rules that the docstring of a function lists as ``- name: what it says;``.

    Examples
    --------
    >>> from medssl.evidence import suspicious
    >>> listed_rules(suspicious)["repeated"]
    'one value in four or more arms of a study'
    """
    items = re.findall(r"^ *- (\w+): (.*?)(?=\n *- |\n *\n)", function.__doc__, re.MULTILINE | re.DOTALL)
    return {name: re.sub(r"\s+", " ", text).strip(" .;").replace("`", "") for name, text in items}


def domain_table() -> pd.DataFrame:
    """Return each domain of the risk of bias with its code, its concern and its rule.

    Examples
    --------
    >>> domain_table()["domain"].tolist()[:2]
    ['D1', 'D2']
    """
    rules = listed_rules(risk_of_bias)
    rows = [(f"D{i}", words, rules[name]) for i, (name, words) in enumerate(DOMAINS.items(), 1)]
    return pd.DataFrame(rows, columns=["domain", "concern", "rule"])


def check_table(found: pd.DataFrame) -> pd.DataFrame:
    """Count the findings of `medssl.evidence.suspicious` by check, with what each check finds."""
    counts = found.groupby("check").agg(
        findings=("check", "size"), comparisons=("effect_id", "nunique"), studies=("study_id", "nunique")
    )
    primary = found[found["pool"] == "primary"].groupby("check").size()
    counts["findings in the primary pool"] = primary.reindex(counts.index, fill_value=0)
    rules = listed_rules(suspicious)
    counts.insert(0, "what it finds", [rules[name] for name in counts.index])
    return counts.rename(index=lambda name: name.replace("_", " ")).reset_index()


def suspicious_table(found: pd.DataFrame) -> pd.DataFrame:
    """Return the findings of `medssl.evidence.suspicious` with the headings of the page."""
    found = found.assign(check=found["check"].str.replace("_", " "), pool=found["pool"].replace(POOL_WORDS))
    names = {"effect_id": "Comparison", "study_id": "Study"}
    return found.rename(columns=lambda name: names.get(name, name.capitalize()))
