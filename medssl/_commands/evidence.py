"""`medssl evidence`: check, extend, export and summarise the published comparisons."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from medssl.errors import DataError, UsageError

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Check, add to, export and summarise the published comparisons.")


class ExportFormat(StrEnum):
    """How rows or studies are written."""

    csv = "csv"
    json = "json"
    ris = "ris"
    bibtex = "bibtex"


class Topic(StrEnum):
    """Which table `show` prints."""

    summary = "summary"
    flow = "flow"
    variances = "variances"
    dispersions = "dispersions"
    bias = "bias"


_TABLE = Annotated[Path | None, typer.Option(help="Another table of evidence than that of the package.")]
_MODALITY = Annotated[list[str] | None, typer.Option(help="xray, ct, mri or ultrasound; repeatable.")]
_COMPARATOR = Annotated[
    list[str] | None, typer.Option(help="random, imagenet_supervised or other_supervised; repeatable.")
]
_FAMILY = Annotated[list[str] | None, typer.Option(help="Such as contrastive; repeatable.")]
_POOL = Annotated[list[str] | None, typer.Option(help="Such as primary; repeatable.")]
_STUDY = Annotated[list[str] | None, typer.Option(help="A study_id; repeatable.")]
_METRIC = Annotated[list[str] | None, typer.Option(help="Such as AUC; repeatable.")]


@app.command()
def validate(
    file: Annotated[
        Path | None, typer.Argument(help="CSV table of evidence; that of the package when not given.")
    ] = None,
    suspicious: Annotated[
        bool,
        typer.Option("--suspicious", help="Also list rows that break no rule but deserve a second look."),
    ] = False,
) -> None:
    """Check every cell and every rule; name each problem by row, column, reason and remedy.

    Example: medssl evidence validate --suspicious
    """
    from medssl.evidence.suspicious import suspicious as look
    from medssl.evidence.tables import read_rows, table_path, typed
    from medssl.evidence.validate import validate as check

    path = table_path("published_effects") if file is None else file
    problems = check(path)
    for row in problems.itertuples():
        where = f"line {row.line}, {row.effect_id or 'no effect_id'}, column {row.column}"
        typer.echo(f"{where}: {row.reason}. {row.remedy}.")
    if len(problems):
        rows = problems["line"].nunique()
        raise DataError(f"{path}: {len(problems)} problems in {rows} rows; correct them and run this again.")
    table = typed(read_rows(path))
    if suspicious:
        _print("Rows to look at again", look(table))
    typer.echo(f"{path.name}: {len(table)} comparisons of {table['study_id'].nunique()} studies, no problem.")


@app.command()
def add(
    file: Annotated[
        Path | None, typer.Argument(help="CSV file with the new rows; questions are asked when not given.")
    ] = None,
    table: _TABLE = None,
) -> None:
    """Add comparisons: ids are assigned, duplicates refused, the file is written whole or not at all.

    Example: medssl evidence add new_rows.csv
    """
    from medssl.evidence.add import add_rows, row_of
    from medssl.evidence.tables import read_rows, table_path

    path = table_path("published_effects") if table is None else table
    new = read_rows(file) if file is not None else row_of(_ask(read_rows(path)))
    added = add_rows(new, path)
    typer.echo(f"{path}: added {', '.join(added['effect_id'])}.")


def _ask(known) -> dict[str, str]:
    """Ask for one field after the other; what the study says already is offered as the answer."""
    from medssl.evidence.add import known_study, refusal
    from medssl.evidence.fields import FIELDS

    answers: dict[str, str] = {"study_id": typer.prompt("study_id (the study)").strip()}
    offered = known_study(known, answers["study_id"]) or {"cluster_id": answers["study_id"]}
    for field in FIELDS:
        if field.name in ("effect_id", "study_id"):
            continue
        choices = f" [{', '.join(field.allowed)}]" if field.allowed else ""
        while True:
            question = f"{field.name} ({field.help}){choices}"
            default = offered.get(field.name, "")
            answer = typer.prompt(question, default=default, show_default=bool(default)).strip()
            reason = refusal(field, answer)
            if not reason:
                break
            typer.echo(f"  {reason}.")
        answers[field.name] = answer
    return answers


@app.command()
def export(
    format: Annotated[ExportFormat, typer.Option(help="csv and json: rows; ris and bibtex: their studies.")],
    output: Annotated[Path | None, typer.Option(help="File to write; the screen when not given.")] = None,
    modality: _MODALITY = None,
    comparator: _COMPARATOR = None,
    family: _FAMILY = None,
    pool: _POOL = None,
    study: _STUDY = None,
    metric: _METRIC = None,
) -> None:
    """Write the comparisons, or the studies behind them, for another program.

    Example: medssl evidence export --format bibtex --modality mri --pool primary
    """
    from medssl.evidence.select import export as write
    from medssl.evidence.select import select
    from medssl.evidence.tables import read_table
    from medssl.files import write_text

    rows = select(
        read_table("published_effects"),
        modality=modality, comparator=comparator, family=family, pool=pool, study=study, metric=metric,
    )  # fmt: skip
    text = write(rows, format.value)
    if output is None:
        typer.echo(text, nl=False)
    else:
        typer.echo(f"{write_text(output, text)}: {len(rows)} comparisons.")


@app.command()
def show(
    what: Annotated[
        Topic,
        typer.Option(
            help="summary of the rows, flow of studies, rungs of variances, dispersions, or risk of bias."
        ),
    ] = Topic.summary,
    modality: _MODALITY = None,
    comparator: _COMPARATOR = None,
    family: _FAMILY = None,
    pool: _POOL = None,
    study: _STUDY = None,
    metric: _METRIC = None,
) -> None:
    """Summarise the evidence in a table; only the flow of studies takes no filters.

    Example: medssl evidence show --modality ultrasound
    """
    from medssl import evidence
    from medssl.evidence.select import select
    from medssl.evidence.summary import summary

    chosen = {"modality": modality, "comparator": comparator, "family": family}
    chosen |= {"pool": pool, "study": study, "metric": metric}
    if what is Topic.flow and any(chosen.values()):
        raise UsageError("the flow is that of all studies: leave the filters out.")
    rows = select(evidence.published("all") if not pool else evidence.published(evidence.POOLS), **chosen)
    tables = {
        Topic.summary: lambda: summary(rows),
        Topic.flow: evidence.flow,
        Topic.variances: lambda: evidence.ladder_coverage(rows).query("total > 0").reset_index(),
        Topic.dispersions: lambda: evidence.dispersion_coverage(rows),
        Topic.bias: lambda: _bias(rows),
    }
    _print(what.value, tables[what]())


def _bias(rows):
    from medssl.evidence import risk_of_bias

    judged = risk_of_bias().drop(columns="reasons")
    return judged[judged["study_id"].isin(rows["study_id"])]


def _print(title: str, rows) -> None:
    table = Table(*map(str, rows.columns), title=title, title_justify="left")
    for row in rows.astype(object).where(rows.notna(), "").itertuples(index=False):
        table.add_row(*(f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row))
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(table)
