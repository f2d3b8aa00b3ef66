"""The evidence of an experiment: effects by metric and segment, to date, by age, over a ramp; then tables."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pandas as pd

from firstday.experiments import charts
from firstday.experiments.amounts import Amounts
from firstday.experiments.content import (
    ALL,
    BY_DATE,
    EVERYONE,
    IN_PARTS,
    PLANNING,
    TRIGGERED,
    Rows,
    joined,
    method_names,
    probability,
    segment,
)
from firstday.report import words
from firstday.report.charts import Row
from firstday.report.page import Cell, Section, Table, table

MOST_ROWS, MOST_PANELS = 24, 6
LASTING = ("novelty_later", "novelty_change", "novelty_trend")
REST = "All are in experiment_results."
BAND = (
    "The band holds at all looks together: once it leaves 0, the test may be stopped; early bands that are "
    "far wider are cut off. "
)


def sections(rows: Rows) -> tuple[Section, ...]:
    """Those that there is something for."""
    each: Sequence[Callable[[Rows], Section | None]] = (
        *(_effects, _segments, _to_date, _by_age, _ramp),
        _methods,
    )
    return tuple(section for section in (make(rows) for make in each) if section is not None)


def _effects(rows: Rows) -> Section | None:
    """A forest plot over the metrics."""
    decided = rows.deciding()
    if not decided:
        return None
    plain = {(row.metric, row.treatment): row for row in _tuples(rows.of("difference"))}
    shares: list[Row] = []
    panels: list[tuple[str, Sequence[Row], str]] = []
    for row in decided[:MOST_ROWS]:
        amount = rows.amount(row)
        marks = [charts.mark(charts.DECIDES, row, amount)]
        other = plain.get((row.metric, row.treatment))
        if other is not None and row.method != "difference":
            marks.append(charts.mark(charts.PLAIN, other, amount))
        chances = "" if rows.withheld else rows.chance(row)
        if amount.is_share:
            shares.append(Row(joined([rows.label(row), chances]), tuple(marks)))
        else:
            line = Row(chances or "all units", tuple(marks))
            panels.append((rows.label(row), [line], charts.axis_title(amount)))
    if shares:
        panels.insert(0, ("Shares" if panels else "", shares, charts.axis_title(Amounts())))
    title = "The effect on each metric"
    return Section(
        "effects",
        title,
        how_to_read="Right of the line at 0 the treatment has more of the metric. An interval that crosses "
        "the line leaves open whether there is an effect; its ends say how large it could be.",
        figure=charts.forest("effects", title, panels[: MOST_PANELS + 1]),
        tables=(_numbers(rows, "Effects among all units, by every method", _whole(rows)),),
    )


def _segments(rows: Rows) -> Section | None:
    found = rows.by_segment()
    if not found:
        return None
    whole = {(row.metric, row.treatment): row for row in rows.deciding()}
    panels: list[tuple[str, Sequence[Row], str]] = []
    for own in found[:MOST_PANELS]:
        amount = rows.amount(own[0])
        lines = []
        everyone = whole.get((own[0].metric, own[0].treatment))
        if everyone is not None:
            lines.append(Row("all units", (charts.mark(charts.WHOLE, everyone, amount),)))
        for row in sorted(own, key=_units, reverse=True)[:MOST_ROWS]:
            label = [segment(row.segment, 28), f"{words.number(_units(row))} units"]
            label += (
                [] if rows.withheld or words.absent(row.p_adjusted) else [f"p {probability(row.p_adjusted)}"]
            )
            lines.append(Row(joined(label), (charts.mark(charts.SEGMENT, row, amount),)))
        panels.append((rows.label(own[0]), lines, charts.axis_title(amount)))
    title = "For whom: the effect by segment"
    parts = rows.of(*method_names(), segments=True)
    return Section(
        "segments",
        title,
        how_to_read="p is corrected for the number of segments. Segments differ by chance, too: where their "
        "intervals overlap, nothing says that the effect is not the same for all. One that stands out is an "
        "idea for the next experiment.",
        figure=charts.forest("segments", title, panels),
        tables=(_numbers(rows, "Effects by segment", parts),),
    )


def _to_date(rows: Rows) -> Section | None:
    dated = rows.of("difference_to_date", "always_valid")
    dated = dated[dated["date"].notna()]
    curves, findings = [], []
    for _, _, own in rows.pairs(dated):
        if own["date"].nunique() < 2:
            continue
        label, amount = rows.label(_first(own)), rows.amount(_first(own))
        curves.append((label, "", own.sort_values("date"), amount))
        daily = rows.method(str(_first(own).metric)) == "always_valid"
        start = "" if daily else ", if looked at every day"
        findings += [] if rows.withheld else [f"{label}{start}: {clear_since(own)}."]
    if not curves:
        return None
    title = "The effect to date, day by day"
    return Section(
        "to-date",
        title,
        findings=tuple(findings[:MOST_PANELS]),
        how_to_read="Each date has all units assigned until then. "
        + (BAND if any(charts.has_band(own) for _, _, own, _ in curves) else "")
        + "The dashed lines hold at one look, fixed before the start: who stops on the first day on which "
        "they leave 0 is wrong far more often than planned.",
        figure=charts.to_date(title, curves[:MOST_PANELS]),
        tables=(_numbers(rows, "Effects to date", rows.of(*BY_DATE)),),
    )


def clear_since(own: pd.DataFrame) -> str:
    """Since when the band lies on one side of 0, without coming back; of the dates that have a band."""
    every = own[own["method"] == "always_valid"].sort_values("date")
    known = every[every["low"].notna() | every["high"].notna()]
    if known.empty:
        notes = [str(note) for note in every["note"].unique() if not words.absent(note) and note]
        return f"there is no band{f' ({notes[0]})' if notes else ''}, so do not stop by this"
    clear = (known["low"].astype(float) > 0) | (known["high"].astype(float) < 0)
    if not clear.any():
        if len(known) == len(every):
            return "the band has 0 in it on every date"
        return f"the band, which begins on {words.iso_date(known['date'].iloc[0])}, has 0 in it on every date"
    since = known.loc[clear[::-1].cummin()[::-1], "date"]
    if since.empty:
        return f"the band left 0 on {words.iso_date(known.loc[clear, 'date'].iloc[0])} and has come back"
    return f"the band has been clear of 0 since {words.iso_date(since.iloc[0])}"


def _by_age(rows: Rows) -> Section | None:
    ages = rows.of("novelty")
    if ages.empty:
        return None
    title = "Does it last: the effect by age"
    curves = [(rows.label(_first(own)), "", own, rows.amount(_first(own))) for _, _, own in rows.pairs(ages)]
    trends = () if rows.withheld else tuple(_trend(rows, row) for row in _tuples(rows.of("novelty_trend")))
    return Section(
        "by-age",
        title,
        findings=trends[:MOST_PANELS],
        how_to_read="Age is the number of days since the assignment. An effect that fades is a curiosity: "
        "the long-run effect is smaller than the average above. The points are of the same people, so do not "
        "draw a line through them by eye; the sentence compares the first day with the mean of the others.",
        figure=charts.by_age(title, curves[:MOST_PANELS]),
        tables=(_numbers(rows, "Effects by age in days", rows.of("novelty", *LASTING)),),
    )


def _trend(rows: Rows, row: Any) -> str:
    """'spent: the effect fades: +0.2 EUR per user (...) on the first day, +0.1 (...) a day on days 1 to 13,
    −0.012 (...) from one of these days to the next.'
    """
    figures = [
        f"{rows.amount(part).effect_with(part.estimate, part.low, part.high)} {when}"
        for part, when in _first_and_later(rows, row)
    ]
    if not words.absent(row.estimate):
        change = rows.amount(row).effect_with(row.estimate, row.low, row.high)
        figures.append(f"{change} from one of these days to the next")
    return f"{rows.label(row)}: {words.text(row.note)}{': ' if figures else ''}{', '.join(figures)}."


def _first_and_later(rows: Rows, trend: Any) -> Iterator[tuple[Any, str]]:
    """The rows of the first day and of the mean of those after it, each with when it is."""
    found = rows.of("novelty", "novelty_later")
    found = found[(found["metric"] == trend.metric) & (found["treatment"] == trend.treatment)]
    for row in _tuples(found):
        if words.absent(row.estimate):
            continue
        if row.method == "novelty_later":
            yield row, f"a day on days {row.part}"
        elif row.part == "0":
            yield row, "on the first day"


def _ramp(rows: Rows) -> Section | None:
    stages = rows.of("ramp_stage")
    if stages.empty:
        return None
    title = "The ramp: both arms as the treated share grows"
    curves = []
    for metric, treatment, own in rows.pairs(stages):
        whole = [row for row in rows.deciding() if (row.metric, row.treatment) == (metric, treatment)]
        amount = rows.amount(_first(own))
        overall = "" if not whole else amount.effect_with(whole[0].estimate, whole[0].low, whole[0].high)
        counted = own[(own["n_treatment"] > 0) & (own["n_control"] > 0)]
        if len(counted):
            curves.append(
                (rows.label(_first(own)), f"Over all stages {overall}" if overall else "", counted, amount)
            )
    noted = [row for row in _tuples(rows.of("ramp")) if words.text(row.note) != words.NOTHING]
    notes = [] if rows.withheld else [f"{rows.label(row)}: {row.note}." for row in noted]
    return Section(
        "ramp",
        title,
        findings=tuple(notes[:MOST_PANELS]),
        how_to_read="Both arms move with whatever moves everybody; what counts is their distance within a "
        "stage. If it shrinks as more are treated, what is given to some is taken from others, or it wears "
        "off.",
        figure=charts.ramp(title, curves[:MOST_PANELS]) if curves else None,
        tables=(_numbers(rows, "Effects by stage", stages),),
    )


def _methods(rows: Rows) -> Section:
    """The sample-ratio check and what the units can show, as rows."""
    results = rows.results
    checks = results[results["method"] == "sample_ratio"]
    cells: dict[str, Cell] = {
        "units": lambda row: "exposed to the change" if row.population == TRIGGERED else "all",
        "chi²": lambda row: words.decimal(row.statistic),
        "p": lambda row: probability(row.p_value),
        "verdict": lambda row: words.text(row.verdict),
        "in words": lambda row: words.text(row.note),
    }
    planned = results[results["method"].isin(PLANNING)]
    shown: dict[str, Cell] = {
        "metric": rows.label,
        "figure": lambda row: "days still needed" if row.method == "days_needed" else "detectable effect",
        "value": lambda row: (
            words.number(row.estimate) if row.method == "days_needed" else rows.amount(row).size(row.estimate)
        ),
        "in words": lambda row: words.text(row.note),
    }
    tables = [table("Sample-ratio check", checks, cells, numeric=("chi²", "p"), opened=True)]
    if len(planned):
        tables.append(table("What the units can show", planned, shown, numeric=("value",)))
    return Section("check", "The check of the group sizes, and the power", tables=tuple(tables))


def _whole(rows: Rows) -> pd.DataFrame:
    """All rows of all units that are neither of a date, an age or a stage; the last look of those by date."""
    methods = [
        method for method in method_names() if method not in (*IN_PARTS, "difference_to_date", "sample_ratio")
    ]
    found = rows.of(*methods, population=None)
    keys = ["metric", "treatment", "population", "method"]
    found = found.drop_duplicates(keys, keep="last")
    order = {name: place for place, name in enumerate(found["metric"].unique())}
    return found.sort_values(["metric"], key=lambda names: names.map(order), kind="stable")


def _numbers(rows: Rows, caption: str, frame: pd.DataFrame) -> Table:
    """Rows of results as a table, p corrected where it is; columns that say nothing are left out."""
    cells: dict[str, Cell] = {
        "metric": rows.label,
        "segment": lambda row: segment(row.segment),
        "units": lambda row: "exposed" if row.population == TRIGGERED else "all",
        "method": lambda row: method_names().get(row.method, words.text(row.method)),
        "until": lambda row: words.NOTHING if words.absent(row.date) else words.iso_date(row.date),
        "part": lambda row: words.text(row.part),
        "effect": lambda row: rows.amount(row).effect(row.estimate),
        "interval": lambda row: rows.amount(row).bounds(row.low, row.high),
        "verdict": lambda row: words.text(row.verdict),
        "p": lambda row: probability(row.p_value if words.absent(row.p_adjusted) else row.p_adjusted),
        "treatment": lambda row: _arm(rows, row, "treatment"),
        "control": lambda row: _arm(rows, row, "control"),
        "note": lambda row: _note(rows, row),
    }
    said = {
        "segment": (frame["segment"] != ALL).any(),
        "units": (frame["population"] != EVERYONE).any(),
        "method": frame["method"].nunique() > 1,
        "until": frame["date"].notna().any(),
        "part": frame["part"].notna().any(),
        "verdict": frame["verdict"].notna().any(),
        "note": (frame["note"].fillna("") != "").any(),
    }
    cells = {name: cell for name, cell in cells.items() if said.get(name, True)}
    numeric = ("effect", "interval", "p", "treatment", "control")
    return table(caption, frame, cells, numeric=numeric, rest=REST, cards=True)


def _note(rows: Rows, row: Any) -> str:
    """A trend's note is a verdict."""
    return words.NOTHING if rows.withheld and row.method == "novelty_trend" else words.text(row.note)


def _arm(rows: Rows, row: Any, arm: str) -> str:
    """'44.82% (n 44,700)'"""
    value, units = getattr(row, f"value_{arm}"), getattr(row, f"n_{arm}")
    known = rows.amounts.get(row.metric, Amounts())
    if words.absent(value):
        return words.number(units)
    return f"{known.arm_value(value)} (n\u00a0{words.number(units)})"


def _units(row: Any) -> int:
    return words.count(row.n_treatment) + words.count(row.n_control)


def _tuples(frame: pd.DataFrame) -> Iterator[Any]:
    return iter(frame.itertuples(index=False, name="Row"))


def _first(frame: pd.DataFrame) -> Any:
    return next(_tuples(frame))
