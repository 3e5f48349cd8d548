"""One view of each volume: identity, geometry, intensity and randomness of the transforms; random boxes."""

import pytest
import torch

from medssl.augmentation import Policy, policy_for
from medssl.augmentation._volume import TILT, augment_volume, random_crops
from medssl.errors import UsageError

ON = {
    "crop_scale": 0.5, "rotation_degrees": 30.0, "horizontal_flip": 1.0, "shift": 0.2, "contrast": 0.5,
    "brightness": 0.3, "gamma": 0.5, "bias_field": 0.5, "depth_gain": 0.5, "speckle": 0.3, "noise": 0.2,
    "rician": 0.2, "blur": 1.0, "shadow": 0.8, "ghosting": 0.5,
}  # fmt: skip


def seeded(seed=0):
    """A generator on the processor."""
    return torch.Generator().manual_seed(seed)


def random_volumes(batch=4, depth=8, height=10, width=12):
    """Random volumes with all values in 0.2..0.8, so that no transform runs into the clamp by itself."""
    return 0.2 + 0.6 * torch.rand(batch, 1, depth, height, width, generator=seeded(9))


def ramp(axis, batch=60, sides=(12, 12, 12)):
    """Volumes whose value is the voxel's place along an axis (0: depth), as a fraction of the side."""
    values = (torch.arange(sides[axis]) + 0.5) / sides[axis]
    shape = [1, 1, 1]
    shape[axis] = -1
    return values.reshape(shape).expand(batch, 1, *sides).clone()


def slopes(volumes):
    """Mean change from voxel to voxel along depth, height and width in the middle, shape [batch, 3]."""
    middle = volumes[:, 0, 4:8, 4:8, 4:8]
    return torch.stack([middle.diff(dim=axis).mean((1, 2, 3)) for axis in (1, 2, 3)], 1)


def test_every_field_has_a_value_that_turns_it_on():
    """The table of this file covers the whole policy; `keep_top` acts on a crop alone."""
    assert {*ON, "keep_top"} == Policy.__dataclass_fields__.keys()


def test_the_default_policy_is_the_identity():
    """A policy with everything off returns the volumes bit for bit, and draws nothing."""
    volumes, generator = random_volumes(), seeded()
    before = generator.get_state()
    assert torch.equal(augment_volume(volumes, Policy(), generator), volumes)
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize("field", ON)
def test_each_field_changes_each_volume_and_keeps_shape_and_range(field):
    """Any transform of grey, black and white volumes that are no cubes has an effect and stays in 0..1."""
    grey, policy = random_volumes(), Policy(**{field: ON[field]})
    assert ((augment_volume(grey, policy, seeded()) - grey).abs().amax((1, 2, 3, 4)) > 1e-4).all()
    volumes = torch.cat([grey, torch.zeros_like(grey), torch.ones_like(grey)])
    changed = augment_volume(volumes, policy, seeded())
    assert (changed.shape, changed.dtype) == (volumes.shape, volumes.dtype)
    assert torch.isfinite(changed).all()
    assert 0 <= changed.min() <= changed.max() <= 1


@pytest.mark.parametrize("field", [field for field in ON if field != "horizontal_flip"])
def test_each_volume_gets_its_own_parameters_from_the_generator(field):
    """Copies of one volume become different volumes, and the same state of the generator gives the same."""
    copies, policy = random_volumes(1).expand(6, -1, -1, -1, -1), Policy(**{field: ON[field]})
    torch.manual_seed(1)
    changed = augment_volume(copies, policy, seeded(5))
    torch.manual_seed(2)
    assert torch.equal(changed, augment_volume(copies, policy, seeded(5)))
    distances = torch.cdist(changed.flatten(1), changed.flatten(1)) + torch.eye(6)
    assert distances.min() > 1e-4


@pytest.mark.parametrize("modality", ["xray", "ct", "mri", "ultrasound"])
@pytest.mark.parametrize("purpose", ["pretrain", "fine_tune"])
def test_every_policy_has_a_form_for_volumes(modality, purpose):
    """No field of a policy that the package names is unknown to volumes, and order and input are kept."""
    brightness = torch.tensor([0.2, 0.5, 0.8])
    volumes = brightness[:, None, None, None, None].expand(3, 1, 8, 16, 16)
    changed = augment_volume(volumes, policy_for(modality, purpose), seeded(1))
    assert changed.shape == volumes.shape
    assert torch.equal(volumes[:, 0, 0, 0, 0], brightness)


def test_a_transform_without_a_form_for_volumes_is_refused(monkeypatch):
    """A field that is on and unknown here is an error, not left out without a word."""
    monkeypatch.setattr("medssl.augmentation._volume._OTHERS", {"crop_scale", "noise"})
    assert augment_volume(random_volumes(), Policy(noise=0.1), seeded()).isfinite().all()
    with pytest.raises(UsageError, match="volumes have no contrast, blur"):
        augment_volume(random_volumes(), Policy(contrast=0.1, blur=0.1), seeded())


