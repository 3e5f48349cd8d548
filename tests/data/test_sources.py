"""Any source is loaded by name, in one form; a user's own folder too."""

import numpy as np
import pytest
from PIL import Image

from medssl.data import SPLITS, _store, available, load
from medssl.data.brain_tumour import MEAN_SLICES, block_ids
from medssl.data.splits import grouped_split
from medssl.errors import DataError, UsageError

REAL = tuple(name for name in available() if not name.startswith("phantom_"))


@pytest.mark.parametrize("name", REAL)
def test_a_real_source_loads_in_one_form(sources, name):
    """Images are uint8, labels int64 [n] (masks uint8), and the shape is that of the card."""
    for split in SPLITS:
        part = load(name, split)
        assert (part.name, part.split) == (name, split)
        assert part.images.shape[1:] == _store.source_file(name).image_shape
        if part.task == "classification":
            assert part.labels.dtype == np.int64
            assert part.labels.shape == (len(part),)
            assert set(np.unique(part.labels)) <= set(range(len(part.classes)))
        else:
            assert part.labels.dtype == np.uint8


@pytest.mark.parametrize("name", ["pneumoniamnist", "organamnist", "breastmnist"])
def test_medmnist_has_no_invented_groups(sources, name):
    """Where no patient identifiers are published, groups are None."""
    assert load(name).groups is None


@pytest.mark.parametrize("name", ["brain_tumour_64", "brain_tumour_128", "hippocampus"])
def test_groups_lie_in_one_split(sources, name):
    """No block and no volume occurs in two splits."""
    groups = [set(load(name, split).groups.tolist()) for split in SPLITS]
    assert sum(map(len, groups)) == len(set.union(*groups))


def test_a_brain_block_has_one_class_and_about_a_patient_of_slices(sources):
    """Blocks never mix tumours and are at most half as long again as the mean patient."""
    part = load("brain_tumour_64")
    for group in np.unique(part.groups):
        assert len(set(part.labels[part.groups == group].tolist())) == 1
    assert np.unique(part.groups, return_counts=True)[1].max() <= 1.5 * MEAN_SLICES


def test_the_two_brain_sizes_are_the_same_slices(sources):
    """Labels and groups of the 64 and the 128 pixel copy agree, image by image."""
    for split in SPLITS:
        small, large = load("brain_tumour_64", split), load("brain_tumour_128", split)
        np.testing.assert_array_equal(small.labels, large.labels)
        if sources.real:
            np.testing.assert_array_equal(small.groups, large.groups)


def slow_runs(numbers, labels):
    """Return the run of consecutive numbers with one label that each slice belongs to."""
    label_of = dict(zip(numbers.tolist(), labels.tolist(), strict=True))
    starts = []
    for number in numbers.tolist():
        start = number
        while label_of.get(start - 1) == label_of[number]:
            start -= 1
        starts.append(start)
    return np.array(starts)


def test_blocks_follow_runs_whatever_the_order():
    """A block stays inside its run, is named by its lowest number, and ignores the order of the images."""
    generator = np.random.default_rng(0)
    numbers = generator.permutation(np.arange(1, 400))[:300]
    labels = (numbers // 90) % 3
    blocks = block_ids(numbers, labels)
    runs = slow_runs(numbers, labels)
    for block in np.unique(blocks):
        inside = numbers[blocks == block]
        assert inside.min() == block
        assert len(set(runs[blocks == block].tolist())) == 1
        assert inside.max() - inside.min() + 1 == len(inside)
    order = generator.permutation(300)
    np.testing.assert_array_equal(block_ids(numbers[order], labels[order]), blocks[order])


def test_a_slice_name_without_a_number_is_refused(make_copy, tmp_path, monkeypatch):
    """A file name that is not a slice number is named."""
    monkeypatch.setenv("MEDSSL_DATA", str(tmp_path / "data"))
    make_copy(tmp_path / "data", "brain_tumour_64", {"train_files": np.array(["a/left.jpg"] * 24)})
    with pytest.raises(DataError, match=r"not a slice number.*left"):
        load("brain_tumour_64")


def test_a_volume_name_without_a_number_is_refused(make_copy, tmp_path, monkeypatch):
    """A volume name that does not end in a number is named."""
    monkeypatch.setenv("MEDSSL_DATA", str(tmp_path / "data"))
    make_copy(tmp_path / "data", "hippocampus", {"train_ids": np.array(["hippocampus_x"] * 24)})
    with pytest.raises(DataError, match="does not end in its number"):
        load("hippocampus")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "pneumonia"}, "Unknown data set 'pneumonia'; did you mean 'pneumoniamnist'.*folder:PATH"),
        ({"name": "zzz"}, "Unknown data set 'zzz'. Known: pneumoniamnist, organamnist"),
        (
            {"name": "breastmnist", "split": "validation"},
            "Unknown split 'validation'; choose from train, val",
        ),
        ({"name": "breastmnist", "size": 64}, "breastmnist: unknown option size; it takes download, verify"),
        ({"name": "phantom_xray", "sise": 64}, "phantom_xray: unknown option sise; it takes n, size"),
        ({"name": "folder:x", "path": "y"}, "folder:x: unknown option path; it takes modality, size, seed"),
    ],
)
def test_a_wrong_request_says_what_exists(arguments, message):
    """Unknown name, split or option: wrong usage, with the known ones listed."""
    with pytest.raises(UsageError, match=message):
        load(**arguments)


