"""`medssl meta`: a meta-analysis of any table of effects, as text, table, JSON and figures."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["meta"]


def meta(
    file: Annotated[Path, typer.Argument(help="CSV file with one row an effect.")],
    yi: Annotated[str, typer.Option(help="Column with the effects.")] = "yi",
    vi: Annotated[str, typer.Option(help="Column with their sampling variances.")] = "vi",
    sei: Annotated[
        str | None, typer.Option(help="Column with standard errors, in place of the variances.")
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(help="Column with what dependent effects share: a study, a data set, a team."),
    ] = None,
    moderators: Annotated[
        str | None,
        typer.Option(
            "--moderators", "--moderator", "-m", help='Formula, for instance "log10_ratio + C(modality)".'
        ),
    ] = None,
    rho: Annotated[float, typer.Option(help="Correlation of sampling errors within a cluster.")] = 0.6,
    method: Annotated[
        str, typer.Option(help="Without clusters: estimator of tau2: FE, DL, HE, HS, SJ, ML, REML, EB or PM.")
    ] = "REML",
    test: Annotated[str, typer.Option(help="Without clusters: intervals z, knha or adhoc.")] = "knha",
    label: Annotated[str | None, typer.Option(help="Column with a name for each row, for figures.")] = None,
    where: Annotated[
        str | None, typer.Option(help="Keep these rows only, for instance \"metric == 'AUC'\".")
    ] = None,
    drop_missing: Annotated[
        bool, typer.Option("--drop-missing", help="Leave out rows with missing values, and say how many.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="New folder for tables, results.json, report.txt and figures.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the results as JSON and nothing else.")
    ] = False,
) -> None:
    """Pool effects, or regress them on moderators; with --cluster, for effects that depend on each other.

    Without clusters: a random-effects model (REML, Knapp-Hartung). With clusters: correlated and hierarchical
    effects with cluster-robust errors (CR2). Small-study effects and influence are reported as well.

    Example: medssl meta effects.csv --yi gain --vi variance --cluster study -m "log10_ratio + C(modality)"
    """
    import json

    from medssl._commands._meta_table import Columns, read_effects
    from medssl.synthesis.analysis import analyse  # scipy takes a second to import

    columns = Columns(yi=yi, vi=vi, sei=sei, cluster=cluster, label=label)
    table, dropped = read_effects(file, columns, moderators, where=where, drop_missing=drop_missing)
    analysis = analyse(table, moderators, clustered=cluster is not None, rho=rho, method=method, test=test)
    results = {"file": file.name, "dropped_rows": dropped, **analysis.results()}
    if as_json:
        typer.echo(json.dumps(results, indent=1, allow_nan=False))
    else:
        if dropped:
            typer.echo(f"{dropped} rows with missing values were left out.\n")
        typer.echo(analysis.text())
    if out is not None:
        written = analysis.write(out, results)
        typer.echo(f"\n{len(written)} files in {out}.", err=as_json)
