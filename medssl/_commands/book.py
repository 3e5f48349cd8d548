"""`medssl book`: execute the chapters that have changed and render the book."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["book"]


def book(
    profile: Annotated[
        str, typer.Option(help="quick (generated images), published (committed records) or full (real data).")
    ] = "quick",
    chapter: Annotated[
        str | None, typer.Option(help="Apply profile, parameters and force to this chapter only.")
    ] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="NAME=VALUE, the value as JSON; repeatable.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Execute and render what is unchanged too.")] = False,
    output: Annotated[Path | None, typer.Option(help="Folder for a copy of the rendered book.")] = None,
    jobs: Annotated[int, typer.Option(help="How many chapters are executed at the same time.")] = 1,
) -> None:
    """Execute every chapter that has changed and build _build/html.

    Example: medssl book --chapter xray/study --parameter label_counts='[10, 40]'
    """
    from medssl._commands._book_progress import PrintingWatcher
    from medssl.book._workspace import find_root
    from medssl.book.build import Request, build_book
    from medssl.book.parameters import parse_assignments

    request = Request(
        root=find_root(Path.cwd()),
        profile=profile,
        chapter=chapter,
        values=parse_assignments(parameter or []),
        force=force,
        output=output,
        jobs=jobs,
    )
    with PrintingWatcher() as watcher:
        built = build_book(request, watcher)
    state = "built" if built.rendered else "unchanged"
    typer.echo(f"{state}: {output or built.html.relative_to(request.root)}/index.html")
