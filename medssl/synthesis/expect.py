"""What gain to expect: one modality, one comparator, one label ratio, with the certainty that there is."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from medssl.errors import UsageError
from medssl.evidence import MINIMAL_GAIN, Grade, effects
from medssl.meta import probability_of_gain
from medssl.synthesis.central import CentralModel, central_model
from medssl.synthesis.claims import ALLOWED, signed
from medssl.synthesis.stratum import Stratum, pool

__all__ = ["COMPARATORS", "MODALITIES", "Expectation", "expect", "expectations"]

MODALITIES = {"xray": "X-ray", "ct": "CT", "mri": "MRI", "ultrasound": "ultrasound"}
COMPARATORS = {
    "random": "random initialisation",
    "imagenet_supervised": "supervised ImageNet weights",
    "other_supervised": "other supervised pretraining",
}
TRUSTED = 4.0  # degrees of freedom; below it a t interval of robust errors misleads (Tipton 2015)


@dataclass(frozen=True)
class Expectation:
    """An expected gain.

    Attributes
    ----------
    modality, comparator, metric : str
        The question.
    ratio : float or None
        Labelled / unlabelled images; None for the mean over the published ratios.
    estimate, ci_low, ci_high, pi_low, pi_high, df : float
        Mean gain, its robust 95% interval, that of a new study, degrees of freedom; NaN if nothing is known.
    p_gain, p_minimal : float
        Probability that a new study gains more than 0, and more than the minimal important gain.
    effects, clusters : int
        What the stratum of this modality and comparator holds.
    source : {"line in the ratio", "stratum mean", "nothing"}
        Where the numbers come from.
    grade : Grade
        Of the claim that the gain of this stratum is positive.
    caution : str
        Why to be careful, or an empty text.
    """

    modality: str
    comparator: str
    metric: str
    ratio: float | None
    estimate: float
    ci_low: float
    ci_high: float
    pi_low: float
    pi_high: float
    df: float
    p_gain: float
    p_minimal: float
    effects: int
    clusters: int
    source: str
    grade: Grade
    caution: str

    @property
    def text(self) -> str:
        """The answer in two or three sentences."""
        where = f"{MODALITIES[self.modality]}, {self.metric}, against {COMPARATORS[self.comparator]}"
        at = (
            ""
            if self.ratio is None or self.source != "line in the ratio"
            else f" at a label ratio of {self.ratio:.3g}"
        )
        many = "cluster" if self.clusters == 1 else "clusters"
        basis = f"{self.effects} published effects in {self.clusters} {many}"
        graded = f"The evidence of this stratum ({basis}) is {self.grade.name}: {self.grade.reason}."
        if self.source == "nothing":
            return f"{where}: no gain can be stated. {graded}"
        numbers = (
            f"{signed(self.estimate)} (95% CI {signed(self.ci_low)} to {signed(self.ci_high)}), "
            f"a new study {signed(self.pi_low)} to {signed(self.pi_high)}"
        )
        odds = (
            f"It gains more than 0 with probability {self.p_gain:.2f} and more than {MINIMAL_GAIN:g} with "
            f"probability {self.p_minimal:.2f}."
        )
        caution = f" Caution: {self.caution}." if self.caution else ""
        return f"{where}{at}: expect {numbers}. {odds} {graded}{caution}"


def expect(
    modality: str, comparator: str, *, metric: str = "AUC", ratio: float | None = None,
    labelled: float | None = None, unlabelled: float | None = None,
) -> Expectation:  # fmt: skip
    """Return the gain to expect from the published evidence.

    Parameters
    ----------
    modality : {"xray", "ct", "mri", "ultrasound"}
    comparator : {"random", "imagenet_supervised", "other_supervised"}
        What pretraining would replace.
    metric : {"AUC", "Dice"}
    ratio : float, optional
        Labelled / unlabelled images, positive.
    labelled, unlabelled : float, optional
        The two numbers of images instead of their ratio.

    Returns
    -------
    Expectation
        With a ratio, the straight line in the ratio with modality as a factor, fitted to this comparator
        alone, where ten clusters or more have a known ratio; else the mean of the stratum; else no number.

    Raises
    ------
    UsageError
        An unknown name, a ratio that is not positive, one of the two numbers without the other.

    Examples
    --------
    >>> found = expect("xray", "random", labelled=500, unlabelled=50_000)
    >>> found.source, found.clusters
    ('line in the ratio', 5)
    >>> expect("ultrasound", "random").source
    'nothing'
    """
    for field, value in (("modality", modality), ("comparator", comparator), ("metric", metric)):
        allowed = [name for name in ALLOWED[field] if name != "all"]
        if value not in allowed:
            raise UsageError(f"{field} is {value!r}; it must be one of {', '.join(allowed)}.")
    ratio = _ratio(ratio, labelled, unlabelled)
    stratum = _stratum(metric, comparator, modality)
    model = _model(metric, comparator)
    if ratio is not None and _covers(model, modality):
        return _from_model(model, stratum, modality, comparator, metric, ratio)
    return _from_stratum(stratum, modality, comparator, metric, ratio)


def expectations(metric: str = "AUC", ratios=(0.001, 0.01, 0.1, 1.0)) -> pd.DataFrame:
    """Return one row for each modality, comparator and ratio, and one for the mean of each stratum."""
    rows = [
        vars(expect(modality, comparator, metric=metric, ratio=ratio))
        for modality in MODALITIES for comparator in COMPARATORS for ratio in (None, *ratios)
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    return table.assign(
        grade=[grade.name for grade in table["grade"]], reason=[g.reason for g in table["grade"]]
    )


def _ratio(ratio, labelled, unlabelled) -> float | None:
    if (labelled is None) != (unlabelled is None):
        raise UsageError("give both the labelled and the unlabelled images, or their ratio.")
    if labelled is not None:
        if ratio is not None:
            raise UsageError("give the two numbers of images or their ratio, not both.")
        if not unlabelled > 0:
            raise UsageError(f"unlabelled is {unlabelled}; it must be positive.")
        ratio = labelled / unlabelled
    if ratio is not None and not (np.isfinite(ratio) and ratio > 0):
        raise UsageError(f"the label ratio is {ratio}; labelled / unlabelled images must be positive.")
    return ratio


@cache
def _stratum(metric: str, comparator: str, modality: str) -> Stratum:
    found = effects()
    mask = (found["metric"] == metric) & (found["comparator"] == comparator) & (found["modality"] == modality)
    return pool(found[mask])


@cache
def _model(metric: str, comparator: str) -> CentralModel:
    """The gain against ratio and modality for one comparator: comparators are never pooled here."""
    found = effects()
    part = found[(found["metric"] == metric) & (found["comparator"] == comparator)]
    return central_model(part, factors=("modality",))


def _covers(model: CentralModel, modality: str) -> bool:
    return model.shape is not None and bool((model.effects["modality"] == modality).any())


def _from_model(model, stratum, modality, comparator, metric, ratio) -> Expectation:
    x = np.log10(ratio)
    row = model.rows_at(x, modality=modality)
    fit = model.shape.line
    numbers = fit.robust().predict(row[:, 1:]).iloc[0]
    odds = [probability_of_gain(fit, m, row[:, 1:])["probability"].iloc[0] for m in (0.0, MINIMAL_GAIN)]
    return _answer(
        modality, comparator, metric, ratio, numbers, odds, stratum, "line in the ratio",
        [*_range_caution(model, modality, x), *_caution(numbers.df)],
    )  # fmt: skip


def _range_caution(model, modality: str, x: float) -> list[str]:
    seen = model.effects.loc[model.effects["modality"] == modality, model.x]
    if seen.min() <= x <= seen.max():
        return []
    return [
        f"published ratios of this modality run from {10 ** seen.min():.2g} to {10 ** seen.max():.2g} only"
    ]


def _from_stratum(stratum, modality, comparator, metric, ratio) -> Expectation:
    if stratum.fit is None:
        nothing = pd.Series(np.nan, index=["estimate", "ci_low", "ci_high", "pi_low", "pi_high", "df"])
        return _answer(modality, comparator, metric, ratio, nothing, [np.nan] * 2, stratum, "nothing", [])
    row = stratum.row()
    caution = _caution(row["df"])
    if ratio is not None:
        caution.append(
            "too few clusters to say how the gain changes with the ratio; this is the mean over ratios"
        )
    odds = [row["p_gain"], row["p_minimal"]]
    return _answer(
        modality, comparator, metric, ratio, pd.Series(row), odds, stratum, "stratum mean", caution
    )


def _caution(df: float) -> list[str]:
    return [f"the interval rests on {df:.1f} degrees of freedom"] if df < TRUSTED else []


def _answer(modality, comparator, metric, ratio, numbers, odds, stratum, source, caution) -> Expectation:
    names = ("estimate", "ci_low", "ci_high", "pi_low", "pi_high", "df")
    return Expectation(
        modality, comparator, metric, ratio, *(float(numbers[name]) for name in names),
        *(float(value) for value in odds), len(stratum.effects), stratum.clusters, source, stratum.grade,
        "; ".join(caution),
    )  # fmt: skip
