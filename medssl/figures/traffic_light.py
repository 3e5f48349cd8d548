"""Risk of bias at a glance: every study by domain, and the share of each judgement by domain."""

from collections.abc import Mapping
from textwrap import wrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from medssl.errors import UsageError
from medssl.figures._rows import MOST_ROWS, align_left, spoken
from medssl.figures.drawing import Drawing
from medssl.figures.style import WIDTH, figure_style, number, require_columns

__all__ = ["JUDGEMENTS", "traffic_light", "traffic_light_summary"]

ROW, BAR = 0.215, 0.5  # inches a study, a bar
DISC, SIGN, HATCH = 11.0, 6.0, 0.5  # points: discs, signs in them, lines of a hatch
OVERALL = "Overall"
# worst first; colour, sign, words and hatch of each: the sign or the hatch alone tells them apart
JUDGEMENTS = {
    "high": ("#d55e00", "x", "High", "xxx"),
    "some": ("#ece133", "_", "Some concerns", "---"),
    "unclear": ("white", "$?$", "Unclear", ""),
    "low": ("#029e73", "+", "Low", "++"),
}


def traffic_light(table: pd.DataFrame, domains: Mapping[str, str], *, study: str = "study_id") -> Drawing:
    """Draw one disc for each study and domain; a sign in it says the same as its colour.

    Parameters
    ----------
    table : DataFrame
        One row a study: `study`, the keys of `domains` and `overall`, which hold "low", "some", "high" or
        "unclear", as `medssl.evidence.risk_of_bias` returns them.
    domains : mapping
        Column of each domain and what it asks, in the order in which they are drawn.
    study : str
        The column of names; each name once.

    Returns
    -------
    Drawing
        Layers of the data: `judgement` (one a disc), `heading` and `domain` (what each asks). Studies are
        ordered by their overall judgement, the worst first, and by name.

    Raises
    ------
    UsageError
        A column is absent or incomplete, a judgement is not known, a study stands twice, no domain, or
        more than 120 rows.

    Examples
    --------
    >>> table = pd.DataFrame({"study_id": ["a", "b"], "seen": ["low", "high"], "overall": ["low", "high"]})
    >>> drawing = traffic_light(table, {"seen": "the test images were seen"})
    >>> drawing.data[drawing.data.layer == "judgement"].judgement.tolist()
    ['high', 'high', 'low', 'low']
    """
    _check(table, domains, study)
    data = _grid(table, domains, study)
    lines = data[data.layer.isin(["heading", "judgement"])].drop_duplicates("row")
    codes = [*_codes(domains), OVERALL]
    with figure_style():
        figure = Figure(figsize=(WIDTH, 1.1 + 0.2 * len(domains) + ROW * len(lines)), layout="constrained")
        axes = figure.subplots()
        _draw_discs(axes, data, len(codes))
        _label(axes, lines, codes)
        figure.legend(**_disc_key(), loc="outside upper center", ncols=4, frameon=False)
        style = {"loc": "outside lower left", "frameon": False, "handlelength": 0, "handletextpad": 0}
        figure.legend(handles=_domain_key(data), **style)
        figure.draw_without_rendering()
        align_left(axes, lines)
        figure.draw_without_rendering()
    return Drawing(figure, data, _alt(data, table), count=len(table), unit="studies")


def traffic_light_summary(table: pd.DataFrame, domains: Mapping[str, str]) -> Drawing:
    """Draw one bar a domain and one of all, with the number of studies of each judgement.

    Parameters
    ----------
    table, domains
        As for `traffic_light`; no column of names is needed.

    Returns
    -------
    Drawing
        One row of the data a part of a bar, with `studies` and `share` (percent); parts without studies
        are kept, with 0.

    Raises
    ------
    UsageError
        As for `traffic_light`.

    Examples
    --------
    >>> table = pd.DataFrame({"seen": ["low", "high"], "overall": ["low", "high"]})
    >>> drawing = traffic_light_summary(table, {"seen": "the test images were seen"})
    >>> drawing.data.groupby("domain").studies.sum().to_dict()
    {'overall': 2, 'seen': 2}
    """
    _check(table, domains, None)
    data = _parts(table, domains)
    with figure_style():
        figure = Figure(figsize=(WIDTH, 0.9 + BAR * data.domain.nunique()), layout="constrained")
        axes = figure.subplots()
        _draw_bars(axes, data)
        figure.legend(handles=_bar_key(), loc="outside upper center", ncols=4, frameon=False)
        figure.draw_without_rendering()
    return Drawing(figure, data, _summary_alt(data), count=len(table), unit="studies")


