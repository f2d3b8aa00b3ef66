"""Discovery from end to end: users and events to counts, to evidence, to what to test next."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from firstday import logs
from firstday.errors import DataError, SettingsError
from firstday.experiments.results import RESULTS
from firstday.moments import analyse, counts, labelled, metrics, outputs, story
from firstday.moments.collect import cohorts_by_date, to_driver
from firstday.moments.conjunctions import conjunctions
from firstday.moments.content import DiscoverContent
from firstday.moments.findings import BEFORE_ALL, Findings, find
from firstday.moments.inputs import anchor_action_of, horizon_of, read, return_actions_of, users_of
from firstday.moments.labelled import Tables
from firstday.moments.split import split
from firstday.moments.tested import Tested, arm_name, experiment_outcomes
from firstday.parallel import side_by_side
from firstday.redact import redacted_values
from firstday.result import Published, Result, Stage, recorded
from firstday.segments import ALL
from firstday.settings import DiscoverSettings
from firstday.spark.frames import kept_in
from firstday.spark.local_rows import local_rows
from firstday.tables import Checked, Sources, schemas
from firstday.tables.reading import notes_of
from firstday.windows import Windows, microseconds

# Counts of an earlier run can be kept only where these settings are the same.
COUNTED_BY = (
    "users", "events", "segments", "days", "window", "retention", "retention_kind", "time_zone", "overlap",
    "return_actions", "count_cap", "leading_actions", "input_time_zone", "labels", "label_class", "label_use",
    "label_limit", "anchor_action", "columns", "format", "time_unit", "encoding", "event_id", "fold_actions",
)  # fmt: skip
DEFAULTS = DiscoverSettings(events="-", out="-").model_dump(mode="json")
# The same of the users that labels left out.
LEFT_OUT = {"moment_counts": "left_out_counts", "moment_products": "left_out_products"}


def discover_stage(sources: Sources, settings: DiscoverSettings, run_id: str) -> Result:
    """The log to counts, all candidates to their evidence, the evidence to an answer."""
    windows = Windows.of(settings)  # refuses what contradicts itself before anything starts
    now = datetime.now(UTC)
    since = count_from(settings, windows, sources)
    inputs = read(sources, settings, windows, since, now)
    horizon = horizon_of(settings, inputs, now)
    with ExitStack() as stack:
        counted = _counted(stack, inputs, since, horizon, settings, windows, sources)
        cohorts = cohorts_by_date(counted.kept.moment_counts, settings.days)
        tested = _tested(settings, sources)
        found = _measured(stack, counted.kept, counted.timing, cohorts, settings, inputs, tested)
        together = conjunctions(
            *(counted.pairs, counted.kept.moment_counts, found.halves, cohorts),
            *(found.findings.split, settings),
        )
        tables = _results(stack, counted.kept.moment_counts, found, together, settings)
        shown, changed = side_by_side(
            partial(story.shown, tables["moments"], settings.days[0]),
            partial(_changed, stack, counted, cohorts, found, settings, inputs),
        )
        if changed is not None:
            rows = outputs.typed(changed.candidates, outputs.LABEL_CHANGES)
            tables["label_changes"] = local_rows(sources.spark, *rows)
        caches = stack.pop_all()  # as long as the result is in use
    facts = story.Facts(
        unmatured=story.unmatured(cohorts, settings.days),
        tallies=counted.tallies,
        cut_days=windows.cut_days,
        counted_from=since,
        adjusted_for=found.findings.adjusted_for,
    )
    content = _content(cohorts, found, shown, together, facts, changed, settings, inputs, run_id)
    from firstday.moments.report import discover_answer, discover_report, discover_text

    return Result(
        "discover",
        run_id,
        sources=sources,
        checked=inputs,
        settings=recorded(settings),
        schemas=_schemas(settings),
        answer=discover_answer(content),
        tables={**counted.tables, **tables},
        text=discover_text(content),
        page=discover_report,
        content=content,
        metrics=_metrics(found.findings, facts),
        published=Published(
            tags={"reason": found.findings.choice.reason},
            pictures=not settings.quick,
            horizon=horizon,
        ),
        caches=caches,
    )


def _schemas(settings: DiscoverSettings) -> dict[str, StructType]:
    counted = {
        "moment_counts": schemas.moment_counts(settings.segments, settings.days),
        "moment_products": schemas.moment_products(settings.segments),
    }
    in_pairs = {"moment_timing": outputs.MOMENT_TIMING, "moment_pairs": outputs.MOMENT_PAIRS}
    if settings.labels is None:
        return counted | in_pairs | outputs.TABLES
    left_out = {LEFT_OUT[name]: schema for name, schema in counted.items()}
    return counted | in_pairs | left_out | outputs.TABLES | {"label_changes": outputs.LABEL_CHANGES}


def count_from(settings: DiscoverSettings, windows: Windows, sources: Sources) -> date | None:
    """The first anchor date to count anew; None for all of them."""
    if not settings.daily and settings.since is None:
        return None
    base = sources.base
    if base is None or base.horizon is None:
        return None  # the first run is a full one
    recorded_now = redacted_values(settings.model_dump(mode="json"))  # as `runs` keeps them
    before = DEFAULTS | dict(base.settings)  # an earlier version had fewer settings
    changed = [name for name in COUNTED_BY if before[name] != recorded_now[name]]
    if changed:
        raise SettingsError(
            "earlier counts can be kept only if they were made with the same settings",
            value=changed,
            next_step="run once without --daily and --since",
        )
    horizon = min(base.horizon, settings.horizon or base.horizon)
    first_open = windows.first_open_date(microseconds(horizon))
    return min(first_open, settings.since) if settings.since else first_open


def _tested(settings: DiscoverSettings, sources: Sources) -> Mapping[str, Tested]:
    """What experiments have said of actions so far, by action: as the last run kept it, and --results."""

    def earlier(name: str) -> pd.DataFrame:
        rows = sources.previous(name)
        if rows is None:
            return pd.DataFrame(columns=[field.name for field in outputs.TABLES[name]])
        return to_driver(rows, f"rows of {name}")

    kept = earlier("tested")
    if settings.results is None:
        return experiment_outcomes(pd.DataFrame(columns=list(RESULTS.names)), kept[:0], kept)
    results = to_driver(sources.published(settings.results, "experiment_results"), "experiment results")
    listed = earlier("shortlist")
    known = experiment_outcomes(results, listed, kept)
    arms = {arm_name(str(row["action"]), int(row["threshold"])) for _, row in listed.iterrows()}
    if not arms & set(results["treatment"].dropna()) and not known:
        raise DataError(
            "--results must hold an experiment on a candidate of this output's last shortlist",
            value=f"arms {', '.join(sorted(set(results['treatment'].dropna()))) or 'none'}",
            next_step="plan the experiment by firstday assign --from-discovery, which names the arms",
        )
    return known


@dataclass(frozen=True)
class Counts:
    """The counts of the users kept and of those that labels left out (None without labels), over all anchor
    dates and in Spark's cache; how many events they are of.
    """

    kept: Tables
    left_out: Tables | None
    timing: DataFrame
    pairs: DataFrame
    tables: Mapping[str, DataFrame]
    tallies: Mapping[str, int]


def _counted(
    stack: ExitStack,
    inputs: Sequence[Checked],
    since: date | None,
    horizon: datetime,
    settings: DiscoverSettings,
    windows: Windows,
    sources: Sources,
) -> Counts:
    """The tables of counts: new counts, and for dates before `since` the earlier ones."""
    users, segments = users_of(inputs, settings)
    tables: dict[str, DataFrame] = {}
    with logs.step("Counting the first days") as step:
        counted = counts.count(
            users,
            inputs[1].good,
            windows,
            segments,
            horizon=microseconds(horizon),
            dates=_dates(since, inputs[0].profile.latest) if since else None,
            event_date_column=settings.event_date_column,
            return_actions=return_actions_of(settings),
            left_out_action=anchor_action_of(settings),
            count_cap=settings.count_cap,
            leading_actions=settings.leading_actions,
        )
        stack.callback(counted.release)

        def kept_as(name: str, rows: DataFrame) -> DataFrame:
            earlier = sources.previous(name) if since else None
            if earlier is not None:
                rows = rows.unionByName(earlier.where(F.col("anchor_date") < F.lit(since)))
            tables[name] = kept_in(stack, rows)
            return tables[name]

        kept, left_out = Tables(counted.moment_counts, counted.moment_products), None
        if settings.labels is not None:
            kept, others = kept.apart()
            left_out = Tables(*(kept_as(LEFT_OUT[name], rows) for name, rows in vars(others).items()))
        kept = Tables(*(kept_as(name, rows) for name, rows in vars(kept).items()))
        timing = kept_as("moment_timing", counted.moment_timing)
        pairs = kept_as("moment_pairs", counted.moment_pairs)
        side_by_side(*(rows.count for rows in tables.values()))
        counted.release()  # all is in the tables' own caches now
        tallies = {name: value for name, value in counted.tallies.items() if value is not None}
        step.note(events=tallies["events"])
    return Counts(kept, left_out, timing, pairs, tables, tallies)


def _dates(first: date, latest: datetime | None) -> list[date]:
    last = max(first, (latest + timedelta(days=1)).date()) if latest else first
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


@dataclass(frozen=True)
class Measured:
    """All candidates as `analyse` returned them, in Spark's cache; those of segment `all`; the choice."""

    analysed: DataFrame
    halves: pd.DataFrame
    findings: Findings


