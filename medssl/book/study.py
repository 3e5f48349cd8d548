"""What every study does in the same way: fit the survey's model, save a figure with its records."""

from medssl.figures import save_figure
from medssl.meta import random_effects

__all__ = ["study_figure", "survey_fit"]


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
    >>> import pandas as pd
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
