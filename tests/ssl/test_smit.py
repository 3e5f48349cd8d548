"""SMIT's three losses against loops and closed forms; masks, teacher, centres and weights one by one."""

import copy
import itertools
import math

import pytest
import torch

from medssl.encoders import SmallCNN
from medssl.errors import UsageError
from medssl.ssl._dimensions import cut, in_pixels
from medssl.ssl._momentum import momentum_at
from medssl.ssl._patches import tokens_of
from medssl.ssl.dino import self_distillation
from medssl.ssl.smit import SMIT, SMITConfig, masked_image_prediction, masked_token_distillation


def fixed(seed=0):
    """A generator in a known state."""
    return torch.Generator().manual_seed(seed)


def outputs(batch=4, tokens=3, count=5, seed=0):
    """Outputs of student and teacher, hidden tokens and a centre, in double precision."""
    random = fixed(seed)
    student, teacher = torch.randn(2, batch, tokens, count, generator=random).double().tanh()
    hidden = torch.rand(batch, tokens, generator=random) < 0.5
    return student, teacher, hidden, 0.3 * torch.randn(count, generator=random).double()


def images_of(batch=4, side=24, seed=0):
    """Random images without zeros, so that hidden pixels show."""
    return torch.rand(batch, 1, side, side, generator=fixed(seed)) + 0.1


def views_in_turn(*views):
    """A view that hands out the given ones."""
    rest = iter(views)
    return lambda images: next(rest)


def made(**options):
    """A method whose teacher is apart from its student and whose encoders keep what they see."""
    torch.manual_seed(0)
    method = SMIT(SmallCNN(), SMITConfig(**{"outputs": 8, "momentum": 0.8, "centre_momentum": 0.7} | options))
    with torch.no_grad():
        for weight in method.teacher.parameters():
            weight.mul_(1.1)
        method.token_centre.normal_(0, 0.1)
        method.image_centre.normal_(0, 0.1)
    method.seen = {"student": [], "teacher": []}
    for name, encoder in (("student", method.encoder), ("teacher", method.teacher["encoder"])):
        keep(encoder, method.seen[name])
    return method


def keep(encoder, seen):
    """Append to a list what an encoder sees."""
    features = encoder.features
    encoder.features = lambda x: seen.append(x.detach()) or features(x)


@pytest.mark.parametrize("temperatures", [(0.1, 0.04), (1.0, 0.5)])
def test_token_loss_is_the_loop(temperatures):
    """The vectorised cross-entropy is that of one hidden token and one output at a time."""
    student, teacher, hidden, centre = outputs()
    total, count = 0.0, 0
    for i, t in itertools.product(range(4), range(3)):
        if not hidden[i, t]:
            continue
        target = [math.exp(x) for x in ((teacher[i, t] - centre) / temperatures[1]).tolist()]
        given = [math.exp(x) for x in (student[i, t] / temperatures[0]).tolist()]
        total -= sum(a / sum(target) * math.log(b / sum(given)) for a, b in zip(target, given, strict=True))
        count += 1
    assert 0 < count < 12
    loss = masked_token_distillation(student, teacher, hidden, centre, *temperatures).item()
    assert loss == pytest.approx(total / count, rel=1e-10)


@pytest.mark.parametrize("count", [2, 64])
def test_equal_student_outputs_give_the_loss_of_guessing(count):
    """A student that knows nothing costs log(outputs), whatever the teacher says."""
    student, *rest = outputs(count=count)
    loss = masked_token_distillation(torch.full_like(student, 0.4), *rest, 0.1, 0.04).item()
    assert loss == pytest.approx(math.log(count), rel=1e-10)


def test_a_certain_teacher_has_a_closed_form():
    """At a temperature near 0 the loss is the cross-entropy of the student with the teacher's best output."""
    both, hidden = torch.eye(4).double()[None], torch.ones(1, 4, dtype=torch.bool)
    loss = masked_token_distillation(both, both, hidden, both[0, 0] * 0, 0.5, 1e-4).item()
    assert loss == pytest.approx(math.log(1 + 3 * math.exp(-1 / 0.5)))


def test_visible_tokens_do_not_count():
    """Any student output at a visible token gives the same loss, and has no gradient."""
    student, *rest = outputs()
    hidden = rest[1]
    student.requires_grad_()
    loss = masked_token_distillation(student, *rest, 0.1, 0.04)
    moved = student + 9 * torch.arange(5) * ~hidden[..., None]
    assert torch.allclose(masked_token_distillation(moved, *rest, 0.1, 0.04), loss, rtol=1e-12)
    loss.backward()
    assert torch.equal(student.grad.abs().sum(2) > 0, hidden)


def test_each_token_learns_from_the_same_token_of_the_same_view():
    """A student that agrees with another image, or with another place, pays."""
    teacher = torch.eye(6).double().reshape(2, 3, 6)
    hidden, zero = torch.ones(2, 3, dtype=torch.bool), torch.zeros(6).double()
    assert masked_token_distillation(teacher, teacher, hidden, zero, 0.1, 0.04) < 0.01
    for axis in (0, 1):
        assert masked_token_distillation(teacher.roll(1, axis), teacher, hidden, zero, 0.1, 0.04) > 5


