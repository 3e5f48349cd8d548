"""Losses stay on the device of weights and images: what a GPU run needs, checked without a GPU.

A tensor on the device "meta" has a shape and no values, and an operation that mixes it with a tensor of the
processor raises, as it would on a GPU.
A method is built on the processor and moved, as in pretraining, so that a tensor that it forgot to register
stays behind and is found.
"""

import contextlib

import pytest
import torch
from torch.overrides import TorchFunctionMode

from medssl.encoders import SmallCNN
from medssl.errors import UsageError
from medssl.ssl import METHODS, build

BATCH, SIDE = 4, 32
ASK_FOR_VALUES = {"brain_aware_replacement"}  # the sizes of its boxes are values, on which shapes depend
FACTORIES = {torch.rand, torch.randn, torch.randint, torch.randperm}


class WithoutValues(TorchFunctionMode):
    """Stand-ins for what needs a value or a generator, neither of which exists on the device "meta".

    A draw from the generator lies on the device, as it does where the generator is the device's own.
    A mask selects every row, and its device must be that of the tensor; a flag is true.
    """

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if kwargs.get("generator") is not None:
            kwargs["generator"] = None
            kwargs |= {"device": "meta"} if function in FACTORIES else {}
        if function is torch.Tensor.__getitem__ and is_mask(args[1]):
            assert args[0].device == args[1].device
            return args[0].flatten(0, args[1].ndim - 1)
        if function is torch.Tensor.__bool__:
            return True
        return function(*args, **kwargs)


def is_mask(index):
    """Whether an index is a tensor of booleans."""
    return isinstance(index, torch.Tensor) and index.dtype == torch.bool


def takes_images(name):
    """Whether a method takes an encoder of images; the others are for volumes."""
    try:
        build(name, SmallCNN())
    except UsageError:
        return False
    return True


@pytest.fixture(autouse=True)
def no_autocast(monkeypatch):
    """Autocast, which losses turn off, does not know the device "meta"."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())


def loss_without_values(name, change=lambda method: None):
    """Return the loss of a method whose weights and images are on the device "meta"."""
    method = build(name, SmallCNN()).to("meta")
    change(method)
    images = torch.empty(BATCH, 1, SIDE, SIDE, device="meta")
    beside = {"covariate": torch.empty(BATCH, device="meta")} if name == "y_aware" else {}
    with WithoutValues():
        loss = method.loss(images, lambda view: view.clone(), torch.Generator(), **beside)
        loss.backward()
    return method, loss


PLACED = [name for name in METHODS if name not in ASK_FOR_VALUES and takes_images(name)]


@pytest.mark.parametrize("name", PLACED)
def test_the_loss_stays_on_the_device(name):
    """Loss and gradients are on the device of weights and images, and nothing comes from the processor."""
    method, loss = loss_without_values(name)
    assert (loss.device.type, loss.shape) == ("meta", torch.Size([]))
    assert {weight.grad.device.type for weight in method.encoder.parameters()} == {"meta"}


def test_the_methods_of_the_benchmark_are_among_them():
    """No exception takes away the methods that are compared with other libraries."""
    assert {"simclr", "byol", "barlow_twins", "dino", "masked_autoencoder"} <= set(PLACED)


def unregister_centre(method):
    """Keep DINO's centre as a plain tensor, which does not move with the method."""
    del method.centre
    method.centre = torch.zeros(method.config.outputs)


def add_from_processor(method):
    """Add a tensor of the processor to what the encoder returns."""
    method.encoder.register_forward_hook(lambda module, given, output: output + torch.ones(1, 128))


@pytest.mark.parametrize(
    ("name", "change"),
    [("dino", unregister_centre), ("simclr", add_from_processor)],
    ids=["buffer", "constant"],
)
def test_a_tensor_left_on_the_processor_is_found(name, change):
    """The check above fails when a method mixes devices."""
    with pytest.raises(RuntimeError, match="not on the expected device meta"):
        loss_without_values(name, change)
