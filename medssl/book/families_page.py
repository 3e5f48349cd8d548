"""What the pages of the method families show: options, code, and what the published pool says of a family."""

import inspect
import re
from dataclasses import fields

import pandas as pd
from IPython.display import HTML
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from medssl.book.results import Results
from medssl.book.wording import interval, show_table, signed
from medssl.errors import UsageError
from medssl.evidence import verdict
from medssl.figures.style import display_name
from medssl.ssl import METHODS
from medssl.synthesis.stratum import LEAST_CLUSTERS, pool, strata

__all__ = [
    "METHODS_OF", "METRICS", "family_effects", "options_table", "own_records", "report_family",
    "source_code", "strata_table",
]  # fmt: skip

# as the published comparisons are coded: whether negatives are contrasted, what is predicted
METHODS_OF = {
    "contrastive": ("simclr", "moco", "moco_v3", "pirl", "y_aware"),
    "noncontrastive": ("byol", "simsiam", "barlow_twins", "vicreg", "swav", "dino"),
    "generative": (
        "masked_autoencoder", "simmim", "inpainting", "context_restoration", "models_genesis", "denoising",
    ),
    "predictive": ("rotation", "relative_position", "jigsaw", "rubiks_cube"),
    "hybrid": ("dira", "popar", "smit", "brain_aware_replacement"),
}  # fmt: skip
METRICS = ("AUC", "Dice")
COMPARATORS = ("random", "imagenet_supervised")


def _methods(family: str) -> tuple[str, ...]:
    if family not in METHODS_OF:
        raise UsageError(f"unknown family {family!r}: choose one of {', '.join(METHODS_OF)}.")
    return METHODS_OF[family]


def options_table(family: str) -> HTML:
    """Return the options of every method of a family with their defaults, read from the dataclasses.

    Parameters
    ----------
    family : str
        A key of `METHODS_OF`.

    Raises
    ------
    UsageError
        No such family.

    Examples
    --------
    >>> "temperature = 0.2" in options_table("contrastive").data
    True
    """
    rows = [
        {
            "method": display_name(name),
            "options and defaults": ", ".join(f"{each.name} = {each.default!r}" for each in fields(config)),
            "what they mean": re.sub(r"\s+", " ", inspect.getdoc(config)).replace("`", ""),
        }
        for name, config in ((name, METHODS[name].Config) for name in _methods(family))
    ]
    return show_table(pd.DataFrame(rows))


def source_code(family: str) -> HTML:
    """Return the files of a family's methods, coloured, each folded until a reader opens it.

    Examples
    --------
    >>> source_code("predictive").data.count("<details")
    4
    """
    formatter, blocks = HtmlFormatter(cssclass="highlight"), []
    for name in _methods(family):
        code = inspect.getsource(inspect.getmodule(METHODS[name]))
        shown = highlight(code, PythonLexer(), formatter)
        blocks.append(
            f"<details><summary>{display_name(name)}: <code>medssl/ssl/{name}.py</code></summary>\n"
            f"{shown}</details>"
        )
    return HTML("\n".join(blocks))


def family_effects(effects: pd.DataFrame, family: str) -> pd.DataFrame:
    """Return the published effects of one family.

    Parameters
    ----------
    effects : DataFrame
        As `medssl.evidence.effects` returns them.

    Examples
    --------
    >>> rows = pd.DataFrame({"family": ["hybrid", "generative"], "yi": [0.1, 0.2]})
    >>> family_effects(rows, "hybrid").yi.tolist()
    [0.1]
    """
    _methods(family)
    return effects[effects["family"] == family].reset_index(drop=True)


