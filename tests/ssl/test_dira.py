"""DiRA: its stages, its two players and its three terms, one by one."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from medssl.encoders import SmallCNN
from medssl.errors import UsageError
from medssl.ssl.dira import DiRA, DiRAConfig, deception_loss, judgement_loss, stage_at
from medssl.ssl.moco import MoCo, queue_cross_entropy
from medssl.ssl.models_genesis import ModelsGenesisConfig, distort


def fixed(seed=0):
    """A generator in a known state."""
    return torch.Generator().manual_seed(seed)


def images_of(batch=6, side=16, seed=0):
    """Random images."""
    return torch.rand(batch, 1, side, side, generator=fixed(seed))


def unchanged(images):
    """The view that is the image itself."""
    return images


def made(stage=1, **options):
    """A method in a stage, its teacher apart from its student; the same weights in every call."""
    torch.manual_seed(0)
    method = DiRA(SmallCNN(), DiRAConfig(queue=16, **options))
    with torch.no_grad():
        for weight in method.teacher.parameters():
            weight.mul_(1.1)
    method.stage.fill_(stage)
    return method


def gradients(method, images=None):
    """Gradients of all weights after a loss with fixed draws; None where the loss does not reach."""
    images = images_of() if images is None else images
    method.loss(images, unchanged, fixed(3)).backward()
    return {key: weight.grad for key, weight in method.named_parameters()}


def reached(found):
    """The parts of a method that a loss reaches."""
    return {key.split(".")[0] for key, gradient in found.items() if gradient is not None}


class Constant(nn.Module):
    """A discriminator that says the same of everything."""

    def __init__(self, score):
        super().__init__()
        self.score = nn.Parameter(torch.tensor(score))

    def forward(self, images):
        return self.score.expand(len(images), 3)


@pytest.mark.parametrize("steps", [1, 10, 37])
@pytest.mark.parametrize("shares", [(0.3, 0.3), (0.0, 0.5), (0.5, 0.0), (0.0, 0.0), (1.0, 0.0), (0.25, 0.75)])
def test_stages_have_their_shares_of_the_steps(steps, shares):
    """Stages never go back, and their steps are counted by the shares, rounded up to whole steps."""
    stages = [stage_at(step, steps, *shares) for step in range(steps)]
    assert stages == sorted(stages)
    first, both = shares[0] * steps, sum(shares) * steps
    assert stages == [1 if step < first else 2 if step < both else 3 for step in range(steps)]


@pytest.mark.parametrize("score", [0.0, 0.3, 1.0, -2.0])
def test_a_constant_score_has_closed_forms(score):
    """It costs the judge half of s^2 + (s - 1)^2, and the deceiver (s - 1)^2."""
    discriminator, images = Constant(score), images_of()
    judged = judgement_loss(discriminator, images, images).item()
    assert judged == pytest.approx((score**2 + (score - 1) ** 2) / 2, abs=1e-6)
    assert deception_loss(discriminator, images).item() == pytest.approx((score - 1) ** 2, abs=1e-6)


def test_both_losses_are_the_loop_over_scores():
    """The vectorised errors are those of one score at a time."""
    discriminator, clean, restored = made().discriminator, images_of(), images_of(seed=1)
    of_clean, of_restored = (discriminator(part).flatten().tolist() for part in (clean, restored))
    judged = sum((c - 1) ** 2 + r**2 for c, r in zip(of_clean, of_restored, strict=True)) / 2
    assert judgement_loss(discriminator, clean, restored).item() == pytest.approx(
        judged / len(of_clean), 1e-5
    )
    deceived = sum((r - 1) ** 2 for r in of_restored) / len(of_restored)
    assert deception_loss(discriminator, restored).item() == pytest.approx(deceived, rel=1e-5)


def test_the_judgement_reaches_the_discriminator_alone():
    """Neither the clean nor the restored image gets a gradient from it."""
    discriminator, clean, restored = made().discriminator, images_of(), images_of(seed=1)
    judgement_loss(discriminator, clean.requires_grad_(), restored.requires_grad_()).backward()
    assert all(weight.grad.abs().max() > 0 for weight in discriminator.parameters() if weight.ndim > 1)
    assert clean.grad is None
    assert restored.grad is None


def test_the_deception_reaches_the_restored_image_alone():
    """Its gradient passes through the discriminator as ever, but leaves none in its weights."""
    discriminator, restored = made().discriminator, images_of(seed=1).requires_grad_()
    deception_loss(discriminator, restored).backward()
    assert all(weight.grad is None for weight in discriminator.parameters())
    (expected,) = torch.autograd.grad((discriminator(restored) - 1).square().mean(), restored)
    assert torch.allclose(restored.grad, expected, rtol=1e-5)
    assert restored.grad.abs().max() > 0


def test_the_players_pull_a_score_in_opposite_directions():
    """A step of the judge lowers the score of restored images, a step of the deceiver raises it."""
    discriminator, clean = made().discriminator, images_of()
    nn.init.constant_(discriminator[-1].bias, 0.7)  # between the targets 0 and 1
    restored = images_of(seed=1).requires_grad_()
    before = discriminator(restored).mean().item()
    (pull,) = torch.autograd.grad(deception_loss(discriminator, restored), restored)
    assert 0 < before < 1
    assert discriminator(restored - 10 * pull).mean().item() > before
    judgement_loss(discriminator, clean, restored).backward()
    with torch.no_grad():
        for weight in discriminator.parameters():
            weight.sub_(0.01 * weight.grad)
    assert discriminator(restored).mean().item() < before


def test_a_discriminator_learns_to_tell_flat_from_textured_images():
    """Within a few dozen steps it is far better than one that says 1/2 of all."""
    discriminator, clean = made().discriminator, images_of(4)
    flat = clean.mean((2, 3), keepdim=True).expand_as(clean)
    optimizer = torch.optim.AdamW(discriminator.parameters(), 1e-2)
    for _ in range(25):
        loss = judgement_loss(discriminator, clean, flat)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


def test_half_precision_is_compared_in_single_precision(autocast):
    """The scores may be in bfloat16, the losses are not."""
    discriminator, images = made().discriminator, images_of()
    assert judgement_loss(discriminator, images, images).dtype == torch.float32
    assert deception_loss(discriminator, images).dtype == torch.float32


def test_the_first_stage_is_moco():
    """Loss and gradients are those of MoCo with the same weights and views, bit for bit."""
    method = made()
    moco = MoCo(copy.deepcopy(method.encoder), method.config)
    moco.load_state_dict({key: method.state_dict()[key] for key in moco.state_dict()})
    found, expected = gradients(method), gradients(moco)
    assert reached(found) == {"encoder", "projector"}
    for key, gradient in expected.items():
        assert (found[key] is None and gradient is None) or torch.equal(found[key], gradient), key


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_each_stage_adds_a_player(stage):
    """The decoder learns from the second stage on, the discriminator in the third alone."""
    parts = ["encoder", "projector", "decoder", "discriminator"]
    assert reached(gradients(made(stage))) == set(parts[: stage + 1])


def test_the_second_stage_discriminates_and_restores():
    """Its loss is that of queries and keys of distorted views, plus the squared error of the first view."""
    method, images = made(2, discriminative_weight=0.7, restorative_weight=3.0), images_of()
    first, second = images_of(seed=1), images_of(seed=2)
    views, random = iter((first, second)), fixed(3)
    loss = method.loss(images, lambda _: next(views), fixed(3))
    seen, other = (distort(part, ModelsGenesisConfig(), random) for part in (first, second))
    queries, keys = method.projector(method.encoder(seen)), method.teacher(other)
    contrast = queue_cross_entropy(queries, keys, method.queue, method.config.temperature)
    error = (method.decoder(method.encoder.features(seen), 16, 16) - first).square().mean()
    assert torch.allclose(loss, 0.7 * contrast + 3 * error, rtol=1e-5)
    assert torch.allclose(method.keys, functional.normalize(keys), atol=1e-5)


def test_the_target_of_restoration_is_the_clean_view():
    """A decoder that returns the first view undistorted makes no error."""
    method, clean = made(2, discriminative_weight=0.0), images_of(seed=1)
    method.decoder.forward = lambda features, *sides: clean
    views = iter((clean, images_of(seed=2)))
    assert method.loss(images_of(), lambda _: next(views), fixed(3)).item() == 0


def test_the_third_stage_adds_deception_and_judgement():
    """Its loss is that of the second with the deception at its weight and the judgement at 1."""
    method, restored = made(3, adversarial_weight=0.25), []
    method.decoder.register_forward_hook(lambda _, given, image: restored.append(image.detach()))
    loss = method.loss(images_of(), unchanged, fixed(3)).item()
    expected = made(2).loss(images_of(), unchanged, fixed(3)).item()
    expected += 0.25 * deception_loss(method.discriminator, restored[0]).item()
    expected += judgement_loss(method.discriminator, images_of(), restored[0]).item()
    assert loss == pytest.approx(expected, rel=1e-5)


def test_the_judgement_does_not_move_the_restorer():
    """Without deception the restorer's gradients in the third stage are those of the second."""
    second, third = gradients(made(2)), gradients(made(3, adversarial_weight=0.0))
    for key, gradient in second.items():
        if gradient is not None:
            assert torch.allclose(third[key], gradient, atol=1e-6), key