def test_options_reach_a_generated_source():
    """The options of a phantom go through load."""
    part = load("phantom_xray", "val", n=5, size=32)
    assert part.images.shape == (5, 32, 32)


@pytest.fixture
def pictures(tmp_path):
    """Write PNG files below a folder of radiographs; each file holds one grey value."""

    def _pictures(*paths, shape=(40, 30)):
        for index, path in enumerate(paths):
            file = tmp_path / "own" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full(shape, 10 + index, np.uint8)).save(file)
        (tmp_path / "own" / "modality.txt").write_text("xray\n")
        return f"folder:{tmp_path / 'own'}"

    return _pictures


def test_a_folder_of_classes_is_split_once_and_for_all(pictures):
    """Every image is in exactly one split, about 70 / 10 / 20 %, the same each time."""
    name = pictures(*(f"{label}/{index}.png" for label in ("ill", "well") for index in range(20)))
    parts = {split: load(name, split, size=16) for split in SPLITS}
    assert [len(part) for part in parts.values()] == [28, 4, 8]
    assert parts["train"].classes == ("ill", "well")
    values = np.concatenate([part.images[:, 0, 0] for part in parts.values()])
    assert sorted(values.tolist()) == list(range(10, 50))
    np.testing.assert_array_equal(load(name, "test", size=16).images, parts["test"].images)
    labels = np.concatenate([part.labels for part in parts.values()])
    np.testing.assert_array_equal(labels, (values >= 30).astype(int))
    other = load(name, "test", size=16, seed=1)
    assert not np.array_equal(other.images, parts["test"].images)


def test_a_patient_of_a_folder_is_never_divided(pictures):
    """All images below one patient folder are in one split, over classes too."""
    paths = [
        f"{label}/p{patient}/{index}.png" for label in "ab" for patient in range(9) for index in range(3)
    ]
    name = pictures(*paths)
    groups = [set(load(name, split, size=16).groups.tolist()) for split in SPLITS]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 9


def test_a_folder_with_splits_keeps_them(pictures):
    """The user's own splits are used; classes are those of all splits together."""
    name = pictures("train/a/1.png", "train/b/2.png", "test/b/3.png")
    assert len(load(name, "train", size=16)) == 2
    assert len(load(name, "val", size=16)) == 0
    test = load(name, "test", size=16)
    assert (test.classes, test.labels.tolist()) == (("a", "b"), [1])


def test_the_centre_square_is_taken(tmp_path):
    """A wide image loses its sides, not its shape, and is averaged to the wanted size."""
    wide = np.zeros((20, 60), np.uint8)
    wide[:, 20:40] = np.repeat([[100, 200]], 10, axis=1).reshape(1, 20)
    (tmp_path / "own" / "a").mkdir(parents=True)
    Image.fromarray(wide).save(tmp_path / "own" / "a" / "1.png")
    image = load(f"folder:{tmp_path / 'own'}", "train", modality="ct", size=10).images[0]
    assert set(np.unique(image)) <= {100, 150, 200}


def test_sixteen_bits_are_stretched_not_clipped(tmp_path):
    """A 16-bit file keeps its order of grey values and uses the whole range."""
    ramp = np.linspace(0, 40000, 64 * 64).reshape(64, 64).astype(np.uint16)
    (tmp_path / "a").mkdir()
    Image.fromarray(ramp).save(tmp_path / "a" / "1.png")
    image = load(f"folder:{tmp_path}", "train", modality="xray", size=64).images[0]
    assert image.min() == 0
    assert image.max() == 255
    assert (np.diff(image.ravel().astype(int)) >= 0).all()


def write_dicom(file, pixels, photometric="MONOCHROME2", modality="DX"):
    """Write a minimal DICOM file of 16-bit pixels."""
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = pydicom.Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = (
        meta.MediaStorageSOPClassUID,
        meta.MediaStorageSOPInstanceUID,
    )
    dataset.Modality, dataset.PhotometricInterpretation = modality, photometric
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelData = pixels.astype(np.uint16).tobytes()
    file.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(file, enforce_file_format=True)


