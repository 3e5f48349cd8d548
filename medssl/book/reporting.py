"""What every study reports in the same words: counts, estimates with intervals and verdicts, durations."""

from medssl.book.results import Results
from medssl.book.wording import DIGITS, interval, minutes
from medssl.evidence.grade import importance, verdict

__all__ = [
    "GAIN",
    "report_coefficient",
    "report_counts",
    "report_durations",
    "report_estimate",
    "report_numbers",
]

GAIN = {"a gain": "a gain", "a loss": "a loss", "no clear difference": "no clear difference"}
SLOPE = {"a gain": "grows", "a loss": "shrinks", "no clear difference": "does not clearly change"}


def report_estimate(results: Results, key: str, row, *, cell: str, words: dict = GAIN) -> None:
    """Add `key` with its confidence interval, and `key_verdict` and `key_importance` in words.

    Parameters
    ----------
    results : Results
    key : str
    row
        Anything with `estimate`, `ci_low` and `ci_high`, such as a row of `RandomEffectsFit.predict()`.
    cell : str
        The label of the cell that computed it.
    words : dict
        What to call the three verdicts of `medssl.evidence.verdict`.

    Examples
    --------
    >>> import types
    >>> results = Results("results.json")
    >>> row = types.SimpleNamespace(estimate=0.02, ci_low=0.01, ci_high=0.03)
    >>> report_estimate(results, "gain", row, cell="demo")
    """
    limits = _shown(row.ci_low, row.ci_high)
    results.add(key, float(row.estimate), text=interval(row.estimate, *limits), cell=cell)
    results.add(f"{key}_verdict", float(row.estimate), text=words[verdict(*limits)], cell=cell)
    results.add(f"{key}_importance", float(row.estimate), text=importance(*limits), cell=cell)


def _shown(low: float, high: float) -> tuple[float, float]:
    """Round limits as they are printed: a page must not call a limit of 0.0000 a gain."""
    return round(float(low), DIGITS), round(float(high), DIGITS)


def report_coefficient(
    results: Results, key: str, fit, index: int, *, cell: str, words: dict = SLOPE
) -> None:
    """Add one coefficient of a `RandomEffectsFit` with its interval and what it means in words."""
    low, high = _shown(fit.ci_low[index], fit.ci_high[index])
    results.add(key, float(fit.coef[index]), text=interval(fit.coef[index], low, high), cell=cell)
    results.add(f"{key}_verdict", float(fit.coef[index]), text=words[verdict(low, high)], cell=cell)


def report_counts(results: Results, table, *, cell: str) -> None:
    """Add the numbers of comparisons, seeds, label counts and images of a table of records."""
    counts = {
        "comparisons": len(table), "positive": (table.gain > 0).sum(), "seeds": table.seed.nunique(),
        "label_counts": table.n_labelled.nunique(), "fewest_labels": table.n_labelled.min(),
        "unlabelled": table.n_unlabelled.iloc[0], "test_images": table.n_test.iloc[0],
    }  # fmt: skip
    report_numbers(results, counts, cell=cell)


def report_numbers(results: Results, counts: dict, *, cell: str) -> None:
    """Add whole numbers by their keys.

    Examples
    --------
    >>> report_numbers(Results("results.json"), {"seeds": 5}, cell="demo")
    """
    for key, value in counts.items():
        results.add(key, int(value), cell=cell)


def report_durations(results: Results, durations, *, cell: str) -> None:
    """Add `minutes_<method>` of a series of minutes indexed by method."""
    for name, value in durations.items():
        results.add(f"minutes_{name}", float(value), text=minutes(value), cell=cell)
