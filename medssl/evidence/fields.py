"""The columns of the evidence table: what each holds, and which values it may take."""

from dataclasses import dataclass

__all__ = ["COLUMNS", "FIELDS", "METRICS_OF_TASK", "NUMERIC", "STUDY_COLUMNS", "Field"]


@dataclass(frozen=True)
class Field:
    """One column.

    Attributes
    ----------
    name, help : str
        The column and what it holds.
    required : bool
        Whether a blank cell is an error; a blank means "the source does not say".
    allowed : tuple of str
        The values of a category; empty for free text and numbers.
    low, high : float or None
        Limits of a number, `low` excluded where `open` is true.
    whole : bool
        Whether the number counts something.
    open : bool
        Whether `low` itself is refused.
    """

    name: str
    help: str
    required: bool = True
    allowed: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    whole: bool = False
    open: bool = False


def _text(name, help, required=True):
    return Field(name, help, required)


def _choice(name, help, allowed, required=True):
    return Field(name, help, required, allowed=tuple(allowed.split()))


def _count(name, help):
    return Field(name, help, required=False, low=1, high=1e9, whole=True)


FIELDS = (
    _text("effect_id", "stable id such as E0001"),
    _text("cluster_id", "the unit of independence: rows that share data, a comparator run or authors' runs"),
    _text("study_id", "the study, such as sowrirajan2021_mococxr"),
    _text("first_author", "family name of the first author", required=False),
    Field("year", "year of publication", required=False, low=2000, high=2100, whole=True),
    _text("title", "title of the study"),
    _text("venue", "journal, conference or place of publication", required=False),
    _text("doi_or_arxiv", "DOI, arXiv number or another identifier", required=False),
    _choice("modality", "kind of image", "xray ct mri ultrasound"),
    _choice("task_type", "kind of task", "classification segmentation detection"),
    _text("task", "the diagnostic task"),
    _text("ssl_method", "the pretraining method"),
    _choice(
        "ssl_family", "its family", "contrastive noncontrastive generative predictive hybrid", required=False
    ),
    _text("architecture", "the network; both, where the arms differ", required=False),
    _text("pretrain_data", "images of the pretraining", required=False),
    _count("n_pretrain_unlabelled", "how many images were pretrained on"),
    _choice(
        "init_before_ssl",
        "weights before the pretraining",
        "random imagenet other_supervised",
        required=False,
    ),
    _text("downstream_data", "data set of the task", required=False),
    Field(
        "label_fraction",
        "labels used by both arms / all labelled training images",
        False,
        (),
        0,
        1,
        open=True,
    ),
    _count("n_labelled", "labels used by both arms"),
    _count("n_test", "test cases"),
    _choice(
        "metric",
        "the score, from 0 to 1",
        "AUC Dice Dice_incl_background accuracy balanced_accuracy IoU mAP AP PICAI_score",
    ),
    _choice("baseline_type", "weights of the comparator", "random imagenet_supervised other_supervised"),
    Field("baseline_value", "score of the comparator", low=0, high=1),
    _text("baseline_sd_or_ci", "its dispersion as printed, such as SD 0.01 (5 runs)", required=False),
    Field("ssl_value", "score with pretraining", low=0, high=1),
    _text("ssl_sd_or_ci", "its dispersion as printed", required=False),
    _count("n_runs", "runs, seeds or folds behind each value"),
    _choice("public_data", "whether outsiders can get the task's data", "yes no", required=False),
    _text("source", "where the numbers were read"),
    _text("source_locator", "table, figure and page"),
    _choice("confidence", "trust in the transcription", "high medium low"),
    _choice("extraction", "how the numbers were read", "printed digitised second_hand computed"),
    _choice("adaptation", "how the networks were adapted", "both_finetuned both_frozen ssl_frozen_only"),
    _choice("supervision", "signal of the pretraining", "self weak_metadata weak_labels"),
    _choice("pool", "which analysis the row enters", "primary sensitivity natural_images excluded"),
    _text("pool_reason", "why it is not in the primary pool", required=False),
)

COLUMNS = [field.name for field in FIELDS]
NUMERIC = [field.name for field in FIELDS if field.low is not None]
STUDY_COLUMNS = ["cluster_id", "study_id", "first_author", "year", "title", "venue", "doi_or_arxiv"]

METRICS_OF_TASK = {
    "classification": ("AUC", "accuracy", "balanced_accuracy"),
    "segmentation": ("Dice", "Dice_incl_background", "IoU"),
    "detection": ("mAP", "AP", "PICAI_score", "AUC"),
}
