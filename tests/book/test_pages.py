"""Pages: results with links, figures with cards, no request to another host, no warning."""

import json
import re

import pytest

from medssl.book._offline import check_offline
from medssl.book._pages import _find_result
from medssl.book._toc import read_contents
from medssl.book.render import render
from medssl.book.stage import make_stage
from medssl.errors import RunError, UsageError


@pytest.fixture(scope="session")
def advice(built_book) -> str:
    return (built_book.html / "chapters/small/advice.html").read_text(encoding="utf-8")


def test_a_result_is_its_text_linked_to_its_cell(advice, built_book):
    """The number of the notebook stands on the page, and the link leads to the cell that made it."""
    assert re.search(r'<a [^>]*href="study.html#small-pooled"[^>]*>(<[^>]*>)*0\.5<', advice)
    assert re.search(r'href="study.html#small-pooled"[^>]*>(<[^>]*>)*the quick profile<', advice)
    study = (built_book.html / "chapters/small/study.html").read_text(encoding="utf-8")
    assert re.search(r'<div class="cell[^"]*" id="small-pooled">', study)


def test_a_fact_is_plain_text(advice):
    """A marked number is shown as it was typed."""
    assert re.search(r">28 x 28</span> pixels", advice)


def test_a_figure_card_shows_image_caption_and_files(advice):
    """The figure is numbered, has the alt text of its card, and links to its five files and its cell."""
    assert re.search(r'<img alt="A line\."', advice)
    assert re.search(r'Fig\. 1 ?</span><span class="caption-text">A falling line\.', advice)
    for kind in ("svg", "pdf", "png", "csv", "json"):
        assert f'href="../../figures/small-line/small-line.{kind}"' in advice
    assert re.search(r'href="study.html#small-pooled"[^>]*>(<[^>]*>)*cell that made it', advice)
    assert re.search(r'href="#small-line"[^>]*>(<[^>]*>)*Fig\. 1<', advice)


def test_the_page_has_mathematics_language_and_a_licence(advice):
    """Mathematics is marked for the local MathJax; the language is set; the footer names the licences."""
    assert '<span class="math notranslate nohighlight">' in advice
    assert "../../_static/../vendor/mathjax/tex-mml-chtml.js" in advice
    assert re.search(r"<html[^>]* lang=\"en\"", advice)
    assert "CC BY 4.0" in advice


def test_no_page_mentions_thebe(built_book):
    """jupyter-book's live-code script, which comes from another host, is gone from every page."""
    pages = list((built_book.html / "chapters").rglob("*.html"))
    assert len(pages) == 3
    assert not [page for page in pages if "thebe" in page.read_text(encoding="utf-8")]


def test_the_notebook_can_be_downloaded_from_its_page(built_book):
    """The page of a notebook links to the executed notebook."""
    page = (built_book.html / "chapters/small/study.html").read_text(encoding="utf-8")
    assert 'href="../../_sources/chapters/small/study.ipynb"' in page


LOADS = {
    "script": '<script async src="https://cdn.example.org/a.js"></script>',
    "image": "<img alt='x' src=//example.org/a.png>",
    "style": '<link href="https://fonts.example.org/a.css" rel="stylesheet">',
    "frame": '<iframe src="https://example.org"></iframe>',
}


@pytest.mark.parametrize("tag", LOADS.values(), ids=LOADS)
def test_something_loaded_from_another_host_is_found(tmp_path, tag):
    """Scripts, images, styles and frames of other hosts are an error that names the page."""
    (tmp_path / "page.html").write_text(f"<p>text</p>{tag}")
    with pytest.raises(RunError, match=r"page\.html loads (https:)?//"):
        check_offline(tmp_path)


def test_a_style_sheet_that_imports_from_another_host_is_found(tmp_path):
    """Fonts of other hosts hide in style sheets."""
    (tmp_path / "a.css").write_text("@import url(https://fonts.example.org/css);")
    with pytest.raises(RunError, match=r"a\.css loads"):
        check_offline(tmp_path)


