"""DINO against a loop and closed forms; teacher, centring and sharpening rule by rule."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl import DINO
from medssl.ssl._momentum import momentum_at
from medssl.ssl._windows import random_integers
from medssl.ssl.dino import DINOConfig, MultiCrop, crop_distillation, random_squares, self_distillation


def outputs(batch=6, count=5, seed=0):
    """Outputs of student and teacher for two views, and a centre, in double precision."""
    random = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, 2 * batch, count, generator=random).double().tanh()
    return student, teacher, 0.3 * torch.randn(count, generator=random).double()


def slow_loss(student, teacher, centre, student_temperature, teacher_temperature):
    """Algorithm 1 without crops, one image and one output at a time."""
    batch, total = len(student) // 2, 0.0
    for i in range(batch):
        for mine, other in ((i, batch + i), (batch + i, i)):
            target = [math.exp(t) for t in ((teacher[other] - centre) / teacher_temperature).tolist()]
            given = [math.exp(s) for s in (student[mine] / student_temperature).tolist()]
            for t, s in zip(target, given, strict=True):
                total -= t / sum(target) * math.log(s / sum(given)) / 2
    return total / batch


def entropy(distribution):
    """Mean entropy of rows, as a share of that of the uniform distribution."""
    logarithm = distribution.clamp_min(1e-30).log()
    return (-(distribution * logarithm).sum(1).mean() / math.log(distribution.shape[1])).item()


@pytest.fixture
def method(tiny):
    """A method with 8 outputs whose teacher has other weights than its student."""
    made = DINO(tiny, DINOConfig(outputs=8, momentum=0.8, centre_momentum=0.7))
    with torch.no_grad():
        for weight in made.teacher.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(3)))
        made.centre.normal_(0, 0.1)
    return made


@pytest.mark.parametrize("temperatures", [(0.1, 0.04), (1.0, 0.5)])
@pytest.mark.parametrize("batch", [1, 6])
def test_loss_is_the_loop(batch, temperatures):
    """The vectorised cross-entropy is that of one image and one output at a time."""
    given = outputs(batch)
    loss = self_distillation(*given, *temperatures).item()
    assert loss == pytest.approx(slow_loss(*given, *temperatures), rel=1e-10)


@pytest.mark.parametrize("count", [2, 64])
def test_equal_student_outputs_give_the_loss_of_guessing(count):
    """A student that knows nothing costs log(outputs), whatever the teacher says."""
    _, teacher, centre = outputs(count=count)
    loss = self_distillation(torch.full_like(teacher, 0.4), teacher, centre, 0.1, 0.04).item()
    assert loss == pytest.approx(math.log(count), rel=1e-10)


def test_a_certain_teacher_has_a_closed_form():
    """At a temperature near 0 the loss is the cross-entropy of the student with the teacher's best output."""
    student = torch.eye(4).double().repeat(2, 1)
    expected = math.log(1 + 3 * math.exp(-1 / 0.5))
    assert self_distillation(student, student, student[0] * 0, 0.5, 1e-4).item() == pytest.approx(expected)


def test_each_view_learns_the_teacher_of_the_other_view():
    """Rows i and batch + i are partners: a student that agrees with the wrong view pays."""
    teacher = torch.cat([torch.eye(4), torch.eye(4).roll(1, 1)]).double()
    swapped, zero = teacher.roll(4, 0), torch.zeros(4).double()
    assert self_distillation(swapped, teacher, zero, 0.1, 0.04) < 0.01
    assert self_distillation(teacher, teacher, zero, 0.1, 0.04) > 5


def test_exchanging_views_or_images_changes_nothing():
    """The loss is symmetric in the views and ignores the order of images."""
    student, teacher, centre = outputs()
    loss = self_distillation(student, teacher, centre, 0.1, 0.04)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    for rows in (torch.arange(12).roll(6), torch.cat([order, order + 6])):
        other = self_distillation(student[rows], teacher[rows], centre, 0.1, 0.04)
        assert torch.allclose(loss, other, rtol=1e-12)


def test_the_centre_takes_away_what_all_outputs_share():
    """A vector added to all the teacher's outputs and to the centre changes nothing; to one of them, much."""
    student, teacher, centre = outputs()
    loss = self_distillation(student, teacher, centre, 0.1, 0.04)
    bias = torch.tensor([1.0, 0, 0, 0, 0]).double()
    both = self_distillation(student, teacher + bias, centre + bias, 0.1, 0.04)
    assert torch.allclose(loss, both, rtol=1e-10)
    assert (self_distillation(student, teacher + bias, centre, 0.1, 0.04) - loss).abs() > 0.1