def test_the_deception_moves_the_restorer_and_not_the_discriminator():
    """Its weight changes the gradients of encoder and decoder, and leaves those of the discriminator."""
    none, much = (gradients(made(3, adversarial_weight=weight)) for weight in (0.0, 5.0))
    for key, gradient in none.items():
        if key.startswith("discriminator"):
            assert torch.allclose(much[key], gradient, rtol=1e-5, atol=1e-7), key
        elif key in ("encoder.stem.0.weight", "decoder.layers.0.weight"):
            assert not torch.allclose(much[key], gradient, rtol=0.01, atol=1e-6), key
        elif key.startswith("projector"):  # no image passes the projector on its way to the discriminator
            assert torch.equal(much[key], gradient), key


def test_the_stage_follows_the_steps_and_is_in_the_state():
    """After each step the stage is that of the next one; another instance takes it from the state."""
    method, stages = made(discriminative=0.25, restorative=0.5), []
    for step in range(8):
        stages.append(method.stage.item())
        method.loss(images_of(seed=step), unchanged, fixed(step))
        method.after_step(step, 8)
        other = DiRA(SmallCNN(), method.config)
        other.load_state_dict(method.state_dict())
        assert other.stage.item() == stage_at(step + 1, 8, 0.25, 0.5)
    assert stages == [1, 1, 2, 2, 2, 2, 3, 3]


