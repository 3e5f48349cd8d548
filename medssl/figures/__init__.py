"""Figures with their data, their words and their citation."""

from medssl.figures.bubble import bubble
from medssl.figures.card import FigureCard, save_figure
from medssl.figures.drawing import Drawing
from medssl.figures.forest import forest
from medssl.figures.learning_curve import arm_scores, learning_curve

__all__ = ["Drawing", "FigureCard", "arm_scores", "bubble", "forest", "learning_curve", "save_figure"]
