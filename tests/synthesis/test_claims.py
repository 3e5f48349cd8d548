"""Claims: numbers from the model, words from the grade, and nothing else."""

import dataclasses

import numpy as np
import pytest

from medssl.errors import DataError, UsageError
from medssl.evidence import Grade, effects
from medssl.meta import multilevel
from medssl.synthesis import claims as module
from medssl.synthesis.claims import ALLOWED, VERBS, assess, claims, parse_claims, sentence
from medssl.synthesis.stratum import pool

ENTRY = """
- id: one
  metric: AUC
  comparator: random
  modality: all
  term: mean
  subject: Against random initialisation, pretraining
  caveats: A caveat.
"""


@pytest.fixture(scope="module")
def published():
    return effects()


@pytest.fixture(scope="module")
def findings(published):
    return [assess(claim, published) for claim in claims()]


def test_each_claim_has_its_model(findings, published):
    """Estimate and grade of each claim about a mean are those of its stratum."""
    for finding in findings:
        if finding.claim.term == "mean":
            stratum = pool(module.select(published, finding.claim))
            assert finding.grade == stratum.grade
            assert finding.effects == len(stratum.effects)
            if stratum.fit is not None:
                assert finding.estimate == pytest.approx(stratum.fit.coef[0])


def test_the_slope_claim_is_graded_for_shrinking(findings, published):
    """The slope is that of the robust regression, and the claim that it shrinks has the turned interval."""
    finding = next(f for f in findings if f.claim.term == "slope")
    part = module.select(published, finding.claim)
    part = part[np.isfinite(part.log10_label_ratio)]
    robust = multilevel(part.yi, part.vi, part.cluster_id, part.log10_label_ratio, rho=0.6).robust()
    assert finding.estimate == pytest.approx(robust.coef[1])
    assert (finding.grade.name == "insufficient") == (robust.ci_low[1] <= 0 <= robust.ci_high[1])


def test_each_modality_and_comparator_is_claimed():
    """Every modality has claims for classification and segmentation against random initialisation."""
    found = {(c.metric, c.comparator, c.modality) for c in claims()}
    for metric in ("AUC", "Dice"):
        assert {(metric, "random", m) for m in ("all", "xray", "ct", "mri", "ultrasound")} <= found
    assert {("AUC", "imagenet_supervised", "all"), ("AUC", "other_supervised", "all")} <= found


def test_a_sentence_says_what_its_grade_allows(findings):
    """Changing only the grade changes the verb, the grade's name and the reason, for every grade."""
    finding = next(f for f in findings if np.isfinite(f.estimate) and f.claim.term == "mean")
    texts = {}
    for name in VERBS:
        changed = dataclasses.replace(finding, grade=Grade(name, "a reason"))
        texts[name] = sentence(changed)
        assert f"the evidence is {name} (a reason)" in texts[name]
        assert VERBS[name].split("{")[0].strip() in texts[name]
    assert len(set(texts.values())) == len(VERBS)


def test_no_sentence_of_an_insufficient_claim_states_a_gain(findings):
    """A claim whose grade is insufficient never says "raises", and a graded one always does."""
    for finding in findings:
        if finding.claim.term != "mean":
            continue
        raises = " raises the " in finding.text
        assert raises == (finding.grade.name in ("strong", "moderate", "weak")), finding.claim.id


def test_numbers_of_a_sentence_are_those_of_the_model(findings):
    """Estimate and limits appear as printed, with three decimals and a sign."""
    finding = next(f for f in findings if f.claim.id == "random_auc_all")
    for value in (finding.estimate, finding.ci_low, finding.ci_high, finding.pi_high):
        assert f"{value:+.3f}".replace("-", "−") in finding.text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("metric: AUC", "metric: F1"), "claim one: metric is 'F1'"),
        (("comparator: random", "comparator: none"), "claim one: comparator is 'none'"),
        (("term: mean", "term: median"), "claim one: term is 'median'"),
        (("modality: all", "modality: pet"), "claim one: modality is 'pet'"),
        (("  caveats: A caveat.\n", ""), "claim one: it needs exactly the fields"),
        (("  term: mean", "  term: mean\n  grade: strong"), "claim one: it needs exactly the fields"),
    ],
)
def test_malformed_entries_are_named(change, text):
    """An unknown value, a missing or an unknown field is an error that names the claim."""
    with pytest.raises(DataError, match=text):
        parse_claims(ENTRY.replace(*change))


def test_ids_are_unique_and_empty_strata_refused(published):
    """An id twice and a claim without effects are errors."""
    with pytest.raises(DataError, match="claim one occurs twice"):
        parse_claims(ENTRY * 2)
    (claim,) = parse_claims(ENTRY)
    with pytest.raises(UsageError, match="claim one has no effects"):
        assess(claim, published[published.metric == "mAP"])
    assert set(ALLOWED) < {field.name for field in dataclasses.fields(claim)}


def held(part, clusters):
    """Share of the effects that the largest clusters hold."""
    return part.cluster_id.value_counts(normalize=True).head(clusters).sum()


def modelled(part):
    """Share of the effects whose variance is not measured."""
    return part.variance_origin.isin(["hanley_mcneil", "binomial", "dice_quadratic", "imputed"]).mean()


def near_chance(part):
    """Number of comparisons whose comparator scores below 0.6."""
    return (part.baseline_value < 0.6).sum()


TRUE_OF = {
    "random_auc_all": lambda part: near_chance(part) >= 10,
    "random_auc_xray": lambda part: held(part, 2) > 0.9,
    "random_auc_ct": lambda part: near_chance(part) >= 5,
    "random_auc_mri": lambda part: part.cluster_id.nunique() <= 6,
    "random_auc_ultrasound": lambda part: part.cluster_id.nunique() == 1,
    "imagenet_auc_all": lambda part: (part.modality == "xray").mean() > 0.95,
    "imagenet_auc_xray": lambda part: held(part, 2) > 0.5,
    "other_auc_all": lambda part: part.modality.nunique() == 4,
    "random_dice_all": lambda part: part.n_test.median() < 150 and modelled(part) > 0.4,
    "random_dice_xray": lambda part: part.cluster_id.nunique() <= 2,
    "random_dice_ct": lambda part: modelled(part) > 0.5,
    "random_dice_mri": lambda part: part.n_test.median() < 100,
    "random_dice_ultrasound": lambda part: modelled(part) > 0.5,
    "imagenet_dice_all": lambda part: set(part.modality) == {"xray", "ultrasound"},
}


@pytest.mark.parametrize("claim", [c for c in claims() if c.term == "mean"], ids=lambda c: c.id)
def test_each_caveat_is_true_of_its_stratum(claim, published):
    """What a caveat says of the effects is so, and a new claim has to say how its caveat is checked."""
    assert TRUE_OF[claim.id](module.select(published, claim))


def test_the_caveat_of_the_slope_is_true(findings, published):
    """Most clusters have one pool, most of them vary the labels, and the degrees of freedom are few."""
    finding = next(f for f in findings if f.claim.term == "slope")
    part = module.select(published, finding.claim)
    part = part[np.isfinite(part.log10_label_ratio)].groupby("cluster_id")
    assert (part.n_unlabelled.nunique() == 1).mean() > 0.5
    assert (part.n_labelled.nunique() > 1).mean() > 0.5
    assert finding.df < 4
