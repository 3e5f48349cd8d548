"""Meta-analysis of gains: estimators, intervals and predictions with metafor's definitions."""

from medssl.meta._fit import Interval, RandomEffectsFit
from medssl.meta.random_effects import random_effects

__all__ = ["Interval", "RandomEffectsFit", "random_effects"]
