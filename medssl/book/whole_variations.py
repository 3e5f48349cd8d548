"""What the study varies beside the labels, on all data sets together."""

import numpy as np
import pandas as pd
from IPython.display import Markdown

from medssl.book.modality_study import NOT_RUN
from medssl.book.modality_variations import CHANGE, COMPARATORS, ORIGIN, budgets, verdict_words
from medssl.book.reporting import GAIN, report_numbers
from medssl.book.study import survey_fit
from medssl.book.whole_study import WholeStudy, not_run
from medssl.book.wording import show_table, signed
from medssl.errors import UsageError
from medssl.evidence.shift import corruption_gains, source_gains
from medssl.evidence.study_effects import study_effects
from medssl.figures import bubble
from medssl.figures.matrix_plot import matrix_plot
from medssl.figures.style import display_name
from medssl.synthesis.controlled import pool_model
from medssl.synthesis.origin import origin_model

__all__ = ["corrupted", "opponents", "origins", "pools", "sources"]


def opponents(whole: WholeStudy):
    """Report the gain against the stronger comparators on each data set that has them."""
    rows = []
    for kind, key in COMPARATORS.items():
        found = [row for study in whole.parts for row in _opponent(study, kind)]
        rows += found
        clear = sum(row["low"] > 0 for row in found), sum(row["high"] < 0 for row in found)
        text = _against(found, *clear)
        whole.results.add(f"against_{key}", len(found), text=text, cell="across-opponents")
    return show_table(pd.DataFrame(rows), decimals=4) if rows else not_run(whole, "opponents")


def _opponent(study, kind):
    """Return the mean gain of one data set against one comparator, in a list that may be empty."""
    runs = study.runs(comparator_kind=kind)
    try:
        effects = study_effects(runs)
    except UsageError:  # no two seeds yet
        return []
    mean = survey_fit(effects).predict().iloc[0]
    facts = {"comparator": kind.replace("_", " "), "modality": display_name(effects.modality.iloc[0])}
    facts |= {"labels": budgets(effects), "effects": len(effects), "seeds": int(effects.seeds.max())}
    return [facts | {"gain": mean.estimate, "low": mean.ci_low, "high": mean.ci_high}]


def _against(found, gains, losses):
    if not found:
        return NOT_RUN
    means = sorted(row["gain"] for row in found)
    if len(means) == 1:
        return f"{signed(means[0])} on one data set (clear gains: {gains}, clear losses: {losses})"
    span = f"{signed(means[0])} to {signed(means[-1])}"
    return f"{span} on {len(means)} data sets (clear gains: {gains}, clear losses: {losses})"


def pools(whole: WholeStudy):
    """Report how the gain changes with the size of the pool at fixed labels, and draw it."""
    smaller = whole.runs(pool=[1 / 16, 1 / 4])
    try:
        runs = pd.concat([_whole_pools(whole, smaller), smaller], ignore_index=True)
        effects = study_effects(runs)
        fit = pool_model(effects)
    except UsageError:  # too few seeds or pools so far
        return not_run(whole, "pools", "pool_slope")
    at = list(fit.names).index("log10_pool")
    words = verdict_words(fit.coef[at], fit.ci_low[at], fit.ci_high[at], words=CHANGE)
    text = f"{words} (data sets: {smaller.dataset.nunique()}, seeds: {smaller.seed.nunique()})"
    whole.results.add("pool_slope", float(fit.coef[at]), text=text, cell="across-pools")
    shown = effects.assign(modality=effects.modality.map(display_name))
    drawing = bubble(
        shown, fit, "log10_pool", by="modality", comparator="random initialisation", dodge=0.02,
        x_label="Share of the unlabelled pool (log scale)",
    )  # fmt: skip
    return whole.figure(
        drawing, "gain-by-pool", "pools", "Gain in AUC against the size of the unlabelled pool",
        "Gain in test AUC over random initialisation at a fixed number of labels against the share of the "
        "unlabelled images that pretraining saw, with as many images passed",
        runs, "Bands: 95% confidence and 95% prediction",
    )  # fmt: skip


def _whole_pools(whole, smaller):
    """Return the runs with the whole pool at the label counts and methods of those with a part of it."""
    keys = smaller[["dataset", "method", "n_labelled", "seed"]].drop_duplicates()
    plain = whole.main[whole.main.subset.isna()]
    return plain.merge(keys, on=list(keys.columns))


