"""The look of every figure: one style, a colour-blind-safe palette, markers and lines that read in grey."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medssl.errors import UsageError

__all__ = [
    "Look",
    "display_name",
    "figure_style",
    "finish",
    "gain_label",
    "looks",
    "new_axes",
    "noun",
    "number",
    "quantity",
    "ratio_ticks",
    "require_columns",
]

WIDTH = 6.0  # inches; a page column on a desk, and letters of 8 to 9 pixels on a phone
EFFECT = "effect"  # the scale of a table whose effects are no gains
MARKERS = ("o", "s", "^", "*", "v", "P", "X", "D")
LINES = ("-", "--", "-.", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (8, 2, 1, 2)), (0, (5, 4)), ":")
DISPLAY_NAMES = {
    "simclr": "SimCLR",
    "masked_autoencoder": "Masked autoencoder",
    "byol": "BYOL",
    "dino": "DINO",
    "vicreg": "VICReg",
    "moco": "MoCo",
    "barlow_twins": "Barlow Twins",
    "simsiam": "SimSiam",
    "swav": "SwAV",
    "simmim": "SimMIM",
    "inpainting": "Inpainting",
    "context_restoration": "Context restoration",
    "models_genesis": "Models Genesis",
    "denoising": "Denoising",
    "rotation": "Rotation",
    "relative_position": "Relative position",
    "jigsaw": "Jigsaw",
    "moco_v3": "MoCo v3",
    "pirl": "PIRL",
    "y_aware": "y-aware contrast",
    "rubiks_cube": "Rubik's cube",
    "dira": "DiRA",
    "popar": "POPAR",
    "smit": "SMIT",
    "brain_aware_replacement": "Brain-aware replacement",
    "supervised": "Supervised",
    "xray": "X-ray",
    "ct": "CT",
    "mri": "MRI",
    "ultrasound": "Ultrasound",
    "random": "Random initialisation",
    "imagenet_supervised": "ImageNet, supervised",
    "other_supervised": "Other supervised",
}
# a name keeps its place, so that SimCLR looks the same in every chapter
PLACES = {"simclr": 0, "masked_autoencoder": 1, "supervised": 7, "byol": 2, "dino": 3, "vicreg": 4, "moco": 5}


@dataclass(frozen=True)
class Look:
    """How one group is drawn; each part alone tells the groups apart."""

    color: tuple[float, float, float]
    marker: str
    line: str | tuple


@contextlib.contextmanager
def figure_style(hash_salt: str | None = None) -> Iterator[None]:
    """Use the house style inside the block, and put every setting back afterwards.

    With a `hash_salt` the ids inside an SVG file depend on it and the content only.
    """
    settings = {
        **sns.axes_style("ticks"),
        "font.family": ["DejaVu Sans"],
        "font.size": 10.5,
        "axes.labelsize": 10.5,
        "axes.titlesize": 11,
        "xtick.labelsize": 10,
        "ytick.labelsize": 10,
        "legend.fontsize": 10,
        "axes.linewidth": 0.8,
        "figure.facecolor": "white",
        "savefig.facecolor": "white",
        "pdf.fonttype": 42,
        "svg.fonttype": "path",
        "svg.hashsalt": hash_salt,
    }
    with mpl.rc_context(settings):
        yield


def new_axes(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    """Return a figure that pyplot does not know of, and its only axes (size in inches)."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def finish(figure: Figure, left: bool = True) -> Figure:
    """Keep the lower and (if `left`) the left spine, and lay the figure out while the style holds."""
    for axes in figure.axes:
        sns.despine(ax=axes, left=not left)
    figure.draw_without_rendering()
    return figure


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Return a look for each name; at most eight, and well-known methods always look the same.

    Raises
    ------
    UsageError
        More than eight names, which nobody can tell apart.

    Examples
    --------
    >>> looks(["supervised", "simclr"])["simclr"].marker
    'o'
    """
    names = sorted({str(name) for name in names})
    if len(names) > len(MARKERS):
        raise UsageError(f"{len(names)} groups cannot be told apart in one figure; merge them into eight.")
    palette = sns.color_palette("colorblind", 8)
    places = {name: PLACES[name] for name in names if name in PLACES}
    free = iter(place for place in range(len(MARKERS)) if place not in places.values())
    places |= {name: next(free) for name in names if name not in places}
    return {
        name: Look(tuple(palette[places[name]]), MARKERS[places[name]], LINES[places[name]]) for name in names
    }


def display_name(name: str) -> str:
    """Return the name as the literature writes it, or the name itself.

    Examples
    --------
    >>> display_name("simclr"), display_name("my method")
    ('SimCLR', 'my method')
    """
    return DISPLAY_NAMES.get(str(name), str(name))


def number(value: float) -> str:
    """Return three significant digits, as captions and alternative texts print them.

    Examples
    --------
    >>> number(0.012345), number(-0.0), number(4708)
    ('0.0123', '0', '4708')
    """
    value = float(value) + 0.0
    if np.isfinite(value) and abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.3g}" if value else "0"


def noun(scale: str) -> str:
    """Return what one number is: a gain, or an effect where the scale is "effect" (any meta-analysis).

    Examples
    --------
    >>> noun("AUC"), noun("effect")
    ('gain', 'effect')
    """
    return "effect" if scale == EFFECT else "gain"


def quantity(scale: str) -> str:
    """Return what is drawn, in words.

    Examples
    --------
    >>> quantity("AUC"), quantity("effect")
    ('gain in AUC', 'effect')
    """
    return noun(scale) if scale == EFFECT else f"gain in {scale}"


def gain_label(scale: str, comparator: str) -> str:
    """Return the label of an axis of gains, which says what each side favours.

    Examples
    --------
    >>> gain_label("AUC", "ImageNet")
    'Gain in AUC (SSL − ImageNet)\\n← favours ImageNet    favours SSL →'
    """
    if scale == EFFECT:
        return "Effect"
    return f"Gain in {scale} (SSL − {comparator})\n← favours {comparator}    favours SSL →"


def ratio_ticks(low: float, high: float) -> tuple[list[float], list[str]]:
    """Return positions in log10 units between two limits, and the ratios to print there.

    Examples
    --------
    >>> ratio_ticks(-2.2, 0.1)[1]
    ['0.01', '0.02', '0.05', '0.1', '0.2', '0.5', '1']
    >>> ratio_ticks(0.02, 0.2)[1]
    ['1.16', '1.29', '1.43']
    """
    decades = [10.0**power for power in range(int(np.floor(low)), int(np.ceil(high)) + 1)]
    for steps in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ratios = [
            step * decade for decade in decades for step in steps if low <= np.log10(step * decade) <= high
        ]
        if len(ratios) <= 7:
            break
    if len(ratios) < 2:  # a range within one step
        ratios = [10.0**power for power in np.linspace(low, high, 5)[1:-1]]
    return [float(np.log10(ratio)) for ratio in ratios], [f"{ratio:.3g}" for ratio in ratios]


def require_columns(table: pd.DataFrame, columns: Iterable[str], what: str) -> pd.DataFrame:
    """Return `table`; raise `UsageError` when it is empty, a column is absent or a number is missing."""
    missing = [name for name in columns if name not in table]
    if missing:
        raise UsageError(f"{what} has no column {', '.join(missing)}; it has {', '.join(map(str, table))}.")
    if table.empty:
        raise UsageError(f"{what} has no rows; there is nothing to draw.")
    for name in columns:
        values = table[name]
        absent = ~np.isfinite(values) if pd.api.types.is_numeric_dtype(values) else values.isna()
        if absent.any():
            raise UsageError(
                f"{what}: column {name} has {int(absent.sum())} missing values; drop those rows."
            )
    return table
