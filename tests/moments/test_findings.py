"""The last step: the halves, the hypothesis and the small tables, found or not."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from firstday.moments import findings
from firstday.moments.analyse import Plan, analyse_segment
from firstday.moments.choose import MOMENT, NONE
from firstday.moments.evidence import ActionEvidence
from firstday.moments.families import Families
from firstday.moments.findings import Findings, find
from firstday.moments.outputs import TABLES, typed
from firstday.moments.products import scaled_log
from firstday.moments.split import split
from firstday.settings import DiscoverSettings
from tests import oracle
from tests.oracle import START, User

ACTIONS = ("ask", "it's", "like", "search")
DATES, CAUSE = 20, "it's"
SETTINGS = DiscoverSettings(
    users="u", events="e", out="o", days=(1,), choose_share=0.7, min_dates=10, min_users=20
)
UNTIL = START + timedelta(days=13)


def made_up(number: int = 3_000) -> list[User]:
    """Engagement drives all but it's, which alone keeps users; on the last date nobody's day is known."""
    draw = np.random.default_rng(4)
    made = []
    for user in range(number):
        engaged, place = draw.normal(), user % DATES
        rate = np.exp(engaged * np.array([0.8, 0.0, 0.8, 0.8]) - 0.3)
        counts = {action: int(n) for action, n in zip(ACTIONS, draw.poisson(rate), strict=True) if n}
        logit = -1 + 0.5 * engaged + 1.5 * (counts.get(CAUSE, 0) >= 2)
        known = {1: bool(draw.random() < 1 / (1 + np.exp(-logit)))} if place < DATES - 1 else {}
        made.append(User(START + timedelta(days=place), (), counts, known))
    return made


def found(spark: SparkSession, users: list[User]) -> Findings:
    schema = oracle.histogram_schema((), (1,))
    rows = oracle.histogram(users, (1,))
    names = [column.split()[0] for column in schema.split(", ")]
    frame = pd.DataFrame(rows, columns=names).assign(segment="all", stratum="")
    frame["early"] = frame["anchor_date"] <= UNTIL
    plan = Plan((1,), UNTIL, min_users=20, min_dates=10, resamples=0)
    halves = analyse_segment(frame, oracle.with_level_sums(frame, plan.days), plan)
    dates = pd.Series([user.anchor_date for user in users if user.retained])
    cohorts = dates.value_counts().rename_axis("anchor_date").reset_index(name="matured_d1")
    cohorts["users"] = cohorts["matured_d1"]
    counts = spark.createDataFrame(rows, schema)
    parts = split(cohorts, 1, SETTINGS.choose_share)
    assert parts.until == UNTIL
    return find(counts, products(spark, users), halves, parts, SETTINGS, cohorts)


def products(spark: SparkSession, users: list[User]) -> DataFrame:
    known = [user for user in users if user.retained]
    rows = oracle.product_rows(
        ACTIONS,
        scaled_log(np.array([[user.counts.get(action, 0) for action in ACTIONS] for user in known])),
        np.array([int(user.retained[1]) for user in known]),
        np.array([(user.anchor_date - START).days for user in known]),
        [None] * len(known),
        dict.fromkeys(range(DATES), ACTIONS),
    )
    columns = ["anchor_date", "users", "retained", "actions", "sum_x", "sum_xr", "sum_xx"]
    schema = "anchor_date date, users long, retained long, actions array<string>, "
    schema += "sum_x array<long>, sum_xr array<long>, sum_xx array<long>, day int"
    return spark.createDataFrame([(*row, 1) for row in rows[columns].itertuples(index=False)], schema)


def convincing(*_: object, **__: object) -> ActionEvidence:
    """it's is a cause, and search leads to it."""
    zero, one = np.zeros(4), np.ones(4)
    lead = zero[:, None] * zero
    lead[3, 1] = 0.4
    return ActionEvidence(
        actions=ACTIONS, factors=1, families=Families(np.array([0, 1, 2, 1]), lead, anchorless=False),
        observed=zero, expected=zero, effect=one / 10, effects=np.array([0.1, 0.3]),
        effect_weights=np.full((4, 2), 0.5), within_factor=one * 9, trend_effect=zero, trend_error=one,
        trend_factor=one * 9, p_cause=np.array([0.01, 0.9, 0.01, 0.02]), p_trait=0.02, p_none=0.04,
        cause_share=0.5, passing_on=0.8,
    )  # fmt: skip


@pytest.fixture(scope="module")
def users() -> list[User]:
    return made_up()


@pytest.fixture
def moment(spark: SparkSession, users: list[User], monkeypatch: pytest.MonkeyPatch) -> Findings:
    """Found with evidence that convinces: four actions and 3,000 users are too few for the real one."""
    monkeypatch.setattr(findings, "assess", convincing)
    return found(spark, users)


