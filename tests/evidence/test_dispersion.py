"""Every printed dispersion is understood, and nothing is dropped without a word."""

import numpy as np
import pytest

from medssl.evidence import dispersion_coverage, published, read_table
from medssl.evidence.dispersion import KINDS, OVER, Dispersion, dispersions, parse_dispersion

TEXTS = sorted(
    set(read_table("published_effects")["baseline_sd_or_ci"])
    | set(read_table("published_effects")["ssl_sd_or_ci"])
)

# kind, over, value, low, high, n; None stands for a missing number
GRAMMAR = {
    "": ("none", "", None, None, None, None),
    "SD 0.009": ("SD", "", 0.009, None, None, None),
    "SD ~0.0132 (digitised error bar)": ("SD", "", 0.0132, None, None, None),
    "SD 0.051 (digitised)": ("SD", "", 0.051, None, None, None),
    "SD 0.34 (over cases)": ("SD", "cases", 0.34, None, None, None),
    "SD 0.02 (5-fold)": ("SD", "folds", 0.02, None, None, 5),
    "SD 0.0083 (5 folds)": ("SD", "folds", 0.0083, None, None, 5),
    "SD 0.0095 (3 splits)": ("SD", "folds", 0.0095, None, None, 3),
    "SD 0.01 (10 runs)": ("SD", "runs", 0.01, None, None, 10),
    "fold SD 0.0739": ("SD", "folds", 0.0739, None, None, None),
    "bootstrap SD 0.031": ("SD", "test_bootstrap", 0.031, None, None, None),
    "SE 0.02": ("SE", "", 0.02, None, None, None),
    "DeLong SE 0.0261": ("SE", "cases", 0.0261, None, None, None),
    "95%CI 0.644-0.719": ("95% interval", "", None, 0.644, 0.719, None),
    "95% CI [0.644, 0.719]": ("95% interval", "", None, 0.644, 0.719, None),
    "95%CI 0.644 to 0.719": ("95% interval", "", None, 0.644, 0.719, None),
}


def same(found, expected):
    return np.isnan(found) if expected is None else found == pytest.approx(expected)


@pytest.mark.parametrize(("text", "expected"), GRAMMAR.items())
def test_each_form_of_the_grammar(text, expected):
    """Kind, what varies, numbers and counts are those of the text."""
    kind, over, *numbers = expected
    found = parse_dispersion(text)
    assert (found.kind, found.over, found.paired) == (kind, over, None)
    assert all(map(same, (found.value, found.low, found.high, found.n), numbers))


@pytest.mark.parametrize("text", TEXTS)
def test_every_text_of_the_table_is_understood(text):
    """Its kind is known, and every number that it prints is kept."""
    found = parse_dispersion(text)
    assert found.kind in KINDS
    assert found.over in OVER
    assert found.kind != "not understood"
    assert (found.kind == "none" and found.paired is None) == (text == "")
    if found.kind == "95% interval":
        assert 0 <= found.low < found.high <= 1
    elif found.kind in ("SD", "SE"):
        assert 0 <= found.value < 0.5
        assert f"{found.value:g}".lstrip("0") in text or text.startswith("folds")


def test_a_list_of_folds_gives_their_deviation():
    """The deviation of listed folds has one degree of freedom less than there are folds."""
    found = parse_dispersion("folds 0.8,0.9,1.0")
    assert (found.kind, found.over, found.n) == ("SD", "folds", 3)
    assert found.value == pytest.approx(0.1)
    printed = parse_dispersion("fold SD 0.0084 (0.8854,0.9059,0.8981,0.8924,0.9035)")
    assert (printed.value, printed.n) == (0.0084, 5)


def test_a_paired_error_belongs_to_the_gain():
    """The arm keeps its own error, and the paired one comes beside it."""
    found = parse_dispersion("DeLong SE 0.0262; paired diff SE 0.0375")
    assert (found.kind, found.value) == ("SE", 0.0262)
    assert (found.paired.kind, found.paired.over, found.paired.value) == ("SE", "cases", 0.0375)
    alone = parse_dispersion("paired over 117 organs: diff SE 0.0013")
    assert (alone.kind, alone.paired.over, alone.paired.n) == ("none", "organs", 117)


def test_a_paired_interval_may_cross_zero():
    """Limits of a gain may be negative."""
    found = parse_dispersion("SD 0.01 (3 runs); paired diff 95%CI -0.01 to 0.02").paired
    assert (found.low, found.high) == (-0.01, 0.02)


@pytest.mark.parametrize(
    "text",
    ["0.02", "+-0.02", "SD", "SD x", "90%CI 0.1-0.2", "SD 0.02 (who knows)", "SD 0.1; SD 0.2", "IQR 0.1-0.2"],
)
def test_anything_else_is_called_not_understood(text):
    """A text outside the grammar is never guessed at."""
    assert parse_dispersion(text) == Dispersion("not understood")


def test_half_a_unit_is_that_of_the_last_printed_digit():
    """A printed 0.00 may hide up to 0.005, a printed 0.000 up to 0.0005."""
    assert parse_dispersion("SD 0.00 (5-fold)").half_unit == pytest.approx(0.005)
    assert parse_dispersion("SD 0.000").half_unit == pytest.approx(0.0005)


def test_coverage_counts_every_cell_once():
    """The cells of both arms add up, and no text of the table is left over."""
    coverage = dispersion_coverage()
    assert coverage["cells"].sum() == 2 * len(read_table("published_effects"))
    assert "not understood" not in set(coverage["kind"])


def test_coverage_lists_each_text_that_is_not_understood(rows):
    """Two odd texts have a row each, with the text; the others are only counted."""
    table = rows(
        {"baseline_sd_or_ci": "IQR 0.1"}, {"ssl_sd_or_ci": "about 2"}, {"ssl_sd_or_ci": "SD 0.1 (3 runs)"}
    )
    coverage = dispersion_coverage(table)
    assert sorted(coverage.loc[coverage["kind"] == "not understood", "text"]) == ["IQR 0.1", "about 2"]
    assert coverage["cells"].sum() == 6


def test_a_silent_text_takes_its_meaning_from_the_reading_notes(rows):
    """A known study gives a plain SD its meaning and count; an unknown one leaves it unknown."""
    found = dispersions(
        rows(
            {"study_id": "matsoukas2021_cnnvsvit", "ssl_sd_or_ci": "SD 0.01"},
            {"ssl_sd_or_ci": "SD 0.01"},
            {"study_id": "matsoukas2021_cnnvsvit", "ssl_sd_or_ci": "SD 0.01 (over cases)"},
        )
    )
    assert found["ssl_over"].tolist() == ["runs", "unknown", "cases"]
    assert found["ssl_n"].fillna(0).tolist() == [5, 0, 0]
    assert found["baseline_over"].tolist() == ["", "", ""]


def test_each_meaning_names_a_study_of_the_table_and_is_needed():
    """No meaning is left over from a study that prints no such dispersion."""
    meaning = read_table("dispersion_meaning")
    table = published(["primary", "sensitivity", "natural_images", "excluded"])
    found = dispersions(table)
    printed = {
        (study, kind)
        for arm in ("baseline", "ssl")
        for study, kind in zip(table["study_id"], found[f"{arm}_kind"], strict=True)
    }
    assert set(zip(meaning["study_id"], meaning["kind"], strict=True)) <= printed
    assert not meaning.duplicated(["study_id", "kind"]).any()
    assert set(meaning["over"]) <= set(OVER)