def test_the_centre_takes_away_what_all_outputs_share():
    """A vector added to all the teacher's outputs and to the centre changes nothing; to one of them, much."""
    student, teacher, hidden, centre = outputs()
    loss = masked_token_distillation(student, teacher, hidden, centre, 0.1, 0.04)
    bias = torch.tensor([1.0, 0, 0, 0, 0]).double()
    both = masked_token_distillation(student, teacher + bias, hidden, centre + bias, 0.1, 0.04)
    assert torch.allclose(loss, both, rtol=1e-10)
    one = masked_token_distillation(student, teacher + bias, hidden, centre, 0.1, 0.04)
    assert (one - loss).abs() > 0.1


def test_the_teacher_gets_no_gradient():
    """Of the two outputs only the student's is pulled."""
    student, teacher, hidden, centre = outputs()
    masked_token_distillation(student, teacher.requires_grad_(), hidden, centre, 0.1, 0.04)
    loss = masked_token_distillation(student.requires_grad_(), teacher, hidden, centre, 0.1, 0.04)
    loss.backward()
    assert student.grad.abs().max() > 0
    assert teacher.grad is None


def test_half_precision_is_compared_in_single_precision(autocast):
    """Under autocast, bfloat16 outputs give the loss of their exact values."""
    student, teacher, hidden, centre = outputs()
    given = [student.bfloat16(), teacher.bfloat16(), hidden, centre.bfloat16()]
    with torch.autocast("cpu", enabled=False):
        exact = masked_token_distillation(*(part.float() for part in given), 0.1, 0.04)
    assert torch.equal(masked_token_distillation(*given, 0.1, 0.04), exact)


@pytest.mark.parametrize("sides", [(4, 6), (2, 4, 3)])
def test_prediction_error_is_the_loop_over_pixels(sides, generator):
    """The vectorised error is the mean over hidden pixels, one at a time; visible ones do not count."""
    prediction, images = torch.rand(2, 3, 1, *sides, generator=generator).double()
    hidden = torch.rand(3, 1, *sides, generator=generator) < 0.5
    errors = [
        abs(p - x)
        for p, x, h in zip(*(t.flatten().tolist() for t in (prediction, images, hidden)), strict=True)
        if h
    ]
    error = masked_image_prediction(prediction, images, hidden)
    assert error.item() == pytest.approx(sum(errors) / len(errors), rel=1e-10)
    assert torch.equal(masked_image_prediction(prediction + 9 * ~hidden, images, hidden), error)


@pytest.mark.parametrize("offset", [-3.0, 0.25])
def test_a_constant_offset_costs_its_size(offset):
    """The error is absolute, not squared."""
    images = images_of()
    hidden = images > 0.5
    assert masked_image_prediction(images + offset, images, hidden).item() == pytest.approx(abs(offset), 1e-5)


def test_the_student_sees_a_share_of_the_patches_and_the_teacher_all():
    """Each view hides round(ratio x patches) patches of its own, which become zero; the teacher sees all."""
    method, views = made(ratio=0.6), (images_of(seed=1), images_of(seed=2))
    method.loss(images_of(), views_in_turn(*views), fixed(3))
    both = torch.cat(views)
    assert torch.equal(method.seen["teacher"][0], both)
    seen = method.seen["student"][0]
    hidden = (seen == 0).reshape(8, 3, 8, 3, 8).transpose(2, 3).flatten(3)  # [2 batch, 3, 3, 64]
    assert torch.equal(hidden.all(3), hidden.any(3))
    assert hidden.all(3).sum((1, 2)).tolist() == [round(0.6 * 9)] * 8
    assert len({tuple(mask) for mask in hidden.all(3).flatten(1).tolist()}) > 4
    assert torch.equal(seen[seen != 0], both[seen != 0])


def test_sides_need_not_divide_into_patches():
    """A patch at the border is smaller where the map of the encoder is rounded up."""
    method = made(ratio=0.5)
    method.loss(images_of(side=20), lambda x: x, fixed(3))
    hidden = (method.seen["student"][0] == 0)[:, 0]
    assert (hidden[:, ::8, ::8].sum((1, 2)) == round(0.5 * 9)).all()
    assert torch.equal(cut(in_pixels(hidden[:, ::8, ::8], 8), (20, 20))[:, 0], hidden)


