"""Many tests at once: p-values that still mean what they say.

Which for what:

- The primary metrics of an experiment, any of which would be a reason to ship: `holm`. The chance that
  even one of those without an effect is called significant stays at alpha. Guardrails need none: all
  must pass.
- The same metric by segment (countries, channels), and lists of secondary metrics, which are leads to
  look into: `benjamini_hochberg`. Of those called significant a share of alpha at most is expected to be
  wrong. Segments share no units, so its condition (independent or positively dependent tests) holds;
  leave 'all' out, which is their sum.

What goes wrong: a family chosen after a look at the p-values; one family for all that was ever computed,
in which nothing is ever found. A NaN is a test that was not made, and takes no part.
"""

from collections.abc import Callable

import numpy as np
from scipy.stats import false_discovery_control

from firstday.stats.estimate import Floats


def holm(p_values: Floats) -> Floats:
    """Adjusted p-values of one family, of any shape, to hold against alpha.

    Holm 1979, Scandinavian Journal of Statistics 6.
    """
    return _adjusted(p_values, _holm)


def benjamini_hochberg(p_values: Floats) -> Floats:
    """Adjusted p-values of one family, of any shape, to hold against the share of false finds allowed.

    Benjamini & Hochberg 1995, Journal of the Royal Statistical Society B 57.
    """
    return _adjusted(p_values, false_discovery_control)


def _adjusted(p_values: Floats, correct: Callable[[Floats], Floats]) -> Floats:
    adjusted = np.array(p_values, dtype=float)
    made = np.isfinite(adjusted)
    if made.any():
        adjusted[made] = correct(adjusted[made])
    return adjusted


def _holm(p_values: Floats) -> Floats:
    """As statsmodels' multipletests, which collects garbage for a tenth of a second in each call."""
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(factors * p_values[order]))
    return adjusted
