"""The benchmark of pretraining measures the loop of the package, and lets contenders run in turns."""

import importlib
import importlib.util
import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from medssl.encoders import SmallCNN
from medssl.errors import UsageError
from medssl.ssl import METHODS, build

FOLDER = Path(__file__).parents[2] / "benchmarks"
COLUMNS = {
    "method", "side", "contender", "images_per_second", "slowest", "fastest", "share", "ratio", "repeats",
    "none", "load",
}  # fmt: skip


def module(name):
    """A file of the benchmark as a module; files import each other by name, as when the script runs."""
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def ours():
    """What measures this project."""
    return module("_throughput_ours")


@pytest.fixture(scope="module")
def contenders():
    """What lets contenders run in turns."""
    return module("_throughput_contenders")


def takes_images(name):
    """Whether a method takes an encoder of images; the others are for volumes."""
    try:
        build(name, SmallCNN())
    except UsageError:
        return False
    return True


OF_IMAGES = [name for name in METHODS if takes_images(name)]


@pytest.mark.parametrize("method", OF_IMAGES)
def test_a_row_is_measured_at_least_three_times(method, ours):
    """Without any time to spare three repeats of both steps remain, and their speeds are positive."""
    speed = ours.measure(method, "small_cnn", 16, 4, seconds=0)
    assert speed.repeats == 3
    assert speed.whole > 0
    assert speed.alone > 0


def test_every_method_has_a_speed_or_a_reason(ours, monkeypatch):
    """A method of volumes does not end the table."""
    monkeypatch.setattr(ours, "CASES", [("small_cnn", 16, 4)])
    monkeypatch.setattr(ours, "measure", lambda method, *_: build(method, SmallCNN()) and ours.Speed(1, 1, 3))
    found = {method: speed for method, *_, speed in ours.every_method(0, torch.device("cpu"))}
    assert list(found) == list(METHODS)
    assert [name for name, speed in found.items() if not isinstance(speed, str)] == OF_IMAGES


def test_the_whole_step_trains_and_the_model_alone_does_not(ours):
    """One moves the weights, the other only computes gradients."""
    run, images = ours.prepare("simclr", "small_cnn", 16, 4)
    weight = run.method.encoder.stem[0].weight
    before = weight.detach().clone()
    ours.model_alone(run, images)
    assert torch.equal(weight, before)
    assert weight.grad.abs().sum() > 0
    ours.whole_step(run, images)
    assert not torch.equal(weight, before)


def test_the_machine_is_described(ours):
    """Processor, cores, threads and version of torch stand above the table."""
    text = ours.machine()
    assert torch.__version__ in text
    assert f"{torch.get_num_threads()} threads" in text


class Recorder:
    """A contender whose answers are given, and which notes when it was asked."""

    def __init__(self, library, answers, diary, workers=0):
        self.library, self.workers, self.answers, self.diary = library, workers, answers, diary

    def ask(self, **question):
        self.diary.append((self.library, *question))
        return {} if "prepare" in question else self.answers.pop(0)


def competition(contenders, **speeds):
    """Let recorders compete over two turns; the first answer is that of warming up."""
    diary = []
    started = [
        Recorder(library, [{"whole": 1.0, "alone": 1.0}, *answers], diary)
        for library, answers in speeds.items()
    ]
    return contenders.compete(started, "byol", 28, contenders.Plan(1.0, 2)), diary


def test_contenders_take_turns(contenders):
    """After all are warm no contender runs twice in a row, so that other work meets all of them."""
    turn = {"whole": 10.0}
    _, diary = competition(contenders, lightly=[turn, turn], solo=[turn, turn])
    assert [library for library, _ in diary[-4:]] == ["lightly", "solo", "lightly", "solo"]


def test_rows_hold_medians_shares_and_ratios(contenders):
    """The share is of the model alone, the ratio to the fastest peer, and warming up does not count."""
    answers, _ = competition(
        contenders,
        medssl=[{"whole": 90.0, "alone": 100.0}, {"whole": 70.0, "alone": 100.0}],
        lightly=[{"whole": 20.0}, {"whole": 20.0}],
        solo=[{"whole": 40.0}, {"whole": 40.0}],
    )
    rows = {row["contender"]: row for row in contenders.rows_of(answers, "byol", 28)}
    assert all(row.keys() == COLUMNS for row in rows.values())
    assert set(rows) == {"medssl", "model alone", "lightly", "solo"}
    found = {name: (row["images_per_second"], row["share"], row["ratio"]) for name, row in rows.items()}
    assert found["medssl"] == (80.0, 0.8, 2.0)
    assert found["model alone"] == (100.0, 1.0, 2.5)
    assert found["lightly"] == (20.0, 0.2, 0.5)
    assert (rows["medssl"]["slowest"], rows["medssl"]["fastest"], rows["medssl"]["repeats"]) == (70, 90, 2)


def test_a_contender_that_fails_has_a_reason_and_stops_no_other(contenders):
    """A peer without a method leaves its numbers empty and says why."""
    answers, _ = competition(
        contenders, medssl=[{"whole": 9.0, "alone": 10.0}] * 2, solo=[{"none": "absent"}]
    )
    rows = {row["contender"]: row for row in contenders.rows_of(answers, "byol", 28)}
    assert (rows["solo"]["images_per_second"], rows["solo"]["none"]) == (None, "absent")
    assert (rows["medssl"]["share"], rows["medssl"]["ratio"]) == (0.9, None)