def _check(table: pd.DataFrame, domains: Mapping[str, str], study: str | None) -> None:
    if not domains:
        raise UsageError("domains names no column; give at least one.")
    what = "the table of judgements"
    require_columns(table, [*([study] if study else []), *domains, "overall"], what)
    for name in (*domains, "overall"):
        unknown = sorted(set(table[name]) - set(JUDGEMENTS))
        if unknown:
            raise UsageError(
                f"{what}: column {name} holds {unknown[0]!r}, not one of {', '.join(JUDGEMENTS)}."
            )
    if study and table[study].duplicated().any():
        twice = table.loc[table[study].duplicated(), study].iloc[0]
        raise UsageError(f"{what} has {twice} twice; give one row a study.")
    if study and len(table) > MOST_ROWS:
        raise UsageError(f"{len(table)} studies are more than the {MOST_ROWS} that fit; draw them in parts.")


def _codes(domains: Mapping[str, str]) -> list[str]:
    return [f"D{i}" for i in range(1, len(domains) + 1)]


def _grid(table: pd.DataFrame, domains: Mapping[str, str], study: str) -> pd.DataFrame:
    rows = []
    for level, (_, _, words, _) in JUDGEMENTS.items():
        part = table[table["overall"] == level].sort_values(study)
        if part.empty:
            continue
        label = f"{words}: {len(part)} of {len(table)}"
        rows.append([{"layer": "heading", "label": label, "judgement": level, "studies": len(part)}])
        for record in part.to_dict("records"):
            rows.append(
                [
                    {
                        "layer": "judgement",
                        "label": str(record[study]),
                        "domain": name,
                        "x": x,
                        "judgement": record[name],
                    }
                    for x, name in enumerate((*domains, "overall"))
                ]
            )
    placed = [{"row": float(len(rows) - 1 - i), **cell} for i, cells in enumerate(rows) for cell in cells]
    keys = [
        {"layer": "domain", "domain": name, "label": f"{code}: {words}"}
        for code, (name, words) in zip(_codes(domains), domains.items(), strict=True)
    ]
    return pd.DataFrame([*placed, *keys])


def _draw_discs(axes: Axes, data: pd.DataFrame, columns: int) -> None:
    cells = data[data.layer == "judgement"]
    for level, (color, sign, _, _) in JUDGEMENTS.items():
        here = cells[cells.judgement == level]
        style = {"color": color, "edgecolor": "0.2", "linewidth": 0.6, "zorder": 2}
        axes.scatter(here.x, here.row, s=DISC**2, label=level, **style)
        axes.scatter(here.x, here.row, s=SIGN**2, marker=sign, color="black", linewidth=1.1, zorder=3)
    axes.axvline(columns - 1.5, color="0.6", linewidth=0.7, zorder=1)
    for row in data[data.layer == "heading"].row:
        axes.axhline(row - 0.48, color="0.4", linewidth=0.7, zorder=1)


