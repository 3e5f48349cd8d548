"""The counts of the flow are those of the tables, stage by stage."""

from medssl.evidence import effects, flow, published, read_table


def stage(name, column="effects"):
    steps = flow()
    return steps.loc[steps["stage"] == name, column]


def test_candidates_part_into_those_with_and_without_effects():
    """Every line of the candidates is counted once."""
    parts = stage("candidates with effects", "studies").sum()
    parts += stage("candidates without effects", "studies").sum()
    assert parts == stage("candidate studies", "studies").iloc[0] == len(read_table("studies"))


def test_pools_part_the_effects():
    """Excluded, analysed apart, sensitivity and primary add up to the effects extracted."""
    names = ("excluded", "analysed apart", "sensitivity analyses only", "primary pool")
    assert sum(stage(name).sum() for name in names) == stage("effects extracted").iloc[0]
    assert stage("effects extracted").iloc[0] == len(read_table("published_effects"))


def test_the_last_stage_is_the_primary_analysis():
    """Its counts are those of `effects()`, studies and clusters included."""
    found = effects()
    last = flow().iloc[-1]
    assert last["stage"] == "primary analysis"
    assert last["effects"] == len(found)
    assert last["studies"] == found["study_id"].nunique()
    assert last["clusters"] == found["cluster_id"].nunique()
    left_out = stage("left out of the primary analysis").sum()
    assert stage("primary pool").iloc[0] - left_out == len(found)


def test_every_reason_of_the_table_appears():
    """No effect leaves the way without a reason."""
    reasons = set(read_table("published_effects")["pool_reason"]) - {""}
    assert reasons <= set(flow()["reason"])


def test_studies_found_on_the_way_are_counted():
    """Extracted studies are among the candidates or are named as found while extracting."""
    linked = {name for text in read_table("studies")["study_id"] for name in text.split("; ")} - {""}
    extracted = set(read_table("published_effects")["study_id"])
    assert stage("found while extracting", "studies").iloc[0] == len(extracted - linked)


def test_each_link_of_a_candidate_leads_somewhere():
    """A study named by a candidate has effects, a gain, or rows with unequal labels; none is named twice."""
    linked = [name for text in read_table("studies")["study_id"] for name in text.split("; ") if name]
    known = {
        name
        for table in ("published_effects", "gain_only", "unmatched")
        for name in read_table(table)["study_id"]
    }
    assert set(linked) <= known
    assert len(linked) == len(set(linked))


def test_no_pool_of_the_table_is_forgotten():
    """All four pools are counted."""
    assert set(read_table("published_effects")["pool"]) == {
        "primary",
        "sensitivity",
        "natural_images",
        "excluded",
    }
    assert len(published("all")) == stage("effects extracted").iloc[0] - stage("excluded").sum()
