"""Words and numbers of a study agree as they are printed."""

import types

import pytest

from medssl.book import Results
from medssl.book.reporting import report_coefficient, report_estimate
from medssl.book.results import read_results


def reported(tmp_path, estimate, low, high):
    """Report one estimate and return the three texts."""
    results = Results(tmp_path / "results.json")
    row = types.SimpleNamespace(estimate=estimate, ci_low=low, ci_high=high)
    report_estimate(results, "gain", row, cell="demo")
    results.save()
    return {key: entry["text"] for key, entry in read_results(tmp_path / "results.json").items()}


@pytest.mark.parametrize(
    ("limits", "word"),
    [
        ((0.001, 0.02), "a gain"),
        ((0.00004, 0.02), "no clear difference"),  # printed as 0.0000
        ((-0.02, -0.001), "a loss"),
        ((-0.02, -0.00004), "no clear difference"),
        ((-0.02, 0.02), "no clear difference"),
    ],
)
def test_a_verdict_follows_the_printed_limits(tmp_path, limits, word):
    """A limit that is printed as zero is not called a gain or a loss."""
    texts = reported(tmp_path, sum(limits) / 2, *limits)
    assert texts["gain_verdict"] == word


def test_a_gain_is_compared_with_the_minimal_one(tmp_path):
    """The whole interval has to lie below the minimal important gain to be called smaller."""
    assert reported(tmp_path, 0.004, 0.001, 0.007)["gain_importance"] == "smaller than"


@pytest.mark.parametrize(("limits", "word"), [((0.1, 0.2), "grows"), ((-0.2, -0.1), "shrinks")])
def test_a_slope_has_words_of_its_own(tmp_path, limits, word):
    """A coefficient says which way the gain goes."""
    results = Results(tmp_path / "results.json")
    fit = types.SimpleNamespace(coef=[0, sum(limits) / 2], ci_low=[0, limits[0]], ci_high=[0, limits[1]])
    report_coefficient(results, "slope", fit, 1, cell="demo")
    results.save()
    assert read_results(tmp_path / "results.json")["slope_verdict"]["text"] == word
