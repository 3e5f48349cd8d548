"""The audit finds what was planted, agrees with slow loops, and needs bounded memory."""

import itertools
import json

import numpy as np
import pytest

from medssl.data import ImageDataset, audit
from medssl.data.audit import THRESHOLD, audit_source, audit_splits, matched, thumbnails


def part(split, images, labels=None, **fields):
    """Return a split of a made-up source with labels 0 unless they are given."""
    labels = np.zeros(len(images), np.int64) if labels is None else np.asarray(labels)
    return ImageDataset("made-up", "xray", split, np.asarray(images, np.uint8), labels, ("a", "b"), **fields)


def noise(count, seed=0, size=28):
    """Return unrelated images."""
    return np.random.default_rng(seed).integers(0, 256, (count, size, size), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(28, 28), (64, 64), (33, 17), (9, 30), (20, 16, 18)])
def test_thumbnails_are_normalised_area_means(shape):
    """Each cell is the mean of its pixels, for sides that the grid does not divide too."""
    images = np.random.default_rng(1).integers(0, 256, (3, *shape), dtype=np.uint8)
    edges = [np.linspace(0, side, min(14, side) + 1).astype(int) for side in shape]
    for image, row in zip(images, thumbnails(images), strict=True):
        cells = itertools.product(*(list(itertools.pairwise(edge)) for edge in edges))
        means = np.array([image[tuple(slice(*span) for span in cell)].mean() for cell in cells])
        centred = means - means.mean()
        np.testing.assert_allclose(row, centred / np.linalg.norm(centred), atol=1e-5)


def test_the_product_of_thumbnails_ignores_brightness_and_contrast():
    """A copy with another window has correlation 1 up to rounding."""
    image = noise(1)
    windowed = (image * 0.5 + 60).astype(np.uint8)
    assert (thumbnails(image) @ thumbnails(windowed).T).item() > 0.999


def test_unrelated_noise_has_no_duplicates():
    """Nothing is reported where nothing was planted."""
    found = audit_splits([part("train", noise(50)), part("val", noise(20, 1)), part("test", noise(20, 2))])
    assert all(entry.near_pairs == entry.exact_pairs == 0 for entry in found.overlaps)


def test_planted_duplicates_and_conflicts_are_counted():
    """An exact copy with another label and a re-windowed copy are found in the right pair of splits."""
    train, test = noise(30), noise(10, 1)
    test[3] = train[7]
    test[5] = (train[9] * 0.6 + 30).astype(np.uint8)
    found = audit_splits([part("train", train), part("test", test, np.eye(10, dtype=int)[3])])
    entry = found.overlap("train", "test")
    assert (entry.exact_pairs, entry.exact_images, entry.exact_conflicts) == (1, 1, 1)
    assert (entry.near_pairs, entry.near_conflicts) == (2, 1)
    assert entry.near_images == {"0.95": 2, "0.98": 2, "0.995": 2}
    assert entry.examples == ((7, 3), (9, 5))
    assert THRESHOLD < entry.highest <= 1
    assert found.overlap("train", "train").near_pairs == found.overlap("test", "test").near_pairs == 0


@pytest.mark.parametrize("block", [4, 2048])
def test_matched_images_can_be_left_out(monkeypatch, block):
    """The mask marks exactly the planted copies, constant exact ones too."""
    monkeypatch.setattr(audit, "_BLOCK", block)
    train, test = noise(30), noise(10, 1)
    test[3], test[5] = train[7], (train[9] * 0.6 + 30).astype(np.uint8)
    test[8] = train[0] = 50
    mask = matched(part("train", train), part("test", test))
    assert np.flatnonzero(mask).tolist() == [3, 5, 8]
    left = part("test", test[~mask])
    assert audit_splits([part("train", train), left]).overlap("train", "test").near_pairs == 0


def slow_counts(first, second):
    """Return exact pairs, exact conflicts, near pairs, near conflicts, near images by plain loops."""
    within = first is second
    exact = exact_conflicts = near = near_conflicts = 0
    matched = set()
    thumbs = thumbnails(first.images), thumbnails(second.images)
    for i, j in itertools.product(range(len(first)), range(len(second))):
        if within and i >= j:
            continue
        differ = int(first.labels[i] != second.labels[j])
        if np.array_equal(first.images[i], second.images[j]):
            exact, exact_conflicts = exact + 1, exact_conflicts + differ
        if float(thumbs[0][i] @ thumbs[1][j]) >= THRESHOLD:
            near, near_conflicts = near + 1, near_conflicts + differ
            matched |= {i, j} if within else {j}
    return exact, exact_conflicts, near, near_conflicts, len(matched)


