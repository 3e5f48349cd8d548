"""The transformers against explicit attention, and their positions and padding one by one."""

import math

import pytest
import torch
from torch.nn import functional

from medssl.encoders import vit
from medssl.encoders.vit import sine_cosine_positions
from medssl.errors import UsageError


def images(*shape, seed=0):
    """Random images [batch, 1, height, width]."""
    return torch.rand(shape[0], 1, *shape[1:], generator=torch.Generator().manual_seed(seed))


def attention(layer, x):
    """Softmax of scaled products, one head at a time, [batch, places, width]."""
    query, key, value = functional.linear(x, layer.in_proj_weight, layer.in_proj_bias).chunk(3, 2)
    size, heads = x.shape[2] // layer.num_heads, []
    for head in range(layer.num_heads):
        part = slice(head * size, (head + 1) * size)
        scores = query[..., part] @ key[..., part].mT / math.sqrt(size)
        heads.append(scores.softmax(2) @ value[..., part])
    return layer.out_proj(torch.cat(heads, 2))


@pytest.mark.parametrize("name", ["vit_tiny", "vit_small"])
def test_features_are_those_of_explicit_layers(name, built):
    """Embed patches, add positions, then normalise before attention and before the two-layer network."""
    encoder, patch = built(name), built(name).stride
    x = images(2, 2 * patch, 3 * patch)
    patches = functional.unfold(x, patch, stride=patch).mT  # [batch, 6, patch * patch]
    tokens = functional.linear(patches, encoder.embedding.weight.flatten(1), encoder.embedding.bias)
    tokens = tokens + sine_cosine_positions(encoder.width, 2, 3).flatten(1).T
    for layer in encoder.layers:
        tokens = tokens + attention(layer.self_attn, layer.norm1(tokens))
        tokens = tokens + layer.linear2(functional.gelu(layer.linear1(layer.norm2(tokens))))
    expected = encoder.norm(tokens).mT.reshape(2, encoder.width, 2, 3)
    assert len(encoder.layers) == 12
    assert torch.allclose(encoder.features(x), expected, atol=1e-4)


def test_positions_are_sines_and_cosines_one_by_one():
    """Each channel is the sine or cosine of row or column at its frequency."""
    width, rows, columns = 12, 3, 2
    positions = sine_cosine_positions(width, rows, columns)
    for k in range(3):
        frequency = 1 / 10000 ** (k / 3)
        for row in range(rows):
            for column in range(columns):
                found = positions[k::3, row, column].tolist()
                angles = row * frequency, column * frequency
                expected = [wave(angle) for angle in angles for wave in (math.sin, math.cos)]
                assert found == pytest.approx(expected, abs=1e-6)


def test_every_place_has_its_own_position():
    """No two places of a large grid have the same values."""
    flat = sine_cosine_positions(192, 16, 16).flatten(1).T
    distances = torch.cdist(flat, flat) + 100 * torch.eye(256)
    assert distances.min() > 0.1


def test_a_smaller_grid_is_a_corner_of_a_larger_one():
    """One set of weights serves every image size, because positions do not depend on it."""
    assert torch.equal(sine_cosine_positions(8, 2, 3), sine_cosine_positions(8, 5, 7)[:, :2, :3])


def test_positions_need_a_width_divisible_by_four():
    """Rows and columns, sines and cosines have equal shares."""
    with pytest.raises(UsageError, match="divisible by 4, got 6"):
        sine_cosine_positions(6, 1, 1)


def test_the_place_of_a_patch_matters(built, monkeypatch):
    """Without positions two patches that change places leave the pooled vector as it was."""
    encoder, x = built("vit_tiny"), images(1, 4, 8)
    swapped = torch.cat([x[..., 4:], x[..., :4]], 3)
    with torch.no_grad():
        assert not torch.allclose(encoder(x), encoder(swapped), atol=1e-3)
        monkeypatch.setattr(vit, "sine_cosine_positions", lambda width, *grid: torch.zeros(width, 1, 1))
        assert torch.allclose(encoder(x), encoder(swapped), atol=1e-5)


def test_images_are_padded_with_zeros_at_the_end(built):
    """Sides that the patch does not divide are those of an image with zeros to the right and below."""
    encoder, x = built("vit_tiny"), images(2, 6, 9)
    padded = torch.zeros(2, 1, 8, 12)
    padded[..., :6, :9] = x
    with torch.no_grad():
        assert torch.equal(encoder.features(x), encoder.features(padded))


def test_training_and_evaluation_compute_the_same(built):
    """There is no dropout and there are no running statistics."""
    encoder, x = built("vit_tiny"), images(2, 8, 8)
    expected = encoder(x)
    try:
        assert torch.allclose(encoder.train()(x), expected, atol=1e-6)
    finally:
        encoder.eval()


def test_positions_are_not_among_the_weights(built):
    """A checkpoint holds nothing that depends on the image size."""
    heads = {key.partition(".")[0] for key in built("vit_tiny").state_dict()}
    assert heads == {"embedding", "layers", "norm"}
