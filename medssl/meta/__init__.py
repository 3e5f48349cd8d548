"""Meta-analysis of gains: estimators, intervals and predictions with metafor's definitions."""

from medssl.meta._fit import Interval, RandomEffectsFit
from medssl.meta._multilevel_fit import MultilevelFit
from medssl.meta._profile import Profile
from medssl.meta._robust import RobustFit, WaldTest
from medssl.meta.multilevel import multilevel
from medssl.meta.natural_spline import default_knots, natural_spline
from medssl.meta.random_effects import random_effects

__all__ = [
    "Interval",
    "MultilevelFit",
    "Profile",
    "RandomEffectsFit",
    "RobustFit",
    "WaldTest",
    "default_knots",
    "multilevel",
    "natural_spline",
    "random_effects",
]
