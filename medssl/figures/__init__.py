"""Figures with their data, their words and their citation."""

from medssl.figures.baujat_plot import baujat_plot
from medssl.figures.bubble import bubble
from medssl.figures.card import FigureCard, save_figure
from medssl.figures.drawing import Drawing
from medssl.figures.forest import forest
from medssl.figures.forest_by_cluster import forest_by_cluster
from medssl.figures.funnel import funnel
from medssl.figures.gosh_plot import gosh_plot
from medssl.figures.learning_curve import arm_scores, learning_curve
from medssl.figures.leave_one_out_plot import leave_one_out_plot
from medssl.figures.profile_plot import profile_plot
from medssl.figures.reliability_plot import reliability_plot
from medssl.figures.specification_curve import specification_curve

__all__ = [
    "Drawing",
    "FigureCard",
    "arm_scores",
    "baujat_plot",
    "bubble",
    "forest",
    "forest_by_cluster",
    "funnel",
    "gosh_plot",
    "learning_curve",
    "leave_one_out_plot",
    "profile_plot",
    "reliability_plot",
    "save_figure",
    "specification_curve",
]