def test_a_flip_only_flips():
    """Each volume is either itself or its mirror image along the columns, both about equally often."""
    volumes = random_volumes(200, 4, 5, 6)
    changed = augment_volume(volumes, Policy(horizontal_flip=0.5), seeded())
    same = (changed - volumes).abs().amax((1, 2, 3, 4)) < 1e-5
    mirrored = (changed - volumes.flip(4)).abs().amax((1, 2, 3, 4)) < 1e-5
    assert (same ^ mirrored).all()
    assert 70 < mirrored.sum() < 130


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_crop_stays_inside_and_has_one_scale(axis):
    """Along each axis a crop shows places inside the volume, as large a part as along the others."""
    sides = (12, 16, 20)
    policy = Policy(crop_scale=0.5)
    shown = augment_volume(ramp(axis, sides=sides), policy, seeded(3))
    slope = shown.diff(dim=2 + axis).narrow(2 + axis, 4, 4).mean((1, 2, 3, 4)) * sides[axis]
    assert shown.min() >= 0.5 / sides[axis] - 1e-5
    assert shown.max() <= 1 - 0.5 / sides[axis] + 1e-5
    scale = 0.5 + 0.5 * torch.rand(60, 1, generator=seeded(3))[:, 0]
    assert torch.allclose(slope, scale, atol=1e-4)
    middle = shown[:, 0, 6, 8, 10]
    assert middle.min() < 0.42 < 0.58 < middle.max()


def test_a_crop_that_keeps_the_top_begins_at_the_first_row():
    """Depth of the beam keeps its origin, and the other axes move freely."""
    policy = Policy(crop_scale=0.5, keep_top=True)
    rows = augment_volume(ramp(1), policy, seeded())[:, 0, 6, :, 6]
    step = rows[:, 7] - rows[:, 6]
    assert torch.allclose(rows[:, 6] - 6.5 * step, torch.zeros(60), atol=1e-5)
    assert augment_volume(ramp(2), policy, seeded())[:, 0, 6, 6, 6].std() > 0.05


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_shift_moves_along_every_axis_by_at_most_its_fraction(axis):
    """A pure translation adds one constant to the ramp, within plus or minus the given fraction."""
    volumes = ramp(axis)
    moved = (augment_volume(volumes, Policy(shift=0.25), seeded()) - volumes)[:, 0, 4:8, 4:8, 4:8].flatten(1)
    assert torch.allclose(moved, moved[:, :1].expand_as(moved), atol=1e-5)
    assert 0.2 < moved.abs().max() <= 0.25 + 1e-5
    assert moved.min() < 0 < moved.max()


@pytest.mark.parametrize("sides", [(12, 12, 12), (12, 16, 24)])
def test_a_rotation_is_rigid_in_voxels_and_tilts_less_than_it_turns(sides):
    """The three ramps' gradients stay orthogonal and of their length; angles stay within their limits."""
    policy = Policy(rotation_degrees=20)
    turned = [slopes(augment_volume(ramp(a, sides=sides), policy, seeded())) * sides[a] for a in range(3)]
    matrix = torch.stack(turned, 1)  # [batch, source axis, place axis], depth, height, width
    assert torch.allclose(matrix @ matrix.transpose(1, 2), torch.eye(3).expand(60, 3, 3), atol=1e-3)
    assert torch.allclose(torch.linalg.det(matrix), torch.ones(60), atol=1e-3)
    axial = torch.rad2deg(torch.atan2(matrix[:, 1, 2], matrix[:, 2, 2]))
    coronal = torch.rad2deg(torch.asin(matrix[:, 0, 2]))
    sagittal = torch.rad2deg(torch.atan2(matrix[:, 0, 1], matrix[:, 0, 0]))
    for angle, largest in ((axial, 20), (coronal, 20 * TILT), (sagittal, 20 * TILT)):
        assert 0.9 * largest < angle.abs().max() <= largest + 1e-2
        assert angle.min() < 0 < angle.max()


def test_places_are_not_rounded_under_autocast():
    """On a GPU the loop computes in half precision, in which a grid would be off by voxels."""
    volumes, policy = random_volumes(), Policy(crop_scale=0.6, rotation_degrees=15, shift=0.1)
    expected = augment_volume(volumes, policy, seeded())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(augment_volume(volumes, policy, seeded()), expected)


def test_the_bias_field_is_smooth_in_three_directions():
    """The logarithm of the field is a quadratic polynomial of the place, and varies along each axis."""
    volumes = torch.full((10, 1, 8, 10, 12), 0.3)
    field = (augment_volume(volumes, Policy(bias_field=0.1), seeded()) / volumes).log()
    for axis in (2, 3, 4):
        assert field.diff(n=3, dim=axis).abs().max() < 1e-5
        assert field.diff(dim=axis).flatten(1).abs().amax(1).min() > 1e-3


