"""Who may have what: rules of users in SQL, all checked before anything runs, then one projection."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from operator import and_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from firstday.errors import LimitError, SettingsError
from firstday.expressions.builtins import nearest
from firstday.expressions.conditions import Condition, Conditions, check_conditions, refuse_mixed
from firstday.expressions.uses import Uses

MOST_RULES = 10_000  # that reach the driver
Rule = tuple[str, str]  # category and condition


@dataclass(frozen=True)
class Eligibility:
    """Checked rules by category; a category without one is for everybody."""

    rules: Mapping[str, tuple[Column, ...]]

    @property
    def ineligible(self) -> Column:
        """The categories that a customer may not have, array<string>, without null.

        All rules of a category must hold. A rule that is null for a customer, since a value is unknown, does
        not hold: nobody is offered what they might not get.
        """
        refused = [
            F.when(F.coalesce(reduce(and_, rules), F.lit(False)), None).otherwise(F.lit(category))
            for category, rules in self.rules.items()
        ]
        return F.array_compact(F.array(*refused)) if refused else F.array().cast("array<string>")


def check_rules(rules: Iterable[Rule], customers: DataFrame, categories: Sequence[str]) -> Eligibility:
    """Check the rules against the customers' schema; nothing runs.

    Raises SettingsError that names the category and what is wrong: a rule that is no condition over the
    customers' columns, or one of a category that there is not, which would leave another without a rule.
    """
    conditions = Conditions(customers)
    known = set(categories)
    checked: dict[str, Condition] = {}
    of_category = defaultdict(list)
    for place, (category, text) in enumerate(sorted(set(rules)), start=1):
        label = f"eligibility rule {place}, of the category {category!r}"
        if category not in known:
            near = nearest(category, known)
            raise SettingsError(
                f"{label}: its category must be one of the categories",
                value=category,
                next_step=f"did you mean {' or '.join(map(repr, near))}?" if near else "check the name",
            )
        checked[label] = conditions.condition(label, text)
        refuse_mixed(label, checked[label].uses, customers.schema)
        of_category[category].append(checked[label].column)
    check_conditions(customers, checked)
    return Eligibility({category: tuple(columns) for category, columns in of_category.items()})


def uses_of(rules: Iterable[str], customers: DataFrame) -> Uses:
    """As what the conditions use the customers' columns; those that cannot be read are for `check_rules`."""
    conditions, found = Conditions(customers), Uses()
    for text in set(rules):
        with suppress(SettingsError):
            found.add(conditions.condition("rule", text).uses)
    return found


def read_rules(eligibility: DataFrame) -> list[Rule]:
    """The rows of the table `eligibility` (category, rule), which is small.

    Raises LimitError above MOST_RULES.
    """
    rows = eligibility.select("category", "rule").limit(MOST_RULES + 1).collect()
    if len(rows) > MOST_RULES:
        raise LimitError(
            f"at most {MOST_RULES:,} eligibility rules", next_step="join the rules of a category with AND"
        )
    return [(row["category"], row["rule"]) for row in rows]
