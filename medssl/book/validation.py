"""What the validation page shows: the comparison with metafor in short, and coverage in words."""

import numpy as np
import pandas as pd
from IPython.display import HTML

from medssl.book.results import Results
from medssl.book.wording import show_table
from medssl.meta._agreement_cells import ROUNDING
from medssl.meta.agreement import STATUSES

__all__ = [
    "coverage_table",
    "differences",
    "fewest",
    "report_agreement",
    "report_coverage",
    "report_simulation",
    "report_width",
    "scrolling",
    "summarise",
    "with_family",
]

SETS = {
    "bcg": "vaccine trials",
    "bcg_ablat": "the same with latitude",
    "bcg_ablat_year": "the same with latitude and year",
    "raudenbush1985": "teacher expectations",
    "raudenbush1985_weeks": "the same with weeks",
    "konstantopoulos2011": "school calendars",
    "konstantopoulos2011_year": "the same with year",
}
FAMILIES = {
    "tau2 and its error": ("tau2", "se_tau2"),
    "I2, H2, R2": ("I2", "H2", "R2"),
    "Q tests": ("QE", "QEp"),
    "coefficients and their tests": ("beta", "se", "stat", "p", "ci_lb", "ci_ub", "df"),
    "test of moderators": ("QM", "QMp"),
    "predictions": ("pi_lb", "pi_ub", "pred", "pred_ci_lb", "pred_ci_ub", "pred_pi_lb", "pred_pi_ub"),
    "default fit and Q-profile limits": ("qprofile_tau2", "qprofile_I2"),
    "Egger's test": ("egger_rma.stat", "egger_rma.p", "egger_lm.stat", "egger_lm.p"),
    "rank correlation": ("ranktest.tau", "ranktest.p"),
    "trim and fill": ("trimfill.k0", "trimfill.side", "trimfill.beta", "trimfill.se"),
    "leave one out": ("leave1out.estimate", "leave1out.se", "leave1out.tau2"),
    "Cook's distance": ("cooks",),
    "studentised residuals": ("rstudent",),
    "hat values": ("hat",),
    "cumulative": ("cumulative",),
    "multilevel variances, likelihood": ("sigma2", "logLik"),
    "CR1 and CR2 errors": ("cr1_se", "cr2_se"),
    "Satterthwaite df and p": ("cr2_df", "cr2_p"),
}
HEADINGS = ("within tolerance", "ours nearer", "same at equal variance", "not explained")  # of `STATUSES`
# the box scrolls, not the table in it, and its headings stay in sight
STYLE = (
    ".medssl-box { max-height: 24rem; overflow: auto; white-space: nowrap; } .medssl-box table "
    "{ display: table !important; max-width: none !important; overflow: visible !important; } "
    ".medssl-box th { position: sticky; top: 0; background: var(--pst-color-surface, #eee); }"
)
DEFAULT_RULE = (  # families whose reference values come from fits with metafor's default stopping rule
    "default fit and Q-profile limits", "Egger's test", "trim and fill", "leave one out", "Cook's distance",
    "studentised residuals", "hat values", "cumulative",
)  # fmt: skip


def with_family(table: pd.DataFrame) -> pd.DataFrame:
    """Add the column `family`, the kind of quantity, to the table of `medssl.meta.agreement.agreement`.

    Examples
    --------
    >>> with_family(pd.DataFrame({"quantity": ["beta", "hat"]})).family.to_list()
    ['coefficients and their tests', 'hat values']
    """
    kinds = {quantity: family for family, quantities in FAMILIES.items() for quantity in quantities}
    return table.assign(family=table.quantity.map(kinds).fillna(table.quantity))