def test_links_and_local_files_are_no_requests(tmp_path):
    """A reader may follow a link to another host; the page itself loads local files only."""
    (tmp_path / "page.html").write_text(
        '<a href="https://example.org">x</a><img src="../a.png"><script src="a.js"></script>'
        '<link rel="canonical" href="https://example.org/page">'
    )
    check_offline(tmp_path)


def finished(root, results: dict) -> dict:
    """Return a made-up product of the small book's chapter, so that no kernel is needed."""
    chapter = read_contents(root).chapters[0]
    folder = root / "product"
    (folder / "figures").mkdir(parents=True)
    cells = [{"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# Study\n\n(small-pooled)="}]
    warning = {"output_type": "stream", "name": "stderr", "text": "a warning"}
    cells.append({"cell_type": "code", "id": "b", "metadata": {}, "source": "1", "outputs": [warning]})
    cells[1]["execution_count"] = 1
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    notebook = {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (folder / "study.ipynb").write_text(json.dumps(notebook))
    (folder / "results.json").write_text(json.dumps(results))
    return {chapter: folder}


def test_every_broken_reference_stops_the_build(small_book):
    """Unknown results, labels, figures and citations, and warnings of cells, are named; no book is left."""
    page = (
        "# Advice\n\n{result}`pooled_gian`\n\n{result}`moved`\n\n"
        "```{figure-card} small-lime\n```\n\n{cite}`nobody2024`\n"
    )
    (small_book / "chapters/small/advice.md").write_text(page)
    results = {
        "pooled_gain": {"value": 1, "text": "1", "source": "small-pooled"},
        "moved": {"value": 1, "text": "1", "source": "small-gone"},
    }
    products = finished(small_book, results)
    build = small_book / "_build"
    make_stage(small_book, build / "stage", read_contents(small_book), products)
    with pytest.raises(RunError) as caught:
        render(build / "stage", build)
    text = str(caught.value)
    assert re.search(r"advice\.md:3: .*no result 'pooled_gian'.* Did you mean 'pooled_gain'\?", text)
    assert re.search(r"undefined label: 'small-gone'", text)
    assert re.search(r"advice\.md:7: .*figure 'small-lime' was not made by any chapter", text)
    assert "nobody2024" in text
    assert "stderr was found in the cell outputs" in text
    assert not (build / "html").exists()


def test_one_name_for_two_figures_is_an_error(small_book):
    """A figure's identifier is stable and belongs to one chapter."""
    products = finished(small_book, {})
    figure = next(iter(products.values())) / "figures" / "small-line"
    figure.mkdir()
    other = type(next(iter(products)))("small/other", small_book / "chapters/small/other.py")
    products[other] = next(iter(products.values()))
    (products[other] / "other.ipynb").write_text("{}")
    with pytest.raises(UsageError, match="'small-line' is made by another chapter too"):
        make_stage(small_book, small_book / "stage", read_contents(small_book), products)


@pytest.fixture
def stage(tmp_path):
    """Results of three chapters in two folders."""
    for name, keys in {"xray/study": ["gain", "n"], "xray/more": ["n"], "ct/study": ["gain_ct"]}.items():
        path = tmp_path / "results" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({key: {"text": f"{name} {key}", "source": "a"} for key in keys}))
    return tmp_path


def test_a_result_is_looked_for_beside_the_page_first(stage):
    """A plain name means a notebook of the page's own folder; a chapter before it means that one."""
    page = "chapters/xray/recommendations"
    assert _find_result(stage, page, "gain")["text"] == "xray/study gain"
    assert _find_result(stage, page, "xray/more:n")["text"] == "xray/more n"
    assert _find_result(stage, "chapters/index", "ct/study:gain_ct")["text"] == "ct/study gain_ct"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("n", "is in xray/more and xray/study: write the chapter before it"),
        ("gain_ct", "no result 'gain_ct' in xray/more or xray/study"),
        ("ct/study:gain", "no result 'gain' in ct/study. Did you mean 'gain_ct'"),
        ("mri/study:gain", "no result 'gain' in chapter 'mri/study'"),
    ],
)
def test_a_result_that_is_not_there_or_not_unique_is_an_error(stage, name, message):
    """The message names the page, the key, where it was looked for and the nearest key."""
    with pytest.raises(LookupError, match=message):
        _find_result(stage, "chapters/xray/recommendations", name)
