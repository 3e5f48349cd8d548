"""One cell of a grid: everything that decides its result, as frozen data."""

import hashlib
import json
from dataclasses import asdict, dataclass, field

from medssl.errors import UsageError
from medssl.training.pretrain import PretrainConfig
from medssl.training.selection import SelectionConfig
from medssl.training.transfer import TransferConfig

__all__ = ["Cell", "digest", "from_dict"]


def digest(value) -> str:
    """Return 12 hexadecimal digits that identify plain data, whatever the order of its keys.

    Examples
    --------
    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Cell:
    """A paired comparison: pretrained encoder against random initialisation, the same in all else.

    Parameters
    ----------
    dataset : str
        A name of `medssl.data.available()`.
    n_labelled : int or None
        Label budget; None means every label of the training split.
    seed : int
        Draws the subset, the weights, the pretraining and the head, for both arms.
    pretrain, transfer, selection
        Configurations; their defaults are the protocol.
    dataset_options : tuple of (str, value)
        Options of a generated source.
    """

    dataset: str
    n_labelled: int | None
    seed: int
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    transfer: TransferConfig = field(default_factory=TransferConfig)
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    dataset_options: tuple[tuple[str, float | int], ...] = ()

    def to_dict(self) -> dict:
        """Return plain nested data, as it stands in the record."""
        return json.loads(json.dumps(asdict(self)))

    @property
    def record_id(self) -> str:
        """Readable name with a hash of the whole configuration."""
        count = "all" if self.n_labelled is None else f"{self.n_labelled:05d}"
        words = (self.dataset, self.pretrain.method, self.transfer.adaptation, count, f"s{self.seed:02d}")
        return "-".join(words) + "-" + digest(self.to_dict())

    @property
    def pretraining_id(self) -> str:
        """Identifies the encoder: cells that differ only in labels share it."""
        config = self.to_dict()
        parts = {key: config[key] for key in ("dataset", "dataset_options", "pretrain", "seed")}
        return f"{self.dataset}-{self.pretrain.method}-s{self.seed:02d}-{digest(parts)}"

    def arm_id(self, arm: str) -> str:
        """Identify one arm's test predictions; the comparator is shared by all methods."""
        config = self.to_dict()
        if arm == "comparator":
            config["pretrain"] = {"encoder": self.pretrain.encoder}
        elif arm != "ssl":
            raise UsageError(f"unknown arm {arm!r}: 'ssl' or 'comparator'.")
        return f"{arm}-{self.dataset}-s{self.seed:02d}-{digest(config)}"


def from_dict(config: dict) -> Cell:
    """Rebuild a cell from a record; an unknown key raises `UsageError`.

    Examples
    --------
    >>> cell = Cell("phantom_xray", 20, 0)
    >>> from_dict(cell.to_dict()) == cell
    True
    """
    try:
        return Cell(
            **{
                **config,
                "pretrain": PretrainConfig(**config["pretrain"]),
                "transfer": TransferConfig(**config["transfer"]),
                "selection": SelectionConfig(
                    **{**config["selection"], "learning_rates": tuple(config["selection"]["learning_rates"])}
                ),
                "dataset_options": tuple(tuple(pair) for pair in config["dataset_options"]),
            }
        )
    except (TypeError, KeyError) as error:
        raise UsageError(f"not the configuration of a cell: {error}") from error
