"""From comparisons to effects: gain, variance, label ratio, and the grade that a claim deserves."""

from medssl.evidence.effects import from_records
from medssl.evidence.grade import Grade, grade, verdict

__all__ = ["Grade", "from_records", "grade", "verdict"]