def _label(axes: Axes, lines: pd.DataFrame, codes: list[str]) -> None:
    axes.set_xticks(range(len(codes)), codes)
    axes.tick_params(axis="x", top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    axes.set_yticks(lines.row, lines.label)
    axes.tick_params(axis="y", length=0, labelsize=9)
    for text, layer in zip(axes.get_yticklabels(), lines.layer, strict=True):
        text.set_fontweight("bold" if layer == "heading" else "normal")
    axes.set(xlim=(-0.6, len(codes) - 0.4), ylim=(-0.7, len(lines) - 0.3))
    for spine in axes.spines.values():
        spine.set_visible(False)


def _disc_key() -> dict:
    """Return handles and labels of the legend: a disc with its sign on it."""
    handles = []
    for color, sign, _, _ in JUDGEMENTS.values():
        style = {"linestyle": "", "markeredgecolor": "0.2", "markersize": DISC}
        disc = Line2D([], [], marker="o", markerfacecolor=color, **style)
        style |= {"markeredgecolor": "black", "markerfacecolor": "black", "markersize": SIGN}
        handles.append((disc, Line2D([], [], marker=sign, **style)))
    return {"handles": handles, "labels": [words for _, _, words, _ in JUDGEMENTS.values()]}


def _domain_key(data: pd.DataFrame) -> list:
    words = data[data.layer == "domain"].label
    return [Line2D([], [], linestyle="", label=label) for label in words]


def _alt(data: pd.DataFrame, table: pd.DataFrame) -> str:
    headings = data[data.layer == "heading"]
    parts = [f"{row.studies:.0f} {JUDGEMENTS[row.judgement][2].lower()}" for row in headings.itertuples()]
    text = (
        f"Risk of bias of {len(table)} studies by domain, a sign in each disc. Overall: {', '.join(parts)}."
    )
    worst = headings.iloc[0]
    names = data[(data.domain == "overall") & (data.judgement == worst.judgement)].label
    shown = ", ".join(spoken(name) for name in names[:8])
    more = ", and others" if len(names) > 8 else ""
    return f"{text} {JUDGEMENTS[worst.judgement][2]} overall: {shown}{more}."


def _parts(table: pd.DataFrame, domains: Mapping[str, str]) -> pd.DataFrame:
    """Return the parts of each bar from left to right, the bar of all at the bottom."""
    rows = []
    for row, (name, words) in enumerate([*domains.items(), ("overall", OVERALL)]):
        start = 0.0
        for level in JUDGEMENTS:
            studies = int((table[name] == level).sum())
            share = 100 * studies / len(table)
            place = {"row": float(len(domains) - row), "start": start, "share": share}
            rows.append(
                {
                    "layer": "part",
                    "domain": name,
                    "label": words,
                    "judgement": level,
                    "studies": studies,
                    **place,
                }
            )
            start += share
    return pd.DataFrame(rows)


def _draw_bars(axes: Axes, data: pd.DataFrame) -> None:
    for level, (color, _, words, hatch) in JUDGEMENTS.items():
        here = data[data.judgement == level]
        style = {"facecolor": color, "edgecolor": "0.25", "linewidth": 0.7, "hatch": hatch, "height": 0.62}
        for bar in axes.barh(here.row, here.share, left=here.start, label=words, **style):
            bar.set_hatch_linewidth(HATCH)
    for part in data[data.share > 4].itertuples():
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.2}
        middle = part.start + part.share / 2
        axes.text(middle, part.row, f"{part.studies}", ha="center", va="center", fontsize=9, bbox=box)
    bars = data.drop_duplicates("row")
    axes.set_yticks(bars.row, ["\n".join(wrap(label, 24)) for label in bars.label])
    axes.tick_params(axis="y", length=0, labelsize=9)
    axes.get_yticklabels()[-1].set_fontweight("bold")
    axes.set(xlim=(0, 100), ylim=(-0.5, len(bars) - 0.5), xlabel="Studies (%)")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _bar_key() -> list:
    key = [
        Patch(facecolor=color, edgecolor="0.25", hatch=hatch, label=words)
        for color, _, words, hatch in JUDGEMENTS.values()
    ]
    for patch in key:
        patch.set_hatch_linewidth(HATCH)
    return key


def _summary_alt(data: pd.DataFrame) -> str:
    sentences = ["Stacked bars: number of studies by judgement in each domain."]
    for _, parts in data.groupby("row", sort=False):
        shown = ", ".join(
            f"{number(part.studies)} {JUDGEMENTS[part.judgement][2].lower()}"
            for part in parts.itertuples()
            if part.studies
        )
        sentences.append(f"{spoken(parts.label.iloc[0]).capitalize()}: {shown}.")
    return " ".join(sentences)
