"""What gain to expect: from a line in the ratio, from the mean of a stratum, or nothing."""

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from medssl._commands.expect import expect as command
from medssl.book.finder import MENUS, finder
from medssl.errors import UsageError
from medssl.evidence import effects
from medssl.meta import multilevel, probability_of_gain
from medssl.synthesis.central import central_model
from medssl.synthesis.expect import COMPARATORS, MODALITIES, expect, expectations
from medssl.synthesis.stratum import pool

APP = typer.Typer()
APP.command()(command)


@pytest.fixture(scope="module")
def random_auc():
    found = effects()
    return found[(found.metric == "AUC") & (found.comparator == "random")]


def test_with_a_ratio_the_answer_is_the_line_of_its_comparator(random_auc):
    """Numbers are the robust prediction of the line fitted to this comparator alone."""
    found = expect("ct", "random", ratio=0.1)
    model = central_model(random_auc, factors=("modality",))
    row = model.rows_at(-1.0, modality="ct")
    expected = model.shape.line.robust().predict(row[:, 1:]).iloc[0]
    assert found.source == "line in the ratio"
    assert found.estimate == pytest.approx(expected.estimate)
    assert (found.ci_low, found.pi_high) == pytest.approx((expected.ci_low, expected.pi_high))
    assert expect("ct", "random", labelled=10, unlabelled=100) == found


def test_without_a_ratio_the_answer_is_the_mean_of_the_stratum(random_auc):
    """The mean, its probability and its grade are those of the pooled stratum."""
    found = expect("ct", "random")
    part = random_auc[random_auc.modality == "ct"]
    stratum = pool(part)
    assert found.source == "stratum mean"
    assert found.estimate == pytest.approx(stratum.fit.coef[0])
    assert found.grade == stratum.grade
    fit = multilevel(part.yi, part.vi, part.cluster_id, rho=0.6)
    assert found.p_gain == pytest.approx(probability_of_gain(fit).probability.iloc[0])
    assert (found.effects, found.clusters) == (len(part), part.cluster_id.nunique())


def test_thin_evidence_gives_no_number_and_says_so():
    """A stratum of one cluster has no estimate, an insufficient grade and a sentence without a gain."""
    found = expect("ultrasound", "random", ratio=0.01)
    assert found.source == "nothing"
    assert np.isnan([found.estimate, found.p_gain]).all()
    assert found.grade.name == "insufficient"
    assert "no gain can be stated" in found.text
    assert "expect +" not in found.text


def test_cautions_name_what_the_reader_must_know():
    """Ratios outside the published ones, few degrees of freedom and a missing line are said."""
    assert "published ratios of this modality run from" in expect("xray", "random", ratio=100.0).caution
    assert "degrees of freedom" in expect("mri", "random", ratio=0.1).caution
    assert "mean over ratios" in expect("xray", "imagenet_supervised", ratio=0.1).caution
    assert expect("ct", "random").caution == ""


def test_the_line_falls_or_rises_with_its_slope():
    """Between two ratios the expected gain changes by the slope times the tenfold steps."""
    one, ten = (expect("xray", "random", ratio=r).estimate for r in (0.01, 0.1))
    two = expect("xray", "random", ratio=1.0).estimate
    assert two - ten == pytest.approx(ten - one)


def test_every_question_has_one_row():
    """The table asks each modality, comparator and ratio once."""
    table = expectations("Dice", ratios=(0.1,))
    assert len(table) == len(MODALITIES) * len(COMPARATORS) * 2
    assert set(table.source) <= {"line in the ratio", "stratum mean", "nothing"}


@pytest.mark.parametrize(
    ("arguments", "options", "text"),
    [
        (("pet", "random"), {}, "modality is 'pet'"),
        (("xray", "nothing"), {}, "comparator is 'nothing'"),
        (("xray", "random"), {"metric": "F1"}, "metric is 'F1'"),
        (("all", "random"), {}, "modality is 'all'"),
        (("xray", "random"), {"ratio": 0.0}, "must be positive"),
        (("xray", "random"), {"ratio": float("nan")}, "must be positive"),
        (("xray", "random"), {"labelled": 10}, "both the labelled and the unlabelled"),
        (("xray", "random"), {"labelled": 10, "unlabelled": 0}, "unlabelled is 0"),
        (("xray", "random"), {"labelled": 1, "unlabelled": 10, "ratio": 0.1}, "not both"),
    ],
)
def test_wrong_questions_are_refused(arguments, options, text):
    """An unknown name or an impossible ratio is one clear error."""
    with pytest.raises(UsageError, match=text):
        expect(*arguments, **options)


def test_the_command_says_what_the_function_says():
    """Text and JSON of the command are those of the function."""
    runner = CliRunner()
    numbers = ["--labelled", "500", "--unlabelled", "50000"]
    found = expect("xray", "random", labelled=500, unlabelled=50_000)
    assert runner.invoke(APP, ["xray", *numbers]).stdout.strip() == found.text
    parsed = json.loads(runner.invoke(APP, ["xray", *numbers, "--json"]).stdout)
    assert parsed["estimate"] == pytest.approx(found.estimate)
    assert json.loads(runner.invoke(APP, ["ultrasound", "--json"]).stdout)["estimate"] is None


def test_the_finder_holds_every_answer_and_asks_no_other_host():
    """Each combination of the menus has its sentence, and the page loads nothing."""
    page = finder().data
    answers = json.loads(page.split('type="application/json">')[1].split("</script>")[0])
    assert len(answers) == np.prod([len(options) for options in MENUS.values()])
    assert answers["xray|random|AUC|1 : 100"] == expect("xray", "random", ratio=0.01).text
    assert "http" not in page
    assert "src=" not in page
    assert page.count("<tr>") > 10  # the table for readers without scripts


def test_the_theme_styles_the_finder():
    """The menus and the answer have their look in the style sheet of the book."""
    import medssl.book

    style = (Path(medssl.book.__file__).parent / "_theme" / "medssl.css").read_text(encoding="utf-8")
    for part in ("form", "select", "output"):
        assert f".medssl-finder {part}" in style
