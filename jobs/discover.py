"""Find what, done on the first day, makes users stay: from users and events to one hypothesis."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from firstday import logs
from firstday.cli import run_job
from firstday.errors import DataError, SettingsError
from firstday.experiments.results import RESULTS
from firstday.frames import cached
from firstday.inputs.discover import anchor_action_of, horizon_of, read, return_actions_of, users_of
from firstday.inputs.reading import notes_of
from firstday.local_rows import local_rows
from firstday.moments import analyse, counts, labelled, metrics, outputs, story
from firstday.moments.collect import cohorts_by_date, to_driver
from firstday.moments.findings import BEFORE_ALL, Findings, find
from firstday.moments.labelled import Tables
from firstday.moments.split import split
from firstday.moments.tested import Tested, arm_name, experiment_outcomes
from firstday.parallel import side_by_side
from firstday.redact import redacted_values
from firstday.segments import ALL
from firstday.session import get_session
from firstday.settings import DiscoverSettings
from firstday.tables import Checked, Output, Run, open_output, read_published, schemas
from firstday.tracking import TrackedRun, tracked_run
from firstday.windows import Windows, microseconds

if TYPE_CHECKING:
    from firstday.report import Report

# Counts of an earlier run can be kept only where these settings are the same.
COUNTED_BY = (
    "users", "events", "segments", "days", "window", "retention", "retention_kind", "time_zone", "overlap",
    "return_actions", "count_cap", "leading_actions", "input_time_zone", "labels", "label_class", "label_use",
    "label_limit", "anchor_action", "columns", "format", "time_unit", "encoding", "event_id", "fold_actions",
)  # fmt: skip
DEFAULTS = DiscoverSettings(events="-", out="-").model_dump(mode="json")
# The same of the users that labels left out.
LEFT_OUT = {"moment_counts": "left_out_counts", "moment_products": "left_out_products"}


def run(settings: DiscoverSettings, run_id: str) -> Path | None:
    """Find the moment and publish it. Returns where the report is; None if the output is a schema."""
    windows = Windows.of(settings)  # refuses what contradicts itself before anything starts
    spark = get_session("firstday discover")
    with (
        tracked_run(
            settings.experiment_name, "discover", run_id=run_id, settings=settings.model_dump(mode="json")
        ) as tracked,
        open_output(spark, settings.out, job="discover", run_id=run_id, schemas=_schemas(settings)) as output,
    ):
        now = datetime.now(UTC)
        since = _count_from(settings, windows, output)
        inputs = read(spark, settings, windows, since, now, output)
        horizon = horizon_of(settings, inputs, now)
        with _counted(inputs, since, horizon, settings, windows, output) as counted:
            cohorts, tested = (
                cohorts_by_date(counted.kept.moment_counts, settings.days),
                _tested(settings, output),
            )
            with _found(counted.kept, counted.timing, cohorts, settings, inputs, tested) as found:
                shown, changed = side_by_side(
                    partial(_write, counted.kept.moment_counts, found, settings, output),
                    partial(_changed, counted, cohorts, found, settings, output, inputs),
                )
        facts = story.Facts(
            unmatured=story.unmatured(cohorts, settings.days),
            tallies=counted.tallies,
            cut_days=windows.cut_days,
            counted_from=since,
            held=found.findings.held,
        )
        # All that may fail comes before publishing.
        report = _report(cohorts, found, shown, facts, changed, settings, output, inputs)
        published = output.publish(
            inputs=[checked.source for checked in inputs],
            settings=settings.model_dump(mode="json"),
            horizon=horizon,
        )
        where = output.write_file("discover.html", report.html.encode())
        _track(tracked, inputs, found.findings, facts, published, report)
    return Path(where) if where else None


def _schemas(settings: DiscoverSettings) -> dict[str, StructType]:
    counted = {
        "moment_counts": schemas.moment_counts(settings.segments, settings.days),
        "moment_products": schemas.moment_products(settings.segments),
    }
    timing = {"moment_timing": outputs.MOMENT_TIMING}
    if settings.labels is None:
        return counted | timing | outputs.TABLES
    left_out = {LEFT_OUT[name]: schema for name, schema in counted.items()}
    return counted | timing | left_out | outputs.TABLES | {"label_changes": outputs.LABEL_CHANGES}


def _count_from(settings: DiscoverSettings, windows: Windows, output: Output) -> date | None:
    """The first anchor date to count anew; None for all of them."""
    if not settings.daily and settings.since is None:
        return None
    base = output.base
    if base is None or base.horizon is None:
        return None  # the first run is a full one
    told = redacted_values(settings.model_dump(mode="json"))  # as `runs` keeps them
    before = DEFAULTS | dict(base.settings)  # an earlier version had fewer settings
    changed = [name for name in COUNTED_BY if before[name] != told[name]]
    if changed:
        raise SettingsError(
            "earlier counts can be kept only if they were made with the same settings",
            value=changed,
            next_step="run once without --daily and --since",
        )
    horizon = min(base.horizon, settings.horizon or base.horizon)
    first_open = windows.first_open_date(microseconds(horizon))
    return min(first_open, settings.since) if settings.since else first_open


def _tested(settings: DiscoverSettings, output: Output) -> Mapping[str, Tested]:
    """What experiments have said of actions so far, by action: as the last run kept it, and --results."""
    spark = get_session("firstday discover")

    def earlier(name: str) -> pd.DataFrame:
        rows = output.previous(name)
        if rows is None:
            return pd.DataFrame(columns=[field.name for field in outputs.TABLES[name]])
        return to_driver(rows, f"rows of {name}")

    kept = earlier("tested")
    if settings.results is None:
        return experiment_outcomes(pd.DataFrame(columns=list(RESULTS.names)), kept[:0], kept)
    results = to_driver(read_published(spark, settings.results, "experiment_results"), "experiment results")
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
class Counted:
    """The counts of the users kept and of those that labels left out (None without labels), over all anchor
    dates and in Spark's cache; how many events they are of.
    """

    kept: Tables
    left_out: Tables | None
    timing: DataFrame
    tallies: Mapping[str, int]


@contextmanager
def _counted(
    inputs: Sequence[Checked],
    since: date | None,
    horizon: datetime,
    settings: DiscoverSettings,
    windows: Windows,
    output: Output,
) -> Iterator[Counted]:
    """Write the tables of counts: new counts, and for dates before `since` the earlier ones."""
    users, segments = users_of(inputs, settings)
    with ExitStack() as held:
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
            held.callback(counted.release)

            def write(name: str, rows: DataFrame) -> DataFrame:
                earlier = output.previous(name) if since else None
                if earlier is not None:
                    rows = rows.unionByName(earlier.where(F.col("anchor_date") < F.lit(since)))
                rows = held.enter_context(cached(rows))
                output.write(name, rows)
                return rows

            kept, left_out = Tables(counted.moment_counts, counted.moment_products), None
            if settings.labels is not None:
                kept, others = kept.apart()
                left_out = Tables(*(write(LEFT_OUT[name], rows) for name, rows in vars(others).items()))
            kept = Tables(*(write(name, rows) for name, rows in vars(kept).items()))
            timing = write("moment_timing", counted.moment_timing)
            tallies = {name: value for name, value in counted.tallies.items() if value is not None}
            step.note(events=tallies["events"])
        counted.release()  # all is in the tables' own cache now
        yield Counted(kept, left_out, timing, tallies)


def _dates(first: date, latest: datetime | None) -> list[date]:
    last = max(first, (latest + timedelta(days=1)).date()) if latest else first
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


@dataclass(frozen=True)
class Found:
    """All candidates as `analyse` returned them, in Spark's cache; those of segment `all`; the choice."""

    analysed: DataFrame
    halves: pd.DataFrame
    findings: Findings


