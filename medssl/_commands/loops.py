"""`medssl pretrain` and `medssl transfer`: the two loops on one data set."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["pretrain", "transfer"]

_DATASET = Annotated[str, typer.Argument(help="A name of `medssl data list`, or folder:PATH.")]
_SEED = Annotated[int, typer.Option(help="Seeds everything that is random.")]
_DEVICE = Annotated[str | None, typer.Option(help="cpu or cuda; the GPU where there is one.")]


def pretrain(
    dataset: _DATASET,
    output: Annotated[Path, typer.Option(help="File of the encoder.")] = Path("encoder.pt"),
    method: Annotated[
        str, typer.Option(help="simclr, masked_autoencoder, byol, dino ...; a wrong name lists them all.")
    ] = "simclr",
    encoder: Annotated[
        str, typer.Option(help="small_cnn, resnet18, small_cnn_3d ...; a wrong name lists them all.")
    ] = "small_cnn",
    epochs: Annotated[int, typer.Option(help="Passes over the images.")] = 30,
    batch_size: Annotated[int, typer.Option(help="Images a step.")] = 256,
    learning_rate: Annotated[float, typer.Option(help="Peak of the schedule.")] = 2e-3,
    initial: Annotated[
        Path | None, typer.Option(help="File of weights to start from; none: random weights.")
    ] = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Log a linear probe on the validation images after each epoch.")
    ] = False,
    crop: Annotated[
        tuple[int, int, int] | None,
        typer.Option(help="Depth, height and width in voxels of the random crop of a volume in each step."),
    ] = None,
    seed: _SEED = 0,
    device: _DEVICE = None,
) -> None:
    """Pretrain an encoder on the training images of DATASET, without their labels.

    A killed run continues from OUTPUT.running when the same command is given again.
    A run whose features collapse or whose loss is not finite stops and says what to try.
    The last line, on stderr, is what the guards measured.

    Example: medssl pretrain phantom_xray --epochs 2 --output encoder.pt
    """
    from medssl import data
    from medssl.training import PretrainConfig, save_encoder
    from medssl.training import pretrain as run
    from medssl.training.guards import summary

    config = PretrainConfig(
        method=method, encoder=encoder, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate
    )
    train = data.load(dataset, "train")
    running = output.with_name(output.name + ".running")
    done = run(
        train.images, train.modality, config, seed=seed, device=device, checkpoint=running, progress=True,
        initial=initial, crop=crop, probe=_validation(dataset) if probe else None,
    )  # fmt: skip
    about = {
        "encoder": encoder, "modality": train.modality, "minutes": done.minutes, "history": done.history,
        "mean": done.standardisation.mean, "deviation": done.standardisation.deviation,
    }  # fmt: skip
    save_encoder(output, done.encoder, about)
    running.unlink(missing_ok=True)
    last = done.history[-1]
    typer.echo(f"{output}: loss {last['loss']:.3f}, feature deviation {last['feature_deviation']:.2f}.")
    typer.echo(summary(last), err=True)


def _validation(dataset):
    from medssl import data

    validation = data.load(dataset, "val")
    return validation.images, validation.labels, validation.groups


def transfer(
    dataset: _DATASET,
    encoder: Annotated[
        Path | None, typer.Option(help="File of `medssl pretrain`; none: random weights.")
    ] = None,
    architecture: Annotated[str, typer.Option(help="Architecture when there is no file.")] = "small_cnn",
    labels: Annotated[
        str | None,
        typer.Option(help="Labelled images: a number (50) or a fraction (0.1); all when not given."),
    ] = None,
    adaptation: Annotated[
        str, typer.Option(help="fine_tune, partial_fine_tune, linear_probe or nearest_neighbours.")
    ] = "fine_tune",
    learning_rate: Annotated[float, typer.Option(help="Peak of the schedule.")] = 1e-3,
    seed: _SEED = 0,
    device: _DEVICE = None,
) -> None:
    """Train a classifier on a label budget of DATASET and score it on the test images.

    Example: medssl transfer phantom_xray --labels 50
    """
    from medssl import data
    from medssl.evaluation import scores
    from medssl.training import TransferConfig, nested_subset
    from medssl.training import transfer as run

    config = TransferConfig(adaptation=adaptation, learning_rate=learning_rate)
    train, test = data.load(dataset, "train"), data.load(dataset, "test")
    start, standardisation = _start(encoder, architecture, train, seed)
    rows = nested_subset(train.labels, _count(labels, len(train)), seed, train.groups)
    done = run(
        train.images[rows], train.labels[rows], len(train.classes), start, train.modality, standardisation,
        config, seed=seed, device=device, progress=True,
    )  # fmt: skip
    found = scores(test.labels, done.predict(test.images))
    words = ", ".join(f"{name} {value:.3f}" for name, value in found.items())
    typer.echo(f"{dataset}: {len(rows)} labels, {len(test)} test images: {words}.")


def _count(labels, total):
    from medssl.errors import UsageError
    from medssl.training.subsets import label_count

    if labels is None:
        return total
    if labels.lstrip("+-").isdecimal():  # the bounds of a number are those of the subset
        return int(labels)
    try:
        fraction = float(labels)
    except ValueError as error:
        raise UsageError(f"--labels {labels}: write a number, as 50, or a fraction, as 0.1.") from error
    return label_count(total, fraction)


def _start(path, architecture, train, seed):
    import torch

    from medssl import encoders
    from medssl.errors import DataError
    from medssl.training import (
        Standardisation,
        calibrate_normalisation,
        load_checkpoint,
        load_encoder,
        to_tensor,
    )

    if path is not None:
        about = load_checkpoint(path).get("about", {})
        encoder = encoders.build(about.get("encoder", architecture))
        about = load_encoder(path, encoder)
        if not {"mean", "deviation"} <= about.keys():
            raise DataError(
                f"{path}: lacks the mean and deviation of its pool; make it with medssl pretrain."
            )
        return encoder, Standardisation(about["mean"], about["deviation"])
    torch.manual_seed(seed)
    encoder, standardisation = encoders.build(architecture), Standardisation.of(train.images)
    calibrate_normalisation(encoder, to_tensor(train.images), standardisation)
    return encoder, standardisation
