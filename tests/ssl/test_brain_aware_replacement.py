"""Regions, mixed labels and the contrast of soft labels against loops and closed forms."""

import itertools
import math
import sys

import pytest
import torch
from torch.nn import functional

from medssl.encoders import SmallCNN
from medssl.errors import UsageError
from medssl.ssl.brain_aware_replacement import (
    BrainAwareReplacement,
    BrainAwareReplacementConfig,
    block_regions,
    mix_labels,
    replace_regions,
    soft_label_contrast,
)
from medssl.ssl.simclr import normalised_temperature_cross_entropy

MODULE = sys.modules[BrainAwareReplacement.__module__]


def fixed(seed=0):
    """A generator in a known state."""
    return torch.Generator().manual_seed(seed)


def projections(count=8, dimensions=5, seed=0):
    """Random projections in double precision."""
    return torch.randn(count, dimensions, generator=fixed(seed)).double()


def soft_labels(count=8, classes=3, seed=1):
    """Random distributions over classes in double precision."""
    return torch.rand(count, classes, generator=fixed(seed)).double().softmax(1)


def numbered(batch=6, side=16):
    """Images of which each pixel tells the image it belongs to."""
    return torch.arange(float(batch)).reshape(-1, 1, 1, 1).expand(batch, 1, side, side).contiguous()


@pytest.fixture
def watched(monkeypatch):
    """Return a function that makes a method, and a record of its synthetic images and soft labels."""
    record = {"images": [], "labels": []}

    def contrast(given, labels, temperature):
        record["labels"].extend(labels.chunk(2))
        return soft_label_contrast(given, labels, temperature)

    def view(images):
        record["images"].append(images)
        return images + 0.1 * torch.randn(images.shape, generator=fixed(len(record["images"])))

    def make(**options):
        torch.manual_seed(0)
        return BrainAwareReplacement(SmallCNN(), BrainAwareReplacementConfig(**options))

    monkeypatch.setattr(MODULE, "soft_label_contrast", contrast)
    return make, view, record


@pytest.mark.parametrize(
    ("sides", "blocks"), [((4, 6), 2), ((5, 7), 3), ((4, 4, 6), 2), ((3, 5, 4), 3), ((2, 2), 1)]
)
def test_blocks_are_the_loop_over_pixels(sides, blocks):
    """The label of a pixel is the number of its block, in reading order from 1, and no number is left out."""
    regions = block_regions(sides, blocks)
    for place in itertools.product(*map(range, sides)):
        number = 0
        for i, side in zip(place, sides, strict=True):
            number = number * blocks + i * blocks // side
        assert regions[place] == number + 1
    assert regions.unique().tolist() == list(range(1, blocks ** len(sides) + 1))


@pytest.mark.parametrize("sides", [(4, 5), (3, 4, 2)])
def test_replacement_is_the_loop_over_pixels(sides, generator):
    """A pixel comes from the partner if its region is replaced; the ratio counts those pixels of regions."""
    images = torch.rand(5, 1, *sides, generator=generator)
    regions = torch.randint(0, 4, sides, generator=generator)
    partner, replaced = torch.tensor([3, 1, 0, 4, 2]), torch.rand(5, 3, generator=generator) < 0.5
    mixed, ratio = replace_regions(images, partner, replaced, regions)
    for i in range(5):
        count = 0
        for place in itertools.product(*map(range, sides)):
            label = regions[place].item()
            moved = label > 0 and replaced[i, label - 1].item()
            count += moved
            source = partner[i] if moved else i
            assert mixed[(i, 0, *place)] == images[(source, 0, *place)]
        assert ratio[i].item() == pytest.approx(count / (regions > 0).sum().item())


def test_nothing_or_everything_can_be_replaced(generator):
    """Without regions to replace the image stays and the ratio is 0; with all of them it is its partner."""
    images, partner = torch.rand(3, 1, 4, 4, generator=generator), torch.tensor([1, 2, 0])
    for all_of_them, expected in ((False, images), (True, images[partner])):
        given = torch.full((3, 4), all_of_them), block_regions((4, 4), 2)
        mixed, ratio = replace_regions(images, partner, *given)
        assert torch.equal(mixed, expected)
        assert ratio.tolist() == [float(all_of_them)] * 3