@contextmanager
def _found(
    counted: Tables,
    timing: DataFrame,
    cohorts: pd.DataFrame,
    settings: DiscoverSettings,
    inputs: Sequence[Checked],
    tested: Mapping[str, Tested],
    whom: str = "",
) -> Iterator[Found]:
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
    with cached(analyse.analyse(counted.moment_counts, settings.segments, plan)) as analysed:
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
        yield Found(analysed, halves, findings)


def _changed(
    counted: Counted,
    cohorts: pd.DataFrame,
    found: Found,
    settings: DiscoverSettings,
    output: Output,
    inputs: Sequence[Checked],
) -> labelled.Changed | None:
    """What the answer would have been with the users that labels left out; None without labels."""
    if counted.left_out is None:
        return None
    with ExitStack() as held:
        both = counted.kept.together(counted.left_out, settings.segments)
        everyone = Tables(*(held.enter_context(cached(rows)) for rows in vars(both).values()))
        of_all = cohorts_by_date(everyone.moment_counts, settings.days)
        whole = held.enter_context(
            _found(
                everyone,
                counted.timing,
                of_all,
                settings,
                inputs,
                found.findings.tested,
                ", with those left out",
            )
        )
        changed = labelled.changed(
            *((cohorts, found.halves, found.findings), (of_all, whole.halves, whole.findings)),
            settings.days[0],
        )
        rows = outputs.typed(changed.candidates, outputs.LABEL_CHANGES)
        output.write("label_changes", local_rows(whole.analysed.sparkSession, *rows))
    return changed


