"""Labels saved: how many more labels the comparator needs for the score of the pretrained arm."""

import numpy as np
import pandas as pd

from medssl.errors import UsageError
from medssl.evidence.learning_curves import fit_isotonic, fit_power_law
from medssl.evidence.study_effects import crossed, one_design, select_runs

__all__ = ["LIMIT", "labels_saved", "seed_curves"]

LIMIT = 2.0  # times the largest number of labels; no curve is read beyond it
FORMS = {"power_law": (fit_power_law, LIMIT), "isotonic": (fit_isotonic, 1.0)}
ARMS = ("ssl", "comparator")
LEAST_COUNTS = 3


def labels_saved(
    table: pd.DataFrame, method: str, *, form: str = "power_law", draws: int = 1000, seed: int = 0,
    level: float = 0.95, **fixed,
) -> pd.DataFrame:  # fmt: skip
    """Return, at each number of labels, how many the comparator needs for the same score.

    Parameters
    ----------
    table : DataFrame
        One row a record, as `medssl.experiments.to_table` returns it.
    method : str
        The method of the pretrained arm.
    form : {"power_law", "isotonic"}
        The curve of both arms: ``a - b n ** -c`` by weighted least squares, or the isotonic fit, straight
        in log n between the counts and never read beyond the largest.
    draws, seed : int
        Bootstrap draws of whole seeds, both arms together, and the seed of the draws.
    level : float
        Coverage of the percentile intervals.
    **fixed
        Columns and their values, as in `medssl.evidence.select_runs`, until one design is left.

    Returns
    -------
    DataFrame
        One row a label count: `n_labelled`, `seeds`, `ssl` and `comparator` (means over seeds), `ssl_fit`
        and `comparator_fit` (the curves), `needed` (labels that the comparator's curve needs for `ssl_fit`),
        `needed_low`, `needed_high`, `saved` (the share ``1 - n / needed``), `saved_low`, `saved_high`,
        `status`, `text` (`needed` with its limits in words) and `draws` (usable ones).
        `status` is "reached"; "more than", beyond twice the largest count; "not reached", at no number of
        labels that the curve knows; or "fewer than", below the smallest count. `needed` and `saved` are
        numbers only where it is "reached". A limit beyond the range is the end of the range where that is
        the safe side, else 0 or infinite.

    Raises
    ------
    UsageError
        Runs of several designs, fewer than two seeds or three counts, an unknown form, fewer than two draws.

    Notes
    -----
    Weights are the inverse variance of a mean over seeds, each count's variance averaged with the mean
    variance of all counts, since few seeds estimate a variance badly; the bootstrap keeps them.
    A count whose arms were made with a second subset is averaged within the seed first.
    With few seeds the percentile interval is too narrow rather than too wide.

    Examples
    --------
    >>> rows = [dict(dataset="d", modality="ct", method="simclr", comparator_kind="random", pool=1.0,
    ...              pretrain_on=None, adaptation="fine_tune", selection="budget", n_labelled=n,
    ...              n_unlabelled=1000, seed=seed, subset=None, ssl=0.9 - 0.4 * (1.25 * n) ** -0.5,
    ...              comparator=0.9 - 0.4 * n**-0.5, gain=0.0, standard_error=0.01, n_test=50)
    ...         for n in (10, 100, 1000) for seed in (1, 2)]
    >>> saved = labels_saved(pd.DataFrame(rows), "simclr", draws=20)
    >>> saved.needed.round(1).tolist(), saved.saved.round(3).tolist()
    ([12.5, 125.0, 1250.0], [0.2, 0.2, 0.2])
    """
    if form not in FORMS:
        raise UsageError(f"form is {form!r}; it must be one of {', '.join(FORMS)}.")
    if draws < 2 or not 0 < level < 1:
        raise UsageError(f"draws is {draws} and level is {level}; give 2 draws or more, and 0 < level < 1.")
    arms = seed_curves(table, method, **fixed)
    n = arms["ssl"].columns.to_numpy(float)
    curves, kept = _curves(arms, n, form, draws, seed)
    target = curves["ssl"].at(n)  # [1 + draws, m], the data first
    ends = (n[0], FORMS[form][1] * n[-1])
    needed = _snapped(curves["comparator"].needed(target), ends)
    columns = _columns(n, needed, ends, level)
    means = {arm: arms[arm].mean().to_numpy() for arm in ARMS}
    fits = {"ssl_fit": target[0], "comparator_fit": curves["comparator"].at(n)[0]}
    seeds = arms["ssl"].notna().sum().to_numpy()
    return pd.DataFrame(
        {"n_labelled": n.astype(int), "seeds": seeds, **means, **fits, **columns, "draws": kept}
    )


