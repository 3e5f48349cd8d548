"""Figures with their data, their words and their citation."""

from medssl.figures.bubble import bubble
from medssl.figures.drawing import Drawing
from medssl.figures.forest import forest
from medssl.figures.learning_curve import learning_curve

__all__ = ["Drawing", "bubble", "forest", "learning_curve"]
