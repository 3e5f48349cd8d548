"""The controlled study on all data sets together, section by section, for the page across modalities.

Each function adds results that the page quotes and returns what it shows; a part that has not been run yet
says so in words.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from IPython.display import Markdown

from medssl.book._workspace import Workspace
from medssl.book.modality_study import NOT_RUN, ModalityStudy
from medssl.book.reporting import SLOPE, report_estimate, report_numbers
from medssl.book.results import Results
from medssl.book.study import study_figure, survey_fit
from medssl.book.wording import interval, show_table, signed
from medssl.evidence import effects as published_effects
from medssl.evidence import grade
from medssl.evidence.study_effects import study_effects
from medssl.experiments.study import STUDY
from medssl.figures import bubble
from medssl.figures.strata_plot import strata_plot
from medssl.figures.style import display_name
from medssl.meta import multilevel
from medssl.synthesis.controlled import StudyModel, study_model
from medssl.synthesis.origin import coefficient_row
from medssl.synthesis.stratum import RHO, strata

__all__ = ["WholeStudy", "beside_published", "by_labels", "families", "gain_by_ratio", "model", "recorded"]

X = "log10_label_ratio"
ORDER = ("xray", "ct", "mri", "ultrasound")
NUMBERS = ["estimate", "ci_low", "ci_high", "pi_low", "pi_high"]


@dataclass(frozen=True)
class WholeStudy:
    """What the sections share: a workspace, its results, and the study of each data set.

    Parameters
    ----------
    place : Workspace
    results : Results
    """

    place: Workspace
    results: Results

    @cached_property
    def parts(self) -> list[ModalityStudy]:
        """The study of each data set, X-ray first."""
        names = {study.records[0].modality: study for study in map(self._part, STUDY) if study.records}
        return [names[modality] for modality in ORDER if modality in names]

    def _part(self, dataset):
        return ModalityStudy(self.place, self.results, "across", dataset, "all data sets")

    @cached_property
    def main(self) -> pd.DataFrame:
        """The plain comparison of all data sets: the whole pool of the own images against random weights."""
        return pd.concat([study.main for study in self.parts], ignore_index=True)

    @cached_property
    def effects(self) -> pd.DataFrame:
        """One effect for each data set, method and label count of the plain comparison."""
        return study_effects(self.main)

    @cached_property
    def model(self) -> StudyModel:
        """The protocol's model of all data sets."""
        return study_model(self.effects)

    def runs(self, **fixed) -> pd.DataFrame:
        """Return the runs of all data sets that differ from the plain comparison in `fixed`."""
        return pd.concat([study.runs(**fixed) for study in self.parts], ignore_index=True)

    def figure(self, drawing, name: str, section: str, title: str, caption: str, table, bars: str):
        """Save a drawing of a section under a name of its own, and return its card."""
        words = (f"across-{name}", title, caption)
        return study_figure(self.place, drawing, *words, table, bars, f"across-{section}")


def recorded(whole: WholeStudy):
    """Report how many comparisons, seeds and effects there are, and return them by data set."""
    effects, main, results = whole.effects, whole.main, whole.results
    counts = {
        "data_sets": main.dataset.nunique(), "comparisons": len(main), "positive": (main.gain > 0).sum(),
        "all_effects": len(effects), "negative_effects": (effects.yi < 0).sum(),
        "methods": main.method.nunique(), "fewest_seeds": effects.seeds.min(),
        "most_seeds": effects.seeds.max(),
    }  # fmt: skip
    report_numbers(results, counts, cell="across-records")
    groups = main.groupby(["modality", "dataset"], sort=False)
    table = groups.agg(
        comparisons=("gain", "size"), share_above_zero=("gain", lambda gain: (gain > 0).mean()),
        seeds=("seed", "nunique"), label_counts=("n_labelled", "nunique"),
        pool=("n_unlabelled", "max"), test_images=("n_test", "first"),
    ).reset_index()  # fmt: skip
    table = table.assign(modality=table.modality.map(display_name))
    return show_table(table.rename(columns=lambda name: name.replace("_", " ")), decimals=2)


def model(whole: WholeStudy):
    """Report the mean gain and the slope of the protocol's model, and return it as a table."""
    found, results = whole.model, whole.results
    row, slope = found.table.loc["gain"], found.table.loc["slope"]
    report_estimate(results, "gain", row, cell="across-model")
    report_estimate(results, "slope", slope, cell="across-model", words=SLOPE)
    ratio = 10**found.centre
    results.add("centre", ratio, text=f"{ratio:.2g}", cell="across-model")
    df = f"{row.df:.1f} and {slope.df:.1f}"
    results.add("degrees_of_freedom", float(row.df), text=df, cell="across-model")
    mean = coefficient_row(multilevel(*_columns(found.effects), rho=RHO), 0)
    report_estimate(results, "mean", pd.Series(mean), cell="across-model")
    results.add("mean_df", mean["df"], text=f"{mean['df']:.1f}", cell="across-model")
    caution = found.reason or "nothing beyond the small number of data sets"
    results.add("caution", None, text=caution, cell="across-model")
    graded = _grade(row, found.effects["dataset"].nunique())
    results.add("model_grade", None, text=graded.name, cell="across-model")
    results.add("model_grade_reason", None, text=graded.reason, cell="across-model")
    table = pd.concat([found.table, pd.DataFrame({"mean": mean}).T.infer_objects()])
    return show_table(table.reset_index(names="what"), decimals=4)


def _columns(rows):
    return rows.yi, rows.vi, rows.dataset


def _grade(row, clusters: int, prediction=None):
    return grade(
        confidence=(row.ci_low, row.ci_high), prediction=prediction, clusters=clusters,
        sign_changes=False, strong_weight=1.0,
    )  # fmt: skip


