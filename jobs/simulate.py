"""Make a world with a planted truth: `users`, `events` and `truth`, as tables that the other jobs read."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from firstday import logs
from firstday.cli import run_job
from firstday.session import get_session
from firstday.settings import SimulateSettings
from firstday.simulation import simulate
from firstday.simulation.tables import TABLES
from firstday.tables import open_output


def run(settings: SimulateSettings, run_id: str) -> Path | None:
    """Simulate and publish the world; returns the folder that it is in, None for a schema."""
    spark = get_session("firstday simulate")
    with logs.step("Simulating users") as step:
        world = simulate(
            users=settings.users,
            dates=settings.dates,
            effect=settings.effect,
            common_shocks=settings.common_shocks,
            seed=settings.seed,
        )
        step.note(users=len(world.users), events=len(world.events))
    rows = {"users": world.users, "events": world.events, "truth": pd.DataFrame([vars(world.truth)])}
    with open_output(spark, settings.out, job="simulate", run_id=run_id, schemas=TABLES) as output:
        for name, schema in TABLES.items():
            with logs.step(f"Writing {name}"):
                output.write(name, spark.createDataFrame(rows[name], schema))
        output.publish(inputs=[], settings=settings.model_dump(mode="json"))
        return Path(settings.out) if output.store.is_folder else None


def main(argv: Sequence[str] | None = None) -> None:
    """The command `firstday simulate`."""
    run_job("simulate", argv)


if __name__ == "__main__":
    main()
