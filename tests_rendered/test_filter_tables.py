"""Tables with search, filters, sorting and CSV, as a reader's browser runs them without a network."""

import csv
import re

import pytest
from selenium.webdriver.common.keys import Keys

PAGE, TABLE = "chapters/evidence.html", "#comparisons"
SHOWN = """
const rows = [...document.querySelectorAll(arguments[0] + ' tbody tr')];
const shown = rows.filter(row => getComputedStyle(row).display !== 'none');
return shown.map(row => [...row.cells].map(cell => cell.textContent));
"""
HEADS = "return [...document.querySelectorAll(arguments[0] + ' th')].map(head => head.textContent);"
SET = """
const input = document.querySelector(`${arguments[0]} [name="${arguments[1]}"]`);
input.value = arguments[2];
for (const kind of ['input', 'change']) input.dispatchEvent(new Event(kind, {bubbles: true}));
"""


class Table:
    """One filter table of a page that is open in the browser."""

    def __init__(self, browser, selector: str = TABLE):
        self.browser, self.selector = browser, selector
        self.heads = browser.driver.execute_script(HEADS, selector)

    def rows(self) -> list[list[str]]:
        """Return the cells of the rows that are shown."""
        return self.browser.driver.execute_script(SHOWN, self.selector)

    def column(self, name: str) -> list[str]:
        """Return the shown cells of one column."""
        return [row[self.heads.index(name)] for row in self.rows()]

    def numbers(self, name: str) -> list[float]:
        """Return the shown numbers of one column, blanks left out."""
        return [float(text.replace("−", "-").replace(",", "")) for text in self.column(name) if text]

    def set(self, name: str, value) -> None:
        """Fill in one control."""
        self.browser.driver.execute_script(SET, self.selector, name, str(value))

    def one(self, selector: str):
        """Return the first element within the table."""
        return self.browser.all(f"{self.selector} {selector}")[0]

    def click(self, selector: str) -> None:
        """Click an element, wherever it stands."""
        self.browser.driver.execute_script("arguments[0].click()", self.one(selector))

    def sort(self, name: str) -> None:
        """Click a heading."""
        self.click(f"th:nth-child({self.heads.index(name) + 1}) button")

    def status(self) -> tuple[int, int]:
        """Return how many rows the page says are shown, and of how many."""
        shown, all_rows = re.fullmatch(
            r"([\d,]+) of ([\d,]+) rows shown", self.one("[role=status]").text
        ).groups()
        return int(shown.replace(",", "")), int(all_rows.replace(",", ""))


@pytest.fixture
def table(browser) -> Table:
    """The table of all comparisons, as the page comes."""
    browser.open(PAGE)
    return Table(browser)


def test_all_rows_are_shown_at_first(table):
    """Nothing is filtered when the page opens, and the page says how many rows there are."""
    assert len(table.rows()) == table.status()[0] == table.status()[1] > 1000


@pytest.mark.parametrize(
    "name", ["Modality", "Comparator", "Family", "Task type", "Metric", "Pool", "Read as"]
)
def test_each_choice_shows_its_rows(table, name):
    """Each value of a filter shows the rows with this value, as many as it promises."""
    options = table.one(f'select[name="{name}"]').find_elements("tag name", "option")
    promised = [(each.get_attribute("value"), each.get_attribute("textContent")) for each in options[1:]]
    assert len(promised) >= 2
    for value, words in promised:
        table.set(name, value)
        assert set(table.column(name)) == {value.removeprefix("=")}
        assert f"({table.status()[0]:,})" in words
    table.set(name, "all")
    assert table.status()[0] == table.status()[1]


def test_a_range_keeps_numbers_between_its_limits(table):
    """Limits of the label ratio hide rows outside of them, and rows without a ratio."""
    everything = table.numbers("Label ratio")
    table.set("Label ratio from", 0.01)
    table.set("Label ratio to", 0.1)
    inside = [ratio for ratio in everything if 0.01 <= ratio <= 0.1]
    assert sorted(table.numbers("Label ratio")) == sorted(inside)
    assert table.status()[0] == len(inside) > 0
    table.set("Label ratio to", "")
    assert table.status()[0] == sum(ratio >= 0.01 for ratio in everything)


def test_losses_can_be_asked_for(table):
    """A range of the gain accepts negative limits."""
    table.set("Gain to", -0.0001)
    assert table.numbers("Gain")
    assert max(table.numbers("Gain")) < 0


def test_search_finds_all_words_in_any_column(table):
    """Each word of a search stands somewhere in each row that is left, whatever its case."""
    everything = table.rows()
    table.set("search", "CheXpert  moco")
    expected = [
        row for row in everything if all(word in " ".join(row).lower() for word in ("chexpert", "moco"))
    ]
    assert table.rows() == expected != []
    table.set("search", "xylophonist")
    assert table.status()[0] == 0


