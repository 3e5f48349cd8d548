"""The pages of the method families, the augmentations and the cost: prose, results, figures."""

import json
import re
from pathlib import Path

import jupytext
import numpy as np
import pandas as pd
import pytest

from medssl.augmentation import Policy
from medssl.book import Results, augmentation_page, families_figures, families_page
from medssl.book.cost_page import report_costs, report_throughput, study_costs, study_runs, throughput
from medssl.book.execute import Chapter, Task, execute
from medssl.book.families_page import METHODS_OF
from medssl.book.prose import typed_numbers
from medssl.book.step_costs import report_steps, step_costs
from medssl.errors import UsageError
from medssl.evidence import effects
from medssl.evidence.study_effects import FAMILIES
from medssl.figures.image_grid import image_grid
from medssl.ssl import METHODS

ROOT = Path(__file__).parents[2]
PAGES = {path.stem: path for path in sorted((ROOT / "chapters/families").glob("*.py"))}
PAGES["cost"] = ROOT / "chapters/cost.py"
FAMILY_PAGES = {name.replace("noncontrastive", "non_contrastive"): name for name in METHODS_OF}


def prose(path: Path) -> str:
    """Return the markdown cells of a page."""
    cells = jupytext.read(path, fmt="py:percent").cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


@pytest.fixture(scope="module")
def published() -> pd.DataFrame:
    """Return the effects of the primary analysis."""
    return effects()


@pytest.fixture(scope="module")
def costs() -> pd.DataFrame:
    """Return what the committed records of the study cost and gained."""
    return study_costs(study_runs(ROOT / "records"))


@pytest.fixture(scope="module")
def steps() -> pd.DataFrame:
    """Return the costs of one tiny step of every method."""
    return step_costs(METHODS, side=28, batch=4, repeats=1)


@pytest.fixture(scope="module")
def preserved() -> pd.DataFrame:
    """Return the label check with next to no training."""
    return augmentation_page.preservation(24, 2, 1, 10, 0)


def saved(fill, path: Path) -> dict:
    """Return what a function adds to the results."""
    results = Results(path / "results.json")
    fill(results)
    results.save()
    return json.loads((path / "results.json").read_text(encoding="utf-8"))


def made(name, published, costs, steps, preserved, path) -> dict:
    """Return the results of a page, from the functions that its cells call."""
    if name == "augmentation":
        keys = saved(
            lambda r: augmentation_page.report_preservation(r, preserved, cell="augmentation-preservation"),
            path,
        )
        return keys | {"steps": {"source": "augmentation-preservation"}}
    if name == "cost":
        keys = saved(lambda r: report_costs(r, costs, cell="cost-study"), path)
        speeds = throughput(ROOT / "benchmarks/results")
        keys |= saved(lambda r: report_throughput(r, speeds, cell="cost-peers"), path)
        return keys | saved(lambda r: report_steps(r, steps, 65.0, cell="cost-step"), path)
    slug, family = name.replace("_", "-"), FAMILY_PAGES[name]
    part = families_page.family_effects(published, family)
    keys = saved(lambda r: families_page.report_family(r, part, cell=f"{slug}-published"), path)
    keys |= saved(lambda r: families_page.own_records(r, costs, family, cell=f"{slug}-own"), path)
    return keys | saved(lambda r: report_steps(r, steps, 65.0, cell=f"{slug}-cost"), path)


@pytest.mark.parametrize("name", PAGES)
def test_every_quoted_result_exists_and_names_a_labelled_cell(
    name, published, costs, steps, preserved, tmp_path
):
    """A page quotes only what it computes, and each result and reference leads to a label of the page."""
    text = prose(PAGES[name])
    results = made(name, published, costs, steps, preserved, tmp_path)
    chapter = PAGES[name].relative_to(ROOT / "chapters").with_suffix("").as_posix()
    named = re.findall(r"\{result\}`([^`]+)`", text)
    assert {each.rpartition(":")[0] for each in named} == {chapter}  # pages of a folder share their keys
    quoted = {each.rpartition(":")[2] for each in named}
    assert quoted <= set(results)
    labels = set(re.findall(r"^\(([a-z-]+)\)=$", text, re.MULTILINE))
    assert {results[key]["source"] for key in quoted} <= labels
    assert set(re.findall(r"\{ref\}`[^<]*<([a-z-]+)>`", text)) <= labels
    code = PAGES[name].read_text(encoding="utf-8")
    assert set(re.findall(r'cell="([a-z-]+)"', code)) <= labels