def test_labels_are_mixed_by_the_ratio():
    """The image's class has 1 - ratio and its partner's the ratio, added up where they agree."""
    labels, partner = torch.tensor([0, 2, 2, 1]), torch.tensor([1, 2, 0, 3])
    ratio, expected = torch.tensor([0.25, 0.5, 1.0, 0.75]), torch.zeros(4, 3)
    for i in range(4):
        expected[i, labels[i]] += 1 - ratio[i]
        expected[i, labels[partner[i]]] += ratio[i]
    assert torch.allclose(mix_labels(labels, partner, ratio), expected)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_contrast_is_the_loop_over_pairs(temperature):
    """The vectorised loss is that of one anchor and one other projection at a time."""
    z, labels, total = projections(), soft_labels(), 0.0
    unit = (z / z.norm(dim=1, keepdim=True)).tolist()
    labels_of = labels.tolist()

    def dot(first, second):
        return sum(a * b for a, b in zip(first, second, strict=True))

    for i in range(8):
        others = [k for k in range(8) if k != i]
        shared = [dot(labels_of[i], labels_of[k]) for k in others]
        similar = [math.exp(dot(unit[i], unit[k]) / temperature) for k in others]
        for weight, value in zip(shared, similar, strict=True):
            total -= weight / sum(shared) * math.log(value / sum(similar))
    assert soft_label_contrast(z, labels, temperature).item() == pytest.approx(total / 8, rel=1e-10)


def test_unmixed_identities_are_simclr():
    """When each image is a class of its own and nothing is replaced, the loss is NT-Xent."""
    z, labels = projections(12), torch.eye(6).double().repeat(2, 1)
    expected = normalised_temperature_cross_entropy(z[:6].float(), z[6:].float(), 0.2)
    assert soft_label_contrast(z, labels, 0.2).item() == pytest.approx(expected.item(), rel=1e-5)


def test_hard_labels_are_supervised_contrast():
    """With classes and nothing replaced, an anchor averages over the others of its class, itself left out."""
    z, classes, total = projections(9), torch.tensor([0, 1, 2] * 3), 0.0
    unit = functional.normalize(z)
    for i in range(9):
        logits = torch.stack([unit[i] @ unit[k] / 0.3 for k in range(9) if k != i])
        same = torch.stack([classes[k] == classes[i] for k in range(9) if k != i])
        total -= logits.log_softmax(0)[same].mean().item()
    loss = soft_label_contrast(z, functional.one_hot(classes).double(), 0.3).item()
    assert loss == pytest.approx(total / 9, rel=1e-10)


@pytest.mark.parametrize("count", [4, 10])
def test_equal_projections_give_the_loss_of_guessing(count):
    """Where all directions are equal the loss is log(n - 1), whatever the labels."""
    z = torch.ones(count, 3).double()
    assert soft_label_contrast(z, soft_labels(count), 0.2).item() == pytest.approx(math.log(count - 1))


def test_a_half_mixed_anchor_has_a_closed_form():
    """An anchor half of each of two sources draws equally on both, here orthogonal and at one angle to it."""
    z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]).double()
    labels = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]).double()
    side = math.log(1 + math.exp(-math.sqrt(0.5)))  # of the pure ones: their one positive is the mixed one
    assert soft_label_contrast(z, labels, 1.0).item() == pytest.approx((2 * side + math.log(2)) / 3)


