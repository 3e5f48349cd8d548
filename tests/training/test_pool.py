"""Pools: streamed or kept on the device they are the same, and a file needs little memory."""

import resource
import sys
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch

from medssl.errors import DataError, UsageError
from medssl.training import PretrainConfig, Standardisation, calibrate_normalisation, pretrain, to_tensor
from medssl.training import pool as pools
from medssl.training.pool import Streamed, check_crop, check_pool, hold, in_memory_format, open_pool
from medssl.training.tensors import fingerprint, pieces

SHORT = PretrainConfig(epochs=2, batch_size=8)
CPU = torch.device("cpu")


@pytest.fixture
def file(pool, tmp_path):
    """The pool as a file of numpy."""
    np.save(tmp_path / "pool.npy", pool)
    return tmp_path / "pool.npy"


@pytest.mark.parametrize("shape", [(9, 6, 5), (9, 4, 6, 5)])
def test_a_stream_is_indexed_as_a_tensor(shape, generator):
    """Rows in any order and repeated, slices and parts have the bits of the pool that is kept whole."""
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    kept, streamed = hold(images, CPU, True), hold(images, CPU, False)
    assert isinstance(kept, torch.Tensor)
    assert isinstance(streamed, Streamed)
    rows = torch.tensor([7, 0, 3, 3, 8])
    assert torch.equal(streamed[rows], kept[rows])
    assert torch.equal(streamed[2:5], kept[2:5])
    assert len(streamed) == len(kept) == 9
    parts = list(streamed.split(4))
    assert [len(part) for part in parts] == [4, 4, 1]
    assert all(torch.equal(one, other) for one, other in zip(parts, kept.split(4), strict=True))


def test_rows_of_a_file_are_read_forwards():
    """A batch asks for its rows in increasing order, whatever their order in the batch."""
    asked = []

    class Recorded(np.ndarray):
        def __getitem__(self, rows):
            asked.append(np.asarray(rows))
            return np.asarray(super().__getitem__(rows))

    images = np.arange(6, dtype=np.uint8).repeat(4).reshape(6, 2, 2).view(Recorded)
    batch = Streamed(images, CPU)[torch.tensor([4, 1, 5, 0])]
    assert asked[0].tolist() == [0, 1, 4, 5]
    assert (batch[:, 0, 0, 0] * 255).round().tolist() == [4, 1, 5, 0]


@pytest.mark.parametrize("method", ["simclr", "masked_autoencoder"])
def test_streaming_does_not_change_a_run(method, pool, file, same_weights):
    """Kept, streamed from memory, and streamed from a file or its path: one result, bit for bit."""
    config = PretrainConfig(method, epochs=2, batch_size=8)
    whole = pretrain(pool, "xray", config, device="cpu")
    mapped = np.load(file, mmap_mode="r")
    for images, keep in ((pool, False), (mapped, False), (mapped, True), (file, False), (str(file), None)):
        found = pretrain(images, "xray", config, device="cpu", keep_on_device=keep)
        same_weights(found.encoder, whole.encoder)
        assert found.history == whole.history


def test_calibration_reads_a_stream(pool, same_weights):
    """Normalisation statistics are those of the pool that is kept whole."""
    networks = [torch.nn.BatchNorm2d(1) for _ in range(2)]
    for network, keep in zip(networks, (True, False), strict=True):
        calibrate_normalisation(network, hold(pool, CPU, keep), Standardisation.of(pool), 10)
    same_weights(*networks)


def test_a_pool_is_kept_when_half_of_the_memory_holds_it(pool, monkeypatch):
    """The rule counts four bytes a pixel; an explicit choice overrides it."""
    for free, kind in ((8 * pool.size, torch.Tensor), (8 * pool.size - 1, Streamed)):
        monkeypatch.setattr(pools, "_free_bytes", lambda device, free=free: free)
        assert isinstance(hold(pool, CPU), kind)
    assert isinstance(hold(pool, CPU, True), torch.Tensor)


def test_free_memory_is_that_of_the_machine():
    """On a processor it is what can be had without swapping."""
    free = pools._free_bytes(CPU)
    assert 0 < free <= psutil.virtual_memory().total


