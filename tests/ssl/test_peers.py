"""Losses equal those of lightly, solo-learn and MONAI, value and gradient, where these are installed.

MONAI is part of this environment; the others are in that of benchmarks/requirements-pretraining-peers.txt.
Differences of convention (sums for means, weights, stopped gradients) are written into each comparison.
"""

import importlib.util
import warnings
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from medssl.ssl.barlow_twins import cross_correlation, redundancy_reduction
from medssl.ssl.byol import normalised_squared_error
from medssl.ssl.dino import self_distillation
from medssl.ssl.masked_autoencoder import hidden_patch_error
from medssl.ssl.moco import queue_cross_entropy
from medssl.ssl.simclr import normalised_temperature_cross_entropy
from medssl.ssl.simsiam import negative_cosine
from medssl.ssl.swav import sinkhorn_codes, swapped_prediction
from medssl.ssl.vicreg import variance_invariance_covariance

IMPORTS = Path(__file__).parents[2] / "benchmarks" / "_peers_imports.py"
BATCH, DIMENSIONS = 12, 6


@pytest.fixture(scope="module")
def imports():
    """What makes the peers importable."""
    spec = importlib.util.spec_from_file_location("_peers_imports", IMPORTS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def lightly(imports):
    """Return a function that imports a module of lightly, or skips with the reason."""
    return or_skip(imports.import_lightly)


@pytest.fixture
def solo(imports):
    """Return a function that imports a file of solo-learn, or skips with the reason."""
    return or_skip(imports.import_solo)


@pytest.fixture
def monai():
    """MONAI's losses, which the environment of this project has and that of the peers need not have."""
    return pytest.importorskip("monai.losses", reason="MONAI is not part of the peers' environment")


def or_skip(importer):
    """Return the importer; what it warns about is not ours, and an absent peer is a reason to skip."""

    def load(name):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return importer(name)
            except ImportError as error:
                pytest.skip(f"{error}; see benchmarks/requirements-pretraining-peers.txt")

    return load


@pytest.fixture(autouse=True)
def double():
    """Layers and buffers that a peer makes inside its loss are in double precision, as the vectors are."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def vectors(seed=0, count=2, dimensions=DIMENSIONS):
    """Batches of random vectors, of which the first asks for a gradient."""
    first, *rest = torch.randn(
        count, BATCH, dimensions, generator=torch.Generator().manual_seed(seed)
    ).unbind()
    return first.requires_grad_(), *rest


def assert_same(ours, theirs, *weights):
    """Both losses and their gradients agree to 1e-6."""
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6, abs=1e-9)
    for mine, other in zip(
        torch.autograd.grad(ours, weights), torch.autograd.grad(theirs.sum(), weights), strict=True
    ):
        assert torch.allclose(mine, other, rtol=1e-6, atol=1e-6 * other.abs().max().item())


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_simclr_is_lightly_nt_xent(temperature, lightly):
    """The same mean over 2 x batch anchors."""
    first, second = vectors()
    theirs = lightly("loss").NTXentLoss(temperature=temperature)(first, second)
    assert_same(normalised_temperature_cross_entropy(first, second, temperature), theirs, first)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_simclr_is_solo_learn_simclr(temperature, solo):
    """The same mean over 2 x batch anchors."""
    first, second = vectors()
    theirs = solo("losses.simclr").simclr_loss_func(first, second, temperature)
    assert_same(normalised_temperature_cross_entropy(first, second, temperature), theirs, first)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_simclr_is_monai_contrastive(temperature, monai):
    """MONAI sums over anchors and divides by 2 x batch: a mean."""
    first, second = vectors()
    theirs = monai.ContrastiveLoss(temperature)(first, second)
    assert_same(normalised_temperature_cross_entropy(first, second, temperature), theirs, first)


@pytest.mark.parametrize("off_diagonal", [0.005, 0.5])
def test_barlow_twins_is_lightly_barlow_twins(off_diagonal, lightly):
    """Both normalise with 1e-5 added to the variance and sum over the matrix."""
    first, second = vectors()
    theirs = lightly("loss").BarlowTwinsLoss(lambda_param=off_diagonal)(first, second)
    assert_same(redundancy_reduction(first, second, off_diagonal), theirs, first)


def test_barlow_twins_is_solo_learn_barlow(solo):
    """solo-learn multiplies the whole sum by scale_loss, 0.025 unless it is told otherwise."""
    first, second = vectors()
    theirs = solo("losses.barlow").barlow_loss_func(first, second, lamb=0.01, scale_loss=0.025)
    assert_same(0.025 * redundancy_reduction(first, second, 0.01), theirs, first)


def test_barlow_twins_is_monai_barlow_twins(monai):
    """MONAI divides by the unbiased deviation but averages over the batch: its correlations are smaller.

    Each is (batch - 1) / batch of ours; the matrix is otherwise the same, up to what both add to a deviation,
    which large vectors make negligible.
    """
    first, second = (1e4 * vector.detach() for vector in vectors())
    first.requires_grad_()
    smaller = cross_correlation(first, second) * (BATCH - 1) / BATCH
    weights = torch.full_like(smaller, 0.01).fill_diagonal_(1)
    ours = (weights * (smaller - torch.eye(DIMENSIONS)).square()).sum()
    assert_same(ours, monai.BarlowTwinsLoss(0.01)(first, second), first)
    unscaled = (weights * (cross_correlation(first, second) - torch.eye(DIMENSIONS)).square()).sum()
    assert torch.allclose(unscaled, redundancy_reduction(first, second, 0.01))


def test_vicreg_is_lightly_vicreg(lightly):
    """Both average the squared differences over dimensions and the variance terms over views."""
    first, second = vectors()
    theirs = lightly("loss").VICRegLoss(lambda_param=10.0, mu_param=20.0, nu_param=3.0)(first, second)
    assert_same(variance_invariance_covariance(first, second, 10.0, 20.0, 3.0), theirs, first)


def test_vicreg_is_solo_learn_vicreg(solo):
    """solo-learn adds the variance terms of the views, where we average: half its weight is ours."""
    first, second = vectors()
    theirs = solo("losses.vicreg").vicreg_loss_func(first, second, 10.0, 20.0 / 2, 3.0)
    # solo-learn squares the covariances in place on a copy, which leaves value and gradient as they are
    assert_same(variance_invariance_covariance(first, second, 10.0, 20.0, 3.0), theirs, first)


def test_simsiam_is_lightly_negative_cosine(lightly):
    """lightly leaves it to the caller to stop the gradient of the target."""
    first, second = vectors()
    assert_same(
        negative_cosine(first, second), lightly("loss").NegativeCosineSimilarity()(first, second), first
    )


def test_simsiam_is_solo_learn_simsiam(solo):
    """Both stop the gradient of the target."""
    first, second = vectors()
    assert_same(
        negative_cosine(first, second), solo("losses.simsiam").simsiam_loss_func(first, second), first
    )


def test_byol_is_lightly_negative_cosine(lightly):
    """The squared distance of unit vectors is 2 + 2 x minus the cosine, a scale lightly leaves out."""
    first, second = vectors()
    theirs = 2 + 2 * lightly("loss").NegativeCosineSimilarity()(first, second)
    assert_same(normalised_squared_error(first, second), theirs, first)


@pytest.mark.parametrize("simplified", [True, False])
def test_byol_is_solo_learn_byol(simplified, solo):
    """Both ways in which solo-learn writes it have the same scale as ours."""
    first, second = vectors()
    theirs = solo("losses.byol").byol_loss_func(first, second, simplified=simplified)
    assert_same(normalised_squared_error(first, second), theirs, first)


def test_dino_is_lightly_dino(lightly):
    """Two steps, the second with the centre that lightly moved after the first; ours is given it."""
    criterion = lightly("loss").DINOLoss(output_dim=DIMENSIONS, teacher_temp=0.07, student_temp=0.2)
    first, *views = vectors(count=7)
    centre = torch.zeros(DIMENSIONS)
    for other, *teacher in (views[:3], views[3:]):
        student = [first, other]
        ours = self_distillation(torch.cat(student), torch.cat(teacher), centre, 0.2, 0.07)
        assert_same(ours, criterion(teacher, student), first)
        centre = centre.lerp(torch.cat(teacher).mean(0), 1 - 0.9)  # as in DINO.after_step
        assert torch.allclose(centre, criterion.center.flatten(), rtol=1e-6)


def test_dino_is_solo_learn_dino(solo):
    """solo-learn also averages over both ways round; its temperature is a schedule, here of one epoch."""
    criterion = solo("losses.dino").DINOLoss(DIMENSIONS, 0.07, 0.07, 0, 1, student_temp=0.2)
    first, second, *teacher = vectors(count=4)
    criterion.center = centre = torch.linspace(-1, 1, DIMENSIONS)[None]
    student, teacher = torch.cat([first, second]), torch.cat(teacher)
    ours = self_distillation(student, teacher, centre[0], 0.2, 0.07)
    assert_same(ours, criterion(student, teacher), first)


def scores():
    """Cosines with prototypes, the range that Sinkhorn-Knopp is written for."""
    first, second = (vector.detach().tanh() for vector in vectors())
    return first.requires_grad_(), second


@pytest.mark.parametrize("epsilon", [0.05, 0.5])
def test_swav_is_lightly_swav(epsilon, lightly):
    """lightly averages over crops, of which there are two and none of low resolution."""
    first, second = scores()
    criterion = lightly("loss").SwaVLoss(temperature=0.1, sinkhorn_epsilon=epsilon)
    assert_same(swapped_prediction(first, second, 0.1, epsilon), criterion([first, second], []), first)


def test_swav_is_solo_learn_swav(solo):
    """solo-learn is given the codes; its own Sinkhorn-Knopp makes the same ones."""
    first, second = scores()
    sinkhorn = solo("utils.sinkhorn_knopp").SinkhornKnopp(num_iters=3, epsilon=0.05)
    codes = [sinkhorn(view.detach()) for view in (first, second)]
    assert torch.allclose(codes[0], sinkhorn_codes(first, 0.05), rtol=1e-6)
    theirs = solo("losses.swav").swav_loss_func([first, second], codes, temperature=0.1)
    assert_same(swapped_prediction(first, second, 0.1, 0.05), theirs, first)


def test_moco_is_lightly_nt_xent_with_a_memory_bank(lightly):
    """lightly keeps its queue inside the loss."""
    queries, keys = vectors()
    criterion = lightly("loss").NTXentLoss(temperature=0.2, memory_bank_size=(9, DIMENSIONS))
    criterion(queries.detach().float(), keys.float())  # draws the queue; only a gradient would change it
    criterion.double()
    queue = criterion.memory_bank.bank.clone()
    assert queue.shape == (9, DIMENSIONS)
    assert_same(queue_cross_entropy(queries, keys, queue, 0.2), criterion(queries, keys), queries)


def test_moco_is_solo_learn_moco(solo):
    """solo-learn wants unit vectors and a queue of columns."""
    queries, keys, queue = vectors(count=3)
    queue = functional.normalize(queue)
    unit = [functional.normalize(side) for side in (queries, keys)]
    theirs = solo("losses.moco").moco_loss_func(*unit, queue.T, 0.2)
    assert_same(queue_cross_entropy(queries, keys, queue, 0.2), theirs, queries)


def test_masked_autoencoder_is_lightly_patches_and_mean_squared_error(lightly):
    """Normalised targets of hidden patches; lightly names these by number, ours are True in a mask."""
    tools, random = lightly("models.utils"), torch.Generator().manual_seed(0)
    images, prediction = torch.rand(2, 5, 1, 8, 8, generator=random).unbind()
    prediction.requires_grad_()
    index = torch.rand(5, 4, generator=random).argsort(1)[:, :3]  # three of the four patches
    hidden = torch.zeros(5, 4, dtype=torch.bool).scatter(1, index, True)
    patches = [tools.get_at_index(tools.patchify(side, 4), index) for side in (prediction, images)]
    theirs = functional.mse_loss(patches[0], tools.normalize_mean_var(patches[1]))
    assert_same(hidden_patch_error(prediction, images, hidden.reshape(5, 2, 2), 4), theirs, prediction)
