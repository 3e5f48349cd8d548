"""Gaussian noise and the error against the clean image."""

import pytest
import torch

from medssl.encoders import SmallCNN
from medssl.errors import UsageError
from medssl.ssl.denoising import Denoising, DenoisingConfig, add_noise


@pytest.mark.parametrize("deviation", [0.1, 0.5, 2.0])
def test_noise_has_its_deviation_and_no_mean(deviation, generator):
    """The difference to the image has mean 0, the stated deviation and the tails of a normal distribution."""
    images = torch.rand(8, 1, 64, 64, generator=generator)
    noise = (add_noise(images, deviation, generator) - images) / deviation
    assert noise.mean().item() == pytest.approx(0, abs=0.02)
    assert noise.std().item() == pytest.approx(1, abs=0.02)
    assert (noise.abs() > 1.96).float().mean().item() == pytest.approx(0.05, abs=0.005)


def test_pixels_and_images_have_their_own_noise(generator):
    """Noise of neighbours and of images of a batch is not correlated."""
    noise = add_noise(torch.zeros(2, 1, 100, 100), 1.0, generator)
    for first, second in ((noise[0], noise[1]), (noise[..., 1:], noise[..., :-1])):
        assert abs(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1]) < 0.03


def test_noise_is_the_loop_over_images():
    """The same numbers added image by image give the same images."""
    images = torch.rand(3, 1, 5, 7)
    noisy = add_noise(images, 0.3, torch.Generator().manual_seed(5))
    noise = torch.randn(3, 1, 5, 7, generator=torch.Generator().manual_seed(5))
    for image in range(3):
        assert torch.allclose(noisy[image], images[image] + 0.3 * noise[image], atol=1e-6)


def test_the_encoder_sees_the_noise_and_the_target_is_the_clean_view(generator):
    """A decoder that returns what the encoder was given pays the variance of the noise."""
    method, seen = Denoising(SmallCNN(), DenoisingConfig(deviation=0.7)), []
    method.encoder.features = lambda x: seen.append(x) or x
    method.decoder.forward = lambda features, height, width: features
    images = torch.rand(16, 1, 32, 32, generator=generator)
    loss = method.loss(images, lambda x: 2 * x + 1, generator)
    assert loss.item() == pytest.approx(0.49, rel=0.05)
    assert loss.item() == pytest.approx((seen[0] - (2 * images + 1)).square().mean().item(), rel=1e-5)


def test_loss_is_the_loop_over_images(generator):
    """Batch normalisation aside, the loss is the mean of the errors of single images."""
    method = Denoising(SmallCNN(), DenoisingConfig(deviation=0.5)).eval()
    images = torch.rand(4, 1, 16, 16, generator=generator)
    loss = method.loss(images, lambda x: x, torch.Generator().manual_seed(3))
    noisy = add_noise(images, 0.5, torch.Generator().manual_seed(3))
    errors = []
    for image in range(4):
        restored = method.decoder(method.encoder.features(noisy[image : image + 1]), 16, 16)
        errors += [(a - b) ** 2 for a, b in zip(restored.flatten(), images[image].flatten(), strict=True)]
    assert loss.item() == pytest.approx(torch.stack(errors).mean().item(), rel=1e-4)


@pytest.mark.parametrize("deviation", [0.0, -1.0, float("nan")])
def test_a_deviation_that_is_not_above_zero_is_refused(deviation):
    """Without noise the task is the identity."""
    with pytest.raises(UsageError, match="deviation must be above 0"):
        DenoisingConfig(deviation=deviation)
