"""The world of bots is what it says: repeatable, its history misses kinds of bots, its rules are uneven."""

import operator
from functools import cache
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
import yaml
from numpy.typing import NDArray

from firstday.errors import SettingsError
from firstday.labels.compare import Confusion, confusion
from firstday.simulation.fraud import (
    BOTS,
    FEATURES,
    HIDDEN,
    HONEST,
    KINDS,
    RULE_COLUMNS,
    SANCTION_COLUMNS,
    FraudWorld,
    simulate_fraud,
)

DEMO = yaml.safe_load((Path(__file__).parents[2] / "conf/label_functions_demo.yml").read_text("utf-8"))
COMPARED = {">=": operator.ge, "<": operator.lt, "=": operator.eq}
SEEDS = (1, 2, 3)
# Precision from and to, coverage from and to.
STATED = {
    "many_reports": (0.80, 0.92, 0.05, 0.08),
    "many_reporters": (0.75, 0.87, 0.06, 0.09),
    "one_route": (0.86, 0.96, 0.04, 0.06),
    "crowded_address": (0.63, 0.74, 0.05, 0.08),
    "one_trade_partner": (0.72, 0.85, 0.02, 0.04),
    "fails_captchas": (0.83, 0.93, 0.025, 0.045),
    "new_account": (0.40, 0.50, 0.06, 0.09),
    "verified_phone": (0.93, 0.98, 0.36, 0.40),
    "long_in_a_guild": (0.93, 0.98, 0.30, 0.35),
    "talks": (0.87, 0.93, 0.26, 0.31),
    "pays_by_one_card": (0.94, 0.98, 0.30, 0.36),
    "brings_friends": (0.60, 0.74, 0.04, 0.07),
}


@cache
def world(seed: int = 1, users: int = 20_000) -> FraudWorld:
    return simulate_fraud(users=users, seed=seed)


def hits(rule: dict[str, Any], rows: pd.DataFrame) -> NDArray[np.bool_]:
    column, compared, number = rule["when"].split()
    return np.asarray(COMPARED[compared](rows[column].to_numpy(), float(number)))


def votes(rows: pd.DataFrame) -> dict[str, NDArray[np.int64]]:
    return {
        rule["name"]: np.where(hits(rule, rows), DEMO["classes"].index(rule["vote"]), -1)
        for rule in DEMO["functions"]
    }


def test_the_same_seed_is_the_same_world() -> None:
    one, again, other = world(1), simulate_fraud(seed=1), world(2)
    pd.testing.assert_frame_equal(one.rows, again.rows)
    assert one.truth == again.truth
    assert not one.rows["session_minutes"].equals(other.rows["session_minutes"])


def test_the_columns_are_told_apart() -> None:
    rows = world().rows
    groups = (HIDDEN, FEATURES, RULE_COLUMNS, SANCTION_COLUMNS)
    told = [name for group in groups for name in group]
    assert len(set(told)) == len(told)
    assert list(rows.columns) == ["row_id", "week", *told, "sanctioned"]
    assert rows["row_id"].is_unique
    assert not rows.isna().any(axis=None)
    numbers = rows[[*FEATURES, *RULE_COLUMNS, *SANCTION_COLUMNS]]
    assert all(pd.api.types.is_numeric_dtype(kind) for kind in numbers.dtypes)
    assert np.isfinite(numbers).all(axis=None)
    assert (numbers >= 0).all(axis=None)
    assert set(rows["kind"]) == set(KINDS)
    assert set(rows["sanctioned"]) == set(rows["is_fraud"]) == {0, 1}
    assert (rows["is_fraud"] == rows["kind"].isin(BOTS)).all()


@pytest.mark.parametrize("share", [0.0, 0.05, 0.15, 0.5, 1.0])
def test_the_share_of_bots_is_as_asked(share: float) -> None:
    made = simulate_fraud(users=2_000, fraud_share=share)
    assert made.rows["is_fraud"].sum() == 2_000 * share
    assert made.truth["fraud_share"] == share
    assert sum(made.truth["kinds"].values()) == pytest.approx(1)


