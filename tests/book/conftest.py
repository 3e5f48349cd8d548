"""A small book with one notebook chapter and one narrative page."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

STUDY = """# %% [markdown]
# # Study

# %% tags=["parameters"]
profile: str = "quick"
factor: int = 2
counts: list[int] = [10, 20]

# %%
declared_data = ["records/small/*.json"]

# %% [markdown]
# The pooled gain.
#
# (small-pooled)=

# %%
import json
import sys

from medssl.book import Results, workspace

place = workspace()
results = Results()
results.add("pooled_gain", 0.25 * factor, cell="small-pooled")
results.add("profile_length", len(profile), text=f"the {profile} profile", cell="small-pooled")
results.save()
sys.stderr.write("\\r 50%|#####     | 1/2")
print("computed")

# %%
folder = place.figures / "small-line"
folder.mkdir()
line = '<path d="M0 0L40 30" stroke="red"/>'
svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30">{line}</svg>'
(folder / "small-line.svg").write_text(svg)
for kind in ("pdf", "png", "csv"):
    (folder / f"small-line.{kind}").write_text("x,y\\n0,0\\n")
card = {"caption": "A falling line.", "alt_text": "A line.", "cell": "small-pooled"}
(folder / "small-line.json").write_text(json.dumps(card))
"""

ADVICE = """# Advice

The gain is {result}`pooled_gain`, under {result}`small/study:profile_length`, as in {cite:t}`someone2024`.
Images have {fact}`28 x 28` pixels, and $x^2$ is a square.

```{figure-card} small-line
```

{numref}`small-line` shows it.
"""

INDEX = """# A small book

The word palimpsest is here for the search.

```{bibliography}
```
"""

BIBLIOGRAPHY = """@article{someone2024, author={One, Some}, title={A paper}, journal={Journal}, year={2024}}
"""

TOC = """format: jb-book
root: chapters/index
parts:
  - caption: Small
    chapters:
      - file: chapters/small/advice
      - file: chapters/small/study
"""


def write_book(root: Path) -> Path:
    """Write the sources of the small book, with the project's own `_config.yml`."""
    texts = {
        "_toc.yml": TOC,
        "_config.yml": (ROOT / "_config.yml").read_text(encoding="utf-8"),
        "requirements.lock": "numpy==2.0\n",
        "records/small/one.json": "{}\n",
        "chapters/index.md": INDEX,
        "chapters/references.bib": BIBLIOGRAPHY,
        "chapters/small/advice.md": ADVICE,
        "chapters/small/study.py": STUDY,
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def small_book(tmp_path) -> Path:
    """The sources of a small book, nothing executed."""
    return write_book(tmp_path)


@pytest.fixture(scope="session")
def built_book(tmp_path_factory):
    """The small book, executed and rendered once; tests must not change it."""
    from medssl.book.build import Request, build_book

    root = write_book(tmp_path_factory.mktemp("book"))
    return build_book(Request(root))