def test_contrast_brightness_and_gamma_are_what_they_say():
    """Contrast keeps the mean, brightness the deviations from it, and gamma is one power for a volume."""
    volumes = 0.4 + 0.2 * torch.rand(20, 1, 4, 5, 6, generator=seeded(1))
    contrasted = augment_volume(volumes, Policy(contrast=0.5), seeded())
    assert torch.allclose(contrasted.mean((2, 3, 4)), volumes.mean((2, 3, 4)), atol=1e-6)
    difference = (augment_volume(volumes, Policy(brightness=0.3), seeded()) - volumes).flatten(1)
    assert torch.allclose(difference, difference[:, :1].expand_as(difference), atol=1e-6)
    assert 0.2 < difference.abs().max() <= 0.3
    power = (augment_volume(volumes, Policy(gamma=0.7), seeded()).log() / volumes.log()).flatten(1)
    assert torch.allclose(power, power[:, :1].expand_as(power), rtol=1e-3)
    assert 0.5 < power.log().abs().max() <= 0.7 + 1e-4


def test_depth_gain_and_shadow_follow_the_beam_along_the_rows():
    """Gain is linear in the row and the same elsewhere; a shadow darkens, more so further down."""
    volumes = torch.full((10, 1, 6, 16, 8), 0.5)
    gain = augment_volume(volumes, Policy(depth_gain=0.4), seeded()) / volumes
    assert torch.allclose(gain, gain[:, :, :1, :, :1].expand_as(gain), atol=1e-6)
    assert gain.diff(n=2, dim=3).abs().max() < 1e-5
    shaded = augment_volume(volumes, Policy(shadow=0.8), seeded())
    assert shaded.diff(dim=3).max() <= 1e-6
    assert (shaded[:, :, :, 0] - 0.5).abs().max() < 0.02
    assert shaded.min() < 0.3


def test_noise_is_of_its_kind():
    """Speckle leaves black black, Rician noise has a Rayleigh law's mean there, and ghosts copy columns."""
    black = torch.zeros(200, 1, 8, 8, 8)
    assert augment_volume(black, Policy(speckle=0.3), seeded()).max() == 0
    assert augment_volume(black, Policy(noise=0.3), seeded()).max() > 0
    magnitude = augment_volume(black, Policy(rician=0.1), seeded()).mean((2, 3, 4))
    largest = 0.1 * (torch.pi / 2) ** 0.5
    assert 0.95 * largest < magnitude.max() < 1.05 * largest
    line = torch.zeros(5, 1, 4, 4, 8)
    line[..., 1] = 1
    ghosts = augment_volume(line, Policy(ghosting=0.5), seeded())
    assert (ghosts[..., [5, 3]] > 0).all()
    assert torch.allclose(ghosts.sum(4), torch.ones(5, 1, 4, 4))


def test_blur_is_the_mean_of_neighbours_in_three_directions():
    """With the largest weight known from the generator, a voxel is mixed with the mean of its 27."""
    volumes = random_volumes(3, 5, 5, 5)
    weight = torch.rand(3, 1, 1, 1, 1, generator=seeded(2)).flatten()
    blurred = augment_volume(volumes, Policy(blur=1.0), seeded(2))
    for volume in range(3):
        mean = volumes[volume, 0, 1:4, 2:5, 0:3].mean()
        expected = torch.lerp(volumes[volume, 0, 2, 3, 1], mean, weight[volume])
        assert torch.allclose(blurred[volume, 0, 2, 3, 1], expected, atol=1e-6)


@pytest.mark.parametrize("size", [(3, 4, 5), (6, 8, 10), (1, 1, 1)])
@pytest.mark.parametrize("kind", [torch.float32, torch.uint8])
def test_random_boxes_are_the_loop_over_volumes(size, kind):
    """Every box is the slice of its own volume at its own corner, in the volume's own type."""
    volumes = (255 * torch.rand(7, 2, 6, 8, 10, generator=seeded())).to(kind)
    crops = random_crops(volumes, size, seeded(4))
    assert (crops.shape, crops.dtype) == ((7, 2, *size), kind)
    unit = torch.rand(3, 7, generator=seeded(4))
    for number, volume in enumerate(volumes):
        starts = [int(unit[axis, number] * (volume.shape[1 + axis] - size[axis] + 1)) for axis in range(3)]
        box = tuple(slice(start, start + length) for start, length in zip(starts, size, strict=True))
        assert torch.equal(crops[number], volume[:, *box])


def test_random_boxes_lie_anywhere_with_equal_chance():
    """Along each axis every corner from the first to the last comes up equally often, independently."""
    index = torch.arange(4 * 5 * 3).reshape(1, 1, 4, 5, 3).expand(12000, -1, -1, -1, -1)
    first = random_crops(index, (2, 3, 2), seeded())[:, 0, 0, 0, 0]
    places = torch.stack(torch.unravel_index(first, (4, 5, 3)))
    for place, count in zip(places, (3, 3, 2), strict=True):
        assert torch.allclose(
            place.bincount(minlength=count) / 12000, torch.full((count,), 1 / count), atol=0.02
        )
    assert torch.corrcoef(places.double()).triu(1).abs().max() < 0.03


@pytest.mark.parametrize("size", [(7, 8, 10), (6, 8, 0), (6, 8)])
def test_boxes_larger_than_the_volumes_are_refused(size):
    """The error names both sizes."""
    with pytest.raises(UsageError, match="size must be three sides within 6 x 8 x 10 voxels, got"):
        random_crops(torch.rand(2, 1, 6, 8, 10), size, seeded())
