"""One cell of a grid: everything that decides its result, as frozen data."""

import hashlib
import json
from dataclasses import asdict, dataclass, field

from medssl.errors import UsageError
from medssl.training.pretrain import PretrainConfig
from medssl.training.segmentation import SegmentationConfig
from medssl.training.selection import SelectionConfig
from medssl.training.transfer import TransferConfig

__all__ = ["COMPARATORS", "Cell", "digest", "from_dict"]

COMPARATORS = ("random", "compute_matched", "supervised", "imagenet")
# those whose every layer has weights from ImageNet
WITH_IMAGENET = ("resnet18_large_stem", "resnet50_large_stem")

# fields that came later: at their default they are left out, so that older records keep their names
_LATER = {
    "comparator": "random", "supervised_on": None, "pool": 1.0, "pretrain_on": None, "subset": None,
    "corruptions": False, "crop": None,
}  # fmt: skip


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
    """A paired comparison: pretrained encoder against a comparator, the same in all else.

    Parameters
    ----------
    dataset : str
        A name of `medssl.data.available()`.
    n_labelled : int or None
        Label budget; None means every label of the training split.
    seed : int
        Draws the subset, the weights, the pretraining and the head, for both arms.
    pretrain, transfer, selection
        Configurations; their defaults are the protocol. A `SegmentationConfig` in place of a
        `TransferConfig` makes a cell of volumes with masks; it has one learning rate, so nothing is selected.
    dataset_options : tuple of (str, value)
        Options of a generated source.
    comparator : str
        "random" initialisation; "compute_matched", the same with as many more training steps as pretraining
        passed images; "supervised", an encoder that learned the labels of `supervised_on`; "imagenet", what
        `medssl.training.imagenet` finds on this machine for "resnet18_large_stem" or "resnet50_large_stem".
    supervised_on : str, optional
        Data set of the supervised comparator.
    pool : float
        Share of the unlabelled images that pretraining sees; of one seed a larger one contains a smaller.
    pretrain_on : str, optional
        Data set whose images pretraining sees; the cell's own without it.
    subset : int, optional
        Draws the labelled subset in place of the seed, to tell their variation apart.
    corruptions : bool
        Also score the test images with graded noise, blur, contrast, bias field and gain.
    crop : tuple of int, optional
        Depth, height and width in voxels of the random part of a volume that pretraining sees.
    """

    dataset: str
    n_labelled: int | None
    seed: int
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    transfer: TransferConfig | SegmentationConfig = field(default_factory=TransferConfig)
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    dataset_options: tuple[tuple[str, float | int], ...] = ()
    comparator: str = "random"
    supervised_on: str | None = None
    pool: float = 1.0
    pretrain_on: str | None = None
    subset: int | None = None
    corruptions: bool = False
    crop: tuple[int, int, int] | None = None

    def __post_init__(self):
        if self.comparator not in COMPARATORS:
            raise UsageError(
                f"unknown comparator {self.comparator!r}: choose one of {', '.join(COMPARATORS)}."
            )
        if (self.comparator == "supervised") != (self.supervised_on is not None):
            raise UsageError("a supervised comparator needs supervised_on, and no other comparator has it.")
        if self.comparator == "imagenet" and self.pretrain.encoder not in WITH_IMAGENET:
            raise UsageError(
                f"no weights from ImageNet for encoder {self.pretrain.encoder!r}: "
                f"choose one of {', '.join(WITH_IMAGENET)}."
            )
        if not 0 < self.pool <= 1:
            raise UsageError(f"pool must be above 0 and at most 1, got {self.pool}.")
        if self.segments and (self.comparator != "random" or self.corruptions):
            raise UsageError("a segmentation is compared with random initialisation, on images as they are.")

    @property
    def segments(self) -> bool:
        """Whether the task is to segment volumes."""
        return isinstance(self.transfer, SegmentationConfig)

    def to_dict(self) -> dict:
        """Return plain nested data, as it stands in the record."""
        whole = json.loads(json.dumps(asdict(self)))
        return {key: value for key, value in whole.items() if key not in _LATER or value != _LATER[key]}

    @property
    def record_id(self) -> str:
        """Readable name with a hash of the whole configuration."""
        count = "all" if self.n_labelled is None else f"{self.n_labelled:05d}"
        words = (self.dataset, self.pretrain.method, self.transfer.adaptation, count, f"s{self.seed:02d}")
        words += () if self.comparator == "random" else (self.comparator,)
        return "-".join(words) + "-" + digest(self.to_dict())

    @property
    def pool_dataset(self) -> tuple[str, tuple]:
        """Name and options of the data set whose images pretraining sees."""
        return (self.pretrain_on, ()) if self.pretrain_on else (self.dataset, self.dataset_options)

    @property
    def pretraining_id(self) -> str:
        """Identifies the encoder: cells that differ only in labels share it."""
        config, (name, options) = self.to_dict(), self.pool_dataset
        parts = {"dataset": name, "dataset_options": [list(pair) for pair in options]}
        parts |= {"pretrain": config["pretrain"], "seed": self.seed}
        parts |= {"pool": self.pool} if self.pool < 1 else {}
        parts |= {"crop": config["crop"]} if self.crop else {}
        return f"{name}-{self.pretrain.method}-s{self.seed:02d}-{digest(parts)}"

    def arm_id(self, arm: str) -> str:
        """Identify one arm's test predictions; all methods share a comparator, all comparators an arm."""
        config = self.to_dict()
        if arm == "ssl":
            dropped = ("comparator", "supervised_on")
        elif arm == "comparator":
            dropped = ("pool", "pretrain_on", "crop")
            config["pretrain"] = self._of_comparator()
        else:
            raise UsageError(f"unknown arm {arm!r}: 'ssl' or 'comparator'.")
        config = {key: value for key, value in config.items() if key not in dropped}
        return f"{arm}-{self.dataset}-s{self.seed:02d}-{digest(config)}"

    def _of_comparator(self):
        """Return what the comparator takes from the pretraining: its encoder, or also its cost."""
        taken = ("encoder", "epochs", "batch_size") if self.comparator == "compute_matched" else ("encoder",)
        return {key: value for key, value in asdict(self.pretrain).items() if key in taken}


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
                **_sides(config),
                "pretrain": PretrainConfig(**config["pretrain"]),
                "transfer": _transfer(config["transfer"]),
                "selection": SelectionConfig(
                    **{**config["selection"], "learning_rates": tuple(config["selection"]["learning_rates"])}
                ),
                "dataset_options": tuple(tuple(pair) for pair in config["dataset_options"]),
            }
        )
    except (TypeError, KeyError) as error:
        raise UsageError(f"not the configuration of a cell: {error}") from error


def _sides(config: dict) -> dict:
    """Return the sides of a crop as a tuple again."""
    return {"crop": tuple(config["crop"])} if config.get("crop") else {}


def _transfer(config: dict) -> TransferConfig | SegmentationConfig:
    """Return the configuration of the task, which a classification names."""
    if "adaptation" in config:
        return TransferConfig(**config)
    return SegmentationConfig(**{**config, **_sides(config)})