def gain_by_ratio(whole: WholeStudy):
    """Draw every effect against the label ratio with the line of the model and its robust bands."""
    rows = whole.model.effects
    shown = rows.assign(modality=rows.modality.map(display_name))
    line = multilevel(*_columns(rows), rows[[X]], rho=RHO)
    drawing = bubble(
        shown, line, by="modality", comparator="random initialisation", interval="robust", dodge=0.02
    )
    return whole.figure(
        drawing, "gain-by-label-ratio", "gain", "Gain in AUC against the label ratio in four modalities",
        "Gain in test AUC of pretraining and fine-tuning over random initialisation, each bubble the mean "
        "over seeds of one data set, method and label count",
        whole.main, "Bands: 95% confidence, robust to what a data set's effects share, and 95% prediction",
    )  # fmt: skip


def by_labels(whole: WholeStudy):
    """Report where the gain is largest and return the mean gain over methods at each label count."""
    effects = whole.effects
    rows = {}
    for (modality, n), part in effects.groupby(["modality", "n_labelled"]):
        fit = survey_fit(part).predict().iloc[0]
        rows[modality, n] = fit
    (modality, n), fit = max(rows.items(), key=lambda item: item[1].estimate)
    where = f"{display_name(modality)} with {n:,} labels"
    whole.results.add("largest_where", int(n), text=where, cell="across-labels")
    text = interval(fit.estimate, fit.ci_low, fit.ci_high, digits=3)
    whole.results.add("largest_gain", float(fit.estimate), text=text, cell="across-labels")
    texts = pd.Series({key: _brief(fit.estimate, fit.ci_low, fit.ci_high) for key, fit in rows.items()})
    table = texts.unstack(0).reindex(columns=[name for name in ORDER if name in effects.modality.unique()])
    table = table.rename(columns=display_name).fillna("")
    return show_table(table.reset_index(names="labels"))


def _brief(value, low, high, digits: int = 3) -> str:
    """Write a gain and its limits where the column says what they are."""
    if np.isnan(value):
        return "not fitted"
    return f"{signed(value, digits)} ({signed(low, digits)} to {signed(high, digits)})"


def families(whole: WholeStudy):
    """Report each family of methods against the others, and return the table."""
    fitted = [f"{start}{name}" for start in ("difference_", "") for name in ("ci_low", "ci_high", "df")]
    table, results = whole.model.families, whole.results
    table = table.reindex(columns=["family", "effects", "clusters", "estimate", "difference", *fitted])
    for row in table.itertuples():
        if np.isfinite(getattr(row, "estimate", np.nan)):
            report_estimate(results, f"gain_{row.family}", row, cell="across-families")
    differ = table[(table.difference_ci_low > 0) | (table.difference_ci_high < 0)]
    words = "; ".join(
        f"{row.family} ({signed(row.difference, 4)})" for row in differ.itertuples()
    )  # fmt: skip
    text = f"differ from the others: {words}" if words else "none differs clearly from the others"
    results.add("family_differences", len(differ), text=text, cell="across-families")
    return show_table(pd.DataFrame([_family_words(row) for row in table.itertuples()]), decimals=1)


def _family_words(row) -> dict:
    facts = {"family": row.family, "effects": row.effects, "data sets": row.clusters}
    facts |= {"gain (95% CI)": _brief(row.estimate, row.ci_low, row.ci_high, 4), "df": row.df}
    limits = row.difference, row.difference_ci_low, row.difference_ci_high
    return facts | {"difference from the others (95% CI)": _brief(*limits, 4), "its df": row.difference_df}


def beside_published(whole: WholeStudy):
    """Draw the mean gain of each modality: ours, and that of the published comparisons."""
    table = pd.concat([_ours(whole.effects), _published()], ignore_index=True)
    drawing = strata_plot(
        table, groups="origin", scale="AUC", comparator="random initialisation", count=int(table.k.sum())
    )
    return whole.figure(
        drawing, "gain-by-origin", "origin", "Gains in AUC by modality: this study and published comparisons",
        "Mean gain in AUC over random initialisation by modality, in this study and in published comparisons",
        whole.main, "Bars: 95% confidence and 95% prediction",
    )  # fmt: skip


def _ours(effects):
    rows = []
    for modality in (name for name in ORDER if name in effects.modality.unique()):
        part = effects[effects.modality == modality]
        row = survey_fit(part).predict().iloc[0]
        clusters = part.cluster_id.nunique()
        name = _grade(row, clusters, (row.pi_low, row.pi_high)).name
        numbers = {key: getattr(row, key) for key in NUMBERS}
        facts = {"modality": modality, "k": len(part), "clusters": clusters, "grade": name}
        rows.append(facts | numbers)
    return pd.DataFrame(rows).assign(origin="This study")


def _published():
    """Return the published gains in AUC over random initialisation by modality, as they are pooled."""
    theirs = published_effects()
    chosen = (theirs.metric == "AUC") & (theirs.comparator == "random") & (theirs["pool"] == "primary")
    table = strata(theirs[chosen], ["modality"]).set_index("modality").reindex(ORDER).dropna(subset="k")
    columns = ["modality", "k", "clusters", "grade", *NUMBERS]
    return table.reset_index()[columns].assign(origin="Published comparisons")


def not_run(whole: WholeStudy, section: str, *keys: str):
    """Report that a part has not been run, in words that the page can quote."""
    for key in keys:
        whole.results.add(key, None, text=NOT_RUN, cell=f"across-{section}")
    return Markdown(f"This part of the study is {NOT_RUN}.")
