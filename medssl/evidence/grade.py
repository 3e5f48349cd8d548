"""What a claim may say: a verdict from its interval, and a grade from a stated rule."""

from dataclasses import dataclass

from medssl.errors import UsageError

__all__ = ["MINIMAL_GAIN", "Grade", "grade", "importance", "verdict"]

MINIMAL_GAIN = 0.01  # AUC or Dice; smaller differences are not worth a pretraining run


@dataclass(frozen=True)
class Grade:
    """A grade and the sentence that says why."""

    name: str
    reason: str


def grade(
    *,
    confidence: tuple[float, float],
    prediction: tuple[float, float] | None,
    clusters: int,
    sign_changes: bool,
    strong_weight: float,
) -> Grade:
    """Grade a claimed gain by the rule of the survey.

    Parameters
    ----------
    confidence, prediction : (low, high)
        95% intervals of the mean gain and of the gain in a new study.
    clusters : int
        Independent clusters behind the estimate.
    sign_changes : bool
        Whether leaving out one cluster changes the sign.
    strong_weight : float
        Share of the weight, 0..1, whose variance rests on paired intervals, runs or test intervals.

    Returns
    -------
    Grade
        `against`: the confidence interval is below 0, from at least 3 clusters.
        `insufficient`: under 3 clusters, or the interval includes 0.
        `strong`: the prediction interval is above 0, at least 10 clusters, no change of sign when one
        is left out, at least half of the weight strong.
        `moderate`: the confidence interval is above the minimal gain, and at least 5 clusters.
        `weak`: the confidence interval is above 0.

    Raises
    ------
    UsageError
        An interval whose limits are in the wrong order.

    Examples
    --------
    >>> facts = dict(prediction=None, sign_changes=False, strong_weight=1.0)
    >>> grade(confidence=(0.02, 0.04), clusters=6, **facts).name
    'moderate'
    >>> grade(confidence=(0.02, 0.04), clusters=1, **facts).name
    'insufficient'
    """
    low, high = confidence
    if low > high or (prediction is not None and prediction[0] > prediction[1]):
        raise UsageError("an interval is written (low, high).")
    if clusters < 3:
        return Grade("insufficient", f"it rests on {clusters} independent cluster{'s' * (clusters != 1)}")
    if high < 0:
        return Grade("against", "the confidence interval lies below zero")
    if low <= 0:
        return Grade("insufficient", "the confidence interval includes zero")
    if prediction and prediction[0] > 0 and clusters >= 10 and not sign_changes and strong_weight >= 0.5:
        return Grade("strong", "the prediction interval lies above zero and no single cluster decides")
    if low > MINIMAL_GAIN and clusters >= 5:
        return Grade("moderate", "the confidence interval lies above the minimal important gain")
    return Grade("weak", "the confidence interval lies above zero")


def verdict(low: float, high: float) -> str:
    """Say in words what an interval of a gain shows.

    Examples
    --------
    >>> verdict(-0.01, 0.02), verdict(0.001, 0.02), verdict(-0.02, -0.01)
    ('no clear difference', 'a gain', 'a loss')
    """
    if low > high:
        raise UsageError("an interval is written (low, high).")
    return "a gain" if low > 0 else "a loss" if high < 0 else "no clear difference"


def importance(low: float, high: float, minimal: float = MINIMAL_GAIN) -> str:
    """Say whether an interval of a gain lies below, above or around the minimal important gain.

    Examples
    --------
    >>> importance(0.001, 0.005), importance(0.02, 0.03), importance(0.0, 0.03)
    ('smaller than', 'larger than', 'not clearly different from')
    """
    if low > high:
        raise UsageError("an interval is written (low, high).")
    return (
        "smaller than" if high < minimal else "larger than" if low > minimal else "not clearly different from"
    )
