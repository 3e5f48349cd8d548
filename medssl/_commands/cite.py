"""`medssl cite`: print the citation of a figure."""

from pathlib import Path
from typing import Annotated

import typer

from medssl.book.cite import citation, find_card

__all__ = ["cite"]


def cite(
    figure_id: Annotated[
        str, typer.Argument(help="The id under the figure, such as xray-gain-by-label-ratio.")
    ],
    style: Annotated[str, typer.Option("--format", help="bibtex, ris or text.")] = "bibtex",
    folder: Annotated[Path, typer.Option(help="Folder of the figures of a rendered book.")] = Path(
        "_build/html/figures"
    ),
) -> None:
    """Print how to cite a figure of the book.

    Example: medssl cite xray-gain-by-label-ratio --format ris
    """
    typer.echo(citation(find_card(figure_id, folder), style))