def test_the_teacher_gets_no_gradient():
    """Of the two outputs only the student's is pulled."""
    student, teacher, centre = outputs()
    student.requires_grad_()
    teacher.requires_grad_()
    self_distillation(student, teacher, centre, 0.1, 0.04).backward()
    assert student.grad.abs().max() > 0
    assert teacher.grad is None


def test_half_precision_is_compared_in_single_precision(autocast):
    """Under autocast, bfloat16 outputs give the loss of their exact values."""
    given = [tensor.bfloat16() for tensor in outputs()]
    with torch.autocast("cpu", enabled=False):
        exact = self_distillation(*(tensor.float() for tensor in given), 0.1, 0.04)
    assert torch.equal(self_distillation(*given, 0.1, 0.04), exact)


def test_student_teacher_and_centre_meet_in_the_loss(method, two_views, generator):
    """The module hands both networks' outputs for both views to the loss, with centre and temperatures."""
    (first, second), views = two_views()
    loss = method.loss(first, views(first, second), generator)
    both = torch.cat([first, second])
    student, teacher = method.head(method.encoder(both)), method.teacher(both)
    assert torch.allclose(loss, self_distillation(student, teacher, method.centre, 0.1, 0.04), rtol=1e-5)


def test_outputs_are_cosines(method):
    """The last layer is weight-normalised: neither its scale nor the length of its input shows."""
    features = method.encoder(torch.rand(6, 1, 8, 8))
    before = method.head(features)
    expected = functional.cosine_similarity(
        method.head.layers(features)[:, None], method.head.last.weight[None], dim=2
    )
    assert torch.allclose(before, expected, atol=1e-6)
    with torch.no_grad():
        method.head.last.weight.mul_(torch.rand(8, 1) + 0.5)
    assert torch.allclose(method.head(features), before, atol=1e-6)


def test_outputs_are_not_rounded_under_autocast(method, autocast):
    """The last product is in single precision, whatever the encoder computes in."""
    assert method.head(method.encoder(torch.rand(6, 1, 8, 8))).dtype == torch.float32


def test_the_centre_is_the_moving_average_of_teacher_outputs(method, two_views, generator):
    """After a step it is m x centre + (1 - m) x the batch's mean output over both views (equation 4)."""
    (first, second), views = two_views()
    method.loss(first, views(first, second), generator)
    before = method.centre.clone()
    mean = method.teacher(torch.cat([first, second])).mean(0)
    method.after_step(0, 10)
    assert torch.allclose(method.centre, 0.7 * before + 0.3 * mean, atol=1e-6)


def test_the_centre_starts_at_zero_and_moves_after_the_step_alone(tiny, noisy_view, generator):
    """A batch is not centred with itself."""
    method = DINO(tiny)
    method.loss(torch.rand(6, 1, 8, 8), noisy_view, generator)
    assert method.centre.abs().max() == 0
    method.after_step(0, 10)
    assert method.centre.abs().max() > 0


@pytest.mark.parametrize("step", [0, 3, 9])
def test_the_teacher_follows_with_the_momentum_of_the_step(step, method, noisy_view, generator):
    """After a step it is the average of itself and the student, encoder and head."""
    method.loss(torch.rand(6, 1, 8, 8), noisy_view, generator)
    before, momentum = copy.deepcopy(method.teacher), momentum_at(step, 10, 0.8)
    method.after_step(step, 10)
    student = [*method.encoder.parameters(), *method.head.parameters()]
    for weight, old, target in zip(method.teacher.parameters(), before.parameters(), student, strict=True):
        assert torch.allclose(weight, momentum * old + (1 - momentum) * target, atol=1e-6)


def test_the_optimiser_does_not_move_the_teacher(method, noisy_view, generator):
    """A step changes the student and leaves every weight of the teacher, and the centre."""
    before = copy.deepcopy(method.state_dict())
    optimizer = torch.optim.AdamW(method.parameters(), 0.1)
    method.loss(torch.rand(8, 1, 8, 8), noisy_view, generator).backward()
    optimizer.step()
    for key, weight in method.named_parameters():
        assert torch.equal(weight, before[key]) == key.startswith("teacher"), key
    assert torch.equal(method.centre, before["centre"])


def targets_after(method, train):
    """Train, and return the teacher's distributions of the images."""
    images = train(method)
    centred = method.teacher(images) - method.centre
    return (centred / method.config.teacher_temperature).softmax(1).detach()


def test_centring_and_sharpening_hold_each_other(tiny, train):
    """With both rules the teacher's distributions are neither uniform nor all the same."""
    target = targets_after(DINO(tiny, DINOConfig(outputs=16, momentum=0.9)), train)
    assert 0.05 < entropy(target) < 0.8
    assert target.argmax(1).bincount().max() < 32  # of 64 images
    assert entropy(target.mean(0, keepdim=True)) > 0.5


