"""The number of slots: examination as it was simulated, what lists of N earn, re-entries, the rule."""

from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from firstday.errors import DataError
from firstday.ranking.examples import KEY, LIST, TIE
from firstday.ranking.slot_count import COMPARED, DRAWN, LEAST_GAIN, refuse_unseen, slot_count
from firstday.ranking.slot_sums import BINS, GROUPS, Reentry, SlotSums, shown, slot_sums
from firstday.simulation.bank import simulate_bank
from firstday.simulation.bank_clicks import EXAMINED

LOG = (
    "impression_id string, user_id string, shown_at timestamp, slot int, policy string, propensity double, "
    "clicked double, score double"
)
START = datetime(2024, 5, 1, tzinfo=UTC)
NOBODY = Reentry(0, 0.0, 0.0, 0.0)


def by_spark(spark: SparkSession, log: pd.DataFrame, measured_from: int = 0) -> SlotSums:
    """log: user, second, slot, click (0 or 1), score [, propensity, policy]; measured from a second on."""
    given = pd.DataFrame(
        {
            "impression_id": [f"i{number}" for number in log.index],
            "user_id": "u" + log["user"].astype(str),
            "shown_at": START + pd.to_timedelta(log["second"], unit="s"),
            "slot": log["slot"].astype("int32"),
            "policy": log.get("policy", "p"),
            "propensity": log.get("propensity", np.nan),
            "clicked": log["click"].astype(float),
            "score": log["score"].astype(float),
        }
    )
    rows = spark.createDataFrame(given, LOG).replace(float("nan"), None, ["propensity"])
    later = rows.where(rows["shown_at"] >= START + pd.Timedelta(seconds=measured_from))
    return slot_sums(rows.drop("score"), _measured(later), "score")


def _measured(rows: DataFrame) -> DataFrame:
    return rows.selectExpr(
        f"impression_id {KEY}",
        f"xxhash64(user_id, shown_at) {LIST}",
        f"xxhash64(impression_id) {TIE}",
        "score",
    )


def by_pandas(log: pd.DataFrame) -> SlotSums:
    """The sums of a log without draws, said again."""
    rows = log.assign(
        group=log["user"] % GROUPS,
        bin=1 + (log["score"].rank(pct=True) * BINS).astype(int).clip(upper=BINS - 1),
        place=log.groupby(["user", "second"])["score"].rank(ascending=False, method="first").astype(int),
    )
    compared = rows.groupby(["group", "bin", "slot"], as_index=False).agg(
        shown=("click", "size"), clicks=("click", "sum")
    )
    return SlotSums(
        clicks=dict(log.groupby("slot")["click"].sum().astype(float)),
        drawn=pd.DataFrame(columns=["group", "slot", "weight", "clicks_w", "clicks_w2"], dtype=float),
        compared=compared.astype({"clicks": float}),
        places=rows.groupby(["group", "bin", "place"], as_index=False).agg(lists=("click", "size")),
        reentry=NOBODY,
    )


def invented(seed: int, lists: int, *, examined: tuple[float, ...], customers: int = 500) -> pd.DataFrame:
    """Lists of `examined` slots, the best on top as a rule: where a row stands tells how good it is."""
    draw = np.random.default_rng(seed)
    slots = len(examined)
    rate = 0.4 * draw.beta(1, 3, (lists, slots))
    order = np.argsort(-rate * draw.lognormal(0, 0.7, rate.shape), axis=1)
    rate = np.take_along_axis(rate, order, axis=1)
    click = draw.random(rate.shape) < rate * np.array(examined)
    return pd.DataFrame(
        {
            "user": np.repeat(draw.integers(0, customers, lists), slots),
            "second": np.repeat(np.arange(lists) * 60, slots),
            "slot": np.tile(np.arange(1, slots + 1), lists),
            "click": click.ravel(),
            "score": np.log(rate).ravel(),  # of any scale
            "rate": rate.ravel(),
        }
    )