@pytest.mark.parametrize(("shares", "stage"), [((0.3, 0.3), 1), ((0.0, 0.5), 2), ((0.0, 0.0), 3)])
def test_a_run_starts_in_the_first_stage_that_has_steps(shares, stage):
    """A share of 0 skips a stage from the first step on."""
    method = DiRA(SmallCNN(), DiRAConfig(discriminative=shares[0], restorative=shares[1]))
    assert method.stage.item() == stage


@pytest.mark.parametrize("stage", [2, 3])
def test_teacher_and_queue_follow_in_every_stage(stage):
    """After a step the queue holds the keys of the distorted view, and the teacher has followed."""
    method = made(stage, momentum=0.8)
    method.loss(images_of(), unchanged, fixed(3))
    before, keys = copy.deepcopy(method.teacher), method.keys
    method.after_step(0, 10)
    assert torch.equal(method.queue[:6], keys)
    student = [*method.encoder.parameters(), *method.projector.parameters()]
    for weight, old, target in zip(method.teacher.parameters(), before.parameters(), student, strict=True):
        assert torch.allclose(weight, 0.8 * old + 0.2 * target, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"discriminative": -0.1}, "discriminative and restorative must be at least 0"),
        ({"discriminative": 0.6, "restorative": 0.6}, "together at most 1"),
        ({"restorative": float("nan")}, "together at most 1"),
        ({"adversarial_weight": -1.0}, "the three weights must be at least 0"),
        ({"restorative_weight": float("nan")}, "the three weights must be at least 0"),
        ({"temperature": 0.0}, "temperature must be above 0"),
    ],
)
def test_bad_options_are_refused(options, words):
    """Each error says what is allowed; the rules of MoCo hold as well."""
    with pytest.raises(UsageError, match=words):
        DiRAConfig(**options)
