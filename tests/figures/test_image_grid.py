"""The grid of images: what is drawn, what is said, and what is refused."""

import numpy as np
import pytest

from medssl.errors import UsageError
from medssl.figures.image_grid import image_grid


def rows():
    """Two rows of different length."""
    black, half = np.zeros((4, 6)), np.full((4, 6), 0.5)
    return {"CT": [("image", black), ("a\nview", half)], "MRI": [("", half)]}


def test_every_image_is_drawn_as_given_on_one_scale():
    """Panels hold the images themselves, and black and white are the limits."""
    drawing = image_grid(rows(), "Views")
    pictures = [axes.images[0] for axes in drawing.figure.axes]
    assert [picture.get_array().mean() for picture in pictures] == [0.0, 0.5, 0.5]
    assert {picture.get_clim() for picture in pictures} == {(0.0, 1.0)}
    assert [axes.get_title() for axes in drawing.figure.axes] == ["image", "a\nview", ""]


def test_the_data_describe_each_image():
    """One row an image, with its change from the first image of its row."""
    data = image_grid(rows(), "Views").data
    assert data["row"].tolist() == ["CT", "CT", "MRI"]
    assert data["title"].tolist() == ["image", "a view", ""]
    assert data["change"].tolist() == [0.0, 0.5, 0.0]
    assert data[["height", "width"]].drop_duplicates().values.tolist() == [[4, 6]]


def test_an_image_of_another_size_has_no_change():
    """A patch is not compared with the image that it was cut from."""
    panels = {"patch": [("image", np.zeros((4, 4))), ("patch", np.ones((2, 2)))]}
    assert np.isnan(image_grid(panels, "Patches").data["change"].iloc[1])


def test_the_alternative_text_names_rows_and_titles():
    """Whoever does not see the grid learns what is in it, and no number is made up."""
    drawing = image_grid(rows(), "Views")
    assert drawing.alt == "Views: a grid of 3 grey images. Row CT: image, a view. Row MRI."
    assert drawing.unsupported_numbers() == []


@pytest.mark.parametrize(
    "panels",
    [{}, {"a": []}, {"a": [("x", np.zeros(4))]}, {"a": [("x", np.full((2, 2), np.nan))]}],
    ids=["nothing", "an empty row", "no image", "not finite"],
)
def test_what_is_no_grid_is_refused(panels):
    """Empty grids, empty rows, other shapes and missing values are errors."""
    with pytest.raises(UsageError):
        image_grid(panels, "Views")
