"""How many digits an estimate is written with: the same on a page, in a sentence and on the terminal."""

import math

MOST_DIGITS = 6


def digits(standard_error: float) -> int | None:
    """Digits after the decimal point that show two of the standard error; None where it says nothing."""
    if not 0 < standard_error < math.inf:
        return None
    return min(max(1 - math.floor(math.log10(standard_error)), 0), MOST_DIGITS)


def per_day(users: float) -> str:
    """A rate: 83.4 → '83 new users a day', 0.96 → '1.0 new users a day'."""
    return f"{users:,.{0 if users >= 10 else 1}f} new users a day"


def amount(value: float) -> str:
    """Six digits or all before the point, never an exponent for a large one: 2020610.5 → '2,020,610'."""
    return f"{value:,.0f}" if abs(value) >= 100_000 else f"{value:,.6g}"


def points(difference: float) -> str:
    """A difference of two shares: 0.142 → '+14.2 points'; a true minus sign, and none before a zero."""
    figure = f"{100 * difference:+.1f}"
    if not figure.strip("+-0."):
        figure = figure[1:]
    return f"{figure.replace('-', '−')} points"