@pytest.fixture(scope="module")
def bank(spark: SparkSession) -> SimpleNamespace:
    """The log of the simulated bank's old policy, which draws every slot, and its sums.

    The score is the category's click rate, and the last week is measured on.
    """
    played = simulate_bank(customers=1_000, seed=2).exposures()
    log = pd.DataFrame({name: played[name] for name in ("user", "second", "slot", "category", "propensity")})
    log["click"] = played["click"] > 0
    log["score"] = log.groupby("category")["click"].transform("mean")
    return SimpleNamespace(log=log, sums=by_spark(spark, log, 49 * 86_400))


def test_the_banks_examination_is_found_by_its_draws(bank: SimpleNamespace) -> None:
    found = slot_count(bank.sums)
    assert found.way == DRAWN
    table = found.table.set_index("slots")
    truth = np.array(EXAMINED[:4])
    assert (table["examination_low"] <= truth).all()
    assert (truth <= table["examination_high"]).all()
    # A rough figure, but one that tells the fourth slot from the first.
    assert (table["examination_high"][1:] / table["examination_low"][1:] < 3).all()
    assert table["examination_high"][4] < 0.9
    # The weighted click rates, said again in pandas.
    weight = 1 / bank.log["propensity"]
    slot = bank.log["slot"]
    rates = (weight * bank.log["click"]).groupby(slot).sum() / weight.groupby(slot).sum()
    np.testing.assert_allclose(table["examination"], rates / rates[1])


