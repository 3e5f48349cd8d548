"""Meta-analysis: estimators, dependent effects, bias, influence, shapes and resampling.

Definitions are those of R's metafor and clubSandwich; `medssl.meta.agreement` compares the numbers.
"""

from medssl.meta._break_even import BreakEven
from medssl.meta._fit import Interval, RandomEffectsFit
from medssl.meta._multilevel_fit import MultilevelFit
from medssl.meta._profile import Profile
from medssl.meta._robust import RobustFit, WaldTest
from medssl.meta.cluster_bootstrap import cluster_bootstrap
from medssl.meta.cluster_wild_bootstrap import WildBootstrapTest, cluster_wild_bootstrap
from medssl.meta.multilevel import multilevel
from medssl.meta.multiverse import multiverse
from medssl.meta.natural_spline import default_knots, natural_spline
from medssl.meta.permutation_test import PermutationTest, permutation_test
from medssl.meta.probability import probability_of_gain
from medssl.meta.random_effects import random_effects
from medssl.meta.shape import ShapeFit, shape

__all__ = [
    "BreakEven",
    "Interval",
    "MultilevelFit",
    "PermutationTest",
    "Profile",
    "RandomEffectsFit",
    "RobustFit",
    "ShapeFit",
    "WaldTest",
    "WildBootstrapTest",
    "cluster_bootstrap",
    "cluster_wild_bootstrap",
    "default_knots",
    "multilevel",
    "multiverse",
    "natural_spline",
    "permutation_test",
    "probability_of_gain",
    "random_effects",
    "shape",
]