def test_a_file_larger_than_the_memory_trains(tmp_path):
    """With room for a third of the file, all of a run goes through but reading the file as a whole."""
    shape = (32768, 64, 64)  # 128 MiB, written as a hole: it takes no space
    mapped = np.lib.format.open_memmap(tmp_path / "large.npy", "w+", np.uint8, shape)
    mapped[::64] = 200
    del mapped
    images = np.load(tmp_path / "large.npy", mmap_mode="r")
    config = PretrainConfig("rotation", epochs=1, batch_size=2)
    run = sys.modules["medssl.training.pretrain"]._Run
    before = resource.getrlimit(resource.RLIMIT_DATA)
    room = psutil.Process().memory_info().data + 40 * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (room, before[1]))
    try:
        state = run(images, "xray", config, 0, CPU, keep_on_device=False)
        order = torch.randperm(32768, generator=state.generator)
        losses = [state._step(state.images[order[2 * k : 2 * k + 2]], k, 4)[0] for k in range(4)]
        with pytest.raises((MemoryError, RuntimeError), match=r"allocate"):
            to_tensor(np.array(images))
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
    assert torch.stack(losses).isfinite().all()
    assert state.standardise.mean == pytest.approx(200 / 255 / 64, abs=1e-6)


def test_a_mapped_file_has_the_fingerprint_of_its_array(pool, file):
    """In pieces or whole, in either memory order, the checksum is the same, and a pixel changes it."""
    mapped = np.load(file, mmap_mode="r")
    assert fingerprint(mapped) == fingerprint(pool)
    np.save(file.with_name("f.npy"), np.asfortranarray(pool))
    assert fingerprint(np.load(file.with_name("f.npy"), mmap_mode="r")) == fingerprint(pool)
    other = np.load(file, mmap_mode="c")
    other[3, 2, 1] ^= 1
    assert fingerprint(other) != fingerprint(pool)


def test_pieces_are_whole_rows_within_the_limit(pool):
    """Together they are the array, none is larger than asked for, and a row is never cut."""
    parts = list(pieces(pool, most_bytes=3 * 256 + 10))
    assert [len(part) for part in parts] == [3] * 8
    assert np.array_equal(np.concatenate(parts), pool)
    assert [len(part) for part in pieces(pool, most_bytes=1)] == [1] * 24


def test_a_mapped_file_is_measured_exactly(pool, file, monkeypatch):
    """Counting levels in pieces gives mean and deviation of double precision, and a floor for constants."""
    values = pool.astype(np.float64) / 255
    exact = Standardisation(round(values.mean(), 6), round(values.std(), 6))
    assert Standardisation.of(np.load(file, mmap_mode="r")) == exact
    assert Standardisation.of(pool).mean == pytest.approx(exact.mean, abs=2e-6)
    np.save(file, np.full((4, 2, 2), 51, np.uint8))
    assert Standardisation.of(np.load(file, mmap_mode="r")) == Standardisation(0.2, 0.001)


def test_read_only_images_become_tensors_without_a_warning(pool):
    """A file that is opened for reading is copied, not shared."""
    pool.flags.writeable = False
    tensor = to_tensor(pool)
    tensor.zero_()
    assert pool.max() > 0


def test_volumes_become_tensors_with_a_channel():
    """[n, depth, height, width] becomes [n, 1, depth, height, width]."""
    assert to_tensor(np.full((2, 3, 4, 5), 255, np.uint8)).shape == (2, 1, 3, 4, 5)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (np.zeros((4, 8, 8)), UsageError, r"got float64 \[4, 8, 8\]"),
        (np.zeros((4, 8), np.uint8), UsageError, r"got uint8 \[4, 8\]"),
        (np.zeros((1, 8, 8), np.uint8), UsageError, "at least 2 images, got 1"),
        ("absent.npy", DataError, r"absent\.npy: not readable as an \.npy file"),
    ],
)
def test_pools_that_cannot_be_trained_on_are_refused(images, error, message):
    """Type, shape, size and file are each named."""
    with pytest.raises(error, match=message):
        open_pool(images)


def test_a_file_that_is_no_array_is_refused(tmp_path):
    """A text with the right name, a truncated array and an archive are errors that name the file."""
    for content in (b"text", b"", b"PK\x03\x04"):
        (tmp_path / "a.npy").write_bytes(content)
        with pytest.raises(DataError, match=r"a\.npy: not readable .* Write it with numpy\.save"):
            open_pool(tmp_path / "a.npy")