@pytest.mark.parametrize("block", [3, 2048])
def test_counts_agree_with_slow_loops_for_any_block(monkeypatch, block):
    """Blocks only bound the memory: the counts are those of all pairs."""
    monkeypatch.setattr(audit, "_BLOCK", block)
    generator = np.random.default_rng(5)
    pool = noise(8, 4)
    splits = []
    for split, count in (("train", 17), ("val", 5), ("test", 9)):
        images = pool[generator.integers(0, len(pool), count)].copy()
        rewindowed = generator.random(count) < 0.4
        images[rewindowed] = (images[rewindowed] * 0.7 + 20).astype(np.uint8)
        splits.append(part(split, images, generator.integers(0, 2, count)))
    found = audit_splits(splits)
    for first, second in itertools.combinations_with_replacement(splits, 2):
        entry = found.overlap(first.split, second.split)
        counts = (entry.exact_pairs, entry.exact_conflicts, entry.near_pairs, entry.near_conflicts)
        assert (*counts, entry.near_images["0.98"]) == slow_counts(first, second)


def test_counts_do_not_depend_on_the_order_of_images():
    """Shuffling a split changes no count."""
    images = np.concatenate([noise(10), noise(4)])
    labels = np.arange(14) % 2
    order = np.random.default_rng(3).permutation(14)
    plain = audit_splits([part("train", images, labels)]).overlaps[0]
    shuffled = audit_splits([part("train", images[order], labels[order])]).overlaps[0]
    assert plain.exact_pairs == shuffled.exact_pairs == 4
    assert plain.near_images == shuffled.near_images
    assert plain.near_conflicts == shuffled.near_conflicts


def test_constant_images_are_counted_and_match_only_exactly():
    """A constant image has no correlation, so it is reported as constant and as an exact duplicate."""
    images = noise(5)
    images[1] = images[2] = 77
    found = audit_splits([part("train", images)])
    assert found.constant == {"train": 2}
    assert found.overlaps[0].exact_pairs == 1
    assert found.overlaps[0].near_pairs == 0


def test_imbalance_is_largest_over_smallest_class():
    """Three to one is 3; an absent class has no ratio."""
    found = audit_splits([part("train", noise(4), [0, 0, 0, 1]), part("test", noise(2, 1))])
    assert found.class_counts == {"train": [3, 1], "test": [2, 0]}
    assert found.imbalance == {"train": 3.0, "test": None}


def test_groups_in_two_splits_are_counted_and_unknown_groups_are_said():
    """A patient in two splits is reported; without groups the answer is unknown, not zero."""
    train = part("train", noise(3), groups=np.array([1, 1, 2]))
    test = part("test", noise(2, 1), groups=np.array([2, 3]))
    assert audit_splits([train, test]).shared_groups == 1
    assert audit_splits([train, part("test", noise(2, 1))]).shared_groups == -1


def test_masks_that_differ_on_equal_volumes_are_conflicts():
    """For segmentation two equal images conflict when their masks differ anywhere."""
    volume = np.random.default_rng(2).integers(0, 256, (1, 16, 16, 16), dtype=np.uint8)
    volumes = np.repeat(volume, 3, axis=0)
    masks = np.zeros_like(volumes)
    masks[2, 0, 0, 0] = 1
    entry = audit_splits([part("train", volumes, masks, task="segmentation")]).overlaps[0]
    assert (entry.exact_pairs, entry.exact_conflicts, entry.near_conflicts) == (3, 2, 2)


def test_an_empty_split_is_allowed():
    """A source without validation images can be audited."""
    found = audit_splits([part("train", noise(3)), part("val", noise(0))])
    assert found.n == {"train": 3, "val": 0}
    assert found.overlap("train", "val").near_pairs == 0


def test_the_result_is_plain_json_and_frozen():
    """The result survives JSON unchanged and cannot be edited."""
    found = audit_splits([part("train", noise(3))])
    assert json.loads(json.dumps(found.to_dict()))["overlaps"][0]["first"] == "train"
    with pytest.raises(AttributeError):
        found.name = "other"


def test_a_source_is_audited_by_name(copies):
    """The three splits of a named source are loaded and compared in all six ways."""
    found = audit_source("breastmnist")
    assert [(entry.first, entry.second) for entry in found.overlaps] == [
        ("train", "train"),
        ("train", "val"),
        ("train", "test"),
        ("val", "val"),
        ("val", "test"),
        ("test", "test"),
    ]