@pytest.mark.parametrize(("batch_seconds", "batches"), [(100.0, 2), (1.0, 2), (0.5, 4), (0.1, 20)])
def test_a_turn_has_an_even_number_of_batches(batch_seconds, batches, contenders):
    """The time is split over the turns, and two workers never leave a batch to one of them."""
    assert contenders.Plan(6.0, 3).batches(batch_seconds) == batches


def test_a_turn_of_a_peer_trains_on_as_many_batches(monkeypatch):
    """Each batch is transformed image by image and moves the weights once."""
    worker, steps = module("_throughput_worker"), []
    monai = module("_peers_monai")
    run = worker.PeerRun(monai, "simclr", 16, workers=0, device="cpu", batch=4)
    original = run.step
    monkeypatch.setattr(
        run, "step", lambda views: steps.append([view.shape for view in views]) or original(views)
    )
    before = run.learner.encoder.stem[0].weight.detach().clone()
    assert run.turn(3)["whole"] > 0
    assert steps == [[torch.Size([4, 1, 16, 16])] * 2] * 3
    assert not torch.equal(run.learner.encoder.stem[0].weight, before)


def test_images_are_seen_in_random_order():
    """A batch holds each image at most once."""
    batches = module("_throughput_worker").Batches(6, 4)
    batches.count = 3
    assert [len(set(batch)) for batch in batches] == [4, 4, 4]
    assert len(batches) == 3


def test_peers_get_the_same_encoder_and_about_as_many_weights():
    """The encoder of the peers is the package's own, and MONAI's loop trains within 1% of our weights."""
    parts, monai = module("_peers_parts"), module("_peers_monai")
    assert type(parts.encoder()) is SmallCNN
    for method in ("simclr", "barlow_twins"):
        count = [
            sum(weight.numel() for weight in learner.parameters())
            for learner in (monai.learner(method, SmallCNN()), build(method, SmallCNN()))
        ]
        assert count[0] == pytest.approx(count[1], rel=0.01)


def test_options_of_the_peers_are_our_defaults():
    """Widths, temperature, patch and ratio have one value in the methods and in the loops of the peers."""
    parts = module("_peers_parts")
    config = {name: build(name, SmallCNN()).config for name in parts.METHODS}
    assert config["simclr"].temperature == parts.TEMPERATURE
    assert {config[name].projection for name in ("simclr", "byol", "barlow_twins")} == {parts.WIDTH}
    assert config["byol"].hidden == config["dino"].hidden == parts.HIDDEN
    assert config["dino"].outputs == config["dino"].bottleneck == parts.OUTPUTS
    masked = config["masked_autoencoder"]
    assert (masked.patch, masked.ratio) == (parts.PATCH, parts.RATIO)


def test_a_contender_answers_from_a_process_of_its_own(contenders):
    """It names its versions, and a method that it lacks is a reason and not an end."""
    monai = contenders.Contender(sys.executable, "monai", 0, 1, "cpu")
    try:
        assert monai.first["versions"]["torch"] == torch.__version__
        for _ in range(2):
            assert "MONAI has no dino" in monai.ask(prepare=["dino", 16])["none"]
    finally:
        monai.close()


def test_an_environment_without_the_peer_gives_the_reason(contenders, tmp_path):
    """A process that cannot start leaves its last line as the reason, now and later."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho No module named lightly >&2\nexit 1\n")
    python.chmod(0o755)
    absent = contenders.Contender(str(python), "lightly", 0, 1, "cpu")
    assert absent.first == absent.ask(prepare=["dino", 16]) == {"none": "No module named lightly"}
    absent.close()


def test_help_names_every_option():
    """The script says how to run it without importing what it measures."""
    command = [sys.executable, str(FOLDER / "pretraining_throughput.py"), "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for option in ("--peers", "--sides", "--seconds", "--threads", "--device", "--output", "--all-methods"):
        assert option in text


def test_a_published_table_has_all_rows():
    """Every method at both sizes has this project, the ceiling and all peers, with a number or a reason."""
    names = {"medssl", "model alone", "lightly"}
    names |= {f"{peer}, 2 workers" for peer in ("lightly", "solo", "monai")}
    missing = {"solo": {"masked_autoencoder"}, "monai": {"byol", "dino", "masked_autoencoder"}}
    for path in FOLDER.glob("results/pretraining_throughput*.json"):
        table = json.loads(path.read_text(encoding="utf-8"))
        assert {"device", "threads", "dtype", "batch", "versions", "peers", "commit"} <= table["made"].keys()
        found = [(row["method"], row["side"], row["contender"]) for row in table["rows"]]
        methods = module("_peers_parts").METHODS
        assert sorted(found) == sorted(product(methods, (28, 64), names)), path
        for row in table["rows"]:
            assert row.keys() == COLUMNS
            lacks = row["method"] in missing.get(row["contender"].split(",")[0], ())
            assert (row["images_per_second"] is None) == lacks == (row["none"] is not None), row


def test_plain_heads_have_the_layers_that_were_asked_for():
    """Normalisation and activation stand between layers and not after the last."""
    mlp = module("_peers_parts").mlp
    assert [type(layer) for layer in mlp(3, 4, 5)] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
    assert [type(layer) for layer in mlp(3, 4, 5, normalise=False)] == [nn.Linear, nn.ReLU, nn.Linear]


def test_pillow_is_given_to_peers_that_want_it():
    """Transforms that were written for Pillow get a grey image of it, the others an array with a channel."""
    images = np.zeros((2, 5, 7), np.uint8)
    dataset = module("_throughput_worker").Images
    assert dataset(images, lambda image: (image.mode, image.size), pillow=True)[0] == ("L", (7, 5))
    assert dataset(images, lambda image: image.shape, pillow=False)[0] == (1, 5, 7)
