"""`medssl run`: run a grid of paired comparisons and write its records, or repeat a record."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["run"]


def run(
    grid: Annotated[
        str | None,
        typer.Argument(help="study, imagenet, xray, xray_phantom, or a .py file that defines cells."),
    ] = None,
    records: Annotated[Path, typer.Option(help="Folder of the records.")] = Path("records"),
    work: Annotated[Path, typer.Option(help="Folder of encoders and predictions; safe to delete.")] = Path(
        "_runs"
    ),
    workers: Annotated[int, typer.Option(help="Processes; each takes its share of the cores.")] = 1,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; the GPU where there is one.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what is missing and what it would cost here.")
    ] = False,
    cost: Annotated[
        bool, typer.Option(help="Let the dry run measure speeds on the images and estimate minutes.")
    ] = True,
    verify: Annotated[
        Path | None, typer.Option(help="Repeat the cell of this record and compare the scores.")
    ] = None,
) -> None:
    """Run the cells of GRID that are not recorded; kill it at any time and run it again.

    Example: medssl run xray_phantom --records _runs/records --work _runs

    Example: medssl run study --dry-run --workers 2
    """
    from medssl.errors import UsageError

    if (grid is None) == (verify is None):
        raise UsageError("medssl run needs either a GRID or --verify RECORD: see medssl run --help.")
    if verify is not None:
        _verify(verify, device)
    else:
        _run(grid, records, work, workers, device, dry_run, cost)


def _run(name, records, work, workers, device, dry_run, cost):
    from medssl.experiments import grid as cells_of
    from medssl.experiments import plan, run_grid
    from medssl.experiments.cost import missing_cells

    cells = cells_of(name)
    todo = plan(cells, records)
    typer.echo(
        f"{name}: {len(cells)} cells, {len(todo.recorded)} recorded in {records}, "
        f"{len(todo.missing)} missing, which need {todo.encoders} encoders."
    )
    if dry_run:
        _show("still to run", missing_cells(todo.missing))
        if cost:
            _cost(todo.missing, work, workers, device)
    else:
        done = run_grid(cells, records, work=work, workers=workers, device=device)
        typer.echo(f"{len(done)} records in {records}.")


def _cost(missing, work, workers, device):
    """Print the minutes that the missing cells would take here, by data set and method."""
    from medssl.errors import DataError
    from medssl.experiments import estimate

    try:
        found = estimate(missing, work, workers=workers, device=device, progress=True)
    except DataError as error:
        raise DataError(f"{error} Without the images there is only a count: add --no-cost.") from error
    _show("cost; speeds of one process, measured now", found.round({"images_per_second": 0, "minutes": 1}))
    typer.echo(f"About {found.minutes.sum():.0f} minutes with {workers} worker(s).")


def _show(title, frame):
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in frame.columns:
        table.add_column(column.replace("_", " "))
    for row in frame.itertuples(index=False):
        table.add_row(*map(str, row))
    console = Console()
    (console if console.is_terminal else Console(width=110)).print(table)


def _verify(path, device):
    from medssl.errors import RunError
    from medssl.experiments import verify
    from medssl.experiments.verify import BAND

    found = verify(path, device=device, progress=True)
    typer.echo(found.table.to_string(index=False))
    rule = "equal to the last digit" if found.same else f"within {BAND} ({'; '.join(found.differences)})"
    if not found.holds:
        raise RunError(
            f"{path}: the repetition differs by up to {found.largest:.3g}; it should be {rule}. "
            "Keep the record's commit and versions, and look at what changed."
        )
    typer.echo(f"{found.record_id}: largest difference {found.largest:.3g}, {rule}: repeated.")
