"""What must not be shown: as plain Python has it, in any order of rows; rules are checked beforehand."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from firstday.errors import SettingsError
from firstday.recommendations.eligibility import check_rules, read_rules
from firstday.recommendations.filters import blocked, blocked_rows, counts
from firstday.spark.frames import break_lineage
from tests.recommendations.bank_worlds import (
    CATEGORIES,
    NOW,
    RULES,
    Bank,
    ago,
    by_hash,
    categories_of,
    contents_of,
    customers_of,
    facts_of,
    random_bank,
)


def blocked_of(spark: SparkSession, bank: Bank, seed: int = 0) -> DataFrame:
    customers = by_hash(customers_of(spark, bank), seed)
    return blocked(
        customers,
        categories_of(spark),
        by_hash(contents_of(spark), seed),
        by_hash(facts_of(spark, bank.all_facts()), seed),
        NOW,
        eligibility=check_rules(RULES, customers, CATEGORIES),
        fatigue=bank.fatigue,
    )


def expected_of(bank: Bank) -> dict[tuple[str, str], Any]:
    pairs = [(user, category) for user, *_ in bank.customers for category in CATEGORIES]
    return {pair: told for pair in pairs if (told := bank.reason(*pair))}


@pytest.mark.parametrize("seed", [2, 3])
def test_as_plain_python(spark: SparkSession, seed: int) -> None:
    bank = random_bank(seed, customers=40)
    expected = expected_of(bank)
    found = break_lineage(blocked_of(spark, bank, seed))
    rows = blocked_rows(found).selectExpr("*", "unix_micros(until) as micros").collect()
    assert {(row["user_id"], row["category"]): row["reason"] for row in rows} == {
        pair: reason for pair, (reason, _) in expected.items()
    }
    assert len(rows) == len(expected)
    for row in rows:
        if row["reason"].startswith("resting"):
            until = expected[row["user_id"], row["category"]][1]
            assert row["micros"] == round(until.timestamp() * 1e6)
    told = {
        row["reason"]: (row["pairs"], row["customers"])
        for row in counts(found, categories_of(spark)).collect()
    }
    assert told == figures(bank, expected)


def figures(bank: Bank, expected: dict[tuple[str, str], Any]) -> dict[str, tuple[int, int]]:
    users, size = [user for user, *_ in bank.customers], len(CATEGORIES)
    of_user = Counter(user for user, _ in expected)
    pairs = Counter(reason for reason, _ in expected.values())
    customers = Counter({(user, reason) for (user, _), (reason, _) in expected.items()})
    by_reason = Counter(reason for _, reason in customers)
    found = {reason: (count, by_reason[reason]) for reason, count in pairs.items()}
    found["all"] = (len(users) * size, len(users))
    left = [size - of_user[user] for user in users]
    found["allowed"] = (sum(left), sum(each > 0 for each in left))
    if 0 in left:
        found["nothing allowed"] = (left.count(0) * size, left.count(0))
    return found


def test_holdings_by_hand(spark: SparkSession) -> None:
    day = timedelta(days=1)
    cases: dict[str, tuple[list[tuple[Any, Any]], Any]] = {
        "since now": ([(NOW, None)], ("held", None)),
        "from tomorrow": ([(NOW + day, None)], None),
        "until now": ([(ago(5), NOW)], None),
        "until tomorrow": ([(ago(5), NOW + day)], ("held", NOW + day)),
        "twice, one over": ([(ago(9), ago(5)), (ago(7), None)], ("held", None)),
        "twice, both over": ([(ago(9), ago(5)), (ago(7), ago(6))], None),
        "two ends": ([(ago(9), NOW + day), (ago(7), NOW + 2 * day)], ("held", NOW + 2 * day)),
        "open, and a later one": ([(ago(9), None), (NOW + day, NOW + 2 * day)], ("held", None)),
    }
    holdings = [(user, "a", *each) for user, (rows, _) in cases.items() for each in rows]
    bank = Bank([(user, 40, "north") for user in cases], [], holdings)
    rows = blocked_rows(blocked_of(spark, bank)).where("category = 'a'")
    found = {
        row[0]: tuple(row[1:])
        for row in rows.selectExpr("user_id", "reason", "unix_seconds(until)").collect()
    }
    assert found == {
        user: (told[0], told[1] and int(told[1].timestamp())) for user, (_, told) in cases.items() if told
    }


def test_strangers_and_unknown_categories_are_passed_over(spark: SparkSession) -> None:
    facts = [
        ("u", "z", "dismiss", ago(1)),
        ("stranger", "a", "dismiss", ago(1)),
        ("u", "a", "dismiss", ago(1)),
    ]
    found = break_lineage(blocked_of(spark, Bank([("u", 40, "north")], facts, [])))
    assert [(row[0], row[1]) for row in blocked_rows(found).collect()] == [("u", "a"), ("u", "f"), ("u", "g")]


def test_no_customers_no_facts_no_contents(spark: SparkSession) -> None:
    assert blocked_of(spark, Bank([], [], [])).collect() == []
    customers = customers_of(spark, Bank([("u", None, None)], [], []))
    none = contents_of(spark).limit(0)
    told = break_lineage(
        blocked(
            customers,
            categories_of(spark),
            none,
            facts_of(spark, []),
            NOW,
            eligibility=check_rules([], customers, CATEGORIES),
        )
    )
    reasons = [row["reason"] for row in blocked_rows(told).collect()]
    assert reasons == ["no_content"] * len(CATEGORIES)
    [row] = counts(told, categories_of(spark)).where("reason = 'nothing allowed'").collect()
    assert row["customers"] == 1


@pytest.mark.parametrize(
    ("category", "rule", "told"),
    [
        ("b", "aeg > 18", "of the category 'b'.*Did you mean 'age'"),
        ("b", "age", "of the category 'b'.*boolean"),
        ("b", "age >", "of the category 'b'.*one SQL expression"),
        ("b", "rand() > 0.5", "of the category 'b'"),
        ("b", "age > (select 1)", "of the category 'b'"),
        ("b", "current_date() > date'2024-01-01'", "of the category 'b'"),
        ("carrds", "age > 18", "of the category 'carrds'.*one of the categories"),
    ],
)
def test_wrong_rules_are_told_before_anything_runs(
    spark: SparkSession, category: str, rule: str, told: str
) -> None:
    customers = customers_of(spark, Bank([], [], []))
    with pytest.raises(SettingsError, match=told):
        check_rules([("a", "age > 1"), (category, rule)], customers, CATEGORIES)


def test_rules_are_read_from_their_table(spark: SparkSession) -> None:
    table = spark.createDataFrame(list(RULES), "category string, rule string")
    assert sorted(read_rules(table)) == sorted(RULES)