def test_the_target_is_what_the_labels_share():
    """No arrangement beats one whose similarities are the logarithms of the shared parts of the labels."""
    labels, z = soft_labels(6), projections(6).requires_grad_()
    shared = (labels @ labels.T).masked_fill(torch.eye(6, dtype=torch.bool), 0)
    weights = shared / shared.sum(1, keepdim=True)
    entropy = -(weights * weights.clamp_min(1e-30).log()).sum(1).mean().item()
    assert soft_label_contrast(z, labels, 0.5).item() > entropy + 0.05
    optimizer = torch.optim.Adam([z], 0.05)
    for _ in range(150):
        loss = soft_label_contrast(z, labels, 0.5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert entropy < loss.item() < entropy + 0.05


def test_an_anchor_that_shares_with_nobody_costs_nothing():
    """A label of its own leaves an anchor without target: the loss stays finite and it counts as 0."""
    z, labels = projections(3), torch.eye(3).double()
    assert soft_label_contrast(z, labels, 0.2).item() == 0
    assert 0 < soft_label_contrast(z, labels[[0, 0, 2]], 0.2).item() < math.inf


def test_half_precision_is_compared_in_single_precision(autocast):
    """Under autocast, bfloat16 projections give the loss of their exact values."""
    z, labels = projections().bfloat16(), soft_labels().float()
    with torch.autocast("cpu", enabled=False):
        exact = soft_label_contrast(z.float(), labels, 0.2)
    assert torch.equal(soft_label_contrast(z, labels, 0.2), exact)


def test_soft_labels_are_the_shares_of_the_sources(watched):
    """Without atlas and labels, whole blocks move, and a soft label has the share that each image gave."""
    make, view, record = watched
    make().loss(numbered(), view, fixed(3))
    for mixed, soft in zip(record["images"], record["labels"], strict=True):
        shares = torch.stack([(mixed == image).float().mean((1, 2, 3)) for image in range(6)], 1)
        assert torch.allclose(soft, shares, atol=1e-6)
        assert ((soft > 0) & (soft < 1)).any()
    first, second = record["images"]
    assert not torch.equal(first, second)
    blocks = first.reshape(6, 4, 4, 4, 4).transpose(2, 3).flatten(3)  # [batch, 4, 4, 16]
    assert torch.equal(blocks.amin(3), blocks.amax(3))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_share_bounds_what_is_replaced(share, watched):
    """With a share of 0 nothing is replaced; with 1 the ratio is one half on average and differs by image."""
    make, view, record = watched
    make(share=share).loss(numbered(200), view, fixed(3))
    own = torch.cat([soft.diagonal() for soft in record["labels"]])
    if share:
        assert own.mean().item() == pytest.approx(0.5, abs=0.05)
        assert own.std() > 0.2
    else:
        assert torch.equal(own, torch.ones(400))
        assert torch.equal(record["images"][0], numbered(200))


def test_an_atlas_decides_what_is_replaced(watched):
    """Regions move as a whole, the background stays, and the ratio counts pixels of regions alone."""
    make, view, record = watched
    atlas = torch.zeros(16, 16, dtype=torch.long)
    atlas[2:6, 2:6], atlas[8:14, 8:10] = 1, 2
    make(share=1.0).loss(numbered(), view, fixed(3), regions=atlas)
    mixed, soft = record["images"][0], record["labels"][0]
    assert torch.equal(mixed[:, 0, atlas == 0], numbered()[:, 0, atlas == 0])
    for label in (1, 2):
        region = mixed[:, 0, atlas == label]
        assert torch.equal(region.amin(1), region.amax(1))
    inside = mixed[:, 0, atlas > 0]
    assert (inside != numbered()[:, 0, atlas > 0]).any()
    shares = torch.stack([(inside == image).float().mean(1) for image in range(6)], 1)
    assert torch.allclose(soft, shares, atol=1e-6)


def test_labels_make_classes_of_images(watched):
    """With labels, the soft label of a synthetic image has the shares of the classes of its sources."""
    make, view, record = watched
    labels = torch.tensor([0, 1, 1, 0, 1, 0])
    make().loss(numbered(), view, fixed(3), labels=labels)
    for mixed, soft in zip(record["images"], record["labels"], strict=True):
        ones = labels.float()[mixed.long()].mean((1, 2, 3))
        assert torch.allclose(soft, torch.stack([1 - ones, ones], 1), atol=1e-6)


def test_the_loss_contrasts_views_of_both_mixtures(watched):
    """Encoder and head see one view of each mixture, in one pass, and their labels in the same order."""
    make, view, record = watched
    method, kept = make(temperature=0.3), []
    method.encoder.register_forward_pre_hook(lambda _, given: kept.append(given[0]))
    loss = method.loss(torch.rand(6, 1, 16, 16, generator=fixed()), view, fixed(3))
    given, labels = kept[0], torch.cat(record["labels"])
    assert given.shape == (12, 1, 16, 16)
    assert (given - torch.cat(record["images"])).std().item() == pytest.approx(0.1, rel=0.1)
    expected = soft_label_contrast(method.projector(method.encoder(given)), labels, 0.3)
    assert torch.allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"regions": torch.ones(16, 8, dtype=torch.long)}, r"whole numbers of shape \[16, 16\]"),
        ({"regions": torch.ones(16, 16)}, "regions must be whole numbers"),
        ({"regions": torch.zeros(16, 16, dtype=torch.long)}, "count up from 1"),
        ({"regions": torch.full((16, 16), -1)}, "regions must be 0 in the background"),
        ({"labels": torch.zeros(5, dtype=torch.long)}, r"labels must have shape \[6\], got \[5\]"),
    ],
)
def test_maps_and_labels_that_do_not_fit_are_refused(given, words, watched):
    """The error names the argument and what it should be."""
    make, view, _ = watched
    with pytest.raises(UsageError, match=words):
        make().loss(numbered(), view, fixed(3), **given)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"share": 1.5}, "share must be between 0 and 1"), ({"share": float("nan")}, "between 0 and 1"),
        ({"blocks": 0}, "blocks at least 1"), ({"temperature": 0.0}, "temperature must be above 0"),
        ({"projection": 0}, "projection at least 1"),
    ],
)  # fmt: skip
def test_bad_options_are_refused(options, words):
    """Each error says what is allowed."""
    with pytest.raises(UsageError, match=words):
        BrainAwareReplacementConfig(**options)
