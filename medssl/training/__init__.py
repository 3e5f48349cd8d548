"""Two readable loops: pretrain on images, transfer to labels."""

from medssl.training.calibration import calibrate_normalisation
from medssl.training.checkpoint import load_checkpoint, load_encoder, save_encoder
from medssl.training.pretrain import PretrainConfig, Pretrained, pretrain
from medssl.training.selection import SelectionConfig, choose_learning_rate
from medssl.training.subsets import nested_subset, split_budget
from medssl.training.tensors import Standardisation, to_tensor
from medssl.training.transfer import TransferConfig, Transferred, transfer

__all__ = [
    "PretrainConfig",
    "Pretrained",
    "SelectionConfig",
    "Standardisation",
    "TransferConfig",
    "Transferred",
    "calibrate_normalisation",
    "choose_learning_rate",
    "load_checkpoint",
    "load_encoder",
    "nested_subset",
    "pretrain",
    "save_encoder",
    "split_budget",
    "to_tensor",
    "transfer",
]