@pytest.mark.parametrize("name", PAGES)
def test_no_number_is_typed_and_a_page_opens_with_takeaways(name):
    """The prose types no number, and key takeaways come first."""
    text = prose(PAGES[name])
    assert typed_numbers(text) == []
    assert text.index("Key takeaways") < text.index("## ")


@pytest.mark.parametrize("name", FAMILY_PAGES)
def test_each_method_of_a_family_has_an_equation_and_a_source(name):
    """Every method is named in bold with a citation on the page of its family."""
    text = prose(PAGES[name])
    section = text[text.index("## The methods and their equations") : text.index("## Options")]
    assert len(re.findall(r"^\*\*[^*]+\*\* \{cite:p\}", section, re.MULTILINE)) == len(
        METHODS_OF[FAMILY_PAGES[name]]
    )
    assert section.count("$$") >= 6


def test_each_method_is_in_one_family_and_coded_as_the_study_codes_it():
    """No method is forgotten, none stands twice, and pages and study agree."""
    listed = [name for names in METHODS_OF.values() for name in names]
    assert sorted(listed) == sorted(METHODS)
    for name, family in FAMILIES.items():
        assert name in METHODS_OF[family]


def test_a_family_is_counted_as_the_pool_has_it(published, tmp_path):
    """Counts are those of the rows, and a stratum of two clusters is not pooled."""
    part = families_page.family_effects(published, "contrastive")
    found = saved(lambda r: families_page.report_family(r, part, cell="x"), tmp_path)
    assert found["effects"]["value"] == (published.family == "contrastive").sum()
    assert found["losses"]["value"] == (part.yi < 0).sum()
    assert found["clusters"]["value"] == part.cluster_id.nunique()
    dice = part[(part.metric == "Dice") & (part.comparator == "imagenet_supervised")]
    assert dice.cluster_id.nunique() < 3
    assert found["gain_dice_imagenet"]["text"] == "not pooled"
    low, high = re.search(r"CI (\S+) to (\S+)\)", found["gain_auc_random"]["text"]).groups()
    gain = {"+": "a gain", "−": "a loss"}.get(low[0]) if low[0] == high[0] else "no clear difference"
    assert found["verdict_auc_random"]["text"] == gain


def test_the_predictive_family_has_the_fewest_comparisons(published):
    """The page says so."""
    assert "the least published evidence" in prose(PAGES["predictive"])
    counts = published["family"].value_counts()[list(METHODS_OF)]
    assert counts.idxmin() == "predictive"


def test_options_and_code_are_those_of_the_package():
    """The table has every option with its default, and the code is the file."""
    table = families_page.options_table("generative").data
    assert "patch = 4, ratio = 0.6, token = &#x27;learned&#x27;" in table.replace("'", "&#x27;")
    code = families_page.source_code("generative").data
    assert code.count("<details>") == len(METHODS_OF["generative"])
    assert "hidden_patch_error" in code
    with pytest.raises(UsageError, match="family"):
        families_page.options_table("new")


@pytest.mark.parametrize("make", ["view_panels", "distorted_panels", "puzzle_panels"])
def test_panels_are_finite_and_of_the_scale(make):
    """What is drawn lies between black and white, and depends on the seed alone."""
    rows = getattr(families_figures, make)(size=32, seed=1)
    again = getattr(families_figures, make)(size=32, seed=1)
    for label, panels in rows.items():
        for (title, image), (_, other) in zip(panels, again[label], strict=True):
            assert np.array_equal(image, other), (label, title)
            assert -1e-6 <= image.min() <= image.max() <= 1 + 1e-6, (label, title)
    assert image_grid(rows, "Images").unsupported_numbers() == []


