"""Meta-analysis: estimators, dependent effects, bias, influence, shapes and resampling.

Definitions are those of R's metafor and clubSandwich; `medssl.meta.agreement` compares the numbers.
"""

from medssl.meta._break_even import BreakEven
from medssl.meta._fit import Interval, RandomEffectsFit
from medssl.meta._multilevel_fit import MultilevelFit
from medssl.meta._profile import Profile
from medssl.meta._robust import RobustFit, WaldTest
from medssl.meta.baujat import baujat
from medssl.meta.cluster_bootstrap import cluster_bootstrap
from medssl.meta.cluster_wild_bootstrap import WildBootstrapTest, cluster_wild_bootstrap
from medssl.meta.cumulative import cumulative
from medssl.meta.egger import EggerTest, egger
from medssl.meta.gosh import Gosh, gosh
from medssl.meta.influence import influence, influence_of_clusters
from medssl.meta.leave_one_out import leave_one_out
from medssl.meta.multilevel import multilevel
from medssl.meta.multiverse import multiverse
from medssl.meta.natural_spline import default_knots, natural_spline
from medssl.meta.permutation_test import PermutationTest, permutation_test
from medssl.meta.pet_peese import Limit, PetPeese, pet_peese
from medssl.meta.probability import probability_of_gain
from medssl.meta.random_effects import random_effects
from medssl.meta.rank_correlation import RankCorrelation, rank_correlation
from medssl.meta.selection_model import SelectionModel, selection_model
from medssl.meta.shape import ShapeFit, shape
from medssl.meta.trim_and_fill import TrimAndFill, trim_and_fill

__all__ = [
    "BreakEven",
    "EggerTest",
    "Gosh",
    "Interval",
    "Limit",
    "MultilevelFit",
    "PermutationTest",
    "PetPeese",
    "Profile",
    "RandomEffectsFit",
    "RankCorrelation",
    "RobustFit",
    "SelectionModel",
    "ShapeFit",
    "TrimAndFill",
    "WaldTest",
    "WildBootstrapTest",
    "baujat",
    "cluster_bootstrap",
    "cluster_wild_bootstrap",
    "cumulative",
    "default_knots",
    "egger",
    "gosh",
    "influence",
    "influence_of_clusters",
    "leave_one_out",
    "multilevel",
    "multiverse",
    "natural_spline",
    "permutation_test",
    "pet_peese",
    "probability_of_gain",
    "random_effects",
    "rank_correlation",
    "selection_model",
    "shape",
    "trim_and_fill",
]
