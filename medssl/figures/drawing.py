"""What a drawing function returns: the figure, the data in it, and words for those who cannot see it."""

import re
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from medssl.figures.style import number

__all__ = ["Drawing"]

# a digit inside a word (log10, v2) is part of a name, not a number
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w])")


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure with its drawn data.

    Attributes
    ----------
    figure : Figure
        Not registered with pyplot.
    data : DataFrame
        One row a drawn element; the column `layer` says which kind.
    alt : str
        Alternative text, computed from `data`.
    count : int
        The n of the figure.
    unit : str
        What is counted, in the plural.
    level : float
        Coverage of the drawn intervals.
    """

    figure: Figure
    data: pd.DataFrame
    alt: str
    count: int
    unit: str = "effects"
    level: float = 0.95

    def unsupported_numbers(self) -> list[str]:
        """Return the numbers of the alternative text that the drawn data do not hold."""
        numeric = self.data.select_dtypes("number").to_numpy().ravel()
        known = {number(value) for value in numeric if value == value}
        known |= {str(self.count), number(100 * self.level)}
        if "layer" in self.data:
            known |= {str(count) for count in self.data["layer"].value_counts()}
        return [token for token in NUMBER.findall(self.alt) if token not in known]
