"""The simulated app of a loop: tables that grow, steps and plans that fit, a truth that no step sees."""

from pathlib import Path

import pandas as pd
import pytest

from firstday.errors import OutputError
from firstday.loop import truth
from firstday.loop import world as played
from firstday.loop.steps import steps_of
from firstday.loop.world import Moment, World
from firstday.settings import LoopSettings, read_plan
from firstday.simulation.app_policies import by_variant, popularity
from firstday.simulation.world import ACTIONS

USERS = 500
TABLES = {
    "users": "anchored_at",
    "customers": "joined_at",
    "events": "occurred_at",
    "impressions": "shown_at",
    "reactions": "reacted_at",
}  # that grow, and the instant of a row


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """After the first month; tests may play on, and say nothing of days."""
    world = World(tmp_path_factory.mktemp("loop") / "world", users=USERS, seed=3)
    world.month()
    return world


def table(world: World, name: str) -> pd.DataFrame:
    return pd.read_parquet(world.path(name))


def files(folder: Path) -> dict[str, tuple[int, float]]:
    """What the versions of inputs go by."""
    return {
        str(file.relative_to(folder)): (file.stat().st_size, file.stat().st_mtime)
        for file in sorted(folder.rglob("*.parquet"))
    }


def test_tables_hold_what_was_played(world: World) -> None:
    world.play(2, popularity)  # so that each is of several parts
    for name, at in TABLES.items():
        found = table(world, name)
        pd.testing.assert_frame_equal(found, getattr(world.app, name))
        assert (found[at] < world.app.now).all()


def test_no_table_has_the_truth(world: World) -> None:
    names = {
        column for name in Path(world.folder).iterdir() if name.is_dir() for column in table(world, name.name)
    }
    assert "is_fraud" in world.app.accounts
    assert not names & {"is_fraud", "bot", "effect", "truth", "level", "engagement", "decoy"}
    assert len(table(world, "accounts")) == USERS  # of the month


def test_what_is_played_on_is_added(world: World) -> None:
    before, old = {name: len(table(world, name)) for name in TABLES}, files(world.folder)
    counts = world.play(1, popularity)
    assert {name: len(table(world, name)) - before[name] for name in TABLES} == counts
    assert counts["events"] > 0
    assert {name: file for name, file in files(world.folder).items() if name in old} == old


def test_played_again_the_files_are_the_same(tmp_path: Path) -> None:
    found = []
    for _ in range(2):
        again = World(tmp_path / "world", users=50, seed=3)
        again.play(3, popularity)
        again.play(1, popularity)
        found.append(files(again.folder))
    assert found[0] == found[1]
    assert len(found[0]) == 2 * len(TABLES)


def test_somebody_else_s_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "world").mkdir()
    (tmp_path / "world" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="must be new"):
        World(tmp_path / "world", users=50, seed=3)
    assert (tmp_path / "world" / "thesis.txt").read_text() == "mine"


def test_steps_and_plans_are_right(world: World) -> None:
    moment = Moment("follow", 2)
    written = played.month_steps(world) | played.test_steps(world, moment) | played.ramp_steps(world, moment)
    steps = {step.name: step for step in steps_of(LoopSettings(out="out", steps=written))}
    assert [*steps] == [
        *("label", "discover", "train", "recommend"),
        *("assign_new_users", "assign_existing_users", "measure_new_users", "measure_existing_users"),
    ]
    for name in (played.NEW, played.EXISTING):
        plan = read_plan(world.path(f"{name}.yml"))
        assert plan.experiment == name
        assert plan.starts_at == world.app.now
        assert steps[f"measure_{name}"].settings.model_dump()["assignments"] == f"out/assign_{name}"
    assert read_plan(world.path(f"{played.EXISTING}.yml")).ramp[-1].share == 0.5


def test_the_treated_see_the_moment_s_contents_first(world: World) -> None:
    lists = pd.DataFrame(
        {
            "user_id": ["user-0000001"],
            "slot": [1],
            "category": ["open_questions"],
            "content_id": ["open_questions-001"],
            "policy": ["firstday"],
            "propensity": [1.0],
        }
    )
    treated = played.pushed("follow", played.lists(world, lists))
    world.sign_ups("later", 2)
    units = table(world, "later")
    assigned = pd.DataFrame(
        {"unit_id": units["user_id"], "variant": "treatment", "assigned_at": units["anchored_at"]}
    )
    before = len(world.app.impressions)
    world.play(2, by_variant(assigned, {"treatment": treated}))
    shown = world.app.impressions.iloc[before:]
    new = shown[shown["user_id"].isin(set(units["user_id"]))]
    assert len(new) > 0
    assert set(new.loc[new["slot"] == 1, "category"]) == {"creators"}  # leads to follow
    assert set(shown.loc[~shown["user_id"].isin(set(units["user_id"])), "policy"]) == {"popularity"}


def test_how_many_bots_were_found() -> None:
    class People:
        bot = pd.Series([True, True, False, False, False]).to_numpy()

    class App:
        people = People()

    labels = pd.DataFrame(
        {"row_id": [f"user-{number:07d}" for number in (0, 1, 2, 4)], "label": [1, 0, 1, -1]}
    )
    assert truth.labels(App(), labels) == (  # type: ignore[arg-type]
        "2 of the 4 accounts are bots: 1 of them were found (50%), and 1 people were taken for bots: "
        "50% of the called are bots, 50.0% of all accounts."
    )


def test_what_was_planted_beside_what_was_found(world: World) -> None:
    plan = world.app.plan
    cause = ACTIONS[plan.cause]
    other = next(action for action in ACTIONS if action != cause)
    assert truth.moment(world.app, Moment(cause, plan.threshold)).startswith("It was found")
    assert "its threshold was not" in truth.moment(world.app, Moment(cause, plan.threshold + 1))
    assert truth.moment(world.app, Moment(other, plan.threshold)).startswith("It was not found")
    assert truth.moment(world.app, None).startswith("It was not found")


def test_a_true_effect_is_told_in_points() -> None:
    assert str(truth.TrueEffect(0.0356, 0.0007)) == "+3.6 points (± 0.1)"
    assert str(truth.TrueEffect(-0.0049, 0.00001)) == "−0.5 points (± 0.0)"
