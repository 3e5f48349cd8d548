"""The command line: `medssl --help`.

Every error that medssl raises on purpose is one line on stderr; exit code 0 done, 1 failed, 2 wrong usage.
"""

import sys

import typer

from medssl._commands import book, cite, data, doctor, evidence, expect, loops, meta, run
from medssl.errors import MedsslError

INTERRUPTED = 130  # what typer makes of Ctrl-C

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="An executable survey: how much self-supervised pretraining helps in X-ray, CT, MRI and ultrasound.",
)
app.add_typer(data.app, name="data")
app.add_typer(evidence.app, name="evidence")
app.command()(loops.pretrain)
app.command()(loops.transfer)
app.command()(run.run)
app.command()(meta.meta)
app.command()(expect.expect)
app.command()(cite.cite)
app.command()(book.book)
app.command()(doctor.doctor)


def main() -> None:
    """Run the command line and turn deliberate errors into one line and an exit code."""
    try:
        app()
    except MedsslError as error:
        print(f"medssl: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SystemExit as stop:
        if stop.code != INTERRUPTED:
            raise
        print(
            "medssl: stopped; finished parts are kept, run the same command again to go on.", file=sys.stderr
        )
        sys.exit(1)
