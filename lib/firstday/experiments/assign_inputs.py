"""What `firstday assign` reads: the units that may take part."""

from datetime import datetime

from pyspark.sql import DataFrame

from firstday.errors import DataError, SettingsError
from firstday.experiments import assign
from firstday.settings import AssignSettings, ExperimentPlan
from firstday.tables import Checked, Sources, check
from firstday.tables.reading import reading
from firstday.tables.schemas import Contract, Field


def unit_contract(plan: ExperimentPlan, instant_column: str | None) -> Contract:
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


def read_units(
    sources: Sources, settings: AssignSettings, plan: ExperimentPlan, contract: Contract, now: datetime
) -> Checked:
    """The units, checked. Raises DataError where there are none."""
    assert settings.units is not None  # the settings see to it
    source = sources.open(settings.units, "units", reading(settings, "units"))
    units = check(source, contract, now=now)
    sources.quarantine(units, max_bad_share=settings.max_bad_share)
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


def left_out_counts(units: DataFrame, plan: ExperimentPlan) -> dict[str, int]:
    """How many units take part, and how many do not, by why. Raises DataError where none does."""
    row = assign.left_out(units, plan).first()
    assert row is not None  # a sum of all rows
    if not row["taking_part"]:
        raise DataError(
            "somebody must take part",
            value=f"{row['held_out']:,} held out, {row['outside_layer']:,} outside of the layer's range",
            next_step="widen the layer's range, or give more units",
        )
    return {name: count for name, count in row.asDict().items() if count or name == "taking_part"}
