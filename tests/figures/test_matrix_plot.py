"""Matrices side by side: cells, means, words and refusals."""

import numpy as np
import pytest

from medssl.errors import UsageError
from medssl.figures.matrix_plot import matrix_plot

WORDS = {"label": "Cosine", "x_label": "Second view", "y_label": "First view"}


def test_cells_and_means_are_those_of_the_matrix():
    """Each cell is a row of the data; means are taken on and off the diagonal."""
    values = np.array([[1.0, 0.5], [0.25, 0.5]])
    data = matrix_plot({"before": values, "after": np.eye(2)}, **WORDS).data
    cells = data[(data.layer == "cell") & (data.matrix == "before")]
    assert cells["value"].tolist() == [1.0, 0.5, 0.25, 0.5]
    means = data[(data.layer == "mean") & (data.matrix == "before")].set_index("place")["value"]
    assert means.to_dict() == {"diagonal": 0.75, "elsewhere": 0.375}


def test_all_matrices_share_one_scale():
    """A colour means the same in every panel."""
    drawing = matrix_plot({"a": np.eye(3), "b": -np.eye(3)}, **WORDS)
    pictures = [axes.images[0] for axes in drawing.figure.axes[:2]]
    assert {picture.get_clim() for picture in pictures} == {(-1.0, 1.0)}


def test_the_alternative_text_has_the_means():
    """The text says what the picture shows, with numbers of the data only."""
    drawing = matrix_plot({"after": np.eye(2)}, **WORDS)
    assert "after: the mean is 1 on the diagonal and 0 elsewhere." in drawing.alt
    assert drawing.unsupported_numbers() == []


def test_named_rows_are_named_and_numbered():
    """Names stand on both axes, and each cell shows its value in a colour that differs from its own."""
    values = np.array([[0.5, -0.25], [0.125, -0.5]])
    drawing = matrix_plot({"a": values}, **WORDS, limits=(-0.5, 0.5), names=["X-ray", "CT"])
    axes = drawing.figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["X-ray", "CT"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["X-ray", "CT"]
    assert [text.get_text() for text in axes.texts] == ["+0.500", "−0.250", "+0.125", "−0.500"]
    assert [text.get_color() for text in axes.texts] == ["black", "white", "black", "white"]


def test_names_must_fit_the_rows():
    """Three names for two rows are an error."""
    with pytest.raises(UsageError, match="2 rows and 3 names"):
        matrix_plot({"a": np.eye(2)}, **WORDS, names=["a", "b", "c"])


@pytest.mark.parametrize(
    "matrices",
    [{}, {"a": np.zeros((2, 3))}, {"a": np.zeros((1, 1))}, {"a": np.full((2, 2), np.inf)}],
    ids=["nothing", "not square", "one cell", "not finite"],
)
def test_what_cannot_be_drawn_is_refused(matrices):
    """No matrix, another shape or values that are not finite are errors."""
    with pytest.raises(UsageError):
        matrix_plot(matrices, **WORDS)