def typed_tables(told: Findings) -> dict[str, list[dict[str, object]]]:
    """As they are written."""
    written = {}
    for name, frame in told.tables().items():
        rows, schema = typed(frame, TABLES[name])
        written[name] = [dict(zip(schema.names, row, strict=True)) for row in rows]
    return written


def test_a_moment_is_told_in_full(moment: Findings, users: list[User]) -> None:
    assert moment.choice.verdict == MOMENT
    tables = typed_tables(moment)
    (told,) = tables["hypotheses"]
    assert (told["verdict"], told["action"], told["threshold"], told["day"]) == (MOMENT, CAUSE, 2, 1)
    assert told["sentence"] == "within 24 h of sign-up, did it's at least 2 times"
    assert r"it\'s" in str(told["sql"])
    missing = {"too_little", "more_needed", "help"}  # of a run that has found nothing
    assert {name for name, value in told.items() if value is None} == missing
    known = [user for user in users if user.retained]
    early = [user for user in known if user.anchor_date <= UNTIL]
    assert (told["choosing_users"], told["choosing_dates"]) == (len(early), 14)
    assert (told["later_users"], told["later_dates"]) == (len(known) - len(early), 5)
    assert told["choosing_last"] == UNTIL
    later = [user for user in users if user.retained and user.anchor_date > UNTIL]
    reached = [user.retained[1] for user in later if user.counts.get(CAUSE, 0) >= 2]
    assert told["precision"] == pytest.approx(np.mean(reached))
    assert told["recall"] == pytest.approx(sum(reached) / sum(user.retained[1] for user in later))
    assert told["baseline"] == pytest.approx(np.mean([user.retained[1] for user in later]))
    first, second = tables["shortlist"]
    assert (first["rank"], first["action"], first["threshold"]) == (1, CAUSE, 2)
    assert (second["rank"], second["action"], second["family"]) == (2, "search", "search, it's")
    assert first["p_works"] == pytest.approx(0.9)
    assert second["p_works"] == pytest.approx(0.02 + 0.8 * 0.9)
    (row, _) = moment.shortlist.itertuples()
    assert row.effect_low <= row.effect <= row.effect_high
    assert row.expected_gain == pytest.approx(0.9 * row.lift)
    assert first["days_needed"] == told["days_needed"]
    assert tables["action_links"] == [{"leader": "search", "follower": CAUSE, "day": 1, "lead": 0.4}]
    assert {row["action"] for row in tables["action_evidence"]} == set(ACTIONS)
    assert len(tables["action_evidence"]) == 4
    # An interval of ±1.96 on log(1 + count) would hold every effect there can be.
    slopes = ("trend_effect", "trend_low", "trend_high")
    assert {row[name] for row in tables["action_evidence"] for name in slopes} == {None}
    assert [row["verdict"] for row in tables["action_evidence"] if row["action"] == CAUSE] == ["chosen"]
    assert tables["funnel"][0]["candidates"] == len(moment.verdicts)
    assert (moment.verdicts["verdict"] == "chosen").sum() == 1


def test_its_trend_is_that_of_all_dates(moment: Findings, users: list[User]) -> None:
    rows = moment.trends[moment.trends["action"] == CAUSE]
    assert set(rows["threshold"]) == {2}
    assert len(rows) == DATES - 1  # nobody's day is known on the last one
    for row in rows.itertuples():
        those = [user for user in users if user.anchor_date == row.anchor_date]
        reached = [user for user in those if user.counts.get(CAUSE, 0) >= 2]
        both = sum(user.retained[1] for user in reached)
        retained = sum(user.retained[1] for user in those)
        assert (row.users, row.experienced, row.retained, row.both) == (
            len(those),
            len(reached),
            retained,
            both,
        )
        assert row.share == pytest.approx(len(reached) / len(those))
        assert row.retention == pytest.approx(retained / len(those))


def test_no_moment_is_told_with_its_reason(spark: SparkSession) -> None:
    """Retention is drawn anew: nothing is tied to it."""
    draw = np.random.default_rng(8)
    users = [User(u.anchor_date, (), u.counts, {1: bool(draw.random() < 0.4)}) for u in made_up(800)]
    told = found(spark, users)
    tables = typed_tables(told)
    (hypothesis,) = tables["hypotheses"]
    assert (hypothesis["verdict"], hypothesis["action"], hypothesis["sql"]) == (NONE, None, None)
    assert hypothesis["reason"]
    assert hypothesis["help"]
    assert tables["moment_trends"]  # of the best known ones
    assert set(told.verdicts["verdict"]) == {"dropped"}


def test_where_nobody_did_anything_the_tables_are_empty(spark: SparkSession) -> None:
    users = [User(START + timedelta(days=n % DATES), (), {}, {1: True}) for n in range(100)]
    told = found(spark, users)
    assert told.choice.verdict == NONE
    tables = typed_tables(told)
    assert len(tables["hypotheses"]) == 1
    assert tables["action_evidence"] == tables["moment_trends"] == tables["shortlist"] == []
