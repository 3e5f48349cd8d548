"""What the study varies beside the labels, section by section: comparator, pool, images, subset, score."""

import numpy as np
import pandas as pd
from IPython.display import Markdown
from scipy.stats import t

from medssl.book.modality_study import NOT_RUN, ModalityStudy
from medssl.book.reporting import GAIN, report_estimate
from medssl.book.study import survey_fit
from medssl.book.wording import DIGITS, interval, show_table
from medssl.errors import UsageError
from medssl.evidence import verdict
from medssl.evidence.labels_saved import labels_saved
from medssl.evidence.shift import corruption_gains, source_gains
from medssl.evidence.study_effects import study_effects
from medssl.evidence.variation import variation
from medssl.figures import bubble
from medssl.synthesis.controlled import pool_model
from medssl.synthesis.origin import origin_model

__all__ = [
    "budgets",
    "chosen_on_validation",
    "corrupted",
    "frozen",
    "other_comparators",
    "pools",
    "saved",
    "secondary",
    "sources",
    "split_of_variation",
    "verdict_words",
    "with_published",
]

COMPARATORS = {"supervised": "supervised", "compute_matched": "matched", "imagenet": "imagenet"}
# what a slope, and ours minus the published gain, are called by the three verdicts
CHANGE = {"a gain": "a rise", "a loss": "a fall", "no clear difference": "no clear change"}
ORIGIN = {
    "a gain": "ours are larger", "a loss": "ours are smaller", "no clear difference": "no clear difference",
}  # fmt: skip
COMPONENTS = {"cases": "test cases", "subset": "labelled subset", "seed": "seed", "rest": "the rest"}


def _missing(study: ModalityStudy, section: str, *keys: str):
    """Report that a part of the study has not been run, in words that a page can quote."""
    for key in keys:
        study.results.add(key, None, text=NOT_RUN, cell=study.label(section))
    return Markdown(f"This part of the study is {NOT_RUN} on these images.")


def verdict_words(estimate, low, high, digits=DIGITS, words=GAIN) -> str:
    """Write a verdict and its interval, both from the digits that are shown; `words` names the verdicts."""
    shown = (round(float(low), digits), round(float(high), digits))
    return f"{words[verdict(*shown)]}, {interval(estimate, *shown)}"


def budgets(effects) -> str:
    """List the label counts of effects: a comparator may have been run at some only."""
    return ", ".join(f"{n:,}" for n in sorted(effects["n_labelled"].unique()))


def other_comparators(study: ModalityStudy):
    """Report the gain against supervised pretraining elsewhere, matched compute and ImageNet weights."""
    rows = []
    for kind, key in COMPARATORS.items():
        runs = study.runs(comparator_kind=kind)
        if runs.empty or runs.groupby(["method", "n_labelled"]).seed.nunique().max() < 2:
            _missing(study, "comparators", f"gain_{key}")
            continue
        effects = study_effects(runs)
        mean = survey_fit(effects).predict().iloc[0]
        text = f"{verdict_words(mean.estimate, mean.ci_low, mean.ci_high)} (labels: {budgets(effects)})"
        study.results.add(f"gain_{key}", float(mean.estimate), text=text, cell=study.label("comparators"))
        rows.append(effects)
    if not rows:
        return Markdown(f"This part of the study is {NOT_RUN} on these images.")
    columns = ["comparator_kind", "method", "n_labelled", "seeds", "ssl", "comparator", "yi", "vi"]
    return show_table(pd.concat(rows), columns, decimals=4)


def saved(study: ModalityStudy, method: str = "simclr"):
    """Report how many labels the comparator needs for the score of the pretrained arm."""
    rows = []
    for name in study.main.method.unique():
        found = labels_saved(study.main, name)
        rows.append(found.assign(method=name))
    table = pd.concat(rows, ignore_index=True)
    row = table[(table.method == method) & (table.n_labelled == _middle(study))].iloc[0]
    study.results.add("saved_at", int(row.n_labelled), cell=study.label("labels-saved"))
    number = float(row.needed) if np.isfinite(row.needed) else None
    study.results.add("needed", number, text=row.text, cell=study.label("labels-saved"))
    columns = ["method", "n_labelled", "ssl", "comparator", "text", "status"]
    return show_table(
        table.rename(columns={"text": "needed"}), [*columns[:4], "needed", "status"], decimals=3
    )


