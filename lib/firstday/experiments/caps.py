"""What one unit may add at most: a few units that carry the total make any interval wishful.

Values above the cap count as the cap (winsorised from above; Kohavi, Tang & Xu 2020, ch. 18). A quantile is
one for all arms together, so that no arm sets its own. What is compared is then the capped mean, which the
report says.
"""

from dataclasses import replace

from pyspark.sql import functions as F

from firstday.errors import DataError
from firstday.experiments.outcomes import Outcomes
from firstday.rounding import amount
from firstday.settings.metrics import PRE
from firstday.tables.schemas import column, with_columns

SAMPLED = 1_000_000  # units; of more the quantile is that of a sample by their ids


def capped(outcomes: Outcomes, units: int) -> tuple[Outcomes, tuple[str, ...]]:
    """The outcomes with each metric's cap, and a sentence on each. units: about how many there are.

    Quantiles take a pass over the units. A covariate 'pre' is the same quantity, and gets the same cap.
    """
    caps = {at: metric.cap for at, metric in enumerate(outcomes.metrics) if metric.cap is not None}
    if not caps:
        return outcomes, ()
    rows = outcomes.frame
    if units > SAMPLED:
        rows = rows.where(F.pmod(F.xxhash64("unit_id"), F.lit(-(-units // SAMPLED))) == 0)
    shares = {at: float(cap.removesuffix("%")) / 100 for at, cap in caps.items() if isinstance(cap, str)}
    limits = {at: float(cap) for at, cap in caps.items() if not isinstance(cap, str)}
    if shares:
        row = rows.agg(*(F.percentile(f"y_{at}", share) for at, share in shares.items())).first()
        assert row is not None  # an aggregate of all rows
        limits |= {at: limit for at, limit in zip(shares, row, strict=True) if limit is not None}
    flat = [outcomes.metrics[at].name for at, limit in limits.items() if limit <= 0]
    if flat:
        raise DataError(
            "a cap must be above 0, or it would take away the whole metric",
            value=flat,
            next_step="name a higher quantile, or a value",
        )
    over = [F.count_if(F.col(f"y_{at}") > limit) for at, limit in limits.items()]
    known = [F.count(f"y_{at}") for at in limits]
    counts = list(outcomes.frame.agg(*over, *known).first() or ()) if over else []
    notes, columns = [], {}
    for (at, limit), above, of in zip(limits.items(), counts[: len(over)], counts[len(over) :], strict=True):
        metric = outcomes.metrics[at]
        if above > of / 2:
            raise DataError(
                "a cap is for few units",
                value=f"{metric.name}: {above:,} of {of:,} are above {amount(limit)}",
                next_step="name a higher one; a quantile has a percent sign, as in 99%",
            )
        columns[f"y_{at}"] = F.least(column(f"y_{at}"), F.lit(limit))
        if metric.covariate == PRE:
            columns[f"x_{at}"] = F.least(column(f"x_{at}"), F.lit(limit))
        what = f" ({metric.cap} of all arms' units lie below)" if isinstance(metric.cap, str) else ""
        those = "1 unit above it counts" if above == 1 else f"{above:,} units above it count"
        notes.append(f"{metric.name} is capped at {amount(limit)} a unit{what}: {those} as that.")
    # Null stays null: least passes over it.
    columns = {name: F.when(column(name).isNotNull(), value) for name, value in columns.items()}
    return replace(outcomes, frame=with_columns(outcomes.frame, columns)), tuple(notes)
