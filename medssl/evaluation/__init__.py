"""Scores of one model, and the paired comparison of two on the same test cases."""

from medssl.evaluation.bootstrap import PairedGain, paired_bootstrap
from medssl.evaluation.delong import delong_difference
from medssl.evaluation.metrics import METRICS, area_under_curve, balanced_accuracy, scores

__all__ = [
    "METRICS",
    "PairedGain",
    "area_under_curve",
    "balanced_accuracy",
    "delong_difference",
    "paired_bootstrap",
    "scores",
]
