"""The controlled study on one data set, section by section, for the pages of its modality.

Each function computes one section: it adds results that the recommendations quote and returns what the
notebook shows.
A part of the study that has not been run yet says so in words, and nothing else changes.
"""

from dataclasses import dataclass
from functools import cached_property

import pandas as pd
from IPython.display import Markdown

from medssl.book._workspace import Workspace
from medssl.book.reporting import report_coefficient, report_durations, report_estimate, report_numbers
from medssl.book.results import Results
from medssl.book.study import on_one_machine, study_figure, survey_fit
from medssl.book.wording import interval, show_table
from medssl.evidence import MINIMAL_GAIN, grade
from medssl.evidence.study_effects import select_runs, study_effects
from medssl.experiments.records import Record, find_records, load_records, to_table
from medssl.experiments.study import METHODS, MORE_METHODS, PHASES, phase
from medssl.figures import arm_scores, bubble, forest, learning_curve
from medssl.figures.style import display_name

__all__ = ["NOT_RUN", "ModalityStudy", "curves", "gain_by_ratio", "graded", "method_forest", "pooled", "runs"]

NOT_RUN = "not run yet"
PLAIN = {
    "comparator_kind": "random", "pool": 1.0, "pretrain_on": None, "adaptation": "fine_tune",
    "selection": "budget",
}  # fmt: skip


@dataclass(frozen=True)
class ModalityStudy:
    """What the sections of one modality share.

    Parameters
    ----------
    place : Workspace
    results : Results
    modality : str
        Key of the modality, which is also the start of labels and figure names.
    dataset : str
        Data set of the study.
    title : str
        What the images are, in words, for titles of figures.
    """

    place: Workspace
    results: Results
    modality: str
    dataset: str
    title: str

    @cached_property
    def records(self) -> list[Record]:
        """Every committed record of the data set."""
        return load_records(find_records(self.place.records, self.dataset))

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a record."""
        return to_table(self.records)

    @cached_property
    def study_table(self) -> pd.DataFrame:
        """The rows whose cells the protocol lists."""
        methods = (*METHODS, *MORE_METHODS)
        listed = {cell.record_id for name in PHASES for cell in phase(name, self.dataset, methods=methods)}
        return self.table[self.table["record_id"].isin(listed)]

    def runs(self, **fixed) -> pd.DataFrame:
        """Return the runs of the plain comparison, or of one that differs in `fixed`; empty without any.

        Runs with another adaptation or selection are older than the protocol; all others are in it.
        """
        wanted = PLAIN | fixed
        older = {"adaptation", "selection"} & set(fixed)
        rows = self.table if older else self.study_table
        for column, value in wanted.items():
            rows = rows[rows[column].isna()] if value is None else rows[rows[column].isin(_listed(value))]
        return rows if rows.empty else select_runs(rows)

    @cached_property
    def main(self) -> pd.DataFrame:
        """The plain comparison, without the subsets that were crossed with seeds."""
        rows = self.runs()
        return rows[rows["subset"].isna() | (rows["subset"] < 200)]

    @cached_property
    def effects(self) -> pd.DataFrame:
        """One effect for each method and label count of the plain comparison."""
        return study_effects(self.main)

    def label(self, section: str) -> str:
        """Return the label of a section's cell."""
        return f"{self.modality}-{section}"

    def figure(self, drawing, name: str, section: str, title: str, caption: str, table, bars: str):
        """Save a drawing that a section's cell makes under a name of its own, and return its card."""
        words = (f"{self.modality}-{name}", title, caption)
        return study_figure(self.place, drawing, *words, table, bars, self.label(section))


def _listed(value) -> list:
    return list(value) if isinstance(value, list | tuple | set) else [value]


def runs(study: ModalityStudy):
    """Report what was run and return the table of mean scores by method and label count."""
    main, results, cell = study.main, study.results, study.label("records")
    effects = study.effects
    counts = {
        "comparisons": len(main), "positive": (main.gain > 0).sum(), "seeds": main.seed.nunique(),
        "methods": main.method.nunique(), "label_counts": main.n_labelled.nunique(),
        "fewest_labels": main.n_labelled.min(), "most_labels": main.n_labelled.max(),
        "unlabelled": main.n_unlabelled.max(), "test_images": main.n_test.iloc[0],
        "negative_effects": (effects.yi < 0).sum(), "all_effects": len(effects),
    }  # fmt: skip
    counts |= _completeness(study)
    report_numbers(results, counts, cell=cell)
    words = ", ".join(display_name(name) for name in effects.method.unique())
    results.add("method_names", int(main.method.nunique()), text=words, cell=cell)
    columns = ["method", "n_labelled", "seeds", "replicates", "ssl", "comparator", "yi", "vi", "positive"]
    return show_table(effects.sort_values(["n_labelled", "method"]), columns, decimals=4)