def test_without_centring_one_output_wins(tiny, train):
    """A centre that stays at 0 lets one output take every image."""
    target = targets_after(DINO(tiny, DINOConfig(outputs=16, momentum=0.9, centre_momentum=1.0)), train)
    assert target.argmax(1).bincount().max() == 64
    assert entropy(target) < 0.01


def test_without_sharpening_all_outputs_become_equal(tiny, train):
    """A teacher as soft as the student ends in the uniform distribution; the options do not allow it."""
    method = DINO(tiny, DINOConfig(outputs=16, momentum=0.9, teacher_temperature=0.0999))
    assert entropy(targets_after(method, train)) > 0.999
    with pytest.raises(UsageError, match="below student_temperature"):
        replace(method.config, teacher_temperature=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"teacher_temperature": 0.2}, "below student_temperature"),
        ({"teacher_temperature": 0.0}, "teacher_temperature must be above 0"),
        ({"momentum": 1.5}, "momentum and centre_momentum must be between 0 and 1"),
        ({"centre_momentum": -1.0}, "momentum and centre_momentum must be between 0 and 1"),
        ({"outputs": 1}, "outputs at least 2"),
        ({"hidden": 0}, "hidden and bottleneck must be at least 1"),
        ({"bottleneck": 0}, "hidden and bottleneck must be at least 1"),
    ],
)
def test_impossible_options_are_refused(options, message):
    """A value that cannot work is refused when it is written down."""
    with pytest.raises(UsageError, match=message):
        DINOConfig(**options)


@pytest.mark.parametrize("crops", [1, 3])
def test_loss_with_crops_is_the_mean_over_all_pairs(crops):
    """Every view of the student meets every whole view of the teacher but its own, one pair at a time."""
    student, teacher, centre = outputs(4)
    small = outputs(2 * crops, seed=1)[0]  # [4 crops, outputs]
    given = (teacher, centre, 0.1, 0.04)
    loss = self_distillation(student, *given) + crops * crop_distillation(small, *given)
    terms = []
    for view in range(2):
        for image in range(4):
            target = ((teacher[4 * view + image] - centre) / 0.04).softmax(0)
            seen = [student[4 * (1 - view) + image], *(small[4 * crop + image] for crop in range(crops))]
            terms += [-(target * (output / 0.1).log_softmax(0)).sum() for output in seen]
    assert len(terms) == 8 * (1 + crops)
    assert (loss / (1 + crops)).item() == pytest.approx(torch.stack(terms).mean().item(), rel=1e-10)


@pytest.mark.parametrize("sides", [(12, 10), (7, 12, 10)])
def test_small_crops_are_slices_at_places_of_their_own(sides):
    """Squares of images and cubes of volumes, the first of all images, then the second of all."""
    generator, again = (torch.Generator().manual_seed(3) for _ in range(2))
    images = torch.rand(5, 1, *sides)
    small = random_squares(images, 4, 3, generator)
    assert small.shape == (15, 1, *len(sides) * (4,))
    corners = [random_integers(0, side - 4, (5, 3), again) for side in sides]
    for crop in range(3):
        for image in range(5):
            box = [slice(corner[image, crop], corner[image, crop] + 4) for corner in corners]
            assert torch.equal(small[5 * crop + image, 0], images[image, 0, *box])


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_student_alone_sees_small_crops(dimensions):
    """Crops of the first view pass the student's networks, and both losses meet with their weights."""
    torch.manual_seed(0)
    encoder = nn.Module()
    encoder.weight = nn.Parameter(torch.randn(1, 6))
    encoder.dimensions, encoder.width = dimensions, 6
    encoder.forward = lambda x: x.flatten(1).std(1, keepdim=True) * encoder.weight
    method = DINO(encoder, DINOConfig(outputs=8), MultiCrop(crops=3, share=0.5))
    images, seen = torch.rand(4, 1, *dimensions * (8,)), []
    method.encoder.forward = lambda x: seen.append(x) or x.flatten(1).std(1, keepdim=True) * encoder.weight
    method.teacher.forward = lambda x: torch.zeros(len(x), 8)
    loss = method.loss(images, lambda x: x, torch.Generator().manual_seed(5))
    assert torch.equal(seen[1], random_squares(images, 4, 3, torch.Generator().manual_seed(5)))
    student, small = (method.head(method.encoder(x)) for x in seen[:2])
    given = (torch.zeros(8, 8), method.centre, 0.1, 0.04)
    expected = (self_distillation(student, *given) + 3 * crop_distillation(small, *given)) / 4
    assert torch.allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("options", [{"crops": 0}, {"share": 0.0}, {"share": 1.0}])
def test_impossible_crops_are_refused(options):
    """The error says what is allowed."""
    with pytest.raises(UsageError, match="crops must be at least 1 and share between 0 and 1"):
        MultiCrop(**options)