def sources(whole: WholeStudy):
    """Draw the gain on each data set by the images that pretraining saw, and return the differences."""
    away = pd.concat([study.study_table for study in whole.parts], ignore_index=True)
    away = away[away.pretrain_on.notna()]
    try:
        found = source_gains(pd.concat([whole.main, away], ignore_index=True))
    except UsageError:  # no two seeds so far
        return not_run(whole, "sources", "source_better", "source_worse", "source_pairs", "source_difference")
    counts = {
        "source_pairs": len(found), "source_better": (found.difference_low > 0).sum(),
        "source_worse": (found.difference_high < 0).sum(),
    }  # fmt: skip
    report_numbers(whole.results, counts, cell="across-sources")
    mean = float(found.difference.mean())
    whole.results.add("source_difference", mean, text=signed(mean, 4), cell="across-sources")
    plain = whole.main[whole.main.subset.isna()]
    own = plain.merge(away[["dataset", "method", "n_labelled", "seed"]].drop_duplicates())
    return _source_figure(whole, found, pd.concat([own, away], ignore_index=True))


def _source_figure(whole, found, runs):
    names = {study.dataset: display_name(study.records[0].modality) for study in whole.parts}
    gains = found.pivot(index="dataset", columns="pretrain_on", values="gain")
    values = gains.reindex(index=list(names), columns=list(names)).to_numpy(float, copy=True)
    own = found.groupby("dataset").gain_own
    np.fill_diagonal(values, own.mean().reindex(list(names)))
    if not np.isfinite(values).all() or own.nunique().max() > 1:  # a row must be of the same seeds
        columns = ["dataset", "pretrain_on", "seeds", "gain", "gain_own", "difference"]
        return show_table(found, [*columns, "difference_low", "difference_high"], decimals=4)
    limit = float(np.abs(values).max())
    drawing = matrix_plot(
        {"Gain in AUC": values}, label="Gain in AUC", x_label="Images of pretraining",
        y_label="Images of the task", limits=(-limit, limit), names=list(names.values()),
    )  # fmt: skip
    return whole.figure(
        drawing, "gain-by-source", "sources", "Gain in AUC by the images that pretraining saw",
        "Mean gain in test AUC of SimCLR over random initialisation at one label count, by the images of "
        "pretraining and those of the task; a difference within a row is paired by seed",
        runs, "The intervals are in the table of each modality's study",
    )  # fmt: skip


def corrupted(whole: WholeStudy):
    """Report whether the pretrained arm loses less under corruption, and return it by kind and severity."""
    records = [record for study in whole.parts for record in study.records]
    try:
        found = corruption_gains(records, comparator_kind="random", pretrain_on=None)
    except UsageError:
        return not_run(whole, "corruptions", "corruptions", "corruptions_less", "corruptions_more")
    counts = {
        "corruptions": len(found), "corruptions_less": (found.robustness_low > 0).sum(),
        "corruptions_more": (found.robustness_high < 0).sum(),
    }  # fmt: skip
    report_numbers(whole.results, counts, cell="across-corruptions")
    keys = ["corruption", "severity"]
    values = ["ssl", "comparator", "ssl_drop", "comparator_drop", "yi", "robustness"]
    mean = found.groupby(keys, as_index=False, sort=False)[values].mean()
    return show_table(mean.rename(columns={"yi": "gain"}), decimals=3)


def origins(whole: WholeStudy):
    """Report ours and the published effects of all modalities in one model."""
    found, results, cell = origin_model(whole.effects), whole.results, "across-published"
    for origin in ("ours", "published"):
        results.add(f"{origin}_clusters", int(found.counts.clusters[origin]), cell=cell)
        results.add(f"{origin}_effects", int(found.counts.effects[origin]), cell=cell)
    for name in ("ours", "published", "difference"):
        row = found.table.loc[name]
        words = ORIGIN if name == "difference" else GAIN
        text = verdict_words(row.estimate, row.ci_low, row.ci_high, words=words)
        results.add(f"origin_{name}", float(row.estimate), text=text, cell=cell)
    note = f"\n\n{found.reason[0].upper()}{found.reason[1:]}." if found.reason else ""
    table = show_table(found.table.reset_index(names="what"), decimals=4).data
    return Markdown(f"{table}{note}")