def test_the_loss_is_the_weighted_sum_of_three():
    """Pixels and tokens of the same view, images of the other view, each with its centre and its weight."""
    method, views = made(patch_weight=0.3, image_weight=0.7), (images_of(seed=1), images_of(seed=2))
    loss, both = method.loss(images_of(), views_in_turn(*views), fixed(3)), torch.cat(views)
    seen = method.seen["student"][0]
    features, whole = method.encoder.features(seen), method.teacher["encoder"].features(both)
    tokens, targets = tokens_of(features), tokens_of(whole)
    student = torch.stack([method.token_head(tokens[:, t]) for t in range(9)], 1)
    teacher = torch.stack([method.teacher["token_head"](targets[:, t]) for t in range(9)], 1)
    hidden = (seen == 0)[:, 0, ::8, ::8].flatten(1)
    patch = masked_token_distillation(student, teacher, hidden, method.token_centre, 0.1, 0.04)
    image, target = method.image_head(method.encoder(seen)), method.teacher["image_head"](whole.mean((2, 3)))
    other = self_distillation(image, target, method.image_centre, 0.1, 0.04)
    pixels = masked_image_prediction(method.decoder(features, 24, 24), both, seen == 0)
    assert torch.allclose(loss, pixels + 0.3 * patch + 0.7 * other, rtol=1e-4)


def test_a_weight_of_zero_takes_a_distillation_away():
    """With both weights 0 the heads get no pull and the loss is that of the pixels."""
    method = made(patch_weight=0.0, image_weight=0.0)
    method.loss(images_of(), lambda x: x, fixed(3)).backward()
    for head in (method.token_head, method.image_head):
        assert all(weight.grad.abs().max() == 0 for weight in head.parameters())
    assert method.decoder.layer.weight.grad.abs().max() > 0


def test_the_centres_are_moving_averages_of_teacher_outputs():
    """After a step each is m x centre + (1 - m) x the mean of the whole views' outputs, and not before."""
    method, views = made(), (images_of(seed=1), images_of(seed=2))
    before = method.token_centre.clone(), method.image_centre.clone()
    method.loss(images_of(), views_in_turn(*views), fixed(3))
    assert torch.equal(method.token_centre, before[0])
    tokens = tokens_of(method.teacher["encoder"].features(torch.cat(views)))
    by_token = method.teacher["token_head"](tokens.flatten(0, 1)).mean(0)
    by_image = method.teacher["image_head"](tokens.mean(1)).mean(0)
    method.after_step(0, 10)
    assert torch.allclose(method.token_centre, 0.7 * before[0] + 0.3 * by_token, atol=1e-5)
    assert torch.allclose(method.image_centre, 0.7 * before[1] + 0.3 * by_image, atol=1e-5)


@pytest.mark.parametrize("step", [0, 3, 9])
def test_the_teacher_follows_with_the_momentum_of_the_step(step):
    """After a step it is the average of itself and the student, encoder and both heads."""
    method = made()
    method.loss(images_of(), lambda x: x, fixed(3))
    before, momentum = copy.deepcopy(dict(method.teacher.named_parameters())), momentum_at(step, 10, 0.8)
    method.after_step(step, 10)
    student = dict(method.named_parameters())
    for key, weight in method.teacher.named_parameters():
        assert torch.allclose(weight, momentum * before[key] + (1 - momentum) * student[key], atol=1e-6)


def test_the_optimiser_does_not_move_the_teacher():
    """A step changes encoder, heads and decoder, and leaves the teacher and the centres."""
    method = made()
    before = copy.deepcopy(method.state_dict())
    optimizer = torch.optim.AdamW(method.parameters(), 0.1)
    method.loss(images_of(), lambda x: x, fixed(3)).backward()
    optimizer.step()
    for key, weight in method.named_parameters():
        assert torch.equal(weight, before[key]) == key.startswith("teacher"), key
    assert torch.equal(method.token_centre, before["token_centre"])


def test_the_teacher_starts_as_a_copy_and_the_centres_at_zero():
    """At first the teacher has the student's weights, and nothing is subtracted from its outputs."""
    method = SMIT(SmallCNN())
    student = dict(method.named_parameters())
    assert all(torch.equal(weight, student[key]) for key, weight in method.teacher.named_parameters())
    assert method.token_centre.abs().max() == method.image_centre.abs().max() == 0


@pytest.mark.parametrize(("side", "ratio"), [(8, 0.7), (16, 0.1), (16, 0.9)])
def test_too_few_patches_to_hide_a_share_are_refused(side, ratio):
    """The error names the size and the number of patches."""
    with pytest.raises(
        UsageError, match=f"{side} x {side} pixels have a feature map of {(side // 8) ** 2} places"
    ):
        made(ratio=ratio).loss(images_of(side=side), lambda x: x, fixed())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ratio": 0.0}, "ratio must be between 0 and 1"), ({"ratio": 1.0}, "ratio must be between 0 and 1"),
        ({"patch_weight": -1.0}, "patch_weight and image_weight at least 0"),
        ({"image_weight": float("nan")}, "patch_weight and image_weight at least 0"),
        ({"teacher_temperature": 0.2}, "below student_temperature"),
        ({"momentum": 1.5}, "momentum and centre_momentum"), ({"outputs": 1}, "outputs at least 2"),
        ({"bottleneck": 0}, "hidden and bottleneck must be at least 1"),
    ],
)  # fmt: skip
def test_bad_options_are_refused(options, words):
    """Each error says what is allowed."""
    with pytest.raises(UsageError, match=words):
        SMITConfig(**options)
