"""Scores of one model, and the paired comparison of two on the same test cases."""

from medssl.evaluation.bootstrap import PairedGain, paired_bootstrap
from medssl.evaluation.calibration import reliability_table
from medssl.evaluation.delong import delong_difference
from medssl.evaluation.metrics import METRICS, area_under_curve, balanced_accuracy, scores
from medssl.evaluation.secondary import (
    area_under_precision_recall,
    expected_calibration_error,
    secondary_scores,
    sensitivity_at_specificity,
)
from medssl.evaluation.segmentation import (
    dice,
    paired_dice_gain,
    segmentation_scores,
    surface_distances,
)

__all__ = [
    "METRICS",
    "PairedGain",
    "area_under_curve",
    "area_under_precision_recall",
    "balanced_accuracy",
    "delong_difference",
    "dice",
    "expected_calibration_error",
    "paired_bootstrap",
    "paired_dice_gain",
    "reliability_table",
    "scores",
    "secondary_scores",
    "segmentation_scores",
    "sensitivity_at_specificity",
    "surface_distances",
]
