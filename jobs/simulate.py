"""Make a world with a planted truth, as tables that the other jobs read."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from firstday import logs
from firstday.cli import run_job
from firstday.settings import SimulateSettings
from firstday.simulation import simulate
from firstday.simulation.app import simulate_app, truth
from firstday.simulation.bank import simulate_bank
from firstday.simulation.fraud import simulate_fraud
from firstday.simulation.tables import BANK_TABLES, LOOP_TABLES, TABLES, accounts
from firstday.spark.session import get_session
from firstday.tables import open_output


def run(settings: SimulateSettings, run_id: str) -> Path | None:
    """Simulate and publish the world; returns the folder that it is in, None for a schema."""
    spark = get_session("firstday simulate")
    with logs.step("Simulating") as step:
        rows = {"app": _app, "fraud": _fraud, "bank": _bank, "loop": _loop}[settings.world](settings)
        step.note(**{name: len(frame) for name, frame in rows.items()})
    tables = {"app": TABLES, "bank": BANK_TABLES, "fraud": {}, "loop": LOOP_TABLES}[settings.world]
    if "accounts" in rows:
        tables = tables | {"accounts": accounts(rows["accounts"])}
    with open_output(spark, settings.out, job="simulate", run_id=run_id, schemas=tables) as output:
        for name, schema in tables.items():
            with logs.step(f"Writing {name}"):
                output.write(name, spark.createDataFrame(rows[name], schema))
        output.publish(inputs=[], settings=settings.model_dump(mode="json"))
        return Path(settings.out) if output.store.is_folder else None


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


def main(argv: Sequence[str] | None = None) -> None:
    """The command `firstday simulate`."""
    run_job("simulate", argv)


if __name__ == "__main__":
    main()
