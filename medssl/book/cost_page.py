"""What the study cost: the gain for the minutes of pretraining, and the speed beside other libraries."""

from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import HTML
from scipy.stats import t as student

from medssl.book.results import Results
from medssl.book.step_costs import energy
from medssl.book.study import on_one_machine
from medssl.book.wording import interval, show_table, signed
from medssl.errors import UsageError
from medssl.evidence.records import pool_seeds
from medssl.experiments import find_records, load_records, to_table
from medssl.figures.style import display_name
from medssl.files import read_json

__all__ = [
    "costs_table",
    "report_costs",
    "report_throughput",
    "study_costs",
    "study_runs",
    "throughput",
    "throughput_words",
]

PLAIN = {"adaptation": "fine_tune", "selection": "budget", "comparator_kind": "random", "pool": 1.0}


def throughput(folder: Path) -> pd.DataFrame:
    """Return the committed comparisons with other libraries, one of each machine.

    Parameters
    ----------
    folder : Path
        Where files named ``pretraining_throughput_*.json`` stand.

    Returns
    -------
    DataFrame
        One row a machine, method, image side and contender, as `benchmarks/pretraining_throughput.py` writes
        them; empty where there is no file.

    Examples
    --------
    >>> throughput(Path("no such folder")).empty
    True
    """
    found = [read_json(path) for path in sorted(Path(folder).glob("pretraining_throughput_*.json"))]
    tables = [pd.DataFrame(each["rows"]).assign(machine=_machine(each["made"])) for each in found]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _machine(made):
    return f"{made['device']['name']}, {made['threads']} threads"


def throughput_words(table: pd.DataFrame):
    """Return the comparison as a reader wants it, or a sentence where nothing was measured yet."""
    if table.empty:
        return HTML("<p>This comparison has not been committed yet.</p>")
    numbers = ["images_per_second", "slowest", "fastest", "share", "ratio"]
    names = {"side": "pixels", "images_per_second": "images a second"}
    shown = table[["machine", "method", "side", "contender", *numbers, "repeats"]].copy()
    shown["method"] = shown["method"].map(display_name)
    for column in numbers:
        form = "{:.2f}" if column in ("share", "ratio") else "{:,.0f}"
        shown[column] = ["" if pd.isna(value) else form.format(value) for value in shown[column]]
    return show_table(shown.rename(columns=names))


def report_throughput(results: Results, table: pd.DataFrame, *, cell: str) -> None:
    """Add between which bounds the speed lies beside other libraries and beside the model alone.

    Parameters
    ----------
    results : Results
    table : DataFrame
        As `throughput` returns it, not empty.
    cell : str
        The label of the cell that shows it.
    """
    results.add("machines", int(table["machine"].nunique()), cell=cell)
    for side, part in table.groupby("side"):
        for key, contender, column in (
            ("ratio", "medssl", "ratio"), ("share", "medssl", "share"), ("ceiling", "model alone", "ratio"),
        ):  # fmt: skip
            values = part.loc[part["contender"] == contender, column]
            text = f"{values.min():.2f} to {values.max():.2f}"
            results.add(f"{key}_{side}", float(values.median()), text=text, cell=cell)


def study_runs(records: Path) -> pd.DataFrame:
    """Return the committed records of the plain comparison: fine-tuning against random weights.

    Parameters
    ----------
    records : Path
        The folder of records.

    Returns
    -------
    DataFrame
        The columns of `medssl.experiments.to_table` and `passes`, images that passed in pretraining.
        Records with a part of the pool, other images to pretrain on or other subsets are left out.
    """
    loaded = [each for each in load_records(find_records(records)) if "auc" in each.gain]
    if not loaded:
        raise UsageError(f"there is no record below {records}: run a grid with medssl run.")
    table = to_table(loaded)
    table["passes"] = [each.cell["pretrain"]["epochs"] * each.n_unlabelled for each in loaded]
    for column, value in PLAIN.items():
        table = table[table[column] == value]
    table = table[table["pretrain_on"].isna() & table["subset"].isna() & ~table["corrupted"]]
    return on_one_machine(table.reset_index(drop=True))


