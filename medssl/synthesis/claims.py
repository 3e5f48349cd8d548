"""Claims as records: a stratum and a term in a file, numbers, grade and sentence from the model."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import pandas as pd
import yaml

from medssl.errors import DataError, UsageError
from medssl.evidence import Grade, grade
from medssl.meta import leave_one_out, multilevel
from medssl.synthesis.stratum import LEAST_CLUSTERS, RHO, pool

__all__ = ["ALLOWED", "Claim", "Finding", "assess", "claims", "sentence", "signed"]

FIELDS = ("id", "metric", "comparator", "modality", "term", "subject", "caveats")
ALLOWED = {
    "metric": ("AUC", "Dice"),
    "comparator": ("random", "imagenet_supervised", "other_supervised"),
    "modality": ("all", "xray", "ct", "mri", "ultrasound"),
    "term": ("mean", "slope"),
}
# what a grade allows a sentence to say; nothing stronger may stand on a page
VERBS = {
    "strong": "raises the {metric}, also in most new studies:",
    "moderate": "raises the {metric} on average, by more than the minimal important gain:",
    "weak": "raises the {metric} on average, perhaps by less than matters:",
    "insufficient": "has not been shown to change the {metric}:",
    "against": "lowers the {metric}:",
}
SLOPE_VERBS = {
    "strong": "shrinks, also in most new studies:",
    "moderate": "shrinks by more than the minimal important gain:",
    "weak": "shrinks:",
    "insufficient": "has not been shown to change:",
    "against": "grows:",
}


@dataclass(frozen=True)
class Claim:
    """An entry of `claims.yml`."""

    id: str
    metric: str
    comparator: str
    modality: str
    term: str
    subject: str
    caveats: str


@dataclass(frozen=True, eq=False)
class Finding:
    """A claim with what the data say of it.

    Attributes
    ----------
    claim : Claim
    estimate, ci_low, ci_high, pi_low, pi_high, df : float
        Of the mean gain, or of its change for each tenfold label ratio; NaN where nothing was fitted. A
        slope has no prediction interval.
    effects, clusters : int
        What it rests on.
    grade : Grade
    """

    claim: Claim
    estimate: float
    ci_low: float
    ci_high: float
    pi_low: float
    pi_high: float
    df: float
    effects: int
    clusters: int
    grade: Grade

    @property
    def text(self) -> str:
        """The whole claim: sentence with interval, grade with its reason, caveat."""
        return f"{sentence(self)} {self.claim.caveats}"


@cache
def claims() -> tuple[Claim, ...]:
    """Return the claims of the survey.

    Raises
    ------
    DataError
        An entry lacks a field, has an unknown one or an unknown value, or an id occurs twice.

    Examples
    --------
    >>> claims()[0].id
    'random_auc_all'
    """
    return parse_claims(files("medssl.synthesis").joinpath("claims.yml").read_text(encoding="utf-8"))


def parse_claims(text: str) -> tuple[Claim, ...]:
    """Read claims from YAML text and check every field."""
    found = []
    for number, entry in enumerate(yaml.safe_load(text) or []):
        name = f"claim {entry.get('id', number + 1) if isinstance(entry, dict) else number + 1}"
        if not isinstance(entry, dict) or set(entry) != set(FIELDS):
            raise DataError(f"{name}: it needs exactly the fields {', '.join(FIELDS)}.")
        for field, allowed in ALLOWED.items():
            if entry[field] not in allowed:
                raise DataError(
                    f"{name}: {field} is {entry[field]!r}; it must be one of {', '.join(allowed)}."
                )
        found.append(Claim(**entry))
    ids = [claim.id for claim in found]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise DataError(f"claim {twice[0]} occurs twice; give each claim an id of its own.")
    return tuple(found)


def select(effects: pd.DataFrame, claim: Claim) -> pd.DataFrame:
    """Return the effects of the stratum of a claim."""
    part = effects[(effects["metric"] == claim.metric) & (effects["comparator"] == claim.comparator)]
    return part if claim.modality == "all" else part[part["modality"] == claim.modality]


def assess(claim: Claim, effects: pd.DataFrame, *, rho: float = RHO) -> Finding:
    """Fit the stratum of a claim and grade it.

    Parameters
    ----------
    claim : Claim
    effects : DataFrame
        As `medssl.evidence.effects` returns them.
    rho : float
        Sampling correlation within clusters.

    Raises
    ------
    UsageError
        The stratum is empty.

    Examples
    --------
    >>> from medssl.evidence import effects
    >>> finding = assess(claims()[0], effects())
    >>> finding.grade.name, finding.clusters
    ('moderate', 18)
    """
    part = select(effects, claim)
    if part.empty:
        raise UsageError(f"claim {claim.id} has no effects; remove it or change its stratum.")
    return _slope(claim, part, rho) if claim.term == "slope" else _mean(claim, part, rho)


def _mean(claim: Claim, part: pd.DataFrame, rho: float) -> Finding:
    stratum = pool(part, claim.id, rho=rho)
    row = stratum.row()
    numbers = [row[name] for name in ("estimate", "ci_low", "ci_high", "pi_low", "pi_high", "df")]
    return Finding(claim, *numbers, len(part), stratum.clusters, stratum.grade)


def _slope(claim: Claim, part: pd.DataFrame, rho: float) -> Finding:
    known = part[np.isfinite(part["log10_label_ratio"])]
    clusters = known["cluster_id"].nunique()
    if clusters < LEAST_CLUSTERS:
        none = grade(
            confidence=(0, 0), prediction=None, clusters=clusters, sign_changes=False, strong_weight=0
        )
        return Finding(claim, *[np.nan] * 6, len(known), clusters, none)
    ratio = known[["log10_label_ratio"]]
    robust = multilevel(known["yi"], known["vi"], known["cluster_id"], ratio, rho=rho).robust()
    low, high = robust.ci_low[1], robust.ci_high[1]
    without = leave_one_out(known["yi"], known["vi"], ratio, cluster=known["cluster_id"], rho=rho)
    changes = without.loc[without["term"] == "log10_label_ratio", "sign_changes"].any()
    graded = grade(  # the claim is that the gain shrinks, so the sign is turned
        confidence=(-high, -low),
        prediction=None,
        clusters=clusters,
        sign_changes=bool(changes),
        strong_weight=0.0,
    )
    return Finding(
        claim, robust.coef[1], low, high, np.nan, np.nan, robust.df[1], len(known), clusters, graded
    )


def sentence(finding: Finding) -> str:
    """Return the claim in words that its grade allows.

    Examples
    --------
    >>> from medssl.evidence import effects
    >>> by_id = {claim.id: claim for claim in claims()}
    >>> print(sentence(assess(by_id["random_dice_ultrasound"], effects())).split("pretraining ")[1])
    cannot be judged: the evidence is insufficient (it rests on 2 independent clusters).
    """
    claim, graded = finding.claim, finding.grade
    reason = f"the evidence is {graded.name} ({graded.reason})."
    if not np.isfinite(finding.estimate):
        return f"{claim.subject} cannot be judged: {reason}"
    verbs = SLOPE_VERBS if claim.term == "slope" else VERBS
    limits = f"{signed(finding.estimate)} (95% CI {signed(finding.ci_low)} to {signed(finding.ci_high)}"
    if np.isfinite(finding.pi_low):
        limits += f"; a new study {signed(finding.pi_low)} to {signed(finding.pi_high)}"
    basis = f"{finding.effects} effects in {finding.clusters} clusters"
    return f"{claim.subject} {verbs[graded.name].format(metric=claim.metric)} {limits}; {basis}); {reason}"


def signed(value: float) -> str:
    """Write a gain with its sign and three decimals, zero without a sign."""
    rounded = round(float(value), 3)
    return f"{abs(rounded):.3f}" if rounded == 0 else f"{'+' if rounded > 0 else '−'}{abs(rounded):.3f}"