def _measured(
    stack: ExitStack,
    counted: Tables,
    timing: DataFrame,
    cohorts: pd.DataFrame,
    settings: DiscoverSettings,
    inputs: Sequence[Checked],
    tested: Mapping[str, Tested],
    whom: str = "",
) -> Measured:
    """Measure all candidates and choose."""
    parts = split(cohorts, settings.days[0], settings.choose_share)
    plan = analyse.Plan(
        days=settings.days,
        choosing_until=parts.until or BEFORE_ALL,
        min_users=settings.min_users,
        min_dates=settings.min_dates,
        thresholds=settings.thresholds,
        resamples=0 if settings.quick else settings.bootstrap,
        seed=settings.seed,
    )
    analysed = kept_in(stack, analyse.analyse(counted.moment_counts, settings.segments, plan))
    with logs.step(f"Measuring all candidates at once{whom}") as step:
        halves = to_driver(analysed.where(F.col("segment") == ALL), "the candidates of segment 'all'")
        step.note(candidates=int((halves["half"] == analyse.WHOLE).sum()))
    with logs.step(f"Choosing{whom}") as step:
        findings = find(
            *(counted.moment_counts, counted.moment_products, halves, parts, settings, cohorts, timing),
            with_event_id="event_id" in inputs[1].good.columns,
            tested=tested,
        )
        step.note(verdict=findings.choice.verdict)
    return Measured(analysed, halves, findings)


