"""What every study does in the same way: fit the survey's model, save a figure, compare minutes."""

import pandas as pd

from medssl.figures import save_figure
from medssl.meta import random_effects

__all__ = ["on_one_machine", "study_figure", "survey_fit"]


def on_one_machine(runs: pd.DataFrame) -> pd.DataFrame:
    """Replace the minutes of other machines by the mean on the one with most records.

    Parameters
    ----------
    runs : DataFrame
        `dataset`, `method`, `device` and `pretraining_minutes`.

    Returns
    -------
    DataFrame
        A data set and method that were never run on that machine keep their own minutes.

    Examples
    --------
    >>> runs = pd.DataFrame({"dataset": "d", "method": "m", "device": list("aab"),
    ...                      "pretraining_minutes": [1.0, 2.0, 9.0]})
    >>> on_one_machine(runs).pretraining_minutes.tolist()
    [1.0, 2.0, 1.5]
    """
    usual = runs["device"].mode()[0]
    there = runs["pretraining_minutes"].where(runs["device"] == usual)
    mean = there.groupby([runs["dataset"], runs["method"]]).transform("mean")
    return runs.assign(pretraining_minutes=there.fillna(mean).fillna(runs["pretraining_minutes"]))


def survey_fit(effects, moderators=None, test="adhoc"):
    """Fit the random-effects model of the survey to effects of one independent set.

    Parameters
    ----------
    effects : DataFrame
        `yi` and `vi`, as `medssl.evidence.from_records` returns them.
    moderators : DataFrame, optional
        One column a moderator.
    test : str
        "adhoc" for the survey's own interval, "knha" for the sensitivity without the guard.

    Returns
    -------
    RandomEffectsFit
        REML with Knapp-Hartung intervals; "adhoc" because the factor must not narrow an interval
        where effects scatter less than their variances say.

    Examples
    --------
    >>> survey_fit(pd.DataFrame({"yi": [0.01, 0.03, 0.02], "vi": [0.001] * 3})).test
    'adhoc'
    """
    return random_effects(effects["yi"], effects["vi"], moderators, method="REML", test=test)


def study_figure(place, drawing, name, title, caption, table, bars, cell):
    """Save a drawing of a study with its card and return the card.

    Parameters
    ----------
    place : Workspace
    drawing : Drawing
    name, title, caption : str
        Figure id, words for the citation, and what is shown.
    table : DataFrame
        The records in the figure: `dataset`, `record_id`, `seed`.
    bars : str
        What bars and bands mean.
    cell : str
        The label of the cell that draws.
    """
    files = [place.records / row.dataset / f"{row.record_id}.json" for row in table.itertuples()]
    return save_figure(
        drawing, name, folder=place.figures, title=title, caption=caption,
        records=[path if path.exists() else path.stem for path in files],  # live runs leave no file
        seeds=sorted(set(table["seed"])), interval=bars, chapter=place.chapter, cell=cell,
    )  # fmt: skip
