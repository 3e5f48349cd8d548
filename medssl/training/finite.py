"""Numbers that are not finite: found while a GPU runs on, and reported with the batch that broke the run."""

import tempfile
from pathlib import Path

import numpy as np
import torch

from medssl.errors import RunError
from medssl.files import atomic_path

__all__ = ["first_not_finite", "not_finite", "save_batch"]


def first_not_finite(losses: list[torch.Tensor], start: int) -> int | None:
    """Return the position of the first loss from `start` that is not finite; this waits for the device once.

    Examples
    --------
    >>> first_not_finite([torch.tensor(value) for value in (1.0, float("nan"), 2.0)], 0)
    1
    """
    bad = ~torch.stack(losses[start:]).isfinite()
    return start + int(bad.nonzero()[0]) if bad.any() else None


def not_finite(what: str, epoch: int, config, detail: str = "") -> RunError:
    """Return the error of a number that is not finite, with the remedy."""
    return RunError(
        f"{config.method}: the {what} is not finite in epoch {epoch}. "
        f"Lower learning_rate (now {config.learning_rate}) or look for damaged images.{detail}"
    )


def save_batch(checkpoint: str | Path | None, images: torch.Tensor, rows: torch.Tensor, **facts) -> str:
    """Keep a batch that broke a run and return a sentence that names the file.

    Parameters
    ----------
    checkpoint : path or None
        The file is written beside it, with the ending ".batch.npz"; None: in a new temporary folder.
    images : Tensor
        The plain images of the batch in 0..1, shape [batch, 1, ...].
    rows : Tensor
        Their rows in the pool, shape [batch].
    **facts
        Numbers to keep beside them.

    Notes
    -----
    `numpy.load(file, allow_pickle=False)` reads it.
    A file that cannot be written does not hide the error of the run.
    """
    try:
        place = Path(checkpoint or Path(tempfile.mkdtemp(prefix="medssl-")) / "run")
        target = place.with_name(place.name + ".batch.npz")
        with atomic_path(target) as part, open(part, "wb") as stream:
            np.savez_compressed(stream, images=images.cpu().numpy(), rows=rows.cpu().numpy(), **facts)
    except (OSError, RunError) as error:
        return f" The batch could not be kept: {error}"
    return f" The batch of step {facts['step']} is in {target}."
