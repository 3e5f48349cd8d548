"""Whole analyses: a table of effects in; models, checks, figures and words out."""

from medssl.synthesis.analysis import Analysis, analyse
from medssl.synthesis.controlled import StudyModel, pool_model, study_model
from medssl.synthesis.origin import OriginModel, origin_model

__all__ = ["Analysis", "OriginModel", "StudyModel", "analyse", "origin_model", "pool_model", "study_model"]
