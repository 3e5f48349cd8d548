"""Every page of the rendered book, as a reader's browser sees it without a network."""

import json
import re
import urllib.request

import pytest

BROKEN_IMAGES = """
return [...document.images]
  .filter(image => !image.complete || image.naturalWidth === 0).map(image => image.src)
"""
WITHOUT_ALT = "return [...document.images].filter(image => !image.alt.trim()).map(image => image.src)"
OVERFLOWING = """
const width = document.documentElement.clientWidth;
const scrolls = element => {
  for (let at = element.parentElement; at; at = at.parentElement)
    if (['auto', 'scroll', 'hidden', 'clip'].includes(getComputedStyle(at).overflowX)) return true;
  return false;
};
return [...document.querySelectorAll('article *')].filter(element => {
  const box = element.getBoundingClientRect();
  return box.width > 0 && box.right > width + 1 && !scrolls(element);
}).slice(0, 5).map(element => element.outerHTML.slice(0, 120));
"""


def test_a_page_loads_from_its_own_host_only(browser, page):
    """No request to another host, nothing missing, and no error in the console."""
    browser.open(page)
    assert browser.foreign_requests() == []
    assert browser.console_errors() == []
    browser.screenshot(page.removesuffix(".html").replace("/", "-"))


def test_mathematics_is_set(browser, html, page):
    """Where the source of a page has mathematics, the browser shows it as mathematics."""
    source = (html / page).read_text(encoding="utf-8")
    formulas = len(re.findall(r'class="math notranslate nohighlight"', source))
    browser.open(page)
    assert len(browser.all("mjx-container")) >= formulas
    assert browser.all("mjx-merror") == []


def test_images_load_and_are_described(browser, page):
    """Every image arrives and has a text for those who do not see it."""
    browser.open(page)
    assert browser.driver.execute_script(BROKEN_IMAGES) == []
    assert browser.driver.execute_script(WITHOUT_ALT) == []


def test_a_phone_shows_the_page_without_sideways_scrolling(browser, page):
    """At 390 pixels nothing sticks out, but for what scrolls in a box of its own."""
    browser.resize(390, 844)
    browser.open(page)
    width, seen = browser.driver.execute_script(
        "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    browser.screenshot(page.removesuffix(".html").replace("/", "-") + "-phone")
    assert width <= seen
    assert browser.driver.execute_script(OVERFLOWING) == []


def test_a_page_has_one_title_and_says_its_language(browser, page):
    """Screen readers need the language and one top heading."""
    browser.open(page)
    assert browser.all("html")[0].get_attribute("lang") == "en"
    assert len(browser.all("article h1")) == 1


def test_local_links_lead_somewhere(html, page):
    """Every link to another file of the book leads to a file that is there."""
    source = (html / page).read_text(encoding="utf-8")
    local = set(re.findall(r'(?:href|src)="(?![a-z]+:|//)([^"#?]+)', source))
    missing = [target for target in local if not ((html / page).parent / target).resolve().exists()]
    assert missing == []


def test_the_front_page_leads_into_the_book(browser):
    """The root of the folder opens the first chapter."""
    browser.open("index.html")
    browser.wait(lambda driver: driver.current_url.endswith("chapters/index.html"))


@pytest.mark.parametrize(("word", "finds"), [("self-supervised", True), ("xylophonist", False)])
def test_search_works_without_a_network(browser, word, finds):
    """A word of the book is found on some page, another word is not, and nobody else is asked."""
    browser.open(f"search.html?q={word}")
    summary = browser.wait(
        lambda _: [
            each.text
            for each in browser.all("#search-results p")
            if "Search finished" in each.text or "did not match" in each.text
        ]
    )
    assert summary
    hits = browser.all("#search-results ul.search li a")
    assert bool(hits) is finds
    assert browser.foreign_requests() == []
    browser.screenshot(f"search-{word}")


def test_each_notebook_can_be_downloaded(browser, html, every_page):
    """The page of a notebook links to the executed notebook, which holds outputs."""
    notebooks = [page for page in every_page if (html / "_sources" / page).with_suffix(".ipynb").is_file()]
    assert notebooks
    for page in notebooks:
        browser.open(page)
        links = browser.all("a[href$='.ipynb']")
        assert links, page
        with urllib.request.urlopen(links[0].get_attribute("href")) as answer:
            cells = json.load(answer)["cells"]
        assert any(cell.get("outputs") for cell in cells), page


def test_each_figure_has_its_five_files_and_a_page(html, every_page):
    """SVG, PDF, PNG, CSV and card of every figure are published, whole, and some page links to them."""
    text = "".join((html / page).read_text(encoding="utf-8") for page in every_page)
    for folder in sorted((html / "figures").glob("*")):
        kinds = {path.suffix for path in folder.iterdir() if path.stat().st_size > 0}
        assert kinds == {".svg", ".pdf", ".png", ".csv", ".json"}, folder.name
        assert f"figures/{folder.name}/{folder.name}.svg" in text, folder.name


def test_a_quoted_number_leads_to_its_cell(browser, html, every_page):
    """The link of every computed number opens the page and cell that it names."""
    linked = [page for page in every_page if 'class="medssl-result"' in (html / page).read_text("utf-8")]
    for page in linked:
        browser.open(page)
        links = browser.all(".medssl-result a")
        targets = {link.get_attribute("href") for link in links}
        for target in sorted(targets):
            browser.driver.get(target)
            name = target.partition("#")[2]
            assert browser.all(f"#{name}"), f"{page} links to {target}"
