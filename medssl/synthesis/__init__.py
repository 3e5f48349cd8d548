"""Whole analyses: a table of effects in; models, checks, figures and words out."""

from medssl.synthesis.analysis import Analysis, analyse

__all__ = ["Analysis", "analyse"]
