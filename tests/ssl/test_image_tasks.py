"""What holds for every method that restores an image or says what was done to it."""

import pytest
import torch

from medssl import encoders
from medssl.errors import UsageError
from medssl.ssl.context_restoration import ContextRestoration
from medssl.ssl.denoising import Denoising
from medssl.ssl.inpainting import Inpainting
from medssl.ssl.jigsaw import Jigsaw
from medssl.ssl.models_genesis import ModelsGenesis
from medssl.ssl.relative_position import RelativePosition
from medssl.ssl.rotation import Rotation
from medssl.ssl.simmim import SimMIM

RESTORING = (SimMIM, Inpainting, ContextRestoration, ModelsGenesis, Denoising)
PREDICTING = (Rotation, RelativePosition, Jigsaw)


def loss_of(method, images, seed=0):
    """The loss of plain images."""
    return method.loss(images, lambda x: x, torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def large_encoder():
    """The larger encoder, made once."""
    return encoders.build("resnet18")


@pytest.mark.parametrize("side", [16, 28, 64])
@pytest.mark.parametrize("kind", RESTORING + PREDICTING)
def test_usual_sizes_train_the_small_encoder(kind, side):
    """From 16 to 64 pixels the loss is finite and reaches all weights of encoder and head."""
    torch.manual_seed(0)
    method = kind(encoders.build("small_cnn"))
    loss = loss_of(method, torch.rand(4, 1, side, side))
    loss.backward()
    assert torch.isfinite(loss)
    for key, weight in method.named_parameters():
        assert weight.grad is not None, key
        assert weight.grad.abs().max() > 0, key


@pytest.mark.parametrize("side", [28, 64])
@pytest.mark.parametrize("kind", RESTORING + PREDICTING)
@torch.no_grad()
def test_usual_sizes_pass_the_large_encoder(kind, side, large_encoder):
    """ResNet-18 has other widths, and the heads follow."""
    loss = loss_of(kind(large_encoder), torch.rand(2, 1, side, side))
    assert loss.ndim == 0
    assert torch.isfinite(loss)


@pytest.mark.parametrize("kind", RESTORING)
def test_images_need_not_be_square_to_be_restored(kind):
    """Height and width are not mixed up."""
    assert torch.isfinite(loss_of(kind(encoders.build("small_cnn")), torch.rand(4, 1, 20, 36)))
    assert torch.isfinite(loss_of(kind(encoders.build("small_cnn")), torch.rand(4, 1, 36, 20)))


@pytest.mark.parametrize("kind", [RelativePosition, Jigsaw])
def test_images_need_not_be_square_to_be_cut(kind):
    """Height and width are not mixed up."""
    assert torch.isfinite(loss_of(kind(encoders.build("small_cnn")), torch.rand(4, 1, 20, 36)))
    assert torch.isfinite(loss_of(kind(encoders.build("small_cnn")), torch.rand(4, 1, 36, 20)))


@pytest.mark.parametrize(
    "kind", [Inpainting, ContextRestoration, ModelsGenesis, SimMIM, RelativePosition, Jigsaw]
)
def test_images_that_are_too_small_are_named(kind):
    """Five pixels a side are an error that names the size, not a failure deep inside."""
    with pytest.raises(UsageError, match="images of 5 x 5 pixels"):
        loss_of(kind(encoders.build("small_cnn")), torch.rand(4, 1, 5, 5))


@pytest.mark.parametrize("kind", RESTORING + PREDICTING)
def test_loss_is_in_single_precision_under_autocast(kind):
    """Encoder and head run in half precision there, the loss does not, and its value is about the same."""
    torch.manual_seed(0)
    method = kind(encoders.build("small_cnn"))
    images = torch.rand(8, 1, 16, 16)
    exact = loss_of(method, images).item()
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(method, images)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize("kind", RESTORING + PREDICTING)
def test_randomness_comes_from_the_generator(kind):
    """The global state does not matter to the loss, and the loss leaves it as it was."""
    method, images = kind(encoders.build("small_cnn")), torch.rand(8, 1, 16, 16)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = loss_of(method, images)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(loss_of(method, images), first)


@pytest.mark.parametrize("kind", [one for one in RESTORING + PREDICTING if one is not Rotation])
def test_another_state_of_the_generator_gives_another_loss(kind):
    """Masks, swaps, noise, places and permutations are drawn anew for each batch."""
    method, images = kind(encoders.build("small_cnn")), torch.rand(8, 1, 16, 16)
    assert loss_of(method, images, 1) != loss_of(method, images, 2)


@pytest.mark.parametrize("kind", RESTORING + PREDICTING)
def test_the_view_is_drawn_once_and_the_images_stay(kind):
    """The task is set on one view, and neither the view nor the images are changed in place."""
    asked, images = [], torch.rand(8, 1, 16, 16)
    copy = images.clone()
    view = 2 * images

    kind(encoders.build("small_cnn")).loss(images, lambda x: asked.append(x) or view, torch.Generator())
    assert len(asked) == 1
    assert torch.equal(images, copy)
    assert torch.equal(view, 2 * copy)
