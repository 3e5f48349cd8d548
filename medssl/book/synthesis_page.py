"""What the page of the pooled picture shows: tables of strata, tests of a model, figures, findings."""

import re

import pandas as pd
from IPython.display import HTML

from medssl.book.results import Results
from medssl.book.wording import interval, show_table, signed
from medssl.evidence import MINIMAL_GAIN, published
from medssl.figures import save_figure
from medssl.figures.style import display_name
from medssl.synthesis.central import CentralModel
from medssl.synthesis.claims import Finding
from medssl.synthesis.stratum import Stratum, strata

__all__ = [
    "cluster_names",
    "joint_tests",
    "report_finding",
    "strata_table",
    "strata_words",
    "synthesis_figure",
]

ORDER = {
    "comparator": ["random", "imagenet_supervised", "other_supervised"],
    "modality": ["All", "xray", "ct", "mri", "ultrasound"],
}


def strata_table(effects: pd.DataFrame, label: str = "modality") -> pd.DataFrame:
    """Pool each comparator, whole and by `label`, in reading order.

    Examples
    --------
    >>> from medssl.evidence import effects
    >>> found = effects()
    >>> strata_table(found[(found.metric == "AUC") & (found.modality == "ct")]).modality.tolist()
    ['All', 'ct', 'All', 'ct', 'All', 'ct']
    """
    whole = strata(effects, ["comparator"]).assign(**{label: "All"})
    table = pd.concat([whole, strata(effects, ["comparator", label])], ignore_index=True)
    levels = [*ORDER.get(label, []), *sorted(set(table[label]) - set(ORDER.get(label, [])) - {"All"})]
    levels = ["All", *(level for level in levels if level != "All")]
    rank = table["comparator"].map(ORDER["comparator"].index) * len(levels) + table[label].map(levels.index)
    return table.iloc[rank.argsort(kind="stable")].reset_index(drop=True)


def cluster_names(effects: pd.DataFrame) -> pd.Series:
    """Return a readable name for the cluster of each effect: the first study in it, and how many more.

    Examples
    --------
    >>> from medssl.evidence import effects
    >>> found = effects()
    >>> cluster_names(found[found.study_id == "sowrirajan2021_mococxr"]).unique().tolist()
    ['Sowrirajan 2021']
    """
    table = published("all").drop_duplicates("study_id").set_index("study_id")
    studies = effects.groupby("cluster_id")["study_id"].unique()
    names = {}
    for cluster, ids in studies.items():
        first = min(ids, key=lambda study: (table["year"][study], study))
        author = re.sub(r" [A-Z]{1,3}$", "", table["first_author"][first]) or first
        more = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
        names[cluster] = f"{author} {table['year'][first]:.0f}{more}"
    repeated = {name for name in names.values() if list(names.values()).count(name) > 1}
    return effects["cluster_id"].map(
        {cluster: f"{name} ({cluster})" if name in repeated else name for cluster, name in names.items()}
    )


def named(stratum: Stratum) -> pd.DataFrame:
    """Return the effects of a stratum with a readable name of the cluster of each, in column `cluster`."""
    return stratum.effects.assign(cluster=cluster_names(stratum.effects))


def named_left_out(stratum: Stratum) -> pd.DataFrame:
    """Return the influence table of a stratum with readable names of the clusters that were left out."""
    names = dict(zip(stratum.effects["cluster_id"], cluster_names(stratum.effects), strict=True))
    return stratum.left_out.assign(left_out=stratum.left_out["left_out"].map(names))


def strata_words(table: pd.DataFrame, label: str = "modality", scale: str = "difference") -> HTML:
    """Return a table of strata as a reader wants it: names, counts, intervals as text, grade.

    On the logit scale there is no minimal important gain, and so neither its probability nor a grade.
    """
    fitted = table["estimate"].notna()
    mean = [interval(*row, digits=3) for row in table[["estimate", "ci_low", "ci_high"]].to_numpy()]
    new = [f"{signed(low)} to {signed(high)}" for low, high in table[["pi_low", "pi_high"]].to_numpy()]
    shown = pd.DataFrame(
        {
            "against": table["comparator"].map(display_name),
            label: table[label].map(display_name),
            "effects": table["k"],
            "below 0": table["negative"],
            "clusters": table["clusters"],
            "gain": [text if good else "not pooled" for text, good in zip(mean, fitted, strict=True)],
            "df": table["df"].map(lambda df: "" if df != df else f"{df:.1f}"),
            "a new study": [text if good else "" for text, good in zip(new, fitted, strict=True)],
            "P(gain)": table["p_gain"].map(_share),
            f"P(gain over {MINIMAL_GAIN:g})": table["p_minimal"].map(_share),
            "measured weight": table["strong_weight"].map(_share),
            "grade": table["grade"],
        }
    )
    if scale == "logit":
        shown = shown.drop(columns=[f"P(gain over {MINIMAL_GAIN:g})", "grade"])
    return show_table(shown)


def _share(value: float) -> str:
    return "" if value != value else f"{value:.2f}"


def joint_tests(model: CentralModel) -> HTML:
    """Return the joint robust tests of a central model, or why there are none."""
    if model.shape is None:
        return HTML(f"<p>Nothing was fitted: {model.reason}.</p>")
    table = model.tests.rename(columns={"statistic": "F", "df_num": "df", "df_den": "df of the error"})
    if model.interaction is not None:
        test = model.interaction
        table.loc[len(table)] = ["modality by ratio", test.statistic, test.df_num, test.df_den, test.p_value]
    return show_table(table)


def report_finding(results: Results, finding: Finding, *, cell: str) -> None:
    """Add the text of a claim and its grade to the results, so that pages can quote them."""
    estimate = finding.estimate if finding.estimate == finding.estimate else None
    results.add(f"claim_{finding.claim.id}", estimate, text=finding.text, cell=cell)
    results.add(f"grade_{finding.claim.id}", finding.clusters, text=finding.grade.name, cell=cell)


def synthesis_figure(place, drawing, name: str, title: str, caption: str, bars: str, *, cell: str):
    """Save a drawing of published effects with its card and return the card."""
    return save_figure(
        drawing, name, folder=place.figures, title=title, caption=caption, records=["published_effects.csv"],
        seeds=[], interval=bars, chapter=place.chapter, cell=cell,
    )  # fmt: skip
