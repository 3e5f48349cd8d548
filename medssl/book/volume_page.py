"""The study on volumes, section by section: segmentation of the hippocampus, scored by Dice.

Each function adds results that the pages quote and returns what the notebook shows.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from IPython.display import Markdown
from scipy.stats import t

from medssl.book._workspace import Workspace
from medssl.book.reporting import report_coefficient, report_estimate, report_numbers
from medssl.book.results import Results
from medssl.book.study import study_figure, survey_fit
from medssl.book.wording import interval, show_table
from medssl.evidence import MINIMAL_GAIN, grade
from medssl.evidence.study_effects import study_effects
from medssl.experiments.records import Record, find_records, load_records, to_table
from medssl.experiments.volume_study import VOLUMES, volume_grid
from medssl.figures import arm_scores, bubble, learning_curve
from medssl.figures.style import display_name

__all__ = ["VolumeStudy", "curves", "gain_by_ratio", "graded", "pooled", "runs", "surfaces"]

X = "log10_label_ratio"
DISTANCES = {
    "surface_distance": "mean surface distance",
    "hausdorff_95": "95th percentile of the Hausdorff distance",
}


@dataclass(frozen=True)
class VolumeStudy:
    """What the sections share.

    Parameters
    ----------
    place : Workspace
    results : Results
    """

    place: Workspace
    results: Results

    @cached_property
    def records(self) -> list[Record]:
        """The committed records of the cells that the protocol lists."""
        listed = {cell.record_id for cell in volume_grid()}
        found = load_records(find_records(self.place.records, VOLUMES))
        return [record for record in found if record.record_id in listed]

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row a record, scored by Dice."""
        return to_table(self.records, "dice")

    @cached_property
    def effects(self) -> pd.DataFrame:
        """One effect for each method and number of labelled volumes, from two seeds or more."""
        return study_effects(self.runs)

    def figure(self, drawing, name: str, section: str, title: str, caption: str, bars: str):
        """Save a drawing of a section and return its card."""
        words = (f"volumes-{name}", title, caption)
        return study_figure(self.place, drawing, *words, self.runs, bars, f"volumes-{section}")


def runs(study: VolumeStudy):
    """Report what was run and return the mean Dice by method and number of volumes."""
    table, effects, cell = study.runs, study.effects, "volumes-records"
    counts = {
        "comparisons": len(table), "positive": (table.gain > 0).sum(), "seeds": table.seed.nunique(),
        "label_counts": table.n_labelled.nunique(), "fewest_labels": table.n_labelled.min(),
        "unlabelled": table.n_unlabelled.max(), "test_volumes": table.n_test.iloc[0],
        "all_effects": len(effects), "negative_effects": (effects.yi < 0).sum(),
        "listed_cells": len(volume_grid()), "recorded_cells": len(table),
    }  # fmt: skip
    report_numbers(study.results, counts, cell=cell)
    names = ", ".join(display_name(name) for name in table.method.unique())
    study.results.add("method_names", table.method.nunique(), text=names, cell=cell)
    _plateau(study)
    columns = ["method", "n_labelled", "seeds", "ssl", "comparator", "yi", "vi", "positive"]
    return show_table(effects.sort_values(["n_labelled", "method"]), columns, decimals=4)


def _plateau(study):
    """Report from how many volumes on the comparator is within the minimal gain of its best mean Dice."""
    scores = study.effects.groupby("n_labelled")["comparator"].mean()
    enough = int(scores.index[scores >= scores.max() - MINIMAL_GAIN][0])
    for key, value in (("best_dice", scores.max()), ("all_dice", scores.iloc[-1])):
        study.results.add(key, float(value), text=f"{value:.3f}", cell="volumes-records")
    study.results.add("plateau", enough, cell="volumes-records")


def curves(study: VolumeStudy):
    """Draw the learning curves in Dice; a t interval needs three seeds to be of use."""
    few = study.runs.seed.nunique() < 3
    bars = "Lines: median, bars: range over seeds" if few else "Bars: 95% t interval over seeds"
    scores = arm_scores(study.runs, "random initialisation")
    return study.figure(
        learning_curve(scores, scale="Dice", summary="median" if few else "mean"), "learning-curves",
        "curves", "Learning curves of the segmentation of the hippocampus",
        "Test Dice of encoders, pretrained or not, with a light decoder, against the labelled volumes", bars,
    )  # fmt: skip


def gain_by_ratio(study: VolumeStudy):
    """Draw the gain in Dice against the label ratio with the fitted line."""
    effects = study.effects
    line = survey_fit(effects, effects[[X]])
    return study.figure(
        bubble(effects, line, scale="Dice", comparator="random initialisation", dodge=0.04),
        "gain-by-label-ratio", "gain", "Gain in Dice against the label ratio on the hippocampus",
        "Gain in test Dice over random initialisation, each bubble the mean over seeds of one method and "
        "number of labelled volumes",
        "Bands: 95% confidence and 95% prediction",
    )  # fmt: skip


def pooled(study: VolumeStudy):
    """Report the mean gain, its slope, its ends and each method's mean, and return both models in words."""
    effects, results, cell = study.effects, study.results, "volumes-model"
    line, mean = survey_fit(effects, effects[[X]]), survey_fit(effects)
    report_estimate(results, "gain", mean.predict().iloc[0], cell=cell)
    results.add("minimal_gain", MINIMAL_GAIN, cell=cell)
    report_coefficient(results, "slope", line, 1, cell=cell)
    ends = line.predict(pd.DataFrame({X: [effects[X].min(), effects[X].max()]}))
    report_estimate(results, "gain_fewest", ends.iloc[0], cell=cell)
    report_estimate(results, "gain_all", ends.iloc[1], cell=cell)
    for name, part in effects.groupby("method"):
        report_estimate(results, f"gain_{name}", survey_fit(part).predict().iloc[0], cell=cell)
    return Markdown(f"{mean.report()}\n\n{line.report()}")


def surfaces(study: VolumeStudy):
    """Report the paired differences of the surface distances, each seed's mean over its cells as a value."""
    rows = [
        {"seed": r.cell["seed"], **{k: r.ssl.scores[k] - r.comparator.scores[k] for k in DISTANCES}}
        for r in study.records
    ]
    means = pd.DataFrame(rows).groupby("seed").mean()
    table = means.agg(["mean", "std", "size"]).T
    half = t.ppf(0.975, table["size"] - 1) * table["std"] / np.sqrt(table["size"])
    table = table.assign(low=table["mean"] - half, high=table["mean"] + half)
    for key, row in table.iterrows():
        text = interval(row["mean"], row.low, row.high, digits=3)
        study.results.add(key, float(row["mean"]), text=text, cell="volumes-surfaces")
    shown = table.rename(index=DISTANCES)[["mean", "low", "high"]].reset_index(names="difference in mm of")
    return show_table(shown)


def graded(study: VolumeStudy):
    """Report the grade that the rule gives to these runs alone."""
    fit = survey_fit(study.effects).predict().iloc[0]
    found = grade(
        confidence=(fit.ci_low, fit.ci_high), prediction=(fit.pi_low, fit.pi_high), clusters=1,
        sign_changes=False, strong_weight=1.0,
    )  # fmt: skip
    for key, text in (("grade", found.name), ("grade_reason", found.reason)):
        study.results.add(key, 1, text=text, cell="volumes-grade")
    return show_table(pd.DataFrame([vars(found)]))
