"""Two readable loops: pretrain on images, transfer to labels; and what both need around them."""

from medssl.training.calibration import calibrate_normalisation
from medssl.training.checkpoint import load_checkpoint, load_encoder, save_encoder
from medssl.training.guards import Guards
from medssl.training.initialise import Report, imagenet, initialise
from medssl.training.matched import images_seen, matched_schedule
from medssl.training.positives import Partners, adjacent_slices, nearby_frames, same_patient
from medssl.training.pretrain import PretrainConfig, Pretrained, pretrain
from medssl.training.segmentation import SegmentationConfig, Segmented, segment
from medssl.training.selection import SelectionConfig, choose_learning_rate
from medssl.training.subsets import label_count, nested_subset, split_budget
from medssl.training.tensors import Standardisation, to_tensor
from medssl.training.transfer import TransferConfig, Transferred, transfer

__all__ = [
    "Guards",
    "Partners",
    "PretrainConfig",
    "Pretrained",
    "Report",
    "SegmentationConfig",
    "Segmented",
    "SelectionConfig",
    "Standardisation",
    "TransferConfig",
    "Transferred",
    "adjacent_slices",
    "calibrate_normalisation",
    "choose_learning_rate",
    "imagenet",
    "images_seen",
    "initialise",
    "label_count",
    "load_checkpoint",
    "load_encoder",
    "matched_schedule",
    "nearby_frames",
    "nested_subset",
    "pretrain",
    "same_patient",
    "save_encoder",
    "segment",
    "split_budget",
    "to_tensor",
    "transfer",
]