def test_re_entries(bank: SimpleNamespace) -> None:
    log, found = bank.log, bank.sums.reentry
    lists = log.drop_duplicates(["user", "second"])
    days = lists.assign(day=lists["second"] // 86_400).drop_duplicates(["user", "day"])
    weeks = (log["second"].max() - log["second"].min()) / 86_400 / 7
    assert found.customers == log["user"].nunique()
    assert found.lists_per_day == pytest.approx(len(lists) / len(days))
    assert found.lists_per_week == pytest.approx(len(lists) / found.customers / weeks)
    assert found.exposures_per_week == pytest.approx(len(log) / found.customers / weeks)
    told = slot_count(bank.sums)
    assert f"{found.lists_per_day:.2f} lists on a day" in " ".join(told.notes)
    assert told.metrics["slots.exposures_per_week"] == found.exposures_per_week


def test_rows_of_one_score_are_compared() -> None:
    truth = np.array((1.0, 0.7, 0.4))
    log = invented(3, 20_000, examined=(1.0, 0.7, 0.4))
    found = slot_count(by_pandas(log))
    assert found.way == COMPARED
    table = found.table
    naive = log.groupby("slot")["click"].mean()
    assert naive[3] / naive[1] < 0.2
    assert (table["examination_low"] <= truth).all()
    assert (truth <= table["examination_high"]).all()
    np.testing.assert_allclose(table["examination"], truth, atol=0.08)
    # What lists of the best 1, 2, 3 would earn, by the truth.
    place = log.groupby("second")["rate"].rank(ascending=False, method="first")
    earned = (log["rate"].groupby(place).mean().to_numpy() * truth).cumsum()
    np.testing.assert_allclose(table["clicks_per_list"], earned, rtol=0.06)
    np.testing.assert_allclose(table["expected_click_rate"], earned / (1, 2, 3), rtol=0.06)
    np.testing.assert_allclose(table["last_slot_click_rate"].cumsum(), table["clicks_per_list"])
    # The third adds too little.
    assert (np.diff(earned) / earned[:-1] > LEAST_GAIN).tolist() == [True, False]
    assert found.recommended == 2
    assert table["recommended"].tolist() == [False, True, False]


def test_intervals_cover() -> None:
    """95 of 100 are expected; fewer than 88 happen in 1 of 500."""
    truth, covered, width = (1.0, 0.6), np.zeros(2), np.zeros(2)
    for seed in range(100):
        log = invented(seed, 2_000, examined=truth, customers=80)
        table = slot_count(by_pandas(log)).table
        best = log.groupby("second")["rate"].max().mean()
        worst = log.groupby("second")["rate"].min().mean()
        told = [(best + 0.6 * worst) / 2, 0.6]
        bounds = table.loc[1, ["low", "examination_low", "high", "examination_high"]].to_numpy(float)
        covered += (bounds[:2] <= told) & (told <= bounds[2:])
        width += bounds[2:] / bounds[:2] / 100
    assert (covered >= 88).all()
    assert (width < 1.8).all()


def test_policies_that_do_not_draw_in_every_slot_take_no_part(spark: SparkSession) -> None:
    log = invented(4, 600, examined=(1.0, 0.8))
    whole, part, none = log["user"] % 3 == 0, log["user"] % 3 == 1, log["user"] % 3 == 2
    log["policy"] = np.select([whole, part], ["whole", "part"], "none")
    log["propensity"] = np.select([whole, part & (log["slot"] == 2)], [0.5, 0.1], np.nan)
    # A slip takes no policy out.
    log = pd.concat([log, log[whole].head(1).assign(slot=7)], ignore_index=True)
    sums = by_spark(spark, log)
    assert none.any()
    drawn = sums.drawn.groupby("slot")["weight"].sum()
    assert drawn.to_dict() == {1: 2 * whole.sum() / 2, 2: 2 * whole.sum() / 2}
    # The same bins, places and sums as in pandas, but for the groups.
    expected = by_pandas(log)
    for name, keys in (("compared", ["bin", "slot"]), ("places", ["bin", "place"])):
        frames = (getattr(each, name) for each in (sums, expected))
        own, other = (frame.groupby(keys).sum().drop(columns="group") for frame in frames)
        assert own.sum().tolist() == other.sum().tolist()
        assert (own - other).abs().max().max() <= 3  # at an edge


def test_partitions_and_the_order_of_rows_change_nothing(spark: SparkSession) -> None:
    log = invented(7, 400, examined=(1.0, 0.8)).assign(score=lambda rows: rows["score"].round())
    log["propensity"] = 1 / 3
    other = by_spark(spark.newSession(), log.sample(frac=1, random_state=1))
    one = by_spark(spark, log)
    pd.testing.assert_frame_equal(slot_count(one).table, slot_count(other).table)


def test_what_the_log_does_not_tell() -> None:
    log = invented(5, 4_000, examined=(1.0, 0.5, 0.001, 0.5))
    found = slot_count(by_pandas(log))
    assert (found.most_slots, found.unclear) == (2, 2)
    assert any("slots from 3 on" in note for note in found.notes)
    refuse_unseen(2, found.most_slots)
    with pytest.raises(DataError, match="known for 2"):
        refuse_unseen(3, found.most_slots)
    none = slot_count(by_pandas(log.assign(click=0)))
    assert none.recommended is None
    assert none.table.empty
    assert none.metrics["slots.recommended"] is None
    # Where one score is always on top, slots and scores cannot be told apart.
    on_top = slot_count(by_pandas(log.assign(score=-log["slot"])))
    assert on_top.most_slots == 1
    # Three customers are not enough for an interval.
    few = slot_count(by_pandas(invented(6, 400, examined=(1.0, 0.8), customers=3))).table
    assert few["examination_low"].isna().all()
    assert few["expected_click_rate"].notna().all()


def test_what_was_shown(spark: SparkSession) -> None:
    impressions = spark.createDataFrame(
        [
            ("i1", "u", START, 1, None, 0.5),
            ("i2", "u", START, 2, "p", None),
            ("i3", "u", datetime(2024, 6, 1, tzinfo=UTC), 1, "p", None),
        ],
        LOG.split(", clicked")[0],
    )
    reactions = spark.createDataFrame(
        [("i1", "click"), ("i1", "click"), ("i2", "dismiss"), ("i2", "join"), ("gone", "click")],
        "impression_id string, kind string",
    )
    found = shown(impressions, reactions, datetime(2024, 6, 1, tzinfo=UTC)).orderBy("slot").collect()
    assert [(row["impression_id"], row["policy"], row["clicked"]) for row in found] == [
        ("i1", "", 1.0),
        ("i2", "p", 0.0),
    ]
