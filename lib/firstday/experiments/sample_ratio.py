"""Whether the variants got the shares of units that were planned: the first line of any result."""

from collections.abc import Mapping
from dataclasses import dataclass

from scipy.stats import chisquare

from firstday.errors import DataError, SettingsError
from firstday.settings.kinds import ROUNDING

LIMIT = 0.001  # a daily check of many experiments cries wolf once in a thousand
STRICT_LIMIT = 0.01  # reported beside it, as other tools use it


@dataclass(frozen=True)
class SampleRatio:
    """Counts and expected: units a variant. planned: whether the shares were given, or equal ones assumed.
    passes: p_value is not below limit. sentence: in words. next_step: what to do where it does not pass.
    """

    counts: Mapping[str, int]
    expected: Mapping[str, float]
    chi2: float
    p_value: float
    limit: float
    passes: bool
    planned: bool
    sentence: str
    next_step: str


def sample_ratio(
    counts: Mapping[str, int], shares: Mapping[str, float] | None = None, limit: float = LIMIT
) -> SampleRatio:
    """Pearson's chi-square of units per variant against the planned shares (equal ones are assumed without).

    A failed check means that units were lost or added in one variant more than in another (a crash
    before the first event, bots in one arm, a redirect, a filter on what the treatment changes): those
    compared are no longer alike, no estimate can be believed, and no statistic repairs it (Fabijan et
    al. 2019, KDD). The check needs all units as assigned; with fewer than five expected in a variant it
    sees little. Where nobody planned shares, it may as well be that they were others, or that a value of the
    variant's column is no variant at all: then the one that fits equal shares least is named.

    Raises SettingsError for shares that are not above 0 or do not add up to 1, and for a limit outside
    0..1; DataError for fewer than two variants, a variant without units or one that has no planned
    share.
    """
    if not 0 < limit < 1:
        raise SettingsError("a limit lies between 0 and 1", value=limit, next_step=f"give {LIMIT}, say")
    if len(counts) < 2:
        raise DataError(
            "a comparison needs two variants", value=list(counts), next_step="look at the variants' names"
        )
    planned = shares is not None
    shares = _checked(dict.fromkeys(counts, 1 / len(counts)) if shares is None else shares)
    for variant in {*counts, *shares}:
        if variant not in shares:
            raise DataError(
                "every variant has a planned share",
                value=variant,
                next_step="add it to the shares, or drop it",
            )
        if not counts.get(variant, 0) > 0:
            raise DataError(
                "every variant has units",
                value=variant,
                next_step="look at the assignment, or take it off the plan",
            )
    expected, chi2, p_value = _chi_square(counts, shares)
    passes = p_value >= limit
    odd = None if passes or planned or len(counts) < 3 else _odd(counts)
    sentence = _sentence(counts, expected, p_value, limit, planned)
    next_step = "" if passes else _next_step(counts, odd, planned)
    if odd:
        sentence += f" {odd} fits least."
    return SampleRatio(counts, expected, chi2, p_value, limit, passes, planned, sentence, next_step)


def _chi_square(
    counts: Mapping[str, int], shares: Mapping[str, float]
) -> tuple[dict[str, float], float, float]:
    """The expected units, chi², p."""
    units = sum(counts.values())
    expected = {variant: units * shares[variant] for variant in counts}
    # The total is put right to the last digit, which chisquare insists on.
    scale = units / sum(expected.values())
    chi2, p_value = chisquare(list(counts.values()), [part * scale for part in expected.values()])
    return expected, float(chi2), float(p_value)


def _odd(counts: Mapping[str, int]) -> str:
    """The variant without which the others are nearest to equal shares."""

    def without(variant: str) -> float:
        others = {name: count for name, count in counts.items() if name != variant}
        return _chi_square(others, dict.fromkeys(others, 1 / len(others)))[1]

    return min(counts, key=without)


def _checked(shares: Mapping[str, float]) -> Mapping[str, float]:
    wrong = {variant: share for variant, share in shares.items() if not share > 0}
    if wrong:
        raise SettingsError("shares are above 0", value=wrong, next_step="leave variants without a share out")
    if abs(sum(shares.values()) - 1) > ROUNDING:
        raise SettingsError(
            "shares add up to 1", value=dict(shares), next_step="give each variant's part of all units"
        )
    return shares


def _sentence(
    counts: Mapping[str, int], expected: Mapping[str, float], p_value: float, limit: float, planned: bool
) -> str:
    units = sum(counts.values())
    share = "planned" if planned else "equal"
    sizes = ", ".join(
        f"{variant} {count:,} ({count / units:.2%}, {share} {expected[variant] / units:.2%})"
        for variant, count in counts.items()
    )
    target = "the plan" if planned else "equal shares, which are assumed as none were planned"
    p_text = f"p\u00a0{p_value:.2g}"
    if p_value < limit:
        return f"Group sizes do not fit {target} ({p_text}): {sizes}."
    if p_value < STRICT_LIMIT:
        return (
            f"Group sizes fit {target} barely ({p_text}, below {STRICT_LIMIT:g} but not {limit:g}): {sizes}."
        )
    return f"Group sizes {'are as planned' if planned else f'fit {target}'} ({p_text}): {sizes}."


LOST = (
    "One variant lost or gained units that another did not: by a crash before the first event, bots, a "
    "redirect, a filter on what the treatment changes. Find the cause and mend it, then begin again: neither "
    "more units nor other statistics repair it."
)


def _next_step(counts: Mapping[str, int], odd: str | None, planned: bool) -> str:
    if planned:
        return LOST
    shares = ",".join(f"{variant}=..." for variant in counts)
    first = f"If other shares were planned, give them: --shares {shares}."
    if odd is not None:
        rest = ",".join(variant for variant in counts if variant != odd)
        first = f"If {odd} is no variant of this test, leave it out: --variants {rest}. {first}"
    return f"{first} If equal shares were planned: {LOST[:1].lower()}{LOST[1:]}"
