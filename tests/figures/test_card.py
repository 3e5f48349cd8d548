"""A saved figure is whole, cites itself, and does not change when nothing changed."""

import base64
import csv
import json
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from matplotlib.image import imread

from medssl.errors import RunError, UsageError
from medssl.figures import _files, bubble, card, forest, save_figure
from medssl.figures._provenance import ROOT, UNKNOWN, provenance
from medssl.figures.drawing import NUMBER
from medssl.figures.style import number
from medssl.files import sha256_of


@pytest.fixture(autouse=True)
def fresh_build(monkeypatch, request):
    """Each test is a build of its own, with coarse images where their size does not matter."""
    monkeypatch.setattr(card, "_TITLES", {})
    if "300" not in request.node.name:
        monkeypatch.setattr(_files, "DOTS_PER_INCH", 40)


@pytest.fixture
def drawing(effects, slope):
    return bubble(effects, slope)


@pytest.fixture
def save(tmp_path):
    """Save with plausible words; keywords override them."""

    def with_words(drawing, figure_id="xray-bubble", **changes):
        words = {
            "folder": tmp_path / "figures",
            "title": "Gain by label ratio",
            "caption": "Gain in AUC against the label ratio",
            "records": ["b", "a"],
            "seeds": [0, 1],
            "interval": "Bands: 95% confidence and prediction",
            "chapter": "xray/study",
        }
        return save_figure(drawing, figure_id, **{**words, **changes})

    return with_words


def test_five_files_are_written_and_hashed(drawing, save, tmp_path):
    """SVG, PDF, PNG, CSV and the card lie in the figure's folder, and the card holds their hashes."""
    saved = save(drawing)
    folder = tmp_path / "figures" / "xray-bubble"
    assert sorted(path.name for path in folder.iterdir()) == [
        f"xray-bubble.{kind}" for kind in ("csv", "json", "pdf", "png", "svg")
    ]
    written = json.loads((folder / "xray-bubble.json").read_text())
    assert written["data_sha256"] == sha256_of(folder / "xray-bubble.csv") == saved.data_sha256
    assert {kind: sha256_of(folder / f"xray-bubble.{kind}") for kind in written["files"]} == written["files"]
    assert written["records"]["ids"] == ["a", "b"]
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["xray-bubble"]


def test_the_png_has_300_dots_an_inch(drawing, save, tmp_path):
    """The PNG is the figure's size in inches times 300."""
    save(drawing)
    height, width = imread(tmp_path / "figures" / "xray-bubble" / "xray-bubble.png").shape[:2]
    inches = drawing.figure.get_size_inches()
    assert (width, height) == pytest.approx((300 * inches[0], 300 * inches[1]), abs=1)