def seed_curves(table: pd.DataFrame, method: str, **fixed) -> dict[str, pd.DataFrame]:
    """Return the scores of both arms of one design: a row a seed, a column a label count.

    Parameters
    ----------
    table, method, **fixed
        As for `labels_saved`.

    Returns
    -------
    dict
        "ssl" and "comparator"; NaN where a seed lacks a count. Subsets of a seed are averaged.
    """
    runs = select_runs(table, method=method, **fixed)
    one_design(runs, ("n_labelled",))
    runs = runs[~crossed(runs)]
    arms = {arm: runs.pivot_table(index="seed", columns="n_labelled", values=arm) for arm in ARMS}
    seeds, counts = arms["ssl"].shape
    if seeds < 2 or counts < LEAST_COUNTS:
        raise UsageError(
            f"{method} has {seeds} seed(s) and {counts} label count(s): learning curves need 2 seeds and "
            f"{LEAST_COUNTS} counts or more."
        )
    return arms


def _curves(arms, n, form, draws, seed):
    """Fit both arms to the data and to draws of whole seeds; count the draws that can be used."""
    seeds = len(arms["ssl"])
    times = np.random.default_rng(seed).multinomial(seeds, np.full(seeds, 1 / seeds), size=draws)
    times = np.vstack([np.ones(seeds), times])  # [1 + draws, seeds]
    there = arms["ssl"].notna().to_numpy(float)  # [seeds, m]
    held = times @ there  # [1 + draws, m]
    usable = (held > 0).sum(axis=1) >= LEAST_COUNTS
    held, times = held[usable], times[usable]
    curves = {}
    for arm, scores in arms.items():
        mean = times @ scores.fillna(0.0).to_numpy() / np.maximum(held, 1)
        curves[arm] = FORMS[form][0](n, mean, held / _variances(scores))
    return curves, int(usable.sum()) - 1


def _snapped(needed, ends):
    """Move what rounding alone puts beside an end of the range onto it."""
    for end in ends:
        needed = np.where(np.isclose(needed, end, rtol=1e-6, atol=0), end, needed)
    return needed


def _variances(scores):
    own = scores.var(ddof=1)
    typical = own.mean()  # without the counts that have one seed
    if not typical > 0:
        return np.ones(scores.shape[1])
    return ((own.fillna(typical) + typical) / 2).to_numpy()


def _columns(n, needed, ends, level):
    low, high = _limits(needed[1:], ends, level)
    status = [_status(value, ends) for value in needed[0]]
    number = np.where(np.array(status) == "reached", needed[0], np.nan)
    with np.errstate(divide="ignore"):
        limits = {"saved_low": 1 - n / low, "saved_high": 1 - n / high}
    rows = zip(needed[0], status, low, high, strict=True)
    return {
        "needed": number, "needed_low": low, "needed_high": high, "saved": 1 - n / number, **limits,
        "status": status, "text": [_text(*row, ends) for row in rows],
    }  # fmt: skip


def _limits(draws, ends, level):
    """Percentiles that are draws themselves, since between two of them one may be infinite."""
    ordered = np.sort(draws, axis=0)
    places = np.ceil(np.array([(1 - level) / 2, (1 + level) / 2]) * len(draws) - 1e-9).astype(int) - 1
    low, high = ordered[places]
    low = np.where(low < ends[0], 0.0, np.minimum(low, ends[1]))
    return low, np.where(high > ends[1], np.inf, np.maximum(high, ends[0]))


def _status(needed, ends):
    if np.isinf(needed):
        return "not reached"
    return "fewer than" if needed < ends[0] else "more than" if needed > ends[1] else "reached"


def _text(needed, status, low, high, ends):
    word = {
        "reached": f"{needed:,.0f}", "not reached": "not reached",
        "fewer than": f"fewer than {ends[0]:,.0f}", "more than": f"more than {ends[1]:,.0f}",
    }[status]  # fmt: skip
    lower = f"{low:,.0f}" if low > 0 else f"fewer than {ends[0]:,.0f}"
    upper = f"{high:,.0f}" if np.isfinite(high) else f"more than {ends[1]:,.0f}"
    return f"{word} ({lower} to {upper})"
