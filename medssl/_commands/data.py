"""`medssl data`: which images there are, where they lie, what they are and what is wrong with them."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="List, fetch, describe and audit the image sources.")

_NAME = Annotated[str, typer.Argument(help="A name of `medssl data list`.")]


class CardFormat(StrEnum):
    """How a card is printed."""

    rich = "rich"
    markdown = "markdown"
    json = "json"


class AuditFormat(StrEnum):
    """How an audit is printed."""

    table = "table"
    json = "json"


@app.command("list")
def list_sources() -> None:
    """List every source with its size, its licence and where it was found.

    Example: medssl data list
    """
    from medssl.data import available
    from medssl.data.card import read_card

    table = Table("name", "modality", "task", "train / val / test", "size", "licence", "found")
    for name in available():
        card = read_card(name)
        counts = " / ".join(str(split["n"]) for split in card.splits.values())
        megabytes = f"{card.file['bytes'] / 1e6:.1f} MB" if card.file else "-"
        licence = card.licence["name"]
        table.add_row(name, card.modality, card.task, counts, megabytes, licence, _where(name, card.file))
    console = _console()
    console.print(table)
    console.print("Your own images: folder:PATH. A missing source: medssl data fetch NAME.")


def _where(name: str, file: dict | None) -> str:
    from medssl.data import locate

    path = locate(name)
    if path is not None:
        return str(path)
    return "missing" if file else "generated on the spot"


def _console() -> Console:
    # Wide enough that a table keeps whole names when the output goes into a file.
    console = Console()
    return console if console.is_terminal else Console(width=200)


@app.command()
def fetch(name: _NAME) -> None:
    """Download a source into the user's cache: hash checked, goes on where it was cut.

    Example: medssl data fetch pneumoniamnist
    """
    from medssl.data import fetch as fetch_source

    typer.echo(f"{fetch_source(name, lambda line: typer.echo(line, err=True))}")


@app.command()
def card(
    name: _NAME,
    format: Annotated[CardFormat, typer.Option(help="How to print it.")] = CardFormat.rich,
) -> None:
    """Show the card of a source: licence, citation, splits, known leakage, audit.

    Example: medssl data card breastmnist --format markdown
    """
    from medssl.data.card import markdown, read_card

    found = read_card(name)
    if format is CardFormat.json:
        typer.echo(json.dumps(found.to_dict(), indent=1))
    elif format is CardFormat.markdown:
        typer.echo(markdown(found), nl=False)
    else:
        Console().print(Markdown(markdown(found)))


@app.command()
def audit(
    name: Annotated[str, typer.Argument(help="A name of `medssl data list`, or folder:PATH.")],
    format: Annotated[AuditFormat, typer.Option(help="How to print it.")] = AuditFormat.table,
    modality: Annotated[
        str | None, typer.Option(help="For folder:PATH: xray, ct, mri or ultrasound.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Also write the result as JSON to this file.")] = None,
    update_card: Annotated[
        bool, typer.Option("--update-card", help="Write the result into the card (for maintainers).")
    ] = False,
) -> None:
    """Look for duplicates, label conflicts, imbalance and constant images in a source.

    Example: medssl data audit breastmnist
    """
    from medssl.data.audit import audit_source
    from medssl.data.card import refresh
    from medssl.files import write_json

    options = {} if modality is None else {"modality": modality}
    result = refresh(name, **options).audit if update_card else audit_source(name, **options).to_dict()
    if output is not None:
        write_json(output, result)
    if format is AuditFormat.json:
        typer.echo(json.dumps(result, indent=1))
    else:
        _print_audit(result)


def _print_audit(result: dict) -> None:
    from medssl.data.card import leakage_found

    console = _console()
    table = Table("in", "matches", "images", "exact", *result["overlaps"][0]["near_images"], "highest")
    for entry in result["overlaps"]:
        levels = (str(count) for count in entry["near_images"].values())
        total, highest = str(result["n"][entry["second"]]), f"{entry['highest']:.3f}"
        table.add_row(entry["second"], entry["first"], total, str(entry["exact_images"]), *levels, highest)
    console.print(table)
    for split, counts in result["class_counts"].items():
        console.print(f"{split}: class counts {counts}, constant images {result['constant'][split]}")
    for line in leakage_found(result):
        console.print(f"- {line}")
