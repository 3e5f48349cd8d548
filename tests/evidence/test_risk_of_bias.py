"""Risk of bias follows its stated rules, and what the notes say overrides them."""

import pytest

from medssl.evidence import read_table, risk_of_bias
from medssl.evidence import risk_of_bias as function
from medssl.evidence.risk_of_bias import DOMAINS, JUDGEMENTS, _study, overall


def judge(rows, *changes):
    """Judge one study of hand-made rows."""
    table = rows(*(changes or ({},))).assign(_tested=False, _repeated=False)
    return {domain: judgement for domain, (judgement, _) in _study(table).items()}


def test_every_study_has_a_row_and_every_domain_a_reason():
    """One row a study, known judgements only, and a reason for each domain."""
    table = risk_of_bias()
    assert set(table["study_id"]) == set(read_table("published_effects")["study_id"])
    assert table["study_id"].is_unique
    assert table[[*DOMAINS, "overall"]].isin(JUDGEMENTS).all(axis=None)
    for domain in DOMAINS:
        assert table["reasons"].str.contains(f"{domain}: .+").all()


def test_the_overall_judgement_is_that_of_its_rule():
    """Recomputed from the domains it is the same for every study."""
    table = risk_of_bias()
    assert table["overall"].tolist() == [overall(row) for row in table[list(DOMAINS)].to_dict("records")]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "low"),
        ({"private_data": "unclear"}, "unclear"),
        ({"private_data": "unclear", "single_run": "some"}, "some"),
        ({"single_run": "high"}, "some"),
        ({"single_run": "high", "private_data": "high"}, "high"),
        ({"test_images_seen": "high"}, "high"),
        ({"chosen_on_test": "high"}, "high"),
    ],
)
def test_overall_by_hand(changes, expected):
    """Two high domains, or one decisive one, are high; one other is some."""
    assert overall(dict.fromkeys(DOMAINS, "low") | changes) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([{"pretrain_data": "CheXpert", "downstream_data": "MURA"}], "low"),
        ([{"pretrain_data": "CheXpert", "downstream_data": "CheXpert"}], "some"),
        ([{"pretrain_data": "CheXpert train (images only)", "downstream_data": "CheXpert"}], "low"),
        ([{"pretrain_data": "HCP (same scans)", "downstream_data": "HCP"}], "high"),
        ([{"pretrain_data": "", "downstream_data": "CheXpert"}], "unclear"),
        ([{"pretrain_data": "13 CXR datasets", "downstream_data": "CheXpert"}], "unclear"),
        ([{"pretrain_data": "unlabelled chest CT", "downstream_data": "LUNA16"}], "unclear"),
        ([{"pool": "natural_images", "pretrain_data": "ImageNet", "downstream_data": "CheXpert"}], "low"),
    ],
)
def test_seeing_the_test_images(rows, changes, expected):
    """Shared names, training parts, collections and natural images are told apart."""
    assert judge(rows, *changes)["test_images_seen"] == expected


def test_choice_on_the_test_set_is_unclear_unless_told(rows):
    """The locator tells; for part of the rows it is some."""
    told = {"source_locator": "Table 2; model chosen on this set"}
    assert judge(rows)["chosen_on_test"] == "unclear"
    assert judge(rows, told)["chosen_on_test"] == "high"
    assert judge(rows, told, {})["chosen_on_test"] == "some"


def test_single_runs(rows):
    """Repeats are low, one run is high, a test interval is some, silence is unclear."""
    table = rows({}, {})
    low = _study(table.assign(_tested=False, _repeated=True))["single_run"][0]
    some = _study(table.assign(_tested=True, _repeated=False))["single_run"][0]
    assert (low, some) == ("low", "some")
    assert judge(rows, {"n_runs": "1"})["single_run"] == "high"
    assert judge(rows)["single_run"] == "unclear"


def test_unequal_arms_private_data_and_indirect_values(rows):
    """All rows are high, part of them some, none low."""
    cases = {
        "unequal_arms": {"architecture": "ViT vs ResNet"},
        "private_data": {"public_data": "no"},
        "indirect_values": {"extraction": "digitised"},
    }
    for domain, change in cases.items():
        assert judge(rows)[domain] == "low"
        assert judge(rows, change)[domain] == "high"
        assert judge(rows, change, {})[domain] == "some"
    assert judge(rows, {"public_data": ""})["private_data"] == "unclear"
    assert judge(rows, {"adaptation": "ssl_frozen_only"})["unequal_arms"] == "high"


def test_the_sponsor_is_named_by_title_or_study(rows):
    """A method that the title names is the authors' own; a benchmark of others' methods is low."""
    own = {"title": "MoCo-CXR: pretraining of chest X-rays", "ssl_method": "MoCo v2 (MoCo-CXR)"}
    assert judge(rows, own)["sponsor_evaluates"] == "high"
    assert judge(rows, own, own | {"ssl_method": "BYOL"})["sponsor_evaluates"] == "some"
    assert judge(rows, own | {"ssl_method": "BYOL"})["sponsor_evaluates"] == "low"
    assert (
        judge(rows, {"study_id": "vu2021_medaug", "ssl_method": "MedAug same patient"})["sponsor_evaluates"]
        == "high"
    )


def test_notes_override_rules_and_are_named():
    """Each manual judgement stands in the table with its place, and names a known study and domain."""
    table = risk_of_bias().set_index("study_id")
    manual = read_table("risk_of_bias_manual")
    assert not manual.duplicated(["study_id", "domain"]).any()
    for row in manual.itertuples():
        assert row.judgement in JUDGEMENTS
        assert table.loc[row.study_id, row.domain] == row.judgement
        assert f"{row.domain}: {row.reason} ({row.place})" in table.loc[row.study_id, "reasons"]


def test_a_benchmark_without_a_method_of_its_own_is_no_sponsor():
    """Known benchmarks are low, known method papers are not."""
    table = risk_of_bias().set_index("study_id")["sponsor_evaluates"]
    benchmarks = ["truong2021_transferable", "afzal2024_multiview", "hosseinzadehtaher2021_benchmark"]
    methods = ["sowrirajan2021_mococxr", "haghighi2022_dira", "zhou2021_modelsgenesis", "he2023_gvsl"]
    assert set(table[benchmarks]) == {"low"}
    assert "low" not in set(table[methods])


def test_the_package_exports_the_function():
    """`medssl.evidence.risk_of_bias` is callable although a module has the same name."""
    assert callable(function)
