"""Compare this package with reference values of R's metafor and clubSandwich, number by number."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from medssl.errors import UsageError
from medssl.meta._agreement_cells import Entry, expected_values
from medssl.meta._agreement_checks import CHECKS
from medssl.meta._agreement_fits import fit_entries, q_profile_entries
from medssl.meta._agreement_multilevel import multilevel_entries

__all__ = ["SAME", "STATUSES", "absent", "agreement", "expected_count"]

INPUTS = ("yi", "vi", "x", "cluster", "rho")  # what a fit was given, not what it gave
Q_PROFILE = ("qprofile_tau2", "qprofile_I2")
SAME = 1e-8  # largest relative difference of two formulas at the same variance
STATUSES = (
    "within tolerance",
    "ours nearer the optimum",
    "same at equal variance",  # the reference's iteration stopped early; at its variance both agree
    "unexplained",
)


def agreement(reference: dict) -> pd.DataFrame:
    """Compute every number of a reference table, and compare.

    Parameters
    ----------
    reference : dict
        Set name to data and results, as ``tests/meta/metafor_reference.json`` holds them; the entry ``meta``
        is left out.

    Returns
    -------
    DataFrame
        One row a number. ``set, model, quantity, index``: where it stands; `index` is missing for a number
        that is no part of a vector. ``metafor, ours, relative_difference, tolerance, agrees``. ``nearer``:
        where they differ by more than 1e-10 and there is something to solve or maximise, who is nearer
        ("ours", "metafor", "equal"), by the likelihood of tau2 (ML, REML; for the leave-one-out table, of the
        tau2 that it prints) and of the multilevel variances, by the distance of Q from its degrees of freedom
        (EB, PM) or from the chi-square quantile (Q-profile); where two likelihoods differ by rounding only,
        by their slopes. ``same_variance``: our formula at the variance where the reference's own iteration
        ended (printed, or the step where Fisher scoring falls below 1e-5), and ``same_variance_difference``.
        ``status``: the first of `STATUSES` that holds. A side is -1 for left and 1 for right.

    Raises
    ------
    UsageError
        The reference has an entry that nothing here compares, or no number at all.

    Notes
    -----
    Tolerances: 1e-8 for closed forms, 1e-5 for an iterated tau2 and what measures heterogeneity with it, 1e-6
    for coefficients, errors and what follows from them; multilevel variances 1e-4, coefficients and errors
    1e-5, Satterthwaite degrees of freedom and their p values 1e-3.

    Examples
    --------
    >>> data = {"yi": [0.1, 0.3, 0.2], "vi": [0.01, 0.02, 0.04], "ranktest": {"tau": 1 / 3, "p": 1.0}}
    >>> agreement({"three": data})[["quantity", "agrees"]].values.tolist()
    [['ranktest.tau', True], ['ranktest.p', True]]
    """
    rows = [row for name, entry in _entries(reference) for row in entry.rows(name)]
    if not rows:
        raise UsageError("the reference holds no number to compare.")
    table = pd.DataFrame(rows)
    table["index"] = table["index"].astype("Int64")
    holds = [table.agrees, table.nearer == "ours", table.same_variance_difference <= SAME]
    return table.assign(status=np.select(holds, STATUSES[:3], STATUSES[3]))


def absent(reference: dict) -> pd.DataFrame:
    """Return what we have where the reference says that there is no number.

    Parameters
    ----------
    reference : dict
        As in `agreement`.

    Returns
    -------
    DataFrame
        ``set, model, quantity, agrees``: true where we have none either. A prediction interval of the
        common-effect model is an example.
    """
    columns = ["set", "model", "quantity", "agrees"]
    return pd.DataFrame(
        [
            (name, entry.model, entry.quantity, not np.isfinite(np.asarray(entry.ours, float)).any())
            for name, entry in _entries(reference)
            if not len(expected_values(entry.reference))
        ],
        columns=columns,
    )


def expected_count(reference: dict) -> int:
    """Count the numbers of a reference table by walking it, with no knowledge of what is compared.

    Parameters
    ----------
    reference : dict
        As in `agreement`. Data, and the assumed correlation of a fit, do not count; a side, left or right,
        does.

    Examples
    --------
    >>> fits = [{"method": "FE", "beta": [0.1, 0.2], "R2": None}]
    >>> expected_count({"meta": {"year": 2010}, "one": {"yi": [0.1, 0.2, 0.3], "fits": fits}})
    2
    """
    return sum(_count(data) for name, data in reference.items() if name != "meta")


def _count(value) -> int:
    if isinstance(value, dict):
        return sum(_count(part) for key, part in value.items() if key not in INPUTS)
    if isinstance(value, list):
        return sum(map(_count, value))
    return int(isinstance(value, int | float) or value in ("left", "right"))


def _entries(reference: dict) -> Iterator[tuple[str, Entry]]:
    """Yield every entry of every set; the order is that of the reference."""
    for name, data in reference.items():
        if name == "meta":
            continue
        unknown = set(data) - {*INPUTS, "fits", *Q_PROFILE, *CHECKS}
        if unknown:
            raise UsageError(
                f"set {name!r} has {sorted(unknown)[0]!r}, which nothing here compares; add it to {__name__}."
            )
        yield from ((name, entry) for entry in _set_entries(data))


def _set_entries(data: dict) -> Iterator[Entry]:
    if "fits" in data:
        yield from multilevel_entries(data) if "cluster" in data else fit_entries(data)
    if set(Q_PROFILE) <= set(data):
        yield from q_profile_entries(data)
    y, v = np.asarray(data["yi"], float), np.asarray(data["vi"], float)
    for key in [key for key in data if key in CHECKS]:
        yield from CHECKS[key](y, v, data[key])
