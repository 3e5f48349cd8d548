"""Partial fine-tuning trains the last block and the head, and nothing else changes."""

import copy

import pytest
import torch
from torch import nn

from medssl import encoders
from medssl.errors import UsageError
from medssl.training import transfer
from medssl.training.partial import freeze_early, late_modules, train_late


class Wrapped(nn.Module):
    """A module that only holds another one."""

    def __init__(self, network):
        super().__init__()
        self.network = network


class Transformer(nn.Module):
    """Embedding, blocks, final normalisation and a token of its own, in the order in which they run."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.zeros(4))
        self.embedding = nn.Conv2d(1, 4, 2, 2)
        self.dropout = nn.Dropout(0.1)
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True) for _ in range(3))
        self.norm = nn.LayerNorm(4)


def plain():
    """A network without blocks."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.ReLU()
    )


def test_the_last_block_and_what_follows_it_are_late():
    """Wrappers and sequences are opened; a final normalisation belongs to the late part, a token does not."""
    small, transformer, layers = encoders.build("small_cnn"), Transformer(), plain()
    assert late_modules(small) == [small.blocks[2]]
    assert late_modules(Wrapped(small)) == [small.blocks[2]]
    assert late_modules(Wrapped(Wrapped(small))) == [small.blocks[2]]
    assert late_modules(transformer) == [transformer.blocks[2], transformer.norm]
    assert late_modules(layers) == [layers[3], layers[4]]
    deep = nn.Sequential(plain(), nn.Sequential(plain(), plain()))
    assert late_modules(deep) == [deep[1][1]]


@pytest.mark.parametrize("name", encoders.ENCODERS)
def test_every_encoder_has_an_early_and_a_late_part(name):
    """The rule finds a block in each architecture, and it is neither nothing nor everything."""
    encoder = encoders.build(name)
    trained = sum(weight.numel() for weight in freeze_early(encoder))
    assert 0 < trained < sum(weight.numel() for weight in encoder.parameters())
    assert trained == sum(weight.numel() for weight in encoder.parameters() if weight.requires_grad)


def test_the_late_part_of_the_residual_network_is_its_last_block():
    """It is the second block of the fourth stage."""
    encoder = encoders.build("resnet18")
    assert late_modules(encoder) == [encoder.network.layer4[1]]


def test_frozen_weights_and_statistics_keep_their_bits(task, steps):
    """Early weights, running means and batch counts stay; all of the last block changes, statistics too."""
    done = transfer(*task, steps(5, adaptation="partial_fine_tune"), device="cpu")
    before, after = task[3].state_dict(), done.model[0].state_dict()
    for key, value in before.items():
        assert torch.equal(value, after[key]) != key.startswith("blocks.2."), key


def test_only_the_last_block_is_in_training_mode(task, steps, monkeypatch):
    """At each step the early part is in evaluation mode, so its normalisation uses the frozen statistics."""
    seen, forward = [], type(task[3]).forward

    def spy(self, x):
        seen.append({name for name, module in self.named_modules() if module.training})
        return forward(self, x)

    monkeypatch.setattr(type(task[3]), "forward", spy)
    transfer(*task, steps(2, adaptation="partial_fine_tune"), device="cpu")
    late = {f"blocks.2.{name}".rstrip(".") for name, _ in task[3].blocks[2].named_modules()}
    assert seen[:2] == [late, late]
    assert seen[2] == set()  # prediction


def test_the_modes_do_not_depend_on_what_they_were():
    """Whatever was in training mode before, afterwards it is the late part alone."""
    encoder = Transformer().train()
    train_late(encoder)
    assert not encoder.embedding.training
    assert not encoder.blocks[1].self_attn.training
    assert encoder.blocks[2].self_attn.training
    assert encoder.norm.training


def test_no_gradient_reaches_the_early_part(task):
    """Frozen weights have none, so the optimiser has nothing of theirs."""
    encoder = copy.deepcopy(task[3])
    trained = freeze_early(encoder)
    encoder(torch.rand(4, 1, 16, 16)).sum().backward()
    assert all(weight.grad is not None for weight in trained)
    late = {id(weight) for weight in trained}
    assert all(weight.grad is None for weight in encoder.parameters() if id(weight) not in late)


def test_an_encoder_of_one_block_cannot_be_trained_in_part():
    """Where everything would be late the error names the other adaptation."""
    for encoder in (Wrapped(nn.Conv2d(1, 2, 3)), nn.Sequential(nn.Linear(2, 2)), nn.ReLU()):
        with pytest.raises(UsageError, match="no early part that could be frozen: use adaptation"):
            late_modules(encoder)
