"""What the loops that train on labels share: the order of rows, and the way back into a killed run."""

from pathlib import Path

import torch

from medssl.errors import UsageError
from medssl.training.checkpoint import load_checkpoint

__all__ = ["next_rows", "put_back", "saved_state", "state_of"]


def next_rows(
    order: torch.Tensor, n: int, batch_size: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Take the next rows of an endless sequence of shuffled passes over n rows.

    Parameters
    ----------
    order : Tensor of int
        What is left of the sequence, on the generator's device; empty at the start.
    n, batch_size : int
        Rows a pass, and rows to take: no more than n.
    generator : torch.Generator

    Returns
    -------
    rows, order : Tensor of int
        The rows taken, and what is left.

    Examples
    --------
    >>> empty, generator = torch.empty(0, dtype=torch.long), torch.Generator().manual_seed(0)
    >>> first, order = next_rows(empty, 4, 3, generator)
    >>> second, order = next_rows(order, 4, 3, generator)
    >>> sorted(torch.cat([first, second])[:4].tolist())
    [0, 1, 2, 3]
    """
    size = min(batch_size, n)
    while len(order) < size:
        again = torch.randperm(n, generator=generator, device=generator.device)
        order = torch.cat([order, again])
    return order[:size], order[size:]


def saved_state(path: str | Path | None, identity: dict) -> dict | None:
    """Return the state that a killed run left, or None where there is none.

    Raises
    ------
    DataError
        The file is damaged.
    UsageError
        It belongs to another run: its identity is not `identity`.

    Examples
    --------
    >>> saved_state(None, {}) is None
    True
    """
    if path is None or not Path(path).exists():
        return None
    state = load_checkpoint(path)
    if state.get("identity") != identity:
        raise UsageError(f"{path}: this checkpoint belongs to another run. Name another file or remove it.")
    return state


def state_of(run) -> dict:
    """Return the training state of a run, but for its identity: weights, optimiser, chance and place."""
    return {
        "model": run.model.state_dict(), "optimizer": run.optimizer.state_dict(),
        "generator": run.generator.get_state(), "order": run.order, "step": run.step,
        "losses": run.losses, "minutes": run.minutes,
    }  # fmt: skip


def put_back(run, state: dict) -> None:
    """Put the state that `state_of` returned back into a run that has just been built."""
    run.model.load_state_dict(state["model"])
    run.optimizer.load_state_dict(state["optimizer"])
    run.generator.set_state(state["generator"])
    run.order, run.step = state["order"].to(run.device), state["step"]
    run.losses, run.minutes = state["losses"], state["minutes"]
