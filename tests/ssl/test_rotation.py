"""Quarter and half turns, their labels and the loss."""

import math

import numpy as np
import pytest
import torch

from medssl.encoders import SmallCNN
from medssl.errors import UsageError
from medssl.ssl.rotation import Rotation, RotationConfig, all_rotations, turns_of


def quarter_turn(image):
    """Turn a matrix counter-clockwise, one pixel at a time: what was on the right is then on top."""
    height, width = image.shape
    turned = torch.empty(width, height)
    for row in range(height):
        for column in range(width):
            turned[width - 1 - column, row] = image[row, column]
    return turned


@pytest.mark.parametrize("rotations", [2, 4])
def test_label_k_is_k_turns(rotations):
    """Each copy is its image after as many quarter turns as its label says, pixel by pixel."""
    images = torch.rand(3, 1, 5, 5)
    turned, labels = all_rotations(images, rotations)
    assert turned.shape == (3 * rotations, 1, 5, 5)
    for copy, label in enumerate(labels.tolist()):
        expected = images[copy % 3, 0]
        for _ in range(label * 4 // rotations):
            expected = quarter_turn(expected)
        assert torch.equal(turned[copy, 0], expected)


def test_turns_are_those_of_numpy():
    """numpy.rot90 gives the same copies."""
    images = torch.rand(2, 1, 6, 6)
    turned, labels = all_rotations(images)
    for copy, label in enumerate(labels.tolist()):
        assert np.array_equal(turned[copy, 0].numpy(), np.rot90(images[copy % 2, 0].numpy(), label))


def test_turning_back_restores_the_image():
    """4 - k more quarter turns give the image back."""
    images = torch.rand(4, 1, 8, 8)
    for copy, label in zip(*all_rotations(images), strict=True):
        back = torch.rot90(copy, 4 - label.item(), (1, 2))
        assert any(torch.equal(back, image) for image in images)


@pytest.mark.parametrize("rotations", [2, 4])
def test_every_image_is_there_once_in_each_rotation(rotations):
    """The batch holds all copies, and labels are balanced."""
    images = torch.rand(5, 1, 4, 4)
    turned, labels = all_rotations(images, rotations)
    assert labels.bincount().tolist() == [5] * rotations
    assert len(turned.unique(dim=0)) == 5 * rotations
    assert torch.equal(turned[:5], images)


def test_images_that_are_not_square_have_half_turns_only():
    """Quarter turns of 6 x 8 pixels are an error that names the size; half turns keep the shape."""
    images = torch.rand(2, 1, 6, 8)
    with pytest.raises(UsageError, match="images of 6 x 8 pixels are not square"):
        Rotation(SmallCNN()).loss(images, lambda x: x, torch.Generator())
    turned, _ = all_rotations(images, 2)
    assert torch.equal(turned[2:], images.flip(2, 3))


@pytest.mark.parametrize("rotations", [2, 4])
def test_a_classifier_of_zeros_pays_the_logarithm_of_the_number_of_turns(rotations, generator):
    """Guessing costs log 4, or log 2."""
    method = Rotation(SmallCNN(), RotationConfig(rotations))
    torch.nn.init.zeros_(method.classifier.weight)
    torch.nn.init.zeros_(method.classifier.bias)
    loss = method.loss(torch.rand(4, 1, 16, 16), lambda x: x, generator).item()
    assert loss == pytest.approx(math.log(rotations), rel=1e-5)


def test_loss_is_the_loop_over_images_and_turns(generator):
    """Batch normalisation aside, the loss is the mean of -log p(label) over all copies."""
    method, images = Rotation(SmallCNN()).eval(), torch.rand(3, 1, 16, 16)
    total = 0.0
    for image in images:
        for label in range(4):
            scores = method.classifier(method.encoder(torch.rot90(image, label, (1, 2))[None]))[0]
            total -= (scores[label] - scores.exp().sum().log()).item()
    assert method.loss(images, lambda x: x, generator).item() == pytest.approx(total / 12, rel=1e-4)


def test_one_view_of_an_image_is_turned_four_times(generator):
    """The view is asked for once, so that the copies differ in their angle alone."""
    method, asked = Rotation(SmallCNN()), []
    seen = []
    method.encoder.forward = lambda x: seen.append(x) or torch.zeros(len(x), 128)
    method.loss(torch.rand(2, 1, 8, 8), lambda x: asked.append(x) or torch.rand(2, 1, 8, 8), generator)
    assert len(asked) == 1
    copies = seen[0].reshape(4, 2, 8, 8)
    for label in range(4):
        assert torch.equal(copies[label], torch.rot90(copies[0], label, (1, 2)))


@pytest.mark.parametrize("rotations", [0, 1, 3, 8])
def test_other_numbers_of_turns_are_refused(rotations):
    """Only quarter and half turns move pixels on pixels."""
    with pytest.raises(UsageError, match=f"rotations must be 2 or 4, got {rotations}"):
        RotationConfig(rotations)


def test_turns_of_volumes_are_those_of_numpy():
    """A cube comes in ten copies, all different, each the one that its label names."""
    volumes = torch.rand(2, 1, 4, 4, 4)
    turned, labels = all_rotations(volumes)
    turns = turns_of(3)
    assert labels.bincount().tolist() == [2] * len(turns) == [2] * 10
    assert len(turned.unique(dim=0)) == 20
    assert torch.equal(turned[:2], volumes)
    for copy, label in enumerate(labels.tolist()):
        quarter, plane = turns[label]
        expected = np.rot90(volumes[copy % 2, 0].numpy(), quarter, (plane[0] - 2, plane[1] - 2))
        assert np.array_equal(turned[copy, 0].numpy(), expected)


def test_the_first_turns_of_volumes_are_in_the_plane_of_the_slice():
    """Labels 1 to 3 turn each slice as an image is turned."""
    volumes = torch.rand(2, 1, 3, 5, 5)
    turned, labels = all_rotations(volumes)
    slices, _ = all_rotations(volumes[:, :, 1])
    assert labels[:8].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert torch.equal(turned[:8, :, 1], slices)


@pytest.mark.parametrize(
    ("sides", "labels"),
    [((3, 5, 5), [0, 1, 2, 3, 5, 8]), ((4, 4, 5), [0, 2, 5, 7, 8, 9]), ((3, 4, 5), [0, 2, 5, 8])],
)
def test_volumes_are_quarter_turned_in_square_planes_only(sides, labels):
    """Where two sides differ the half turn about the third axis is what is left, under the same label."""
    turned, found = all_rotations(torch.rand(1, 1, *sides))
    assert found.tolist() == labels
    assert turned.shape == (len(labels), 1, *sides)
    for copy, label in zip(turned, labels, strict=True):
        quarter, plane = turns_of(3)[label]
        assert quarter % 2 == 0 or sides[plane[0] - 2] == sides[plane[1] - 2]
        assert torch.equal(torch.rot90(copy, -quarter, (plane[0] - 1, plane[1] - 1)), turned[0])


@pytest.mark.parametrize(("rotations", "count"), [(4, 10), (2, 4)])
def test_a_classifier_of_volumes_has_a_place_for_every_turn(rotations, count):
    """Guessing costs log 10, or log 4 for half turns."""
    encoder = torch.nn.Module()
    encoder.dimensions, encoder.width = 3, 8
    encoder.forward = lambda x: torch.zeros(len(x), 8)
    method = Rotation(encoder, RotationConfig(rotations))
    torch.nn.init.zeros_(method.classifier.bias)
    loss = method.loss(torch.rand(2, 1, 3, 4, 4), lambda x: x, torch.Generator()).item()
    assert loss == pytest.approx(math.log(count), rel=1e-5)