def summarise(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Count numbers by status, and give the largest differences, for each value of `by`.

    Parameters
    ----------
    table : DataFrame
        What `with_family` returned.
    by : list of str
        "set", "family" or both.

    Returns
    -------
    DataFrame
        Sets in the order of the table, families from the fit to the robust errors; differences as text, and
        where `by` has both, those at equal variance too. Sets alone are named in words.
    """
    rank = table.family.map(list(FAMILIES).index)
    groups = table.assign(set_=table.set.map(list(dict.fromkeys(table.set)).index), rank=rank)
    groups = groups.sort_values(["set_", "rank"] if "set" in by else "rank").groupby(by, sort=False)
    summary = groups.agg(numbers=("ours", "size"))
    for status, heading in zip(STATUSES, HEADINGS, strict=True):
        summary[heading] = groups.status.agg(lambda values, status=status: int((values == status).sum()))
    summary["largest difference"] = groups.relative_difference.max().map(_power)
    if "family" in by:
        summary.insert(1, "tolerance", groups.tolerance.agg(_powers))
    if len(by) > 1:
        summary["at equal variance"] = groups.same_variance_difference.max().map(_power)
    summary = summary.reset_index().rename(columns={"family": "quantity"})
    return summary.assign(set=summary.set.map(SETS)) if by == ["set"] else summary


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """Return every number that differs by more than rounding, with who is nearer, as text for a page."""
    part = table[table.relative_difference > ROUNDING]
    place = part["index"].add(1).astype("string").fillna("")
    return pd.DataFrame(
        {
            "set": part.set,
            "quantity": part.quantity + (" " + place).where(place != "", ""),
            "nearer": part.nearer,
            "difference": part.relative_difference.map(_power),
            "at equal variance": part.same_variance_difference.map(_power),
            "metafor": part.metafor.map("{:.10g}".format),
            "ours": part.ours.map("{:.10g}".format),
            "model": part.model,
        }
    )


def _power(value: float) -> str:
    if np.isnan(value):
        return ""
    return "0" if value == 0 else f"{value:.1e}".replace("e-0", "e-")


def _powers(values: pd.Series) -> str:
    return ", ".join(f"{value:.0e}".replace("e-0", "e-") for value in sorted(set(values)))


def scrolling(frame: pd.DataFrame) -> HTML:
    """Return a long table in a box of its own that scrolls both ways; the keyboard reaches it."""
    return HTML(
        f"<style>{STYLE}</style>"
        f'<div class="medssl-box" tabindex="0" role="region">{show_table(frame).data}</div>'
    )


def report_agreement(results: Results, table: pd.DataFrame, versions: dict, *, cell: str) -> None:
    """Add what the page says of the comparison: counts, the largest differences, versions of R's packages."""
    release = versions["R"].partition(" Patched")[0].removesuffix(")").replace("version ", "")
    words = f"{release}, metafor {versions['metafor']} and clubSandwich {versions['clubSandwich']}"
    results.add("versions", None, text=words, cell=cell)
    differs = table.relative_difference > ROUNDING
    decided = table[differs & (table.nearer != "")]
    counts = {
        "compared": len(table),
        "sets": table.set.nunique(),
        "within": (table.status == STATUSES[0]).sum(),
        "nearer": (table.status == STATUSES[1]).sum(),
        "same": (table.status == STATUSES[2]).sum(),
        "unexplained": (table.status == STATUSES[3]).sum(),
        "outside": (~table.agrees).sum(),
        "differing": differs.sum(),
        "decided": len(decided),
        "decided_ours": (decided.nearer == "ours").sum(),
    }
    for key, value in counts.items():
        results.add(key, int(value), text=f"{value:,}" if value else "none", cell=cell)
    of_fits = ~table.family.isin(DEFAULT_RULE)
    largest = {
        "largest_difference": table.relative_difference.max(),
        "largest_fit": table.relative_difference[of_fits].max(),
        "largest_closed": table.relative_difference[table.tolerance == 1e-8].max(),
        "largest_same": table.same_variance_difference.max(),
    }
    for key, value in largest.items():
        results.add(key, float(value), text=_power(value), cell=cell)


def coverage_table(
    table: pd.DataFrame, index: dict[str, str], methods: dict[str, str], value: str = "coverage"
) -> pd.DataFrame:
    """Return one row a setting with the methods side by side.

    Parameters
    ----------
    table : DataFrame
        Rows of `medssl.meta.coverage.read_table`.
    index : dict
        The columns that name a setting, and their headings; rows go by the first of them.
    methods : dict
        Method to its heading.
    value : {"coverage", "mean_width"}
        Coverage and its Monte Carlo error in percent, or the mean width of the intervals.
    """
    first = next(iter(index))
    order = list(dict.fromkeys(table[first]))
    table = table.sort_values(first, key=lambda column: column.map(order.index), kind="stable")
    rows = []
    for setting, part in table.groupby(list(index), sort=False):
        cells = part.set_index("method").loc[list(methods)]
        if value == "coverage":
            pairs = zip(100 * cells.coverage, 100 * cells.coverage_se, strict=True)
            texts = [f"{one:.1f} ± {error:.1f}" for one, error in pairs]
        else:
            texts = [f"{one:.2f}" for one in cells[value]]
        names = [one if isinstance(one, str) else f"{one:g}" for one in setting]
        rows.append(dict(zip([*index.values(), *methods.values()], names + texts, strict=True)))
    return pd.DataFrame(rows)


def report_coverage(results: Results, prefix: str, table: pd.DataFrame, *, cell: str) -> None:
    """Add what the methods of some settings come to, in percent.

    The names are ``<prefix>_<method>_lowest``, ``_highest`` and ``_mean`` for coverage, and ``_most_missed``,
    ``_least_missed`` for 1 less the lowest and the highest, which is the type I error of a joint test.

    Parameters
    ----------
    results : Results
    prefix : str
    table : DataFrame
        Rows of `medssl.meta.coverage.read_table`.
    cell : str
        The label of the cell that reads the table.
    """
    for method, part in table.groupby("method", sort=False):
        low, high = part.coverage.min(), part.coverage.max()
        values = {
            "lowest": low, "highest": high, "mean": part.coverage.mean(),
            "most_missed": 1 - low, "least_missed": 1 - high,
        }  # fmt: skip
        for name, value in values.items():
            key = f"{prefix}_{method.lower()}_{name}"
            results.add(key, float(value), text=f"{100 * value:.1f}%", cell=cell)


def report_simulation(results: Results, prefix: str, table: pd.DataFrame, *, cell: str) -> None:
    """Add ``<prefix>_replicates, _fewest, _undefined`` and the largest Monte Carlo error, ``_error``."""
    results.add(f"{prefix}_replicates", int(table.replicates.min()), cell=cell)
    results.add(f"{prefix}_fewest", int(table["count"].min()), cell=cell)
    undefined = int(table.undefined.sum())
    results.add(f"{prefix}_undefined", undefined, text=f"{undefined}" if undefined else "none", cell=cell)
    error = float(table.coverage_se.max())
    results.add(f"{prefix}_error", error, text=f"{100 * error:.1f} percentage points", cell=cell)


def fewest(table: pd.DataFrame) -> pd.DataFrame:
    """Return the settings with the fewest effects or clusters."""
    return table[table["count"] == table["count"].min()]


def report_width(
    results: Results, key: str, table: pd.DataFrame, method: str, base: str, *, cell: str
) -> None:
    """Add how many times as wide one method's intervals are as another's, the mean over settings.

    Examples
    --------
    >>> results = Results("results.json")
    >>> table = pd.DataFrame({"method": ["z", "knha"], "mean_width": [1.0, 1.5]})
    >>> report_width(results, "wider", table, "knha", "z", cell="demo")
    """
    wide, narrow = (table[table.method == name].mean_width.to_numpy() for name in (method, base))
    ratio = float(np.mean(wide / narrow))
    results.add(key, ratio, text=f"{ratio:.2f}", cell=cell)
