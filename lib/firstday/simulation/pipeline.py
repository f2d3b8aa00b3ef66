"""Make a world with a planted truth, as tables that the other jobs read."""

from contextlib import ExitStack
from functools import lru_cache

import pandas as pd
from pyspark.sql.types import StructType

from firstday import logs
from firstday.result import Answer, Result, Stage, recorded
from firstday.settings import SimulateSettings
from firstday.simulation import simulate
from firstday.simulation.app import simulate_app, truth
from firstday.simulation.bank import simulate_bank
from firstday.simulation.fraud import simulate_fraud
from firstday.simulation.tables import BANK_TABLES, LOOP_TABLES, TABLES, accounts
from firstday.spark.frames import kept_in
from firstday.tables import Sources

OF_WORLD: dict[str, dict[str, StructType]] = {
    "app": TABLES,
    "bank": BANK_TABLES,
    "fraud": {},
    "loop": LOOP_TABLES,
}


@lru_cache(maxsize=1)  # an output is opened with the schemas before the rows are written
def _world(settings: SimulateSettings) -> tuple[dict[str, pd.DataFrame], dict[str, StructType]]:
    """The world's tables, and what columns they have."""
    with logs.step("Simulating") as step:
        rows = {"app": _app, "fraud": _fraud, "bank": _bank, "loop": _loop}[settings.world](settings)
        step.note(**{name: len(frame) for name, frame in rows.items()})
    schemas = dict(OF_WORLD[settings.world])
    if "accounts" in rows:
        schemas["accounts"] = accounts(rows["accounts"])
    return rows, schemas


def simulate_stage(sources: Sources, settings: SimulateSettings, run_id: str) -> Result:
    """Play the world; its tables are those that the other jobs read, and the truth."""
    rows, schemas = _world(settings)
    caches = ExitStack()  # what is read again and again would be converted each time
    tables = {
        name: kept_in(caches, sources.spark.createDataFrame(rows[name], schema))
        for name, schema in schemas.items()
    }
    lines = [f"{len(rows[name]):>12,}  {name}" for name in schemas]
    return Result(
        "simulate",
        run_id,
        sources=sources,
        checked=(),
        settings=recorded(settings),
        schemas=schemas,
        answer=Answer("simulated", f"The world {settings.world}, with seed {settings.seed}."),
        tables=tables,
        caches=caches,
        text="\n".join(
            [f"The world {settings.world}, with seed {settings.seed}; rows of each table:", *lines]
        ),
    )


def _app(settings: SimulateSettings) -> dict[str, pd.DataFrame]:
    world = simulate(
        users=settings.users,
        dates=settings.dates,
        effect=settings.effect,
        common_shocks=settings.common_shocks,
        seed=settings.seed,
    )
    return {"users": world.users, "events": world.events, "truth": pd.DataFrame([vars(world.truth)])}


def _fraud(settings: SimulateSettings) -> dict[str, pd.DataFrame]:
    return {"accounts": simulate_fraud(users=settings.users, seed=settings.seed).rows}


def _bank(settings: SimulateSettings) -> dict[str, pd.DataFrame]:
    bank = simulate_bank(
        customers=settings.users,
        strength=settings.strength,
        seed=settings.seed,
        history_days=settings.history_days,
    )
    return {name: bank.truth() if name == "truth" else getattr(bank, name) for name in BANK_TABLES}


def _loop(settings: SimulateSettings) -> dict[str, pd.DataFrame]:
    app = simulate_app(users=settings.users, dates=settings.dates, effect=settings.effect, seed=settings.seed)
    # What banks have and this app has not stays empty.
    nothing = {name: pd.DataFrame(columns=LOOP_TABLES[name].names) for name in LOOP_TABLES}
    names = [name for name in (*LOOP_TABLES, "accounts") if hasattr(app, name)]
    return nothing | {name: getattr(app, name) for name in names} | {"truth": truth(app)}


SIMULATE_STAGE = Stage(simulate_stage, lambda settings: _world(settings)[1], tracked=False)