def test_dimensions_of_images_and_encoder_must_agree():
    """Slices for an encoder of volumes and volumes for one of slices each say what to change."""
    flat, deep = np.zeros((4, 8, 8), np.uint8), np.zeros((4, 8, 8, 8), np.uint8)
    check_pool(flat, 2, "small_cnn")
    check_pool(deep, 3, "small_cnn_3d")
    with pytest.raises(UsageError, match=r"small_cnn takes 2-D images, \[n, height, width\].*3-D encoder"):
        check_pool(deep, 2, "small_cnn")
    with pytest.raises(UsageError, match=r"small_cnn_3d takes 3-D images, \[n, depth, height, width\]"):
        check_pool(flat, 3, "small_cnn_3d")


def test_crops_must_fit_and_are_for_volumes():
    """Three sides, none larger than the volume, none below 1."""
    deep = np.zeros((4, 8, 9, 10), np.uint8)
    check_crop(None, deep)
    check_crop((8, 9, 10), deep)
    for crop in ((9, 9, 10), (8, 9, 0)):
        with pytest.raises(UsageError, match="does not fit into volumes of"):
            check_crop(crop, deep)
    for crop, images in (((4, 4), deep), ((4, 4, 4), deep[0])):
        with pytest.raises(UsageError, match="three sides in voxels"):
            check_crop(crop, images)


def test_channels_are_last_in_memory():
    """Convolutions of images and of volumes each have their format; other weights are left alone."""
    flat = in_memory_format(torch.nn.Conv2d(2, 2, 3), 2, CPU)
    assert flat.weight.is_contiguous(memory_format=torch.channels_last)
    deep = torch.nn.Sequential(torch.nn.Conv3d(2, 2, 3), torch.nn.Conv2d(2, 2, 3))
    deep = in_memory_format(deep, 3, CPU)
    assert deep[0].weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert deep[1].weight.is_contiguous()


@pytest.fixture
def volumes():
    """Eight volumes of 10 x 9 x 8 voxels."""
    return np.random.default_rng(0).integers(0, 256, (8, 10, 9, 8), dtype=np.uint8)


def test_volumes_are_trained_on_crops(volumes, monkeypatch, same_weights):
    """A step sees crops drawn with the run's generator; what watches leaves that generator alone."""
    sizes, generators = [], []

    def corner(images, size, generator):
        sizes.append(tuple(size))
        generators.append(generator)
        torch.rand(1, generator=generator)
        return images[:, :, : size[0], : size[1], : size[2]]

    stub = SimpleNamespace(random_crops=corner)
    monkeypatch.setitem(sys.modules, "medssl.augmentation._volume", stub)
    monkeypatch.setattr("medssl.training.preparation.augment", lambda images, policy, generator: images)
    module = sys.modules["medssl.training.pretrain"]
    config, seen = PretrainConfig("simclr", "small_cnn_3d", epochs=1, batch_size=4), []
    run = module._Run(volumes, "mri", config, 0, CPU, crop=(8, 8, 8))
    step = run._step
    run._step = lambda batch, *more: (seen.append(batch.shape), step(batch, *more))[1]
    run.one_epoch()
    assert seen == [(4, 1, 8, 8, 8)] * 2
    assert set(sizes) == {(8, 8, 8)}
    assert [generator is run.generator for generator in generators] == [True, True, False, False]
    assert run._identity()["crop"] == [8, 8, 8]
    assert not run.result().encoder.training


@pytest.mark.parametrize("method", ["simclr", "rubiks_cube"])
def test_volumes_stream_and_resume_to_the_same_bits(
    method, volumes, tmp_path, loops, kill_after_saving, killed, same_weights
):
    """A killed run on crops of streamed volumes ends in the bits of an undisturbed one on kept volumes."""
    config, path = PretrainConfig(method, "small_cnn_3d", epochs=2, batch_size=4), tmp_path / "run.pt"
    given = {"crop": (8, 8, 8), "device": "cpu"}
    whole = pretrain(volumes, "mri", config, **given)
    survive = kill_after_saving(loops[0])
    with pytest.raises(killed):
        pretrain(volumes, "mri", config, keep_on_device=False, checkpoint=path, **given)
    survive()
    resumed = pretrain(volumes, "mri", config, keep_on_device=False, checkpoint=path, **given)
    same_weights(resumed.encoder, whole.encoder)
    assert resumed.history == whole.history
    with pytest.raises(UsageError, match="belongs to another configuration"):
        pretrain(volumes, "mri", config, checkpoint=path, device="cpu")
