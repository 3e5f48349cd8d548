"""What every generated source promises: the contract, reproducibility, labels and difficulty."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medssl.data._dataset import MODALITIES, SPLITS
from medssl.data._phantom import CHUNK, cases_of
from medssl.data.phantom_ct import phantom_ct
from medssl.data.phantom_mri import phantom_mri
from medssl.data.phantom_ultrasound import phantom_ultrasound
from medssl.data.phantom_xray import phantom_xray
from medssl.errors import UsageError

SOURCES = {"xray": phantom_xray, "ct": phantom_ct, "mri": phantom_mri, "ultrasound": phantom_ultrasound}
each_source = pytest.mark.parametrize("modality", SOURCES)


def test_every_modality_has_a_phantom():
    """A modality without generated images cannot slip in."""
    assert set(SOURCES) == set(MODALITIES)


@each_source
@pytest.mark.parametrize("size", [16, 28, 45])
def test_images_have_the_asked_shape(modality, size):
    """Any side is possible, images are uint8, the source names itself and its two classes."""
    dataset = SOURCES[modality]("val", n=5, size=size)
    assert dataset.images.shape == (5, size, size)
    assert dataset.images.dtype == np.uint8
    assert (dataset.name, dataset.modality, dataset.split) == (f"phantom_{modality}", modality, "val")
    assert len(dataset.classes) == 2
    assert dataset.task == "classification"


@each_source
def test_image_depends_on_seed_split_and_index_only(modality):
    """Image i is the same whatever n is, and asking twice gives the same bytes."""
    source = SOURCES[modality]
    few, many = source("train", n=7, seed=3), source("train", n=CHUNK + 9, seed=3)
    np.testing.assert_array_equal(few.images, many.images[:7])
    np.testing.assert_array_equal(few.labels, many.labels[:7])
    np.testing.assert_array_equal(few.groups, many.groups[:7])
    again = source("train", n=CHUNK + 9, seed=3)
    np.testing.assert_array_equal(many.images, again.images)


@each_source
def test_seed_and_split_change_every_image(modality):
    """No image of one split or seed returns in another, and no patient crosses a split."""
    source = SOURCES[modality]
    variants = [source(split, n=CHUNK) for split in SPLITS] + [source("train", n=CHUNK, seed=1)]
    images = np.concatenate([dataset.images.reshape(CHUNK, -1) for dataset in variants])
    assert len(np.unique(images, axis=0)) == len(images)
    patients = [set(dataset.groups) for dataset in variants[:3]]
    assert len(set.union(*patients)) == sum(len(group) for group in patients)


@each_source
def test_no_image_is_constant_or_saturated(modality):
    """Every image has contrast, and no more than two thirds of it is clipped to white."""
    images = SOURCES[modality]("train", n=96).images.reshape(96, -1)
    assert images.std(axis=1).min() > 10
    assert (images == 255).mean(axis=1).max() < 0.67


def test_patients_have_one_to_three_images_and_one_label():
    """Groups are runs of one to three images that share the label and never span two chunks."""
    for chunk in range(20):
        cases = cases_of("mri", "train", 0, chunk, 0.5)
        counts = np.unique(cases.groups, return_counts=True)[1]
        assert counts.min() >= 1
        assert counts.max() <= 3
        for group in np.unique(cases.groups):
            assert len(set(cases.labels[cases.groups == group])) == 1
        assert set(cases.groups).isdisjoint(cases_of("mri", "train", 0, chunk + 1, 0.5).groups)


@pytest.mark.parametrize("prevalence", [0.0, 0.2, 0.5, 1.0])
def test_prevalence_is_the_share_of_label_one(prevalence):
    """Over many patients the share of label 1 is the prevalence, within four standard errors."""
    labels = np.concatenate([cases_of("ct", "train", 5, chunk, prevalence).labels for chunk in range(150)])
    error = np.sqrt(prevalence * (1 - prevalence) / (len(labels) / 2.4))
    assert abs(labels.mean() - prevalence) <= 4 * error


def test_nuisance_does_not_depend_on_the_label():
    """Anatomy, lesion and imaging draws are the same for an all-normal and an all-diseased cohort."""
    healthy, diseased = (cases_of("xray", "test", 2, 4, prevalence) for prevalence in (0.0, 1.0))
    assert healthy.labels.sum() == 0
    assert diseased.labels.all()
    np.testing.assert_array_equal(healthy.groups, diseased.groups)
    for draw in ("patient_value", "lesion_value", "image_value"):
        first, second = (getattr(cases, draw)(0, 1) for cases in (healthy, diseased))
        np.testing.assert_array_equal(first, second)


@each_source
def test_without_contrast_only_noise_separates_the_classes(modality):
    """At difficulty 1 the same patient drawn healthy or diseased gives almost the same image."""
    healthy, diseased = (
        SOURCES[modality]("train", n=CHUNK, size=28, difficulty=1.0, prevalence=prevalence).images
        for prevalence in (0.0, 1.0)
    )
    similar = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(healthy, diseased, strict=True)]
    assert min(similar) > 0.93


@each_source
def test_images_of_a_patient_resemble_each_other(modality):
    """Images of one patient share anatomy: they correlate more than images of two patients do."""
    dataset = SOURCES[modality]("train", n=4 * CHUNK)
    pixels = dataset.images.reshape(len(dataset), -1).astype(float)
    pixels -= pixels.mean(axis=0)
    similarity = np.corrcoef(pixels)
    same = dataset.groups[:, None] == dataset.groups
    np.fill_diagonal(same, False)
    different = dataset.groups[:, None] != dataset.groups
    assert similarity[same].mean() > similarity[different].mean() + 0.1


def pixel_auc(modality: str, difficulty: float) -> float:
    """Test AUC of logistic regression on 40 principal components of the pixels, 288 training images."""
    pixels, labels = {}, {}
    for split, chunks in (("train", 9), ("test", 5)):
        dataset = SOURCES[modality](split, n=chunks * CHUNK, size=28, difficulty=difficulty)
        pixels[split], labels[split] = dataset.images.reshape(len(dataset), -1) / 255, dataset.labels
    model = make_pipeline(PCA(40, random_state=0), StandardScaler(), LogisticRegression(C=0.01))
    model.fit(pixels["train"], labels["train"])
    return roc_auc_score(labels["test"], model.decision_function(pixels["test"]))


@each_source
def test_difficulty_goes_from_obvious_to_chance(modality):
    """Logistic regression on pixels solves difficulty 0, is at chance at 1 and lies between at 0.5."""
    easy, middle, hard = (pixel_auc(modality, difficulty) for difficulty in (0.0, 0.5, 1.0))
    assert easy > 0.95
    assert easy > middle + 0.1
    assert middle > hard - 0.02
    assert abs(hard - 0.5) < 0.12


WRONG = {
    "split": "training",
    "n": 0,
    "size": 8,
    "seed": -1,
    "difficulty": 1.5,
    "prevalence": float("nan"),
}


@each_source
@pytest.mark.parametrize("argument", WRONG)
def test_wrong_argument_is_named_with_its_allowed_values(modality, argument):
    """The error names the source, the argument, the value and what is allowed."""
    with pytest.raises(UsageError, match=rf"phantom_{modality}: {argument} is .*; allowed: "):
        SOURCES[modality](**{argument: WRONG[argument]})


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("n", 3.5),
        ("n", True),
        ("size", "28"),
        ("size", 129),
        ("seed", None),
        ("difficulty", "0.5"),
        ("prevalence", -0.1),
    ],
)
def test_wrong_type_is_wrong_usage(argument, value):
    """Types are not converted silently."""
    with pytest.raises(UsageError, match=argument):
        phantom_xray(**{argument: value})
