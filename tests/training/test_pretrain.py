"""Pretraining: it learns, it is a function of its seed, and a killed run goes on to the same bits."""

import numpy as np
import pytest
import torch

from medssl import data, encoders
from medssl.errors import DataError, RunError, UsageError
from medssl.ssl import METHODS
from medssl.training import PretrainConfig, Standardisation, pretrain
from medssl.training.checkpoint import save_checkpoint

SHORT = PretrainConfig(epochs=3, batch_size=8)
KEYS = {
    "epoch", "loss", "gradient_norm", "gradient_norm_max", "feature_deviation", "effective_rank", "alignment",
    "uniformity",
}  # fmt: skip
FLAT = [name for name in METHODS if name != "rubiks_cube"]  # it is for volumes alone


@pytest.fixture(autouse=True)
def batches_that_broke_a_run(monkeypatch, tmp_path_factory):
    """Are kept below the folder of the tests."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path_factory.getbasetemp()))


def run(pool, config=SHORT, **options):
    """Pretrain on the processor, with a covariate where the method needs one."""
    if "covariate" in getattr(METHODS.get(config.method), "needs", ()):
        options = {"covariate": np.arange(len(pool))} | options
    return pretrain(pool, "xray", config, device="cpu", **options)


@pytest.mark.parametrize("method", FLAT)
def test_a_killed_run_goes_on_to_the_same_bits(
    method, pool, tmp_path, loops, kill_after_saving, killed, same_weights
):
    """Killed after the first epoch and started again, a run ends in the weights of an undisturbed one."""
    config = PretrainConfig(method, epochs=3, batch_size=8)
    whole, path = run(pool, config, seed=4), tmp_path / "run.pt"
    survive = kill_after_saving(loops[0])
    with pytest.raises(killed):
        run(pool, config, seed=4, checkpoint=path)
    survive()
    torch.manual_seed(99)  # the global state of the second process is another one
    resumed = run(pool, config, seed=4, checkpoint=path)
    same_weights(resumed.encoder, whole.encoder)
    assert resumed.history == whole.history
    assert resumed.standardisation == whole.standardisation


def test_a_finished_checkpoint_trains_no_further(pool, tmp_path, monkeypatch, loops, same_weights):
    """The same command after the last epoch returns the same encoder without a step."""
    path = tmp_path / "run.pt"
    whole = run(pool, checkpoint=path)
    monkeypatch.setattr(loops[0]._Run, "one_epoch", lambda self: pytest.fail("it trained again"))
    again = run(pool, checkpoint=path)
    same_weights(again.encoder, whole.encoder)
    assert again.minutes == whole.minutes


def test_a_checkpoint_does_not_change_the_result(pool, tmp_path, same_weights):
    """Saving draws nothing and changes nothing."""
    same_weights(run(pool, checkpoint=tmp_path / "run.pt").encoder, run(pool).encoder)


@pytest.mark.parametrize("method", FLAT)
def test_the_seed_decides(method, pool, same_weights):
    """The same seed gives the same bits whatever the global state; another seed gives others."""
    config = PretrainConfig(method, epochs=1, batch_size=8)
    first = run(pool, config, seed=1)
    torch.rand(3)
    again, other = run(pool, config, seed=1), run(pool, config, seed=2)
    same_weights(first.encoder, again.encoder)
    assert first.history == again.history
    assert first.history != other.history


def test_a_run_starts_from_the_weights_of_its_seed(pool, loops, same_weights):
    """The encoder before the first step is what the architecture draws under the seed."""
    start = loops[0]._Run(pool, "xray", SHORT, 5, torch.device("cpu")).method.encoder
    torch.manual_seed(5)
    same_weights(start, encoders.build("small_cnn"))


@pytest.mark.parametrize(("method", "rate"), [("simclr", 2e-3), ("masked_autoencoder", 5e-3)])
def test_the_loss_falls_on_an_easy_phantom(method, rate):
    """Both methods learn something from generated radiographs within a few dozen steps."""
    pool = data.load("phantom_xray", "train", n=64, size=16, difficulty=0.0).images
    config = PretrainConfig(method, epochs=10, batch_size=16, learning_rate=rate)
    losses = [epoch["loss"] for epoch in run(pool, config).history]
    assert np.mean(losses[-3:]) < 0.95 * losses[0]


def test_history_has_what_a_page_shows(pool):
    """Each epoch reports its loss, the guards and the gradient, all finite, as plain numbers."""
    done = run(pool)
    assert [epoch["epoch"] for epoch in done.history] == [1, 2, 3]
    for epoch in done.history:
        assert set(epoch) == KEYS
        assert all(isinstance(value, int | float) and np.isfinite(value) for value in epoch.values())
    assert done.minutes > 0


def test_collapse_would_be_seen(pool, loops):
    """Equal features have a deviation of 0 and an effective rank of 1 in the history."""
    state = loops[0]._Run(pool, "xray", SHORT, 0, torch.device("cpu"))
    state.one_epoch()
    state.method.encoder.forward = lambda x: torch.ones(len(x), 128, requires_grad=True)
    state.one_epoch()
    before, after = state.history
    assert after["feature_deviation"] == pytest.approx(0, abs=1e-6) != before["feature_deviation"]
    assert after["effective_rank"] == pytest.approx(1, abs=1e-6)
    assert before["effective_rank"] > 1.5
    assert (after["alignment"], after["uniformity"]) == pytest.approx((0, 0), abs=1e-6)


def test_an_epoch_shows_each_image_once(pool, monkeypatch, loops):
    """Batches of an epoch are disjoint rows of the pool; the short rest is dropped."""
    state, seen = loops[0]._Run(pool[:23], "xray", SHORT, 0, torch.device("cpu")), []
    monkeypatch.setattr(
        loops[0]._Run, "_step", lambda self, batch, *_: (seen.append(batch), (torch.zeros(()),) * 2)[1]
    )
    state.one_epoch()
    rows = torch.cat(seen).flatten(1)
    assert [len(batch) for batch in seen] == [8, 8]
    assert len(torch.unique(rows, dim=0)) == 16


def test_the_encoder_comes_back_ready_for_use(pool):
    """It is on the processor, in evaluation mode, with the standardisation of its pool."""
    done = run(pool)
    assert not done.encoder.training
    assert {weight.device.type for weight in done.encoder.parameters()} == {"cpu"}
    assert done.standardisation == Standardisation.of(pool)


def test_a_pool_smaller_than_a_batch_is_one_batch(pool):
    """Small pools train on what there is."""
    assert len(run(pool[:5], PretrainConfig(epochs=1, batch_size=256)).history) == 1


def test_a_diverging_run_is_an_error_that_names_the_remedy(pool):
    """A loss that is not finite ends the run, and the text says which rate to lower."""
    with pytest.raises(RunError, match=r"simclr: the loss is not finite in epoch \d. Lower learning_rate"):
        run(pool, PretrainConfig(epochs=4, batch_size=8, learning_rate=1e30))


def test_images_that_are_not_finite_are_an_error(pool, loops):
    """Damaged pixels end in the same error, and no epoch is logged."""
    state = loops[0]._Run(pool, "xray", SHORT, 0, torch.device("cpu"))
    state.images[:] = torch.nan
    with pytest.raises(RunError, match="look for damaged images"):
        state.one_epoch()
    assert state.history == []


@pytest.mark.parametrize(
    ("change", "options"),
    [
        ({"learning_rate": 1e-3}, {}), ({"epochs": 4}, {}), ({"method": "masked_autoencoder"}, {}),
        ({"batch_size": 4}, {}), ({}, {"seed": 1}),
    ],
)  # fmt: skip
def test_a_checkpoint_of_another_run_is_refused(change, options, pool, tmp_path):
    """Another configuration or seed does not go on from this checkpoint, and the file stays."""
    path = tmp_path / "run.pt"
    config = {"method": "simclr", "epochs": 1, "batch_size": 8}
    run(pool, PretrainConfig(**config), checkpoint=path)
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"run\.pt: this checkpoint belongs to another configuration"):
        run(pool, PretrainConfig(**config | change), checkpoint=path, **options)
    assert path.read_bytes() == before


def test_a_checkpoint_of_another_pool_is_refused(pool, tmp_path):
    """One changed pixel is another pool."""
    run(pool, PretrainConfig(epochs=1, batch_size=8), checkpoint=tmp_path / "run.pt")
    pool[3, 2, 1] += 1
    with pytest.raises(UsageError, match="pool"):
        run(pool, PretrainConfig(epochs=1, batch_size=8), checkpoint=tmp_path / "run.pt")


def test_a_foreign_or_damaged_checkpoint_is_refused(pool, tmp_path):
    """Weights of something else and a truncated file each give one clear error."""
    path = tmp_path / "run.pt"
    save_checkpoint(path, encoders.build("small_cnn").state_dict())
    with pytest.raises(UsageError, match="belongs to another configuration"):
        run(pool, checkpoint=path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"run\.pt: not a readable checkpoint .*Remove it and run again"):
        run(pool, checkpoint=path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"batch_size": 1}, "batch_size must be at least 2, got 1"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0"),
    ],
)
def test_impossible_configurations_name_the_field(fields, message):
    """A value that cannot work is refused when it is written down."""
    with pytest.raises(UsageError, match=message):
        PretrainConfig(**fields)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"modality": "pet"}, "no augmentation policy for pet/pretrain"),
        ({"config": PretrainConfig(method="clairvoyance")}, "unknown method 'clairvoyance'"),
        ({"config": PretrainConfig(encoder="vit")}, "unknown encoder 'vit'"),
        ({"device": "tpu3"}, "unknown device 'tpu3'"),
        ({"device": "cuda"}, "torch finds no GPU"),
    ],
)
def test_unknown_names_are_refused(arguments, message, pool):
    """Each unknown name gives its own error before anything is trained."""
    with pytest.raises(UsageError, match=message):
        pretrain(**{"images": pool, "modality": "xray", "config": SHORT, "device": "cpu"} | arguments)


def test_unknown_fields_and_tiny_pools_are_refused(pool):
    """A misspelt field raises, and one image is no pool."""
    with pytest.raises(TypeError, match="epoch"):
        PretrainConfig(epoch=3)
    with pytest.raises(UsageError, match="at least 2 images, got 1"):
        run(pool[:1])


def test_a_run_starts_from_given_weights(pool, tmp_path, loops, same_weights):
    """Before the first step the encoder has the weights of the file, and so has what was built around it."""
    torch.manual_seed(9)
    given = encoders.build("small_cnn")
    save_checkpoint(tmp_path / "weights.pt", given.state_dict())
    config = PretrainConfig("byol", epochs=1, batch_size=8)
    state = loops[0]._Run(pool, "xray", config, 0, torch.device("cpu"), initial=tmp_path / "weights.pt")
    same_weights(state.method.encoder, given)
    same_weights(state.method.teacher[0], given)


def test_initial_weights_are_part_of_a_runs_identity(pool, tmp_path):
    """A checkpoint does not go on from other initial weights, nor without any."""
    config, path = PretrainConfig(epochs=1, batch_size=8), tmp_path / "run.pt"
    for seed in (1, 2):
        torch.manual_seed(seed)
        save_checkpoint(tmp_path / f"{seed}.pt", encoders.build("small_cnn").state_dict())
    first = run(pool, config, checkpoint=path, initial=tmp_path / "1.pt")
    again = run(pool, config, checkpoint=path, initial=tmp_path / "1.pt")
    assert again.history == first.history != run(pool, config).history
    for other in ({"initial": tmp_path / "2.pt"}, {}):
        with pytest.raises(UsageError, match="belongs to another configuration"):
            run(pool, config, checkpoint=path, **other)


def test_epochs_of_older_checkpoints_lack_the_guards(pool, tmp_path, kill_after_saving, loops, killed):
    """A run whose first epochs have only the numbers of their time goes on."""
    path, whole = tmp_path / "run.pt", run(pool)
    survive = kill_after_saving(loops[0], 2)
    with pytest.raises(killed):
        run(pool, checkpoint=path)
    survive()
    state = torch.load(path, weights_only=True)
    old = ("epoch", "loss", "feature_deviation", "gradient_norm")
    state["history"] = [{key: epoch[key] for key in old} for epoch in state["history"]]
    save_checkpoint(path, state)
    again = run(pool, checkpoint=path)
    assert [epoch["loss"] for epoch in again.history] == [epoch["loss"] for epoch in whole.history]
    assert again.history[-1] == whole.history[-1]