def report_family(results: Results, effects: pd.DataFrame, *, cell: str) -> None:
    """Add what the published pool says of a family: counts, and the pooled gain by metric and comparator.

    Parameters
    ----------
    results : Results
    effects : DataFrame
        Effects of one family.
    cell : str
        Label of the cell.

    Notes
    -----
    For each metric and comparator there are `gain_...` (with interval), `clusters_...`, `verdict_...` and
    `grade_...`, for example ``gain_auc_random``.
    """
    lost = int((effects["yi"] < 0).sum())
    counts = {"effects": len(effects), "losses": lost}
    counts |= {"clusters": effects["cluster_id"].nunique(), "studies": effects["study_id"].nunique()}
    for key, value in counts.items():
        results.add(key, int(value), cell=cell)
    results.add("loss_share", lost / len(effects), text=f"{100 * lost / len(effects):.0f}%", cell=cell)
    for metric in METRICS:
        for comparator in COMPARATORS:
            part = effects[(effects["metric"] == metric) & (effects["comparator"] == comparator)]
            _report_stratum(results, part, f"{metric.lower()}_{comparator.split('_')[0]}", cell)


def _report_stratum(results: Results, part: pd.DataFrame, name: str, cell: str) -> None:
    clusters = part["cluster_id"].nunique()
    words = "no cluster" if not clusters else "one cluster" if clusters == 1 else f"{clusters} clusters"
    results.add(f"clusters_{name}", clusters, text=words, cell=cell)
    if clusters < LEAST_CLUSTERS:
        results.add(f"gain_{name}", None, text="not pooled", cell=cell)
        results.add(f"verdict_{name}", None, text="too little to pool", cell=cell)
        results.add(f"grade_{name}", None, text="insufficient", cell=cell)
        return
    stratum = pool(part, name)
    row = stratum.row()
    limits = row["ci_low"], row["ci_high"]
    results.add(f"gain_{name}", row["estimate"], text=interval(row["estimate"], *limits, digits=3), cell=cell)
    results.add(f"verdict_{name}", row["estimate"], text=verdict(*limits), cell=cell)
    results.add(f"grade_{name}", clusters, text=stratum.grade.name, cell=cell)


def strata_table(effects: pd.DataFrame, by: str) -> HTML:
    """Return pooled gains in AUC and Dice by comparator and one more column, without empty strata.

    Parameters
    ----------
    effects : DataFrame
        Effects of one family.
    by : str
        "modality" or "task_type", for example.
    """
    kept = effects[effects["metric"].isin(METRICS) & effects["comparator"].isin(COMPARATORS)]
    table = strata(kept, ["metric", "comparator", by])
    fitted = table["estimate"].notna()
    limits = table[["estimate", "ci_low", "ci_high"]].to_numpy()
    gains = [_short(*row) if ok else "not pooled" for row, ok in zip(limits, fitted, strict=True)]
    shown = {
        "metric": table["metric"],
        "against": table["comparator"].map(display_name),
        by.replace("_", " "): table[by].map(display_name),
        "gain (95% CI)": gains,
        "effects": table["k"],
        "below 0": table["negative"],
        "clusters": table["clusters"],
        "grade": table["grade"],
    }
    return show_table(pd.DataFrame(shown))


def _short(value: float, low: float, high: float) -> str:
    """Write a gain and its limits for a column whose head says what the limits are."""
    return f"{signed(value)} ({signed(low)} to {signed(high)})"


def own_records(results: Results, costs: pd.DataFrame, family: str, *, cell: str) -> HTML:
    """Report how the family's methods did in the committed records of the study, and return the table.

    Parameters
    ----------
    results : Results
    costs : DataFrame
        As `medssl.book.cost_page.study_costs` returns them.
    family : str
        A key of `METHODS_OF`.
    cell : str
        Label of the cell.
    """
    own = costs[costs["method"].isin(_methods(family))]
    clear = int((own["ci_low"] > 0).sum())
    results.add("own_pairs", len(own), text=f"{len(own)}" if len(own) else "none", cell=cell)
    results.add("own_clear", clear, text=f"{clear}" if clear else "none", cell=cell)
    if own.empty:
        return HTML("<p>No method of this family is in the committed records yet.</p>")
    gains = [_short(*row) for row in own[["gain", "ci_low", "ci_high"]].to_numpy()]
    shown = {
        "data": own["dataset"],
        "method": own["method"].map(display_name),
        "seeds": own["seeds"],
        "label counts": own["label_counts"],
        "mean gain in AUC (95% CI)": gains,
    }
    return show_table(pd.DataFrame(shown))