def _middle(study) -> int:
    """Return the label count that the variations share: the one nearest to a hundred."""
    counts = np.sort(study.main.n_labelled.unique())
    return int(counts[np.abs(np.log(counts / 100)).argmin()])


def pools(study: ModalityStudy):
    """Report how the gain changes with the size of the unlabelled pool at fixed labels."""
    smaller = study.runs(pool=[1 / 16, 1 / 4])
    if smaller.seed.nunique() < 2:
        return _missing(study, "pools", "pool_slope")
    whole = study.main[
        (study.main.n_labelled == smaller.n_labelled.iloc[0])
        & study.main.method.isin(smaller.method.unique())
    ]
    try:
        effects = study_effects(pd.concat([whole, smaller], ignore_index=True))
        fit = pool_model(effects)
    except UsageError:  # too few seeds or pools so far
        return _missing(study, "pools", "pool_slope")
    at = list(fit.names).index("log10_pool")
    text = verdict_words(fit.coef[at], fit.ci_low[at], fit.ci_high[at], words=CHANGE)
    study.results.add("pool_slope", float(fit.coef[at]), text=text, cell=study.label("pools"))
    columns = ["method", "pool", "n_unlabelled", "n_labelled", "seeds", "ssl", "comparator", "yi", "vi"]
    return show_table(effects.sort_values(["method", "pool"]), columns, decimals=4)


def sources(study: ModalityStudy):
    """Report what pretraining on the images of other modalities brings beside the own images."""
    away = study.study_table[study.study_table.pretrain_on.notna()]
    try:
        found = source_gains(pd.concat([study.main, away], ignore_index=True))
    except UsageError:  # no two seeds so far
        return _missing(study, "sources", "source_difference")
    low, high = found.difference_low.min(), found.difference_high.max()
    text = (
        f"between {found.difference.min():+.3f} and {found.difference.max():+.3f} "
        f"(intervals from {low:+.3f} to {high:+.3f})"
    ).replace("-", "−")
    mean = float(found.difference.mean())
    study.results.add("source_difference", mean, text=text, cell=study.label("sources"))
    columns = ["pretrain_on", "method", "n_labelled", "seeds", "gain", "gain_own", "difference"]
    return show_table(found, [*columns, "difference_low", "difference_high"], decimals=4)


def corrupted(study: ModalityStudy):
    """Report whether the pretrained arm loses less under corruption than the comparator."""
    try:
        found = corruption_gains(study.records, comparator_kind="random", pretrain_on=None)
    except UsageError:
        return _missing(study, "corruptions", "corruptions", "corruptions_less", "corruptions_more")
    less, more = (found.robustness_low > 0).sum(), (found.robustness_high < 0).sum()
    for key, value in (("", len(found)), ("_less", less), ("_more", more)):
        study.results.add(f"corruptions{key}", int(value), cell=study.label("corruptions"))
    mean = found.groupby(["corruption", "severity", "n_labelled"], as_index=False, sort=False)[
        ["ssl", "comparator", "ssl_drop", "comparator_drop", "yi", "robustness"]
    ].mean()
    return show_table(mean.rename(columns={"yi": "gain"}), decimals=3)


def split_of_variation(study: ModalityStudy, method: str = "simclr"):
    """Report how the variance of a single run's gain splits into subset, seed, rest and test cases."""
    runs = study.runs()
    runs = runs[(runs.method == method) & (runs.n_labelled == _middle(study))]
    runs = runs[runs.subset.isna() | (runs.subset >= 200)]
    try:
        found = variation(runs)
    except UsageError:  # too few subsets or seeds so far
        return _missing(study, "variation", "variation")
    gain = found[found.quantity == "gain"]
    parts = [f"{COMPONENTS[row.component]} {row.share:.0%}" for row in gain.itertuples()]
    deviation = float(np.sqrt(gain.variance.sum()))
    study.results.add("variation", deviation, text=", ".join(parts), cell=study.label("variation"))
    columns = ["quantity", "component", "deviation", "share", "truncated", "runs", "seeds", "subsets"]
    return show_table(found, columns, decimals=4)


