"""`medssl run`: run a grid of paired comparisons and write its records."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["run"]


def run(
    grid: Annotated[str, typer.Argument(help="Name of a grid: xray (real radiographs) or xray_phantom.")],
    records: Annotated[Path, typer.Option(help="Folder of the records.")] = Path("records"),
    work: Annotated[Path, typer.Option(help="Folder of encoders and predictions; safe to delete.")] = Path(
        "_runs"
    ),
    workers: Annotated[int, typer.Option(help="Processes; each takes its share of the cores.")] = 1,
    device: Annotated[str | None, typer.Option(help="cpu or cuda; the GPU where there is one.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is missing.")] = False,
) -> None:
    """Run the cells of GRID that are not recorded; kill it at any time and run it again.

    Example: medssl run xray_phantom --records _runs/records --work _runs
    """
    from medssl.experiments import grid as cells_of
    from medssl.experiments import plan, run_grid

    cells = cells_of(grid)
    todo = plan(cells, records)
    typer.echo(
        f"{grid}: {len(cells)} cells, {len(todo.recorded)} recorded in {records}, "
        f"{len(todo.missing)} missing, which need {todo.encoders} encoders."
    )
    if not dry_run:
        done = run_grid(cells, records, work=work, workers=workers, device=device)
        typer.echo(f"{len(done)} records in {records}.")