def study_costs(runs: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Return the mean gain of each data set and method with its interval, for the minutes of pretraining.

    Parameters
    ----------
    runs : DataFrame
        As `study_runs` returns them.
    level : float
        Coverage of the intervals.

    Returns
    -------
    DataFrame
        `dataset`, `method`, `seeds`, `label_counts`, `minutes` (mean over seeds), `passes`, `gain` with
        `ci_low` and `ci_high`, and the three divided by the minutes: `rate`, `rate_low`, `rate_high`.

    Notes
    -----
    A seed has one encoder, so the gains of its label counts are averaged first; a label count that some seed
    lacks is left out. The variance is that over seeds, divided by their number, plus the mean squared error
    over test cases, as in `medssl.evidence.from_records`. The interval is that of Student's t with the
    degrees of freedom of Satterthwaite's approximation, in which the error over cases counts as known.
    Minutes count as known.
    """
    runs = _complete(runs)
    averaged = ("pretraining_minutes", "passes")
    pooled = pool_seeds(runs, ["dataset", "method"], averaged)
    pooled = pooled[pooled["seeds"] >= 2].reset_index(drop=True)
    if pooled.empty:
        raise UsageError("no data set and method has records of two seeds or more.")
    counts = runs.groupby(["dataset", "method"])["n_labelled"].nunique().rename("label_counts").reset_index()
    variance = pooled["seed_variance"] + pooled["case_variance"]
    df = variance**2 * (pooled["seeds"] - 1) / pooled["seed_variance"].clip(lower=1e-30) ** 2
    half = student.ppf(0.5 + level / 2, df) * np.sqrt(variance)
    table = pooled.merge(counts).rename(columns={"yi": "gain", "pretraining_minutes": "minutes"})
    table = table.assign(ci_low=table["gain"] - half, ci_high=table["gain"] + half)
    rates = {"rate": "gain", "rate_low": "ci_low", "rate_high": "ci_high"}
    table = table.assign(**{name: table[column] / table["minutes"] for name, column in rates.items()})
    facts = ["dataset", "method", "seeds", "label_counts", "minutes", "passes", "gain", "ci_low", "ci_high"]
    return table[[*facts, *rates]]


def _complete(runs: pd.DataFrame) -> pd.DataFrame:
    """Keep the label counts that every seed of a data set and method has."""
    group = ["dataset", "method"]
    seeds = runs.groupby(group)["seed"].transform("nunique")
    present = runs.groupby([*group, "n_labelled"])["seed"].transform("nunique")
    return runs[present == seeds]


def costs_table(costs: pd.DataFrame, watts: float):
    """Return the table of study costs as a reader wants it."""
    gains = [interval(*row, digits=3) for row in costs[["gain", "ci_low", "ci_high"]].to_numpy()]
    rates = costs[["rate", "rate_low", "rate_high"]].to_numpy() * 10
    shown = {
        "data": costs["dataset"],
        "method": costs["method"].map(display_name),
        "seeds": costs["seeds"],
        "label counts": costs["label_counts"],
        "minutes": costs["minutes"].map("{:.1f}".format),
        "million images": (costs["passes"] / 1e6).map("{:.2f}".format),
        "Wh": energy(costs["minutes"], watts).map("{:.1f}".format),
        "gain in AUC": gains,
        "gain in ten minutes": [f"{signed(a)} ({signed(b)} to {signed(c)})" for a, b, c in rates],
    }
    return show_table(pd.DataFrame(shown))


def report_costs(results: Results, costs: pd.DataFrame, *, cell: str) -> None:
    """Add how many methods were compared, and how many gained anything that an interval parts from zero."""
    counts = {"pairs": len(costs), "datasets": costs["dataset"].nunique()}
    counts["clear_gains"] = int((costs["ci_low"] > 0).sum())
    counts["clear_losses"] = int((costs["ci_high"] < 0).sum())
    for key, value in counts.items():
        results.add(key, int(value), text=f"{value:,}" if value else "none", cell=cell)
    best = costs.loc[costs["rate"].idxmax()]
    words = interval(10 * best["rate"], 10 * best["rate_low"], 10 * best["rate_high"], digits=3)
    results.add("best_rate", float(10 * best["rate"]), text=words, cell=cell)
    name = f"{display_name(best['method'])} on {best['dataset']}"
    results.add("best_pair", float(best["minutes"]), text=name, cell=cell)
    for key, value in (("shortest", costs["minutes"].min()), ("longest", costs["minutes"].max())):
        results.add(f"{key}_minutes", float(value), text=f"{value:.1f} minutes", cell=cell)
