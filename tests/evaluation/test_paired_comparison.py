"""The paired bootstrap and DeLong's variance against each other, loops and closed forms."""

import numpy as np
import pytest

from medssl.errors import UsageError
from medssl.evaluation import METRICS, area_under_curve, delong_difference, paired_bootstrap


def two_models(n=200, seed=0, shared=0.7):
    """Labels and the correlated probabilities of two models, the first one better."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    common = random.normal(size=n)
    arms = []
    for strength in (1.4, 0.8):
        score = strength * labels + shared * common + random.normal(size=n)
        positive = 1 / (1 + np.exp(-score))
        arms.append(np.stack([1 - positive, positive], 1))
    return labels, *arms


@pytest.mark.parametrize("metric", METRICS)
def test_identical_models_have_no_gain_and_no_width(metric):
    """Both models are scored on the same resampled cases, so equal models never differ."""
    labels, first, _ = two_models()
    gain = paired_bootstrap(labels, first, first.copy(), metric=metric, repeats=50)
    assert (gain.value, gain.standard_error, gain.ci_low, gain.ci_high) == (0, 0, 0, 0)


@pytest.mark.parametrize("metric", METRICS)
def test_exchanging_the_models_changes_the_sign(metric):
    """Gain and interval are mirrored, the error stays."""
    labels, first, second = two_models()
    there = paired_bootstrap(labels, first, second, metric=metric, repeats=300)
    back = paired_bootstrap(labels, second, first, metric=metric, repeats=300)
    assert back.value == -there.value
    assert back.standard_error == pytest.approx(there.standard_error)
    assert (back.ci_low, back.ci_high) == pytest.approx((-there.ci_high, -there.ci_low))


@pytest.mark.parametrize("metric", METRICS)
def test_the_gain_is_the_difference_of_the_scores(metric):
    """The value is that of the cases as they are, inside its interval."""
    labels, first, second = two_models()
    gain = paired_bootstrap(labels, first, second, metric=metric, repeats=300)
    expected = METRICS[metric](labels, first)[0] - METRICS[metric](labels, second)[0]
    assert gain.value == pytest.approx(expected)
    assert gain.ci_low < gain.value < gain.ci_high
    assert gain.repeats == 300


def test_the_error_is_that_of_delong():
    """On simulated models of different correlation the bootstrap's error is DeLong's within 15 percent."""
    for seed, shared in ((0, 0.7), (1, 0.0), (2, 2.0)):
        labels, first, second = two_models(300, seed, shared)
        difference, error = delong_difference(labels == 1, first[:, 1], second[:, 1])
        gain = paired_bootstrap(labels, first, second, repeats=1500)
        assert gain.value == pytest.approx(difference)
        assert gain.standard_error == pytest.approx(error, rel=0.15)


def test_pairing_narrows_the_interval():
    """Models that agree on difficult cases are compared more exactly than independent ones."""
    paired, alone = (
        paired_bootstrap(*two_models(300, 4, shared), repeats=500).standard_error for shared in (3.0, 0.0)
    )
    assert paired < alone


def test_the_seed_decides():
    """The same seed gives the same interval, another seed another one; the value is no matter of chance."""
    labels, first, second = two_models()
    once, again, other = (paired_bootstrap(labels, first, second, repeats=300, seed=s) for s in (1, 1, 2))
    assert once == again
    assert once.standard_error != other.standard_error
    assert once.value == other.value


def test_a_wider_level_has_a_wider_interval():
    """The percentiles follow the level."""
    labels, first, second = two_models()
    narrow, wide = (
        paired_bootstrap(labels, first, second, repeats=400, level=level) for level in (0.5, 0.99)
    )
    assert wide.ci_low < narrow.ci_low < narrow.ci_high < wide.ci_high


def test_every_resample_keeps_every_class():
    """Without patients cases are resampled within classes, so a class of two images never vanishes."""
    labels, first, second = two_models(60)
    rare = np.flatnonzero((labels == 0) | (np.arange(60) < 4))
    assert (labels[rare] == 1).sum() == 2
    assert paired_bootstrap(labels[rare], first[rare], second[rare], repeats=300).repeats == 300


def test_copies_of_an_image_are_one_patient():
    """With four copies of each image the patient's interval is twice that of counting copies as cases."""
    labels, first, second = two_models(150)
    copied = [np.repeat(array, 4, 0) for array in (labels, first, second)]
    patients = np.repeat(np.arange(150), 4)
    alone = paired_bootstrap(labels, first, second, repeats=1500)
    whole = paired_bootstrap(*copied, repeats=1500, groups=patients)
    naive = paired_bootstrap(*copied, repeats=1500)
    assert whole.standard_error == pytest.approx(alone.standard_error, rel=0.12)
    assert whole.standard_error == pytest.approx(2 * naive.standard_error, rel=0.12)
    assert whole.value == pytest.approx(naive.value)