def _write(
    moment_counts: DataFrame, found: Found, settings: DiscoverSettings, output: Output
) -> pd.DataFrame:
    """Write the results; returns the rows of `moments` that the report shows."""
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
    further = {"moment_halves": outputs.halves(found.analysed)} | {
        name: local_rows(spark, *outputs.typed(frame, outputs.TABLES[name]))
        for name, frame in findings.tables().items()
    }
    with logs.step("Writing the results"):
        with cached(outputs.moments(metrics.mark_frontier(candidates), whole, verdicts)) as moments:
            output.write("moments", moments)
            shown = story.shown(moments, settings.days[0])
        output.write_all(further)
    return shown


def _report(
    cohorts: pd.DataFrame,
    found: Found,
    shown: pd.DataFrame,
    facts: story.Facts,
    changed: labelled.Changed | None,
    settings: DiscoverSettings,
    output: Output,
    inputs: Sequence[Checked],
) -> "Report":
    from firstday.report import DiscoverContent, discover_report

    findings = found.findings
    with logs.step("Drawing the report"):
        content = DiscoverContent(
            run_id=output.run_id,
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
            settled=[
                (name, each.status, f"{each.sentence}.")
                for name, each in findings.tested.items()
                if each.is_settled
            ],
            settings=story.told(settings.model_dump(mode="json")),
            inputs={each.source.name: each.source.described for each in inputs},
            notes=[*notes_of(inputs), *facts.sentences()],
            tallies={**facts.tallies, **_quarantined(inputs)},
            labels=changed.told() if changed else None,
        )
        return discover_report(content, png=not settings.quick)


def _quarantined(inputs: Sequence[Checked]) -> Mapping[str, int]:
    return {f"{c.source.name}_quarantined": c.profile.bad_rows for c in inputs if c.profile.bad_rows}


def _track(
    tracked: TrackedRun,
    inputs: Sequence[Checked],
    findings: Findings,
    facts: story.Facts,
    published: Run,
    report: "Report",
) -> None:
    with logs.step("Recording the run"):
        tracked.log_inputs([checked.source for checked in inputs])
        tracked.log_metrics(
            {
                **{checked.source.name: checked.profile.rows for checked in inputs},
                "bad_rows": sum(checked.profile.bad_rows for checked in inputs),
                **{f"rows_{name}": rows for name, rows in published.row_counts.items()},
                **{f"tally_{name}": value for name, value in facts.tallies.items()},
                **{f"left_out_d{day}": value for day, value in facts.unmatured.items()},
                **story.numbers(findings.hypothesis),
            }
        )
        tracked.set_tags({"verdict": findings.choice.verdict, "reason": findings.choice.reason})
        tracked.log_report("discover.html", report.html)
        for name, image in report.figures.items():
            tracked.log_figure(name, image)


def main(argv: Sequence[str] | None = None) -> None:
    """The command `firstday discover`, for spark-submit and for a wheel task."""
    run_job("discover", argv)


if __name__ == "__main__":
    main()
