"""Assign users to variants: read the plan, read the units, write who has which variant from when on."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
from pyspark.sql import DataFrame, SparkSession

from firstday import logs
from firstday.cli import run_job
from firstday.errors import DataError, OutputError, SettingsError
from firstday.experiments import assign
from firstday.experiments.sample_ratio import sample_ratio
from firstday.inputs.discovered import write_plan
from firstday.inputs.reading import reading
from firstday.settings import AssignSettings, ExperimentPlan, read_plan
from firstday.spark.frames import cached
from firstday.spark.session import get_session
from firstday.tables import Checked, Output, check, open_input, open_output
from firstday.tables.schemas import Contract, Field
from firstday.tracking import tracked_run


def run(settings: AssignSettings, run_id: str) -> Path | None:
    """Assign the units and publish, or write a plan. Returns the folder of the assignments (None if the
    output is a schema), or the plan.
    """
    if settings.from_discovery is not None:
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        spark = get_session("firstday assign")
        return write_plan(
            spark, settings.from_discovery, settings.ranks, settings.starts_at or midnight, settings.plan
        )
    assert settings.out is not None  # the settings see to it
    plan = read_plan(settings.plan)
    contract = _contract(plan, settings.instant_column)
    told = settings.model_dump(mode="json") | {"planned": plan.model_dump(mode="json")}
    now = datetime.now(UTC)
    spark = get_session("firstday assign")
    with (
        tracked_run(settings.experiment_name, "assign", run_id=run_id, settings=told) as tracked,
        open_output(spark, settings.out, job="assign", run_id=run_id, schemas=assign.TABLES) as output,
    ):
        with logs.step("Reading and checking the units") as step:
            units = _units(spark, settings, plan, contract, output, now)
            left_out = _left_out(units.good, plan)
            step.note(units=units.profile.rows, **left_out)
        with cached(assign.assign(units.good, plan, settings.instant_column)) as assignments:
            with logs.step("Assigning the variants"):
                dealt: pd.DataFrame = assign.counts(assignments, plan).toPandas()
            _refuse_changes(assignments, output, plan, now)
            with logs.step("Writing the assignments") as step:
                output.write("assignments", assignments)
                step.note(rows=int(dealt["units"].sum()))
        summary = _summary(dealt, plan, left_out)
        output.publish(inputs=[units.source], settings=told)
        tracked.log_inputs([units.source])
        tracked.log_metrics(summary)
        logs.result(_text(dealt, plan))
        return Path(settings.out) if output.store.is_folder else None


def _contract(plan: ExperimentPlan, instant_column: str | None) -> Contract:
    """What the units must hold. Raises SettingsError where one column would be two things."""
    columns = [plan.unit, *([plan.cluster] if plan.cluster else []), *plan.strata]
    if instant_column is not None and instant_column.lower() in [name.lower() for name in columns]:
        raise SettingsError(
            "--instant-column must be another column than the plan's unit, cluster and strata",
            value=instant_column,
            next_step="name the column with the instant a unit comes in, such as anchored_at",
        )
    fields = [
        Field(plan.unit, "id"),
        *([Field(plan.cluster, "id")] if plan.cluster else []),
        *(Field(name, "text", nullable=True) for name in plan.strata),
        *([Field(instant_column, "instant")] if instant_column else []),
    ]
    return Contract("units", tuple(fields), unique=plan.unit)


def _units(
    spark: SparkSession,
    settings: AssignSettings,
    plan: ExperimentPlan,
    contract: Contract,
    output: Output,
    now: datetime,
) -> Checked:
    assert settings.units is not None  # the settings see to it
    source = open_input(spark, settings.units, name="units", reading=reading(settings, "units"))
    units = check(source, contract, now=now)
    output.quarantine(units, max_bad_share=settings.max_bad_share)
    if units.profile.rows == units.profile.bad_rows:
        raise DataError("units must have rows", value=settings.units, next_step="check the address")
    if plan.crossover is not None and plan.crossover.by == "odd_even":
        unlike = assign.without_number(units.good, plan).first()
        if unlike is not None:
            raise DataError(
                f"a crossover by odd_even needs whole numbers in {plan.unit}",
                value=unlike["unit_id"],
                next_step="say by: hash in the plan's crossover",
            )
    return units


def _left_out(units: DataFrame, plan: ExperimentPlan) -> dict[str, int]:
    row = assign.left_out(units, plan).first()
    assert row is not None  # a sum of all rows
    if not row["taking_part"]:
        raise DataError(
            "somebody must take part",
            value=f"{row['held_out']:,} held out, {row['outside_layer']:,} outside of the layer's range",
            next_step="widen the layer's range, or give more units",
        )
    return {name: count for name, count in row.asDict().items() if count or name == "taking_part"}


def _refuse_changes(assignments: DataFrame, output: Output, plan: ExperimentPlan, now: datetime) -> None:
    """Raise where an earlier run's units would get another variant, or another experiment's would be lost."""
    earlier = output.previous("assignments")
    row = earlier.first() if earlier is not None else None
    if earlier is None or row is None:
        return
    if row["experiment"] != plan.experiment:
        raise OutputError(
            f"an output holds one experiment's assignments, and this one those of {row['experiment']!r}",
            value=output.location("assignments"),
            next_step="name another --out",
        )
    with logs.step("Comparing with the earlier assignments"):
        changes = assign.changed(assignments, earlier, now).count()
    if changes:
        why = (
            "strata are for a closed list: give the list of the first run"
            if plan.strata
            else "undo the change"
        )
        raise DataError(
            "units must keep the variant that they were given, but this plan or list gives another one",
            value=f"{changes:,} variants that have begun",
            next_step=f"{why}, or name a new experiment, with a salt and an --out of its own",
        )


def _summary(dealt: pd.DataFrame, plan: ExperimentPlan, left_out: Mapping[str, int]) -> dict[str, float]:
    """Say how many units got what, and what to mind; returns the figures by name."""
    if plan.shared_pool and plan.cluster is None:
        logs.log.warning(
            "The plan says that users share a pool: what one arm takes is gone for the other, and the "
            "difference between them shows that too. Give clusters that share nothing (cities, rooms), or "
            "let whole clusters change places (cluster with crossover)."
        )
    figures: dict[str, float] = dict(left_out)
    spans = assign.spans(plan)
    number = "stage" if plan.ramp else "period"
    for span in spans[:1] if plan.crossover else spans:
        rows = dealt if span.number is None else dealt[dealt[number] == span.number]
        name = "" if span.number is None else f"{number} {span.number}, "
        figures |= {f"{name}{key}": value for key, value in _checked(rows, span, name).items()}
    in_time = int(dealt.loc[dealt[number].isna() | (dealt[number] == spans[-1].number), "units"].sum())
    if in_time < left_out["taking_part"]:
        figures["too_late"] = left_out["taking_part"] - in_time
        logs.log.info(f"{figures['too_late']:,} units came in after the end: they have no variant.")
    return figures


def _checked(dealt: pd.DataFrame, span: assign.Span, name: str) -> dict[str, float]:
    """Say who got what and whether that is what was planned; returns the figures."""
    counts = {variant: int(dealt.loc[dealt["variant"] == variant, "dealt"].sum()) for variant in span.shares}
    figures: dict[str, float] = {f"dealt {variant}": count for variant, count in counts.items()}
    since = f"{name}from {span.starts_at:%Y-%m-%d %H:%M} UTC"
    empty = [variant for variant, count in counts.items() if not count]
    if empty:
        logs.log.warning(f"{since}: nobody got {', '.join(empty)}. With so few units that may be chance.")
        return figures
    ratio = sample_ratio(counts, span.shares)
    logs.log.info(f"{since}: {ratio.sentence}")
    return figures | {"sample_ratio_p": ratio.p_value}


def _text(dealt: pd.DataFrame, plan: ExperimentPlan) -> str:
    """Who got what, from when on."""
    from firstday.report import aligned

    rows = []
    for span in assign.spans(plan):
        own = dealt
        if span.number is not None:
            own = dealt[dealt["stage" if plan.ramp else "period"] == span.number]
        total = max(int(own["units"].sum()), 1)
        for row in own.itertuples(index=False):
            share = f"{row.units / total:.2%}"
            planned = f"{span.shares.get(row.variant, 0):.2%}"
            since = f"{span.starts_at:%Y-%m-%d %H:%M}"
            rows.append((since, str(row.variant), f"{row.units:,}", share, planned))
    columns = ("from (UTC)", "variant", plan.unit, "share", "planned")
    return f"{plan.experiment}\n\n{aligned(columns, rows, columns[2:])}"


def main(argv: Sequence[str] | None = None) -> None:
    """The command `firstday assign`."""
    run_job("assign", argv)


if __name__ == "__main__":
    main()
