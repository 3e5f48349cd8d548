"""Positives from metadata: who may be a partner, how one is drawn, and what the loop does with it."""

import numpy as np
import pytest
import torch

from medssl.errors import UsageError
from medssl.ssl import METHODS, SimCLR
from medssl.training import PretrainConfig, pretrain, to_tensor
from medssl.training.positives import (
    Partners,
    adjacent_slices,
    check_arguments,
    nearby_frames,
    same_patient,
    to_covariate,
)

SHORT = PretrainConfig(epochs=2, batch_size=8)


def candidates(partners):
    """The set of partners of each row, without the row itself."""
    stretches = zip(partners.low.tolist(), partners.high.tolist(), strict=True)
    return [set(partners.order[low:high].tolist()) - {row} for row, (low, high) in enumerate(stretches)]


def slow(groups, positions, distance):
    """The same by looking at every pair."""
    n = range(len(groups))
    near = lambda i, j: positions[i] - distance <= positions[j] <= positions[i] + distance  # noqa: E731
    return [{j for j in n if j != i and groups[i] == groups[j] and near(i, j)} for i in n]


@pytest.fixture
def metadata():
    """Groups in no order, as texts, and positions of which some repeat."""
    random = np.random.default_rng(4)
    groups = np.array(["c", "a", "b", "lonely"])[np.minimum(random.integers(0, 3, 40), 3)]
    groups[7] = "lonely"
    return groups, random.integers(-3, 12, 40)


def test_patients_slices_and_frames_follow_a_slow_loop(metadata):
    """Candidates are all pairs of one group within the distance, in both directions, and nothing else."""
    groups, positions = metadata
    assert candidates(same_patient(groups)) == slow(groups, np.zeros(40), 0)
    for distance in (1, 2, 30):
        assert candidates(adjacent_slices(groups, positions, distance)) == slow(groups, positions, distance)
    seconds = positions / 7 + 1e6  # times of day do not lose their digits
    for within in (0.05, 0.3, 1.0):
        assert candidates(nearby_frames(groups, seconds, within)) == slow(groups, seconds, within)


def test_every_candidate_is_drawn_equally_often_and_no_other(metadata, generator):
    """Over many draws each candidate has its share, the row itself none, and a lonely row only itself."""
    groups, positions = metadata
    partners = adjacent_slices(groups, positions, 2)
    allowed = slow(groups, positions, 2)
    for row in (0, 7, 20):
        drawn = partners.draw(torch.full((4000,), row), generator).bincount(minlength=40)
        expected = allowed[row] or {row}
        assert set(drawn.nonzero().flatten().tolist()) == expected
        assert drawn[list(expected)].float() == pytest.approx(4000 / len(expected), rel=0.2)
    assert allowed[7] == set()


def test_a_batch_is_drawn_row_by_row(metadata, generator):
    """Rows come in any order and may repeat; each partner is of its own row."""
    groups, _ = metadata
    rows = torch.tensor([5, 0, 5, 39, 7])
    found = same_patient(groups).draw(rows, generator)
    assert (groups[found.numpy()] == groups[rows.numpy()]).all()
    assert (found != rows).tolist() == [True, True, True, True, False]


def test_the_generator_decides(metadata):
    """The same state draws the same partners, and one number a row is used whoever has candidates."""
    groups, _ = metadata
    rows, states, found = torch.arange(40), [], []
    for partners in (same_patient(groups), same_patient(groups), same_patient(np.arange(40))):
        generator = torch.Generator().manual_seed(3)
        found.append(partners.draw(rows, generator))
        states.append(generator.get_state())
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[2], rows)
    assert torch.equal(states[0], states[2])


def test_a_number_just_below_one_stays_inside():
    """The largest draw is the last candidate, not one beyond."""
    partners = same_patient(np.zeros(3, int))
    others = {
        int(partners.draw(torch.tensor([row]), torch.Generator().manual_seed(seed)))
        for row in (2,) for seed in range(50)
    }  # fmt: skip
    assert others == {0, 1}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: same_patient(None), "partners need the group of each image"),
        (lambda: same_patient(np.zeros((2, 2))), "partners need the group of each image"),
        (lambda: adjacent_slices(np.zeros(3), np.arange(2)), "positions must be 3 finite numbers"),
        (lambda: adjacent_slices(np.zeros(2), np.array([0.0, 1.0])), "positions must be whole numbers"),
        (lambda: adjacent_slices(np.zeros(2), np.arange(2), 0), "distance must be at least 1 slice, got 0"),
        (lambda: nearby_frames(np.zeros(2), np.array([0, np.nan]), 1.0), "positions must be 2 finite"),
        (lambda: nearby_frames(np.zeros(2), np.arange(2), 0.0), "within must be above 0"),
        (lambda: to_covariate(np.arange(3), 4), "covariate must be 4 finite numbers"),
        (lambda: to_covariate(np.array(["a", "b"]), 2), "covariate must be 2 finite numbers"),
        (lambda: to_covariate(np.array([1.0, np.inf]), 2), "covariate must be 2 finite numbers"),
    ],
)
def test_metadata_that_cannot_work_is_refused(make, message):
    """Each gives one sentence that names what is wrong."""
    with pytest.raises(UsageError, match=message):
        make()


class Plain(SimCLR):
    """A method that takes nothing beside the images."""

    def loss(self, images, view, generator):
        """Ignore what comes beside."""
        return super().loss(images, view, generator)