def test_kinds_have_their_shares() -> None:
    kinds = world().truth["kinds"]
    shares = (0.782, 0.068, 0.078, 0.042, 0.030)
    assert [kinds[kind] for kind in (*HONEST, *BOTS)] == pytest.approx(shares, abs=0.006)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_history_catches_one_kind_of_bot_and_few_others(seed: int) -> None:
    made = world(seed)
    caught = made.truth["sanctioned"]
    assert 0.75 < caught["grinder"] < 0.85
    assert all(0.02 < caught[kind] < 0.16 for kind in ("trader", "spammer"))
    assert 0 < caught["regular"] < 0.005
    assert 0.03 < caught["enthusiast"] < 0.08
    by_kind = made.rows.groupby("kind")["sanctioned"].mean()
    assert caught == by_kind.to_dict()
    history = confusion(made.rows["is_fraud"], made.rows["sanctioned"])
    assert 0.91 < history.precision < 0.97
    assert 0.43 < history.recall < 0.51


def test_the_history_is_a_rule_on_its_columns() -> None:
    rows = world().rows
    hours, moves = (rows[name] for name in SANCTION_COLUMNS)
    assert (rows["sanctioned"] == ((hours >= 15) | (moves >= 3))).all()


def test_rules_read_rule_columns_only_and_are_one_sided() -> None:
    assert DEMO["classes"] == ["honest", "fraud"]
    assert [rule["name"] for rule in DEMO["functions"]] == list(STATED)
    for rule in DEMO["functions"]:
        assert set(rule) == {"name", "vote", "when", "else"}
        assert (rule["else"], rule["vote"] in DEMO["classes"]) == ("abstain", True)
        assert rule["when"].split()[0] in RULE_COLUMNS
    assert {rule["when"].split()[0] for rule in DEMO["functions"]} == set(RULE_COLUMNS)


@pytest.mark.parametrize("seed", SEEDS)
def test_rules_are_as_good_as_stated(seed: int) -> None:
    rows = world(seed).rows
    cast = votes(rows)
    for name, (least, most, narrow, wide) in STATED.items():
        voting = cast[name] >= 0
        assert least < (cast[name] == rows["is_fraud"])[voting].mean() < most, name
        assert narrow < voting.mean() < wide, name
    covered = (np.array(list(cast.values())) >= 0).any(axis=0)
    assert 0.83 < covered.mean() < 0.88


def test_one_rule_is_nearly_a_copy() -> None:
    cast = votes(world().rows)
    one, other = (cast[name] >= 0 for name in ("many_reports", "many_reporters"))
    assert (one & other).sum() / (one | other).sum() > 0.7


@pytest.mark.parametrize("kind", BOTS)
def test_rules_find_each_kind_of_bot(kind: str) -> None:
    rows = world().rows
    found = (np.array(list(votes(rows).values())) == 1).any(axis=0)
    assert found[rows["kind"] == kind].mean() > 0.75
    assert found[rows["is_fraud"] == 0].mean() < 0.13


def test_weeks_drift_a_little() -> None:
    rows = world(users=60_000).rows
    weeks = rows["week"].unique()
    assert list(weeks) == sorted(weeks)
    assert (weeks[0], len(weeks)) == ("2024-03-04", 12)
    early, late = (rows[rows["week"].isin(part)] for part in (weeks[:4], weeks[-4:]))
    assert early["is_fraud"].mean() == pytest.approx(late["is_fraud"].mean(), abs=0.012)
    assert 1.05 < late["reports"].mean() / early["reports"].mean() < 1.25
    traders = [(part["kind"] == "trader").sum() / part["is_fraud"].sum() for part in (early, late)]
    assert 0.04 < traders[1] - traders[0] < 0.13


def test_who_learns_from_the_history_learns_its_mistakes() -> None:
    rows = world().rows
    half = np.random.default_rng(1).random(len(rows)) < 0.5

    def learned(label: str) -> Confusion:
        data = lgb.Dataset(rows.loc[half, list(FEATURES)], rows.loc[half, label])
        options = {"objective": "binary", "learning_rate": 0.1, "num_threads": 1, "seed": 1, "verbose": -1}
        scores = lgb.train(options, data, 80).predict(rows.loc[~half, list(FEATURES)])
        return confusion(rows.loc[~half, "is_fraud"], np.asarray(scores) >= 0.5)

    history, truth = learned("sanctioned"), learned("is_fraud")
    assert history.recall < 0.5
    assert history.f1 < 0.65
    assert 0.88 < truth.f1 < 0.95


@pytest.mark.parametrize(("users", "weeks"), [(1, 1), (1, 12), (40, 1)])
def test_the_smallest_worlds(users: int, weeks: int) -> None:
    assert len(simulate_fraud(users=users, weeks=weeks, seed=5).rows) == users


@pytest.mark.parametrize("wrong", [{"users": 0}, {"weeks": 0}, {"fraud_share": -0.1}, {"fraud_share": 1.1}])
def test_impossible_worlds_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        simulate_fraud(**wrong)
