"""Label preservation: what a classifier still knows after augmentation."""

import numpy as np
import pytest

from medssl.augmentation import Policy
from medssl.errors import UsageError
from medssl.evaluation import METRICS
from medssl.evaluation.preservation import label_preservation, random_views


def brightness(images):
    """A classifier: the brighter the image, the more it is class one."""
    share = images.mean((1, 2)) / 255
    return np.stack([1 - share, share], 1)


def cases(n=24):
    """Grey images, class one a little brighter, with overlap between the classes."""
    generator = np.random.default_rng(0)
    labels = np.arange(n) % 2
    levels = 110 + 25 * labels + generator.normal(0, 15, n)
    return np.tile(levels[:, None, None], (1, 8, 8)).astype(np.uint8), labels


def test_a_policy_that_does_nothing_changes_nothing():
    """The identity leaves the AUC, and its interval is a point at zero."""
    found = label_preservation(brightness, *cases(), "ct", policies={"off": Policy()}, repeats=20)
    row = found.iloc[1]
    assert row[["change", "change_low", "change_high"]].tolist() == [0.0, 0.0, 0.0]
    assert row["auc"] == found["auc"].iloc[0]


def test_a_transform_that_the_label_does_not_rest_on_keeps_it():
    """A flip leaves brightness alone, and a change of brightness destroys it."""
    policies = {"flip": Policy(horizontal_flip=1.0), "brightness": Policy(brightness=1.0)}
    found = label_preservation(brightness, *cases(), "ct", policies=policies, repeats=50).set_index("policy")
    assert found.loc["flip", "change"] == 0
    assert found.loc["brightness", "change_high"] < 0
    assert found.loc["brightness", "auc"] < 0.75 < found.loc["plain", "auc"]


def test_the_auc_is_that_of_the_images():
    """The first row is the plain score, inside its interval."""
    images, labels = cases()
    row = label_preservation(brightness, images, labels, "ct", repeats=50).iloc[0]
    assert row["policy"] == "plain"
    assert row["auc"] == pytest.approx(float(METRICS["auc"](labels, brightness(images))[0]))
    assert row["auc_low"] < row["auc"] < row["auc_high"]


def test_the_policies_of_the_modality_are_the_default():
    """Without policies both purposes are checked."""
    found = label_preservation(brightness, *cases(), "mri", repeats=10)
    assert found["policy"].tolist() == ["plain", "fine_tune", "pretrain"]


def test_more_views_do_not_make_more_patients():
    """Views of a patient are resampled together: eight copies give the interval of one."""
    options = {"policies": {"off": Policy(horizontal_flip=1.0)}, "repeats": 400}
    one, many = (label_preservation(brightness, *cases(), "ct", views=n, **options) for n in (1, 8))
    widths = [(each["auc_high"] - each["auc_low"]).iloc[0] for each in (one, many)]
    assert widths[0] == pytest.approx(widths[1], rel=1e-6)


def test_patients_widen_the_interval():
    """Copies of an image in one patient count as one case."""
    images, labels = cases()
    images, labels, groups = (np.repeat(each, 4, axis=0) for each in (images, labels, np.arange(24)))
    apart = label_preservation(brightness, images, labels, "ct", repeats=200, policies={})
    together = label_preservation(brightness, images, labels, "ct", repeats=200, policies={}, groups=groups)
    widths = [(each["auc_high"] - each["auc_low"]).iloc[0] for each in (apart, together)]
    assert widths[1] > 1.5 * widths[0]


def test_views_are_uint8_and_depend_on_the_seed():
    """The same seed gives the same views, in passes over the images."""
    images = cases(4)[0]
    first = random_views(images, Policy(noise=0.1), 2, 0)
    assert first.shape == (8, 8, 8)
    assert first.dtype == np.uint8
    assert np.array_equal(first, random_views(images, Policy(noise=0.1), 2, 0))
    assert not np.array_equal(first, random_views(images, Policy(noise=0.1), 2, 1))
    assert np.array_equal(random_views(images, Policy(), 1, 0), images)


def test_no_views_are_refused():
    """Fewer than one view is an error."""
    with pytest.raises(UsageError, match="views"):
        label_preservation(brightness, *cases(), "ct", views=0)
