"""The evidence: published comparisons, their effects and variances, and the grade that a claim deserves."""

from medssl.evidence.add import add_rows
from medssl.evidence.dispersion import dispersion_coverage
from medssl.evidence.fields import FIELDS
from medssl.evidence.flow import flow
from medssl.evidence.grade import MINIMAL_GAIN, Grade, grade, importance, verdict
from medssl.evidence.labels_saved import labels_saved
from medssl.evidence.paired import match_paired_gains
from medssl.evidence.published_effects import effects, ladder_coverage
from medssl.evidence.records import from_records
from medssl.evidence.risk_of_bias import risk_of_bias
from medssl.evidence.seeds import by_seed
from medssl.evidence.shift import corruption_gains, source_gains
from medssl.evidence.study_effects import study_effects, thin_designs
from medssl.evidence.summary import summary
from medssl.evidence.suspicious import suspicious
from medssl.evidence.tables import POOLS, published, read_table
from medssl.evidence.validate import validate
from medssl.evidence.variance import RUNGS, implied_correlations
from medssl.evidence.variation import variation

__all__ = [
    "FIELDS",
    "MINIMAL_GAIN",
    "POOLS",
    "RUNGS",
    "Grade",
    "add_rows",
    "by_seed",
    "corruption_gains",
    "dispersion_coverage",
    "effects",
    "flow",
    "from_records",
    "grade",
    "implied_correlations",
    "importance",
    "labels_saved",
    "ladder_coverage",
    "match_paired_gains",
    "published",
    "read_table",
    "risk_of_bias",
    "source_gains",
    "study_effects",
    "summary",
    "suspicious",
    "thin_designs",
    "validate",
    "variation",
    "verdict",
]
