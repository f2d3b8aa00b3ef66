"""Arms compared: among all and by segment, to date, before a planned end, and what the units can show."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import date

import numpy as np
import pandas as pd

from firstday.errors import DataError
from firstday.experiments.aggregate import EVERYONE, added, sums_in
from firstday.experiments.covariate import adjusted_difference
from firstday.experiments.difference import (
    difference,
    ratio,
    relative_lift,
    unit_variance,
    why_unknown,
    zero_one,
)
from firstday.experiments.group_sequential import LEAST_STEP, boundaries, repeated
from firstday.experiments.guardrails import non_inferior
from firstday.experiments.results import SCOPE, Question, figure, of_arms, rows
from firstday.experiments.sequential import LEAST_UNITS, always_valid
from firstday.experiments.sums import CENTRES, Floats, Sums
from firstday.segments import ALL
from firstday.settings.metrics import Metric
from firstday.stats.estimate import Estimate
from firstday.stats.power import days_needed, detectable_effect, units_needed

SHARES = ("retention", "moment", "click_rate")  # kinds whose effects are shown in points
ARMS = ("n_treatment", "n_control", "value_treatment", "value_control")
FEW = f"too few units for daily looks yet: they count from {LEAST_UNITS} in the smaller arm on"
GROWS = (
    "daily looks are not covered: without a window, or with a return on day n or later, an outcome goes on "
    "growing after it was counted, so give the metric a window, or another kind of retention"
)


def counted_once(metric: Metric) -> bool:
    """Whether a unit's outcome stays as it is once it is known, which looks on the way rely on."""
    if metric.retention_kind == "on_or_after":
        return False
    return metric.kind == "column" or metric.counting_window is not None


