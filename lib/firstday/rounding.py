"""How many digits an estimate is written with: the same on a page, in a sentence and on the terminal."""

import math

MOST_DIGITS = 6


def digits(standard_error: float) -> int | None:
    """Digits after the decimal point that show two of the standard error; None where it says nothing."""
    if not 0 < standard_error < math.inf:
        return None
    return min(max(1 - math.floor(math.log10(standard_error)), 0), MOST_DIGITS)
