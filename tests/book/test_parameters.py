"""Parameters of a chapter are typed, and an override is checked before anything runs."""

import typing

import pytest

from medssl.book.parameters import Parameter, override, parse_assignments, read
from medssl.errors import UsageError

SOURCE = """# %% [markdown]
# # A title

# %% tags=["parameters"]
profile: str = "quick"
label_counts: list[int] = [10, 20]
rate: float | None = None
method: Literal["simclr", "masked_autoencoder"] = "simclr"
sizes: tuple[int, ...] = (28, 64)
weights: dict[str, float] = {"a": 0.5}

# %%
other: int = 3
"""
DECLARED = read(SOURCE)


def cell(line: str) -> str:
    return f'# %% tags=["parameters"]\n{line}\n'


def test_only_the_tagged_cell_declares_parameters():
    """Names, types and defaults come from the cell tagged `parameters`, in its order."""
    assert list(DECLARED) == ["profile", "label_counts", "rate", "method", "sizes", "weights"]
    assert DECLARED["label_counts"] == Parameter(list[int], [10, 20])
    assert DECLARED["rate"] == Parameter(float | None, None)
    assert DECLARED["method"].type == typing.Literal["simclr", "masked_autoencoder"]


def test_a_chapter_without_the_tag_has_no_parameters():
    """No tagged cell means no parameters, and any override is then unknown."""
    assert read("# %%\nx: int = 1\n") == {}
    with pytest.raises(UsageError, match="Its parameters are: none"):
        override({}, {"x": 1})


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("label_counts", "[5]", [5]),
        ("rate", "0.25", 0.25),
        ("rate", "null", None),
        ("rate", "1", 1.0),
        ("method", "masked_autoencoder", "masked_autoencoder"),
        ("sizes", "[32]", (32,)),
        ("weights", '{"b": 2}', {"b": 2.0}),
        ("profile", "12", "12"),
        ("label_counts", [7, 8], [7, 8]),
    ],
)
def test_a_text_becomes_a_value_of_the_declared_type(name, text, value):
    """A value from the command line is JSON, or plain text where the type is text."""
    found = override(DECLARED, {name: text})[name]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "text"),
    [("label_counts", "10"), ("label_counts", "[1.5]"), ("label_counts", '["a"]'), ("rate", "true"),
     ("rate", "fast"), ("method", "byol"), ("weights", "[]"), ("label_counts", "[10")],
)  # fmt: skip
def test_a_value_of_another_type_is_an_error(name, text):
    """A wrong type names the chapter, the parameter, its type and the value."""
    with pytest.raises(UsageError, match=rf"xray/study: parameter {name} is .*, not "):
        override(DECLARED, {name: text}, "xray/study")


def test_an_unknown_name_is_an_error_with_the_nearest_one():
    """A misspelled parameter is never ignored: the nearest name and all names with types are listed."""
    with pytest.raises(UsageError) as caught:
        override(DECLARED, {"label_count": "[10]"}, "xray/study")
    text = str(caught.value)
    assert "xray/study has no parameter 'label_count'" in text
    assert "Did you mean 'label_counts'?" in text
    assert "label_counts: list[int] = [10, 20]" in text
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("size = 3", "a parameter is written 'name: type = value', not 'size = 3'"),
        ("size: int", "a parameter is written"),
        ("import os", "a parameter is written"),
        ("size: int = len('a')", "the default of size must be a literal"),
        ("size: int = 'a'", "parameter size is int, not 'a'"),
        ("size: numpy.ndarray = 1", "the type numpy.ndarray is not known"),
        ("size: set[int] = 1", r"the type set\[int\] is not known"),
    ],
)
def test_a_malformed_declaration_names_its_line(line, message):
    """A mistake in the parameters cell names the chapter and the line of the file."""
    with pytest.raises(UsageError, match=f"study, line 2.*{message}"):
        read(cell(line), "study")


def test_two_parameter_cells_are_an_error():
    """Two tagged cells would leave open which one papermill overrides."""
    with pytest.raises(UsageError, match="2 cells are tagged parameters"):
        read(cell("a: int = 1") + cell("b: int = 1"))


def test_comments_and_a_docstring_may_stand_among_the_parameters():
    """The cell may explain itself."""
    assert list(read(cell('"""What can be changed."""\n# labels\nsize: int = 3  # pixels'))) == ["size"]


@pytest.mark.parametrize("text", ["epochs", "=3", "two words=3"])
def test_an_assignment_without_a_name_or_value_is_an_error(text):
    """`--parameter` wants NAME=VALUE."""
    with pytest.raises(UsageError, match="write NAME=VALUE"):
        parse_assignments([text])


def test_assignments_keep_equals_signs_in_the_value():
    """Only the first equals sign separates; a name given twice is an error."""
    assert parse_assignments(["a=b=c"]) == {"a": "b=c"}
    with pytest.raises(UsageError, match="given twice"):
        parse_assignments(["a=1", "a=2"])
