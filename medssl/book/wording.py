"""Numbers as a page writes them."""

import pandas as pd
from IPython.display import HTML

DIGITS = 4  # decimals of a gain and of its limits

__all__ = ["DIGITS", "interval", "minutes", "show_table", "signed"]


def signed(value: float, digits: int = 3) -> str:
    """Write a difference with its sign, and a zero without one.

    Examples
    --------
    >>> signed(0.0123), signed(-0.0123), signed(-0.0001)
    ('+0.012', '−0.012', '0.000')
    """
    rounded = round(value, digits)
    if rounded == 0:
        return f"{0:.{digits}f}"
    return f"{'+' if rounded > 0 else '−'}{abs(rounded):.{digits}f}"


def interval(value: float, low: float, high: float, *, digits: int = DIGITS, kind: str = "95% CI") -> str:
    """Write a difference with its interval.

    Examples
    --------
    >>> interval(0.012, -0.003, 0.027)
    '+0.0120 (95% CI −0.0030 to +0.0270)'
    """
    return f"{signed(value, digits)} ({kind} {signed(low, digits)} to {signed(high, digits)})"


def minutes(value: float) -> str:
    """Write a duration in minutes with a precision that suits its size.

    Examples
    --------
    >>> minutes(0.031), minutes(4.26)
    ('2 seconds', '4.3 minutes')
    """
    return f"{value * 60:.0f} seconds" if value < 1 else f"{value:.1f} minutes"


def show_table(frame: pd.DataFrame, columns: list[str] | None = None, decimals: int = 3) -> HTML:
    """Return a plain table of some columns for a page, floats with the same number of decimals.

    Examples
    --------
    >>> "0.500" in show_table(pd.DataFrame({"gain": [0.5]})).data
    True
    """
    frame = frame if columns is None else frame[columns]
    text = frame.to_html(
        index=False, border=0, justify="left", float_format=lambda value: f"{value:.{decimals}f}", na_rep=""
    )
    return HTML(text)
