"""Whether the variants got the shares of units that were planned: the first line of any result."""

from collections.abc import Mapping
from dataclasses import dataclass

from scipy.stats import chisquare

from firstday.errors import DataError, SettingsError
from firstday.settings.kinds import ROUNDING

LIMIT = 0.001  # a daily check of many experiments cries wolf once in a thousand
STRICT_LIMIT = 0.01  # told beside it, as other tools use it


@dataclass(frozen=True)
class SampleRatio:
    """Counts and expected: units a variant. passes: p_value is not below limit. sentence: in words."""

    counts: Mapping[str, int]
    expected: Mapping[str, float]
    chi2: float
    p_value: float
    limit: float
    passes: bool
    sentence: str


def sample_ratio(
    counts: Mapping[str, int], shares: Mapping[str, float] | None = None, limit: float = LIMIT
) -> SampleRatio:
    """Pearson's chi-square of units per variant against the planned shares (equal without them).

    A failed check means that units were lost or added in one variant more than in another (a crash
    before the first event, bots in one arm, a redirect, a filter on what the treatment changes): those
    compared are no longer alike, no estimate can be believed, and no statistic repairs it (Fabijan et
    al. 2019, KDD). The check needs all units as assigned; with fewer than five expected in a variant it
    sees little.

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
    units = sum(counts.values())
    expected = {variant: units * shares[variant] for variant in counts}
    # The total is put right to the last digit, which chisquare insists on.
    scale = units / sum(expected.values())
    chi2, p_value = chisquare(list(counts.values()), [part * scale for part in expected.values()])
    sentence = _sentence(counts, expected, float(chi2), float(p_value), limit)
    return SampleRatio(counts, expected, float(chi2), float(p_value), limit, bool(p_value >= limit), sentence)


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
    counts: Mapping[str, int], expected: Mapping[str, float], chi2: float, p_value: float, limit: float
) -> str:
    units = sum(counts.values())
    told = ", ".join(
        f"{variant} {count:,} ({count / units:.2%} for {expected[variant] / units:.2%} planned)"
        for variant, count in counts.items()
    )
    limits = sorted({limit, STRICT_LIMIT}, reverse=True)
    verdicts = [("fails" if p_value < each else "passes", each) for each in limits]
    if len({verdict for verdict, _ in verdicts}) == 1:
        verdict = f"{verdicts[0][0]} at " + " and at ".join(f"{each:g}" for each in limits)
    else:
        verdict = ", ".join(f"{verdict} at {each:g}" for verdict, each in verdicts)
    return f"The sample-ratio check {verdict} (chi² {chi2:.3f}, p {p_value:.2g}): {told}."
