"""Scores of one model, and the paired comparison of two on the same test cases."""

from medssl.evaluation.bootstrap import PairedGain, paired_bootstrap
from medssl.evaluation.delong import delong_difference
from medssl.evaluation.metrics import METRICS, area_under_curve, balanced_accuracy, scores
from medssl.evaluation.secondary import (
    area_under_precision_recall,
    expected_calibration_error,
    secondary_scores,
    sensitivity_at_specificity,
)

__all__ = [
    "METRICS",
    "PairedGain",
    "area_under_curve",
    "area_under_precision_recall",
    "balanced_accuracy",
    "delong_difference",
    "expected_calibration_error",
    "paired_bootstrap",
    "scores",
    "secondary_scores",
    "sensitivity_at_specificity",
]