def scopes(question: Question, sums: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Rows of each metric, segment and population, all dates together; a frame a method and treatment."""
    totals = added(sums, [*SCOPE, "variant"], sort=False)
    order = {metric.name: place for place, metric in enumerate(question.metrics)}
    places = totals.reset_index()[SCOPE].drop_duplicates()
    places = places[places["metric"].isin(list(order))]
    # The whole first, then segments by name, metrics in the plan's order.
    places = places.assign(place=places["metric"].map(order), part=places["segment"] != ALL)
    places = places.sort_values(["part", "population", "place", "segment"]).reset_index(drop=True)[SCOPE]
    control = _arm(totals, places, question.control)
    covariate = places["metric"].map({m.name: m.covariate is not None for m in question.metrics}).to_numpy()
    for name in question.treatments:
        treatment, at = _arm(totals, places, name), places.assign(treatment=name)
        plain = difference(treatment, control, alpha=question.alpha)
        notes = [str(note) for note in why_unknown(treatment, control)]
        yield rows(at, "difference", plain, **of_arms(treatment, control), note=notes)
        lift = relative_lift(treatment, control, alpha=question.alpha)
        yield rows(at, "relative_lift", lift, **of_arms(treatment, control), note=lift.reason)
        if covariate.any():
            adjusted = adjusted_difference(treatment, control, alpha=question.alpha)
            cuped = rows(at, "cuped", adjusted, **of_arms(treatment, control)).assign(
                note=[f"variance {-share:+.1%}" for share in adjusted.variance_reduction]
            )
            yield cuped[covariate]


def _arm(totals: pd.DataFrame, places: pd.DataFrame, variant: str) -> Sums:
    """A variant's sums at each place; zeros where it has no units."""
    wanted = pd.MultiIndex.from_frame(places.assign(variant=variant))
    found = totals.reindex(wanted, fill_value=0.0)
    return sums_in(found)


def effect_of(metric: Metric, treatment: Sums, control: Sums, alpha: float) -> Estimate:
    """As planned: with the covariate where the metric has one, else the plain difference."""
    if metric.covariate:
        return adjusted_difference(treatment, control, alpha=alpha)
    return difference(treatment, control, alpha=alpha)


def looks(question: Question, sums: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """All units to date, by date of assignment: what a fixed horizon would have said on each (for the plot
    only), what always holds, and the planned looks.
    """
    whole = sums[(sums["segment"] == ALL) & (sums["population"] == EVERYONE)]
    for metric in question.metrics:
        arms, dates = _by_date(whole[whole["metric"] == metric.name])
        if question.control not in arms:
            continue
        control = arms[question.control].cumulative()
        for name in question.treatments:
            if name not in arms:
                continue
            treatment = arms[name].cumulative()
            place = {"metric": metric.name, "treatment": name}
            effect = effect_of(metric, treatment, control, question.alpha)
            dated = place | {"date": dates}
            if dates[0] is not None:
                yield rows(dated, "difference_to_date", effect, **of_arms(treatment, control))
            smaller = np.minimum(treatment.n, control.n)
            if not counted_once(metric):
                if question.daily:
                    unknown = Estimate(*([np.full(1, np.nan)] * 6))
                    yield rows(place, "always_valid", unknown, note=GROWS)
                continue
            sequence = _always_valid(question, effect, smaller)
            yield rows(dated, "always_valid", sequence, **of_arms(treatment, control), note=_few(sequence))
            if question.looks is not None:
                yield _planned(question, place, dates, effect, treatment, control)


def daily_segments(question: Question, sums: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """What always holds in each segment, as of the last date: a look at the segments is one of many, too."""
    own = sums[sums["population"] == EVERYONE]
    dates = sorted(own["assigned_on"].dropna().unique())
    for metric in filter(counted_once, question.metrics):
        of_metric = own[own["metric"] == metric.name]
        everybody = of_metric.loc[of_metric["segment"] == ALL, "units"].sum()
        for segment, part in of_metric[of_metric["segment"] != ALL].groupby("segment"):
            arms, seen = _by_date(part)
            planned = max(1.0, question.planned_units * part["units"].sum() / everybody)
            for name in question.treatments:
                if not {name, question.control} <= set(arms):
                    continue
                treatment, control = arms[name].cumulative(), arms[question.control].cumulative()
                effect = effect_of(metric, treatment, control, question.alpha)
                sequence = _always_valid(question, effect, np.minimum(treatment.n, control.n), planned)
                place = {"metric": metric.name, "treatment": name, "segment": segment}
                place["date"] = dates[-1] if dates else seen[-1]  # one date for all: they are one family
                effects = rows(
                    place, "always_valid", sequence, **of_arms(treatment, control), note=_few(sequence)
                )
                yield effects.tail(1)


def _always_valid(
    question: Question, effect: Estimate, smaller: Floats, planned: float | None = None
) -> Estimate:
    return always_valid(
        effect.estimate,
        effect.standard_error,
        smaller,
        planned_units=planned or question.planned_units,
        alpha=question.alpha,
    )


def _few(sequence: Estimate) -> np.ndarray:
    return np.where(np.isnan(sequence.p_value), FEW, "")


def _by_date(rows_of_metric: pd.DataFrame) -> tuple[dict[str, Sums], list[date | None]]:
    """Sums by variant along the dates of assignment; along one entry where there are no dates."""
    dated = rows_of_metric["assigned_on"].notna().all()
    keyed = rows_of_metric if dated else rows_of_metric.assign(assigned_on=None)
    dates = sorted(keyed["assigned_on"].unique()) if dated else [None]
    arms = {}
    for name, own in keyed.groupby("variant"):
        found = added(own, "assigned_on" if dated else "variant")
        centres = {each: found[each].iloc[0] for each in CENTRES if each in found.columns}
        found = found.reindex(dates, fill_value=0.0).assign(**centres) if dated else found
        arms[str(name)] = sums_in(found)
    return arms, dates


def _planned(
    question: Question,
    place: Mapping[str, object],
    dates: Sequence[date | None],
    effect: Estimate,
    treatment: Sums,
    control: Sums,
) -> pd.DataFrame:
    """The looks that have been: those whose date has passed."""
    assert question.looks is not None
    if dates[0] is None:
        raise DataError(
            "planned looks need the dates of assignment",
            value="none",
            next_step="name the column with --date, or leave looks out of the plan",
        )
    known = np.array(dates, dtype="datetime64[D]")
    until = np.datetime64(question.until or dates[-1])
    smaller = np.minimum(treatment.n, control.n)
    been: list[int] = []
    for look in map(np.datetime64, question.looks.dates):
        at = int((known <= look).sum()) - 1
        before = smaller[been[-1]] if been else 0
        # A look at which next to nothing was added decides nothing, nor does one after the planned end.
        over = before >= question.planned_units
        if (
            at >= 0
            and not over
            and look <= until
            and smaller[at] - before >= LEAST_STEP * question.planned_units
        ):
            been.append(at)
    if not been:
        return pd.DataFrame()
    fractions = smaller[been] / question.planned_units
    spending, alpha = question.looks.spending, question.alpha
    bounds = boundaries(fractions, alpha=alpha, spending=spending)
    planned = repeated(
        effect.estimate[been], effect.standard_error[been], fractions, alpha=alpha, spending=spending
    )
    notes = [
        f"{min(fraction, 1):.0%} of the planned units; stops at |z| {bound:.2f}"
        for fraction, bound in zip(fractions, bounds, strict=True)
    ]
    own = {**place, "date": [dates[at] for at in been]}
    return rows(own, "group_sequential", planned, **of_arms(treatment[been], control[been]), note=notes)


def guardrail(
    question: Question, effects: pd.DataFrame, metric: Metric, method: str, *, in_points: bool
) -> Iterator[pd.DataFrame]:
    """A row a treatment for a metric with a margin, from the row of the method that decides."""
    assert metric.margin is not None
    accepted = f"{100 * metric.margin:g} points" if in_points else f"{metric.margin:g}"
    for name in question.treatments:
        found = deciding(effects, method, metric.name, name)
        if found is None:
            continue
        effect = Estimate(*(np.array([found[part.name]], dtype=float) for part in fields(Estimate)))
        judged = non_inferior(effect, metric.margin, lower_is_better=not metric.rise_is_good)
        kept = {key: found[key] for key in (*ARMS, "date")}
        note = f"a loss of {accepted} is accepted"
        frame = rows({"metric": metric.name, "treatment": name}, "non_inferiority", effect, **kept)
        yield frame.assign(p_value=judged.p_value, verdict=judged.verdict, note=note)


def deciding(effects: pd.DataFrame, method: str, metric: str, treatment: str) -> pd.Series | None:
    """The latest row among all units of a method, metric and treatment."""
    chosen = (effects["segment"] == ALL) & (effects["population"] == EVERYONE) & (effects["method"] == method)
    found = effects[chosen & (effects["metric"] == metric) & (effects["treatment"] == treatment)]
    return None if found.empty else found.iloc[-1]


def power(question: Question, sums: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """What the units so far can show, and days until the smallest effect that matters can be seen."""
    whole = sums[(sums["segment"] == ALL) & (sums["population"] == EVERYONE)]
    for metric in question.metrics:
        own = whole[whole["metric"] == metric.name]
        totals = added(own, "variant")
        arms = {str(name): sums_in(totals.loc[[name]])[0] for name in totals.index}
        for name in question.treatments:
            if name not in arms or question.control not in arms:
                continue
            yield from _power(question, metric, name, arms, own)


def _power(
    question: Question, metric: Metric, name: str, arms: dict[str, Sums], own: pd.DataFrame
) -> Iterator[pd.DataFrame]:
    treatment, control = arms[name], arms[question.control]
    units = float(treatment.n + control.n)
    if min(treatment.n, control.n) < 2:
        return
    variance = float(unit_variance(control))
    if metric.covariate:
        variance *= 1 - float(adjusted_difference(treatment, control).variance_reduction)
    shares = float(treatment.n) / units, float(control.n) / units
    rate = float(ratio(control)) if zero_one(treatment) and zero_one(control) else None
    asked = {"alpha": question.alpha, "power": question.power}
    place = {"metric": metric.name, "treatment": name}
    kept = {"n_treatment": float(treatment.n), "n_control": float(control.n)}
    kept |= {"value_control": float(ratio(control)), "value_treatment": float(ratio(treatment))}
    found = float(detectable_effect(variance, units, shares=shares, rate=rate, **asked))
    note = f"smallest effect that would be found with {question.power:.0%} power"
    if question.daily or question.looks is not None:
        note += " at one look"
    yield figure(place, "detectable_effect", found, note, **kept)
    wanted = metric.margin or metric.smallest_effect
    dates = own["assigned_on"].dropna()
    if wanted is None or dates.empty:
        return
    needed = float(units_needed(variance, wanted, shares=shares, rate=rate, **asked))
    compared = own[own["variant"].isin([name, question.control])]
    assigned = float(compared["units"].sum())
    a_day = assigned / ((dates.max() - dates.min()).days + 1)
    days = float(days_needed(needed, units, a_day, tail_days(metric), units_open=assigned - units))
    share = rate is not None or metric.kind in SHARES
    size = f"{100 * wanted:g} points" if share else f"{wanted:g} {metric.per(question.unit_name)}"
    note = f"{needed:,.0f} {question.unit_name}s find an effect of {size} with {question.power:.0%} power; "
    note += f"{a_day:,.0f} come a day"
    yield figure(place, "days_needed", days, note, **kept)


def tail_days(metric: Metric) -> int:
    """Days from the assignment until the outcome is known."""
    if metric.day is not None:
        return metric.day + 1
    window = metric.counting_window
    return 0 if window is None else -(-int(window.total_seconds()) // 86_400)
