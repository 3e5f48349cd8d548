"""`medssl meta`: a random-effects analysis of a table of effects."""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from medssl.errors import DataError, UsageError

__all__ = ["meta"]


def meta(
    file: Annotated[Path, typer.Argument(help="CSV file with one row an effect.")],
    yi: Annotated[str, typer.Option(help="Column with the effects.")] = "yi",
    vi: Annotated[str, typer.Option(help="Column with their sampling variances.")] = "vi",
    moderators: Annotated[
        list[str] | None, typer.Option("--moderator", "-m", help="Column to regress on; repeat for several.")
    ] = None,
    method: Annotated[
        str, typer.Option(help="Estimator of tau2: FE, DL, HE, HS, SJ, ML, REML, EB or PM.")
    ] = "REML",
    test: Annotated[str, typer.Option(help="Intervals: z, knha or adhoc.")] = "knha",
) -> None:
    """Pool effects, or regress them on moderators, in a random-effects model.

    Example: medssl meta effects.csv --moderator log10_label_ratio
    """
    from medssl.meta import random_effects  # scipy takes a second to import

    effects = _read(file)
    names = list(moderators or [])
    columns = _columns(file, effects, [yi, vi, *names])
    fit = random_effects(
        columns[yi], columns[vi], columns[names] if names else None, method=method, test=test
    )
    typer.echo(fit.table().to_string(float_format=lambda value: f"{value:.6g}"))
    typer.echo()
    typer.echo(fit.report())


def _read(file: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(file)
    except FileNotFoundError as error:
        raise DataError(f"{file}: no such file. Give the path of a CSV table of effects.") from error
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{file}: not readable as CSV ({error}).") from error


def _columns(file: Path, effects: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    missing = [name for name in names if name not in effects]
    if missing:
        known = ", ".join(map(str, effects.columns))
        raise UsageError(f"{file} has no column {', '.join(missing)}; it has {known}.")
    return effects[list(dict.fromkeys(names))]