class Curious(SimCLR):
    """A method that keeps what it was given, and cannot do without a covariate."""

    needs = ("covariate",)
    seen = ()

    def loss(self, images, view, generator, partner=None, covariate=None):
        """Remember the batch and compare views of the images."""
        Curious.seen = (*Curious.seen, (images, partner, covariate))
        return SimCLR.loss(self, images, view, generator)


@pytest.fixture
def methods(monkeypatch):
    """Two more methods that a configuration can name."""
    monkeypatch.setitem(METHODS, "plain", Plain)
    monkeypatch.setitem(METHODS, "curious", Curious)
    monkeypatch.setattr(Curious, "seen", ())


def test_images_partners_and_covariates_of_a_step_belong_together(pool, methods):
    """Partner i is another image of the patient of image i, and covariate i is that of image i."""
    groups, ages = np.arange(24) % 6, np.arange(24) * 1.5
    pretrain(pool, "xray", PretrainConfig("curious", epochs=2, batch_size=8), device="cpu",
             partners=same_patient(groups), covariate=ages)  # fmt: skip
    whole, pairs = to_tensor(pool).flatten(1), []
    for images, partner, covariate in Curious.seen:
        rows, others = (torch.cdist(x.flatten(1), whole).argmin(1) for x in (images, partner))
        assert torch.equal(whole[rows], images.flatten(1))
        assert torch.equal(whole[others], partner.flatten(1))
        assert (groups[rows] == groups[others]).all()
        assert (rows != others).all()
        assert covariate.tolist() == ages[rows].tolist()
        pairs.append(others)
    assert len(Curious.seen) == 6
    assert not torch.equal(torch.cat(pairs[:3]).sort()[0], torch.arange(24))  # drawn, not shuffled


def test_nothing_is_passed_that_was_not_given(pool, methods):
    """A method without further arguments trains as before."""
    assert len(pretrain(pool, "xray", PretrainConfig("plain", epochs=1), device="cpu").history) == 1


@pytest.mark.parametrize(
    ("method", "given", "message"),
    [
        ("plain", {"partners": np.zeros(24)}, "plain takes no partners: leave partners out"),
        ("plain", {"covariate": np.zeros(24)}, "plain takes no covariate: leave covariate out"),
        ("rotation", {"partners": np.zeros(24)}, "rotation takes no partners"),
        ("curious", {}, "curious needs covariate: give pretrain covariate="),
        ("curious", {"covariate": np.zeros(23)}, "covariate must be 24 finite numbers"),
        ("simclr", {"partners": np.zeros(23)}, "partners are of 23 images, the pool has 24"),
    ],
)
def test_what_a_method_cannot_use_or_lacks_is_refused(method, given, message, pool, methods, monkeypatch):
    """The error comes before the first step."""
    given = {key: same_patient(value) if key == "partners" else value for key, value in given.items()}
    monkeypatch.setattr(SimCLR, "loss", lambda *_, partner=None: pytest.fail("it trained"))
    with pytest.raises(UsageError, match=message):
        pretrain(pool, "xray", PretrainConfig(method, epochs=1), device="cpu", **given)


def test_arguments_are_read_from_the_signature(methods):
    """A class will do: nothing is built to find out."""
    check_arguments("curious", Curious, same_patient(np.zeros(4)), np.zeros(4), 4)


def test_a_killed_run_with_partners_goes_on_to_the_same_bits(
    pool, tmp_path, loops, kill_after_saving, killed, same_weights
):
    """Partners are drawn from the run's generator, whose state is in the checkpoint."""
    given = {"partners": same_patient(np.arange(24) % 4), "device": "cpu"}
    whole, path = pretrain(pool, "xray", SHORT, **given), tmp_path / "run.pt"
    survive = kill_after_saving(loops[0])
    with pytest.raises(killed):
        pretrain(pool, "xray", SHORT, checkpoint=path, **given)
    survive()
    resumed = pretrain(pool, "xray", SHORT, checkpoint=path, **given)
    same_weights(resumed.encoder, whole.encoder)
    assert resumed.history == whole.history
    assert whole.history != pretrain(pool, "xray", SHORT, device="cpu").history


def test_partners_and_covariate_are_part_of_a_runs_identity(pool, tmp_path, methods):
    """Another covariate or other partners do not go on; without any, the identity is what it always was."""
    config, path = PretrainConfig("curious", epochs=1, batch_size=8), tmp_path / "run.pt"
    given = {"covariate": np.arange(24), "device": "cpu", "checkpoint": path}
    pretrain(pool, "xray", config, partners=same_patient(np.arange(24) % 4), **given)
    for change in ({"partners": same_patient(np.arange(24) % 3)}, {"covariate": np.arange(24) + 1}):
        with pytest.raises(UsageError, match="belongs to another configuration"):
            pretrain(pool, "xray", config, **{"partners": same_patient(np.arange(24) % 4)} | given | change)
    plain = tmp_path / "plain.pt"
    pretrain(pool, "xray", PretrainConfig(epochs=1), device="cpu", checkpoint=plain)
    known = {"method", "encoder", "epochs", "batch_size", "learning_rate", "weight_decay"}
    known |= {"seed", "images", "device", "modality", "options"}
    assert set(torch.load(plain, weights_only=True)["identity"]) == known


def test_partners_move_as_a_whole():
    """All four tensors go to the device, and the fingerprint stays."""
    partners = same_patient(np.array([3, 1, 3]))
    moved = partners.to("cpu")
    assert isinstance(moved, Partners)
    assert moved.fingerprint() == partners.fingerprint() != same_patient(np.arange(3)).fingerprint()
    assert len(moved) == 3