def secondary(study: ModalityStudy):
    """Report the paired differences of the secondary scores, each seed's mean over all cells as one value."""
    kept = set(study.main.record_id)
    rows = [
        {
            "seed": r.cell["seed"],
            **{name: r.ssl.scores[name] - r.comparator.scores[name] for name in r.ssl.scores},
        }
        for r in study.records
        if r.record_id in kept
    ]
    means = pd.DataFrame(rows).groupby("seed").mean()
    known = [name for name in means if means[name].notna().sum() > 1]  # older records lack some scores
    found = {name: _over_seeds(means[name].dropna()) for name in known}
    table = pd.DataFrame(found, index=["mean", "low", "high", "seeds"]).T
    for name in ("balanced_accuracy", "precision_recall", "sensitivity_at_90", "calibration_error"):
        row = table.loc[name] if name in table.index else None
        text = NOT_RUN if row is None else interval(row["mean"], row.low, row.high)
        value = None if row is None else float(row["mean"])
        study.results.add(name, value, text=text, cell=study.label("secondary"))
    table["seeds"] = table["seeds"].astype(int)
    return show_table(table.reset_index(names="difference of"), decimals=4)


def _over_seeds(values) -> list[float]:
    """Return the mean over seeds, its 95% t limits and the number of seeds."""
    mean, error = values.mean(), values.std(ddof=1) / np.sqrt(len(values))
    half = t.ppf(0.975, len(values) - 1) * error
    return [mean, mean - half, mean + half, len(values)]


def with_published(study: ModalityStudy):
    """Report our effects and the published ones in one model, and the test of their difference."""
    found = origin_model(study.effects, modality=study.modality)
    cell = study.label("published")
    for origin in ("ours", "published"):
        study.results.add(f"{origin}_clusters", int(found.counts.clusters[origin]), cell=cell)
        study.results.add(f"{origin}_effects", int(found.counts.effects[origin]), cell=cell)
    if found.fit is None:
        study.results.add("origin_difference", None, text=f"not fitted: {found.reason}", cell=cell)
        return Markdown(f"Nothing was fitted: {found.reason}.")
    row = found.table.loc["difference"]
    text = verdict_words(row.estimate, row.ci_low, row.ci_high, words=ORIGIN)
    study.results.add("origin_difference", float(row.estimate), text=text, cell=cell)
    note = f"\n\n{found.reason[0].upper()}{found.reason[1:]}." if found.reason else ""
    table = show_table(found.table.reset_index(names="what"), decimals=4).data
    return Markdown(f"{table}{note}")


def frozen(study: ModalityStudy):
    """Report the gain of linear probes on frozen features and draw it against the label ratio."""
    probed = study.runs(adaptation="linear_probe")
    if probed.empty:
        return _missing(study, "probe", "probe_gain")
    effects = study_effects(probed)
    mean = survey_fit(effects).predict().iloc[0]
    report_estimate(study.results, "probe_gain", mean, cell=study.label("probe"))
    line = survey_fit(effects, effects[["log10_label_ratio"]])
    return study.figure(
        bubble(effects, line, comparator="frozen random encoder", dodge=0.04),
        "probe-gain-by-label-ratio", "probe",
        f"Gain in AUC of linear probes against the label ratio on {study.title}",
        f"Gain in test AUC of a linear probe on pretrained over one on random features, {study.title}, each "
        "bubble the mean over seeds of one method and label count",
        probed, "Bands: 95% confidence and 95% prediction",
    )  # fmt: skip


def chosen_on_validation(study: ModalityStudy):
    """Report the gain with choices on the whole validation split, and with those inside the budget."""
    flagged = study.runs(selection="full_validation")
    if flagged.empty:
        return _missing(study, "selection", "choice_budget", "choice_full_validation")
    same = study.main.n_labelled.isin(flagged.n_labelled) & study.main.method.isin(flagged.method)
    parts = {"choice_budget": study.main[same], "choice_full_validation": flagged}
    tables = []
    for key, part in parts.items():
        effects = study_effects(part)
        report_estimate(
            study.results, key, survey_fit(effects).predict().iloc[0], cell=study.label("selection")
        )
        tables.append(effects)
    columns = ["selection", "method", "n_labelled", "seeds", "yi", "vi"]
    return show_table(pd.concat(tables), columns, decimals=4)