def _completeness(study):
    """Count the cells that the protocol lists for these images, and those that are recorded."""
    listed = {cell.record_id for name in PHASES for cell in phase(name, study.dataset)}
    return {"listed_cells": len(listed), "recorded_cells": len(listed & set(study.table.record_id))}


def curves(study: ModalityStudy):
    """Draw the learning curves of all arms; a t interval needs three seeds to be of use."""
    rows = study.main[study.main.subset.isna()]
    few = rows.seed.nunique() < 3
    bars = "Lines: median, bars: range over seeds" if few else "Bars: 95% t interval over seeds"
    drawn = learning_curve(arm_scores(rows, "random initialisation"), summary="median" if few else "mean")
    return study.figure(
        drawn, "learning-curves", "curves", f"Learning curves on {study.title}",
        f"Test AUC on {study.title} of fine-tuned encoders, pretrained or not, against the number of labels",
        rows, bars,
    )  # fmt: skip


def gain_by_ratio(study: ModalityStudy):
    """Draw the gain against the label ratio with the fitted line."""
    effects = study.effects
    line = survey_fit(effects, effects[["log10_label_ratio"]])
    return study.figure(
        bubble(effects, line, comparator="random initialisation", dodge=0.04), "gain-by-label-ratio", "gain",
        f"Gain in AUC against the label ratio on {study.title}",
        f"Gain in test AUC of pretraining and fine-tuning over random initialisation on {study.title}, each "
        "bubble the mean over seeds of one method and label count",
        study.main, "Bands: 95% confidence and 95% prediction",
    )  # fmt: skip


def pooled(study: ModalityStudy):
    """Report the mean gain, its slope and its ends, and return both models in words."""
    effects, results, cell = study.effects, study.results, study.label("model")
    ratio = effects[["log10_label_ratio"]]
    line, mean = survey_fit(effects, ratio), survey_fit(effects)
    average = mean.predict().iloc[0]
    report_estimate(results, "gain", average, cell=cell)
    results.add("minimal_gain", MINIMAL_GAIN, cell=cell)
    text = interval(average.estimate, average.pi_low, average.pi_high, kind="95% prediction interval")
    results.add("gain_prediction", float(average.estimate), text=text, cell=cell)
    report_coefficient(results, "slope", line, 1, cell=cell)
    ends = line.predict(pd.DataFrame({"log10_label_ratio": [ratio.min().item(), ratio.max().item()]}))
    report_estimate(results, "gain_fewest", ends.iloc[0], cell=cell)
    report_estimate(results, "gain_all", ends.iloc[1], cell=cell)
    return Markdown(f"{mean.report()}\n\n{line.report()}")


def method_forest(study: ModalityStudy):
    """Report the mean gain of each method and draw every effect."""
    effects = study.effects
    by_method = {name: survey_fit(part) for name, part in effects.groupby("method")}
    for name, fit in by_method.items():
        report_estimate(study.results, f"gain_{name}", fit.predict().iloc[0], cell=study.label("forest"))
    best = max(by_method, key=lambda name: by_method[name].coef[0])
    study.results.add(
        "largest_method",
        float(by_method[best].coef[0]),
        text=display_name(best),
        cell=study.label("forest"),
    )
    return study.figure(
        forest(
            effects.assign(label=[f"{n:,} labels" for n in effects.n_labelled]), survey_fit(effects),
            groups="method", group_fits=by_method, comparator="random initialisation",
        ),
        "gain-forest", "forest", f"Gain in AUC by method and label count on {study.title}",
        f"Gain in test AUC of pretraining and fine-tuning over random initialisation on {study.title}, by "
        "method and label count; diamonds are random-effects means, the bar is the prediction interval",
        study.main, "Bars: 95% confidence",
    )  # fmt: skip


def costs(study: ModalityStudy):
    """Report the minutes of pretraining of each method."""
    once = on_one_machine(study.main.drop_duplicates(["method", "seed"]))
    minutes = once.groupby("method")["pretraining_minutes"].median()
    report_durations(study.results, minutes, cell=study.label("cost"))
    span = f"{minutes.min():.1f} to {minutes.max():.1f} minutes"
    study.results.add("minutes", float(minutes.max()), text=span, cell=study.label("cost"))
    return show_table(minutes.rename("median minutes to pretrain").reset_index(), decimals=1)


def graded(study: ModalityStudy):
    """Report the grade that the rule gives to our own runs alone."""
    fit = survey_fit(study.effects).predict().iloc[0]
    clusters = int(study.effects.cluster_id.nunique())
    found = grade(
        confidence=(fit.ci_low, fit.ci_high), prediction=(fit.pi_low, fit.pi_high), clusters=clusters,
        sign_changes=False, strong_weight=1.0,
    )  # fmt: skip
    for key, text in (("grade", found.name), ("grade_reason", found.reason)):
        study.results.add(key, clusters, text=text, cell=study.label("grade"))
    return show_table(pd.DataFrame([vars(found)]))