@pytest.mark.parametrize(("photometric", "dark_first"), [("MONOCHROME2", True), ("MONOCHROME1", False)])
def test_dicom_gives_pixels_and_modality(tmp_path, photometric, dark_first):
    """A DICOM file names its modality, and MONOCHROME1 is turned so that bone is bright."""
    ramp = np.linspace(0, 4000, 64 * 64).reshape(64, 64)
    write_dicom(tmp_path / "a" / "1.dcm", ramp, photometric)
    part = load(f"folder:{tmp_path}", "train", size=64)
    assert part.modality == "xray"
    assert (part.images[0, 0, 0] < part.images[0, -1, -1]) == dark_first


def test_nifti_gives_its_middle_slice(tmp_path):
    """A NIfTI volume contributes the middle slice of its last axis."""
    import nibabel

    volume = np.zeros((32, 32, 5), np.int16)
    volume[:, 16:, 2] = 900
    (tmp_path / "a").mkdir()
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "a" / "1.nii.gz")
    image = load(f"folder:{tmp_path}", "train", modality="mri", size=32).images[0]
    assert (image[:16] == 0).all()
    assert (image[16:] == 255).all()


def test_an_npz_of_ones_own_is_loaded(tmp_path):
    """An npz with the layout of the real sources is a source; classes, groups and modality are optional."""
    images = np.random.default_rng(0).integers(0, 256, (6, 20, 20), dtype=np.uint8)
    arrays = {"train_images": images, "train_labels": np.arange(6)[:, None] % 2}
    np.savez(tmp_path / "plain.npz", **arrays)
    plain = load(f"folder:{tmp_path / 'plain.npz'}", "train", modality="ultrasound")
    assert (plain.classes, plain.groups, plain.modality) == (("0", "1"), None, "ultrasound")
    np.testing.assert_array_equal(plain.images, images)
    more = {"classes": np.array(["no", "yes"]), "train_groups": np.arange(6), "modality": np.array("ct")}
    np.savez(tmp_path / "full.npz", **arrays, **more)
    full = load(f"folder:{tmp_path / 'full.npz'}", "train")
    assert (full.classes, full.modality, full.groups.tolist()) == (("no", "yes"), "ct", list(range(6)))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda path: None, DataError, "neither a folder nor an npz file"),
        (lambda path: path.mkdir(), DataError, "no image found. Put files"),
        (lambda path: spoil(path / "a" / "1.png"), DataError, r"1\.png: cannot be read as an image"),
        (lambda path: spoil(path / "a" / "1.dcm"), DataError, r"1\.dcm: cannot be read as an image"),
        (lambda path: spoil(path / "a" / "1.nii"), DataError, r"1\.nii: cannot be read as an image"),
    ],
)
def test_a_bad_folder_is_one_clear_error(tmp_path, make, error, message):
    """Missing, empty or damaged: one error that names the path."""
    make(tmp_path / "own")
    with pytest.raises(error, match=message):
        load(f"folder:{tmp_path / 'own'}", modality="xray")


def spoil(file):
    """Write a file that is no image."""
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no image" * 100)


def test_a_folder_must_say_its_modality(pictures, tmp_path):
    """No modality is guessed: the remedy is in the message."""
    name = pictures("a/1.png")
    (tmp_path / "own" / "modality.txt").write_text("x-ray")
    with pytest.raises(UsageError, match=r"'x-ray' is unknown\. Pass modality"):
        load(name)
    (tmp_path / "own" / "modality.txt").unlink()
    with pytest.raises(UsageError, match=r"is not given.*modality\.txt: xray, ct, mri, ultrasound"):
        load(name)
    with pytest.raises(UsageError, match="Unknown modality 'pet'"):
        load(name, modality="pet")
    with pytest.raises(UsageError, match="size 4: choose"):
        load(name, modality="ct", size=4)


def test_a_grouped_split_keeps_groups_and_shares():
    """Groups stay whole, each class is shared out in proportion, and the seed decides alone."""
    generator = np.random.default_rng(0)
    groups = np.sort(generator.integers(0, 200, 2000))
    labels = (groups % 4 == 0).astype(int)
    parts = grouped_split(labels, groups, seed=3)
    for group in np.unique(groups):
        assert len(set(parts[groups == group].tolist())) == 1
    for label in (0, 1):
        shares = [(parts[labels == label] == split).mean() for split in SPLITS]
        np.testing.assert_allclose(shares, [0.7, 0.1, 0.2], atol=0.03)
    np.testing.assert_array_equal(parts, grouped_split(labels, groups, seed=3))
    assert (parts != grouped_split(labels, groups, seed=4)).any()


@pytest.mark.parametrize("fractions", [(0.5, 0.5, 0.5), (1.2, -0.1, -0.1), (0.5, 0.5)])
def test_wrong_shares_are_refused(fractions):
    """Three shares of at least 0 that sum to 1, or an error."""
    with pytest.raises(UsageError, match="sum to 1"):
        grouped_split(np.zeros(3, int), np.arange(3), fractions=fractions)
