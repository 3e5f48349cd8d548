"""The notebook that is executed, and what is kept of it."""

import nbformat
import pytest

from medssl.book._run import prepare, tidy

SOURCE = """# %% [markdown]
# # Title

# %% tags=["parameters"]
size: int = 3

# %% tags=["remove-input"]
size

# %%
size + 1
"""


def tags(notebook) -> list[list[str]]:
    return [cell.metadata.get("tags", []) for cell in notebook.cells]


def prepared(tmp_path, values: dict, overridden: bool):
    path = tmp_path / "study.py"
    path.write_text(SOURCE)
    return prepare({"source": str(path), "values": values, "overridden": overridden})


def test_code_is_folded_but_for_the_parameters(tmp_path):
    """Readers see prose and results first; a cell that says how it is shown keeps its tag."""
    assert tags(prepared(tmp_path, {}, False)) == [[], ["parameters"], ["remove-input"], ["hide-input"]]


@pytest.mark.parametrize(("overridden", "shown"), [(True, "hide-input"), (False, "remove-cell")])
def test_injected_values_follow_the_declared_ones(tmp_path, overridden, shown):
    """Overridden values are on the page, folded; the profile alone is not shown."""
    notebook = prepared(tmp_path, {"size": "(1, 2)"}, overridden)
    assert tags(notebook)[2] == ["injected-parameters", shown]
    assert notebook.cells[2].source.endswith("\nsize = (1, 2)")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("\r 10%|#    | 1/10\r 20%|##   | 2/10\n", []),
        (" 10%|#    | 1/10", []),
        ("\r100%|#####| 9/9\nUserWarning: look here\n", ["UserWarning: look here\n"]),
        ("a rise of 10%\n", ["a rise of 10%\n"]),
    ],
)
def test_progress_bars_are_dropped_and_warnings_stay(text, kept):
    """A progress bar is no result; a warning must stay, so that the build can stop on it."""
    cell = nbformat.v4.new_code_cell(
        "1", outputs=[nbformat.v4.new_output("stream", name="stderr", text=text)]
    )
    notebook = tidy(nbformat.v4.new_notebook(cells=[cell]))
    assert [output.text for output in notebook.cells[0].outputs] == kept