def test_filters_work_together_and_are_undone_together(table):
    """Search, choices and ranges are joined by and; one button brings every row and the first order back."""
    everything = table.rows()
    table.set("Modality", "=CT")
    table.set("Comparator", "=random weights")
    table.set("Label ratio to", 0.1)
    table.sort("Gain")
    rows = table.rows()
    assert 0 < len(rows) < len(everything)
    assert set(table.column("Modality")) == {"CT"}
    assert set(table.column("Comparator")) == {"random weights"}
    assert max(table.numbers("Label ratio")) <= 0.1
    table.click("button[type=reset]")
    table.browser.wait(lambda _: table.status()[0] == len(everything))
    assert table.rows() == everything


def test_a_heading_sorts_up_and_down(table):
    """A click sorts numbers as numbers, the next one the other way; blanks stay at the end."""
    blanks = table.column("Label ratio").count("")
    assert blanks > 0
    for direction in ("ascending", "descending"):
        table.sort("Label ratio")
        numbers = table.numbers("Label ratio")
        assert numbers == sorted(numbers, reverse=direction == "descending")
        assert set(table.column("Label ratio")[-blanks:]) == {""}
        assert table.one("th[aria-sort]").get_attribute("aria-sort") == direction
    table.sort("Study")
    assert table.column("Study") == sorted(table.column("Study"))
    assert len(table.browser.all(f"{TABLE} th[aria-sort]")) == 1


def test_the_keyboard_sorts_too(table):
    """A heading takes the focus and answers to the return key."""
    table.one("th:nth-child(1) button").send_keys(Keys.RETURN)
    assert table.one("th:nth-child(1)").get_attribute("aria-sort") == "ascending"


def test_the_saved_file_is_what_is_shown(table, tmp_path):
    """The CSV has the shown rows in the shown order, with plain numbers that programs read."""
    allow = {"behavior": "allow", "downloadPath": str(tmp_path)}
    table.browser.driver.execute_cdp_cmd("Browser.setDownloadBehavior", allow)
    table.set("Modality", "=MRI")
    table.sort("Gain")
    table.click("button:last-of-type")
    path = tmp_path / "comparisons.csv"
    table.browser.wait(lambda _: path.exists() and path.stat().st_size)
    with path.open(newline="", encoding="utf-8") as stream:
        heads, *saved = csv.reader(stream)
    assert heads == table.heads
    assert len(saved) == table.status()[0] > 0
    for line, row in zip(saved, table.rows(), strict=True):
        for name, text, shown in zip(heads, line, row, strict=True):
            assert text == (shown.replace("−", "-").replace(",", "") if name in ("Gain", "Labels") else shown)
    gains = [float(line[heads.index("Gain")]) for line in saved]
    assert gains == sorted(gains)


def test_nobody_else_is_asked(table):
    """Filtering and sorting ask no other host for anything and leave no error."""
    table.set("Modality", "=CT")
    table.sort("Gain")
    assert table.browser.foreign_requests() == []
    assert table.browser.console_errors() == []


def test_a_phone_shows_cards(browser):
    """At 390 pixels each row is a card with the names of its columns; sorting and filters still work."""
    browser.resize(390, 844)
    browser.open(PAGE)
    table = Table(browser)
    table.set("Modality", "=Ultrasound")
    table.set("order", f"{table.heads.index('Gain')} descending")
    assert table.numbers("Gain") == sorted(table.numbers("Gain"), reverse=True)
    label = "return getComputedStyle(arguments[0], '::before').content"
    assert browser.driver.execute_script(label, table.one("tbody td")) == f'"{table.heads[0]}"'
    inside = "return arguments[0].scrollWidth <= arguments[0].clientWidth"
    assert browser.driver.execute_script(inside, table.one(".medssl-filter-box"))
    browser.driver.execute_script("arguments[0].scrollIntoView()", table.one(""))
    browser.screenshot("filter-table-phone")


def test_paper_gets_the_shown_rows_and_no_controls(table):
    """In print the filters are gone, the box does not scroll, and hidden rows stay hidden."""
    table.set("Modality", "=Ultrasound")
    shown = table.status()[0]
    table.browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert not table.one("form").is_displayed()
        whole = "return arguments[0].scrollHeight <= arguments[0].clientHeight + 1"
        assert table.browser.driver.execute_script(whole, table.one(".medssl-filter-box"))
        assert len(table.rows()) == shown
    finally:
        table.browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_without_javascript_it_is_a_plain_table(browser):
    """A browser that runs no script shows every row and column, and no dead control."""
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.driver.get(f"{browser.address}/{PAGE}")
        rows = browser.driver.execute_script(SHOWN, TABLE)
        controls = browser.all(".medssl-filter form")
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert len(rows) > 1000
    assert all(len(row) == len(rows[0]) > 10 for row in rows)
    assert controls == []


def test_every_filter_table_of_the_book_starts(browser, html, every_page):
    """Each such table of any page has its search box and shows all its rows."""
    pages = [page for page in every_page if 'class="medssl-filter"' in (html / page).read_text("utf-8")]
    assert PAGE in pages
    for page in pages:
        browser.open(page)
        names = [box.get_attribute("id") for box in browser.all(".medssl-filter")]
        for name in names:
            assert len(browser.all(f"[id='{name}']")) == 1, name
            table = Table(browser, f"#{name}")
            assert table.one("input[type=search]").is_displayed()
            shown, all_rows = table.status()
            assert shown == all_rows == len(table.rows())
