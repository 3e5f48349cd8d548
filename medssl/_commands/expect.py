"""`medssl expect`: the gain to expect from the published evidence."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

__all__ = ["expect"]


def expect(
    modality: Annotated[str, typer.Argument(help="xray, ct, mri or ultrasound.")],
    comparator: Annotated[
        str, typer.Option(help="What pretraining replaces: random, imagenet_supervised or other_supervised.")
    ] = "random",
    metric: Annotated[str, typer.Option(help="AUC (classification) or Dice (segmentation).")] = "AUC",
    labelled: Annotated[float | None, typer.Option(help="Number of labelled images.")] = None,
    unlabelled: Annotated[float | None, typer.Option(help="Number of unlabelled images.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    """Say what gain the published evidence lets you expect, and how good that evidence is.

    Example: medssl expect xray --comparator imagenet_supervised --labelled 500 --unlabelled 100000
    """
    from medssl.synthesis.analysis import plain
    from medssl.synthesis.expect import expect as answer

    found = answer(modality, comparator, metric=metric, labelled=labelled, unlabelled=unlabelled)
    typer.echo(json.dumps(plain(asdict(found)), indent=1) if as_json else found.text)