def test_restoring_and_hiding_are_drawn_by_the_methods():
    """Hidden and asked-for pixels of masked methods complete the image, and swaps only move pixels."""
    rows = families_figures.distorted_panels(size=32)
    image, seen, target = (panel[1] for panel in rows["Inpainting"][:3])
    grey = np.float32(image.mean())
    np.testing.assert_allclose(seen + target - grey, image, atol=1e-6)
    image, seen, target = (panel[1] for panel in rows["Context\nrestoration"][:3])
    np.testing.assert_array_equal(np.sort(seen.ravel()), np.sort(image.ravel()))
    np.testing.assert_array_equal(target, image)


def test_hybrid_panels_change_what_they_say():
    """Shuffled patches are the pixels of the image, and a synthetic image differs from it."""
    rows = families_figures.hybrid_panels(size=32, steps=1)
    image, shuffled = rows["POPAR"][0][1], rows["POPAR"][1][1]
    np.testing.assert_array_equal(np.sort(shuffled.ravel()), np.sort(image.ravel()))
    assert not np.array_equal(rows["Brain-aware\nreplacement"][3][1], image)


def test_a_few_steps_bring_the_similarities_to_the_diagonal():
    """SimCLR's demonstration shows what the loss asks for."""
    before, after = families_figures.similarities("xray", 8, 25, 0).values()
    own = np.eye(8, dtype=bool)
    assert after[own].mean() - after[~own].mean() > before[own].mean() - before[~own].mean() + 0.2


def test_correlations_are_a_matrix_of_the_dimensions():
    """Barlow Twins' demonstration has one row and column for each dimension."""
    for values in families_figures.correlations("ct", 8, 6, 2, 0).values():
        assert values.shape == (6, 6)
        assert np.abs(values).max() <= 1 + 1e-5


def test_the_policy_table_has_every_field_and_reason():
    """Each field has a meaning, and strengths stand as pretraining / fine-tuning."""
    assert set(augmentation_page.field_meanings()) == set(Policy.__dataclass_fields__)
    table = augmentation_page.policy_table().data
    assert "<td>0.6 / 0.9</td>" in table
    assert "liver is on one side" in augmentation_page.reasons().data


def test_the_gallery_shows_each_transform_and_both_policies():
    """The last two rows are the policies as they are used, and each row begins with the image."""
    rows = augmentation_page.gallery("ultrasound", 2, 16, 0)
    assert {"speckle", "shadow", "depth\ngain"} <= set(rows)
    assert list(rows)[-2:] == ["all, for\npretraining", "all, for\nfine-tuning"]
    first = [panels[0][1] for panels in rows.values()]
    assert all(np.array_equal(first[0], each) for each in first)


def test_the_window_moves_in_one_row_only():
    """The second row's plain image is the narrower window."""
    rows = augmentation_page.window_rows(2, 16, 0)
    plain, narrow = (panels[0][1] for panels in rows.values())
    np.testing.assert_allclose(narrow, ((plain - 0.5) * 1.6 + 0.5).clip(0, 1), atol=1e-5)


def test_a_page_executes_and_leaves_its_figures(tmp_path):
    """The generative page runs as it stands and saves its figure with all files."""
    chapter = Chapter("families/generative", PAGES["generative"])
    task = Task(chapter, profile="quick", values={"batch": 2}, root=ROOT, build=tmp_path, threads=1)
    product = execute(task)
    folder = product / "figures" / "generative-tasks"
    assert {path.suffix for path in folder.iterdir()} == {".svg", ".pdf", ".png", ".csv", ".json"}
    results = json.loads((product / "results.json").read_text(encoding="utf-8"))
    assert results["methods"]["value"] == len(METHODS_OF["generative"])
