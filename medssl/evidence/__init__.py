"""From comparisons to effects: gain, variance, label ratio, and the grade that a claim deserves."""

from medssl.evidence.effects import from_records
from medssl.evidence.grade import MINIMAL_GAIN, Grade, grade, importance, verdict
from medssl.evidence.seeds import by_seed

__all__ = ["MINIMAL_GAIN", "Grade", "by_seed", "from_records", "grade", "importance", "verdict"]