def test_images_of_a_patient_stay_together(monkeypatch):
    """All images of a patient have one weight, and as many patients are drawn as there are."""
    labels, first, second = two_models(90)
    patients, seen = np.arange(90) // 3 * 7, []

    def spy(labels, probabilities, weights=None):
        if weights is not None:
            seen.append(weights)
        return area_under_curve(labels, probabilities, weights)

    monkeypatch.setitem(METRICS, "spy", spy)
    paired_bootstrap(labels, first, second, metric="spy", repeats=20, groups=patients)
    weights = np.concatenate(seen).reshape(-1, 30, 3)
    assert (weights == weights[:, :, :1]).all()
    assert (weights[:, :, 0].sum(1) == 30).all()


def test_resamples_of_patients_that_lack_a_class_are_left_out():
    """They have no score; the number of repeats says how many remain."""
    labels, first, second = two_models(12)
    patients = np.array([0, 1, 0, 1, 2, 3, 2, 3, 2, 3, 2, 3])
    gain = paired_bootstrap(labels, first, second, repeats=400, groups=patients)
    assert 300 < gain.repeats < 400
    assert np.isfinite([gain.standard_error, gain.ci_low, gain.ci_high]).all()


def test_delong_is_the_loop_over_structural_components():
    """Variances and covariance of the components, one case and one control at a time, give the same error."""
    labels, first, second = (array[:40] for array in two_models(200, 5))
    positive, scores = labels == 1, (first[:, 1].round(1), second[:, 1].round(1))

    def kernel(case, control):
        return float(case > control) + 0.5 * float(case == control)

    case = [[np.mean([kernel(x, y) for y in s[~positive]]) for x in s[positive]] for s in scores]
    control = [[np.mean([kernel(x, y) for x in s[positive]]) for y in s[~positive]] for s in scores]
    total = np.cov(case) / positive.sum() + np.cov(control) / (~positive).sum()
    difference, error = delong_difference(positive, *scores)
    assert difference == pytest.approx(np.mean(case[0]) - np.mean(case[1]))
    assert error == pytest.approx(np.sqrt(total[0, 0] + total[1, 1] - 2 * total[0, 1]))


def test_delong_of_one_model_against_a_constant_is_its_own_error():
    """A constant score has area one half and no variance, so a perfect model gains one half for certain."""
    positive = np.arange(20) % 2 == 1
    assert delong_difference(positive, positive + 0.0, np.zeros(20)) == (0.5, 0.0)


@pytest.mark.parametrize("damaged", [0, 1])
def test_either_model_is_checked(damaged):
    """NaN in either model, or a length that differs, is an error before anything is drawn."""
    labels, *arms = two_models(20)
    short = [arm[:-1] if index == damaged else arm for index, arm in enumerate(arms)]
    with pytest.raises(UsageError, match="do not fit 20 labels"):
        paired_bootstrap(labels, *short)
    arms[damaged][3, 0] = np.nan
    with pytest.raises(UsageError, match="NaN"):
        paired_bootstrap(labels, *arms)
    with pytest.raises(UsageError, match="at least two classes"):
        paired_bootstrap(np.zeros(20, int), *two_models(20)[1:])