def _changed(
    stack: ExitStack,
    counted: Counts,
    cohorts: pd.DataFrame,
    found: Measured,
    settings: DiscoverSettings,
    inputs: Sequence[Checked],
) -> labelled.Changed | None:
    """What the answer would have been with the users that labels left out; None without labels."""
    if counted.left_out is None:
        return None
    both = counted.kept.together(counted.left_out, settings.segments)
    everyone = Tables(*(kept_in(stack, rows) for rows in vars(both).values()))
    of_all = cohorts_by_date(everyone.moment_counts, settings.days)
    known = found.findings.tested
    whole = _measured(
        stack, everyone, counted.timing, of_all, settings, inputs, known, ", with those left out"
    )
    return labelled.changed(
        *((cohorts, found.halves, found.findings), (of_all, whole.halves, whole.findings)),
        settings.days[0],
    )


def _results(
    stack: ExitStack,
    moment_counts: DataFrame,
    found: Measured,
    together: pd.DataFrame,
    settings: DiscoverSettings,
) -> dict[str, DataFrame]:
    """The tables of results by name."""
    spark, findings = moment_counts.sparkSession, found.findings
    candidates = metrics.moments(
        moment_counts,
        settings.segments,
        settings.days,
        thresholds=settings.thresholds,
        min_users=settings.min_users,
    )
    verdicts = local_rows(spark, *outputs.typed(findings.verdicts, outputs.VERDICTS))
    whole = found.analysed.where(F.col("half") == analyse.WHOLE)
    moments = outputs.moments(metrics.mark_frontier(candidates), whole, verdicts)
    return {
        "moments": kept_in(stack, moments),
        "moment_halves": outputs.halves(found.analysed),
        **{
            name: local_rows(spark, *outputs.typed(frame, outputs.TABLES[name]))
            for name, frame in {**findings.tables(), "conjunctions": together}.items()
        },
    }


def _content(
    cohorts: pd.DataFrame,
    found: Measured,
    shown: pd.DataFrame,
    together: pd.DataFrame,
    facts: story.Facts,
    changed: labelled.Changed | None,
    settings: DiscoverSettings,
    inputs: Sequence[Checked],
    run_id: str,
) -> DiscoverContent:
    findings = found.findings
    return DiscoverContent(
        run_id=run_id,
        generated_at=datetime.now(UTC),
        hypothesis=findings.hypothesis,
        moments=shown,
        actions=findings.evidence,
        trends=findings.trends,
        consistency=story.retention_by_date(cohorts, settings.days),
        day_effects=story.day_effects(found.halves, findings),
        funnel=findings.choice.funnel,
        shortlist=findings.shortlist,
        links=findings.links,
        conjunctions=together,
        settled=[
            (name, each.status, f"{each.sentence}.")
            for name, each in findings.tested.items()
            if each.is_settled
        ],
        settings=story.settings_shown(settings.model_dump(mode="json")),
        inputs={each.source.name: each.source.described for each in inputs},
        notes=[*notes_of(inputs), *facts.sentences()],
        tallies={**facts.tallies, **_quarantined(inputs)},
        labels=changed.content() if changed else None,
    )


def _quarantined(inputs: Sequence[Checked]) -> Mapping[str, int]:
    return {f"{c.source.name}_quarantined": c.profile.bad_rows for c in inputs if c.profile.bad_rows}


def _metrics(findings: Findings, facts: story.Facts) -> dict[str, float | None]:
    return {
        **{f"tally_{name}": value for name, value in facts.tallies.items()},
        **{f"left_out_d{day}": value for day, value in facts.unmatured.items()},
        **story.numbers(findings.hypothesis),
    }


DISCOVER_STAGE = Stage(discover_stage, _schemas)