def test_the_csv_holds_the_drawn_data(drawing, save, tmp_path):
    """Every drawn row is in the CSV, numbers in full."""
    save(drawing)
    with open(tmp_path / "figures" / "xray-bubble" / "xray-bubble.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(drawing.data)
    assert [float(row["estimate"]) for row in rows] == drawing.data.estimate.tolist()


def test_the_caption_states_n_interval_and_seeds(drawing, save):
    """n, what the intervals mean, and the seeds are in every caption."""
    caption = save(drawing).caption
    assert "n = 12 effects." in caption
    assert "Bands: 95% confidence and prediction." in caption
    assert "Seeds: 0, 1." in caption
    assert "Seeds: 0 to 4." in card._full_caption("Gain", drawing, "Bars: range", range(5))
    assert "Seeds: none" in card._full_caption("Gain", drawing, "Bars: range", [])


def test_numbers_of_the_alternative_text_are_in_the_csv(drawing, save, tmp_path):
    """Each number in the alternative text is n, the level, or a cell of the CSV to three digits."""
    saved = save(drawing)
    text = (tmp_path / "figures" / "xray-bubble" / "xray-bubble.csv").read_text()
    cells = set()
    for cell in text.replace("\n", ",").split(","):
        try:
            cells.add(number(float(cell)))
        except ValueError:
            continue
    found = NUMBER.findall(saved.alt_text)
    assert len(found) >= 10
    assert set(found) <= cells | {"12", "95"}


def test_an_unchanged_figure_keeps_its_bytes(effects, slope, save, tmp_path):
    """Drawn and saved again from the same data, every file is the same byte for byte."""
    first = save(bubble(effects, slope))
    again = save(bubble(effects, slope), folder=tmp_path / "elsewhere")
    assert first.files == again.files
    assert first.data_sha256 == again.data_sha256
    changed = save(bubble(effects.assign(yi=effects.yi + 1e-9)), folder=tmp_path / "third")
    assert changed.data_sha256 != first.data_sha256


def test_nothing_is_left_of_a_failed_save(drawing, save, tmp_path, monkeypatch):
    """When a file cannot be written, the figure of before stays whole and no part remains."""
    before = save(drawing)
    monkeypatch.setattr(
        drawing.data, "to_csv", lambda *a, **k: (_ for _ in ()).throw(OSError(28, "No space left"))
    )
    with pytest.raises(RunError, match="No space left"):
        save(drawing)
    folder = tmp_path / "figures"
    assert [path.name for path in folder.iterdir()] == ["xray-bubble"]
    assert sha256_of(folder / "xray-bubble" / "xray-bubble.svg") == before.files["svg"]


def test_a_folder_that_is_a_file_is_refused(drawing, save, tmp_path):
    """A path that cannot be a folder is one clear error."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(RunError, match="cannot write here"):
        save(drawing, folder=tmp_path / "taken")


@pytest.mark.parametrize("bad", ["", "X", "x_ray", "x--y", "-x", "1x", "x/y", "../x", "x" * 81])
def test_ids_are_slugs(drawing, save, bad):
    """An id that could not be a file name or a link is refused."""
    with pytest.raises(UsageError, match="is no slug"):
        save(drawing, bad)


def test_an_id_is_given_once_in_a_build(drawing, save):
    """Another figure or chapter cannot take an id; the same figure may be saved again."""
    save(drawing)
    save(drawing)
    with pytest.raises(UsageError, match="already taken by the figure 'Gain by label ratio'"):
        save(drawing, title="Another figure")
    with pytest.raises(UsageError, match="already taken by chapter 'xray/study'"):
        save(drawing, chapter="ct/study")


def test_empty_words_and_unsupported_numbers_are_refused(drawing, save):
    """Empty texts, a text for the records and alternative texts with other numbers are usage errors."""
    for name in ("title", "caption", "interval", "chapter"):
        with pytest.raises(UsageError, match=f"{name} is empty"):
            save(drawing, **{name: " "})
    with pytest.raises(UsageError, match="give a list of record ids"):
        save(drawing, records="a")
    mute = type(drawing)(drawing.figure, drawing.data, "", drawing.count)
    with pytest.raises(UsageError, match="the alternative text is empty"):
        save(mute)
    wrong = type(drawing)(drawing.figure, drawing.data, "The gain is 0.777.", drawing.count)
    with pytest.raises(UsageError, match=r"not in the drawn data: 0\.777"):
        save(wrong)


def test_records_are_hashed_by_content(tmp_path):
    """The hash of the records follows their files, not their order."""
    paths = [tmp_path / name for name in ("one.json", "two.json")]
    for path in paths:
        path.write_text(path.name)
    first, swapped = card._records(paths), card._records(paths[::-1])
    mapped = card._records({path.stem: sha256_of(path) for path in paths})
    assert first == swapped == mapped
    assert first["ids"] == ["one", "two"]
    paths[0].write_text("changed")
    assert card._records(paths)["sha256"] != first["sha256"]


class Elements(HTMLParser):
    """Collect (tag, attributes) and the text."""

    def __init__(self):
        super().__init__()
        self.found, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_html_is_escaped_and_links_to_every_file(drawing, save):
    """Caption and alternative text survive as text, and the five files are linked from the page."""
    saved = save(drawing, caption='Gain <script>alert("x")</script> & more')
    page = Elements()
    page.feed(saved.html("../../figures"))
    tags = [tag for tag, _ in page.found]
    assert "script" not in tags
    assert 'Gain <script>alert("x")</script> & more.' in page.text
    image = dict(page.found)["img"]
    assert image["alt"] == drawing.alt
    assert image["src"] == "../../figures/xray-bubble/xray-bubble.svg"
    links = [attributes["href"] for tag, attributes in page.found if tag == "a"]
    base = "../../figures/xray-bubble/xray-bubble"
    assert links == [f"{base}.{kind}" for kind in ("svg", "pdf", "png", "csv", "json")]


def test_a_notebook_holds_the_image_itself(drawing, save, tmp_path):
    """In a notebook the SVG is inside the page, and the links go to the rendered book's figures."""
    page = Elements()
    page.feed(save(drawing)._repr_html_())
    source = dict(page.found)["img"]["src"]
    svg = (tmp_path / "figures" / "xray-bubble" / "xray-bubble.svg").read_bytes()
    assert base64.b64decode(source.removeprefix("data:image/svg+xml;base64,")) == svg
    assert dict(page.found)["a"]["href"].startswith("../../figures/xray-bubble/")


def test_bibtex_names_figure_version_and_commit(effects, pooled, save):
    """The BibTeX entry has balanced braces, escaped words, the version and the commit."""
    saved = save(forest(effects, pooled), "xray-forest", title="50% of {labels} & a_b")
    entry = saved.bibtex
    assert entry.startswith("@misc{medssl-xray-forest,")
    assert r"50\% of \{labels\} \& a\_b" in entry
    assert saved.version in entry
    assert saved.commit == UNKNOWN or saved.commit[:12] in entry
    plain = entry.replace(r"\{", "").replace(r"\}", "")
    assert plain.count("{") == plain.count("}")


def git(folder: Path, *arguments: str) -> None:
    names = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *names, *arguments], check=True, capture_output=True)


def test_commit_date_and_changes_come_from_the_checkout(tmp_path):
    """Commit and its own date are read from the checkout; edits that are not committed are admitted."""
    assert provenance(tmp_path).commit == UNKNOWN
    git(tmp_path, "init", "-q")
    assert provenance(tmp_path).commit == UNKNOWN  # no commit yet
    (tmp_path / "medssl").mkdir()
    (tmp_path / "medssl" / "a.py").write_text("1\n")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "first", "--date", "2024-01-31T12:00:00")
    clean = provenance(tmp_path)
    assert len(clean.commit) == 40
    assert len(clean.commit_date) == 10
    assert not clean.uncommitted_changes
    (tmp_path / "medssl" / "a.py").write_text("2\n")
    assert provenance(tmp_path).uncommitted_changes


def test_a_repository_around_an_installed_package_is_not_ours(tmp_path):
    """A package installed inside somebody's repository does not borrow that repository's commit."""
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "theirs")
    (tmp_path / "site-packages").mkdir()
    assert provenance(tmp_path / "site-packages").commit == UNKNOWN


def test_the_book_is_called_as_in_the_citation_file():
    """The book's title and author in figure citations are those of CITATION.cff."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["title"] == card.BOOK
    assert [author["name"] for author in citation["authors"]] == [card.AUTHOR]
