"""The tables of who sees contents: customers, what there is, what was shown and what came of it; checked."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from firstday import logs
from firstday.errors import DataError
from firstday.parallel import side_by_side
from firstday.ranking.history import facts
from firstday.recommendations.eligibility import read_rules, uses_of
from firstday.settings.bank import TABLES, BankSettings, Table
from firstday.spark.frames import break_lineage, matching
from firstday.spark.local_rows import local_rows
from firstday.tables import Checked, Sources, check
from firstday.tables.horizon import complete_until
from firstday.tables.log import folded
from firstday.tables.meeting import Side, meet
from firstday.tables.read import TEXT_FORMATS
from firstday.tables.reading import has_event_id, noted, reading, said, typed_by_use
from firstday.tables.resends import once
from firstday.tables.schemas import REACTIONS, Contract, Field

REQUIRED: tuple[Table, ...] = ("customers", "categories", "contents")
# What a table holds that is not there, and columns that may be missing.
ABSENT = {
    "impressions": "impression_id string, user_id string, category string, content_id string, slot int, "
    "shown_at timestamp, policy string, propensity double",
    "reactions": "impression_id string, kind string, reacted_at timestamp",
    "eligibility": "category string, rule string",
}
MOST_ACTIONS = 1_000


@dataclass(frozen=True)
class Bank:
    """The tables by name, as `firstday.recommend` takes them; `actions`: app actions that are counted."""

    checked: tuple[Checked, ...]
    tables: Mapping[str, DataFrame]
    actions: tuple[str, ...]
    earliest: datetime | None
    latest: datetime | None

    @cached_property
    def facts(self) -> DataFrame:
        named = {
            name: self.tables.get(name)
            for name in ("impressions", "reactions", "transactions", "holdings", "preferences", "events")
        }
        return break_lineage(facts(**named, actions=self.actions))


def read(
    sources: Sources,
    settings: BankSettings,
    *,
    needed: Sequence[Table],
    actions: Sequence[str] | None = None,
) -> Bank:
    """Open and check the tables. Bad rows go to quarantine. actions: None for those that the settings name.

    Raises SettingsError or DataError where a table of REQUIRED or `needed` is not there, or has no rows.
    """
    now = datetime.now(UTC)

    def checked_one(name: Table) -> Checked | None:
        address = settings.address(name)
        how = reading(settings, name)
        source = sources.find_table(address, name, how) if address else None
        if source is not None and name == "customers":
            kept = {"user_id", "joined_at", "anchored_at", *settings.segment}
            rules = _rules(sources, settings) if source.format in TEXT_FORMATS else []
            free = [each for each in source.columns if each not in kept]
            source, numbers, note = typed_by_use(source, free, uses_of(rules, source.frame))
            checked = check(source, contract(name, source.columns, numbers=numbers), now=now)
            return noted(checked, note)
        if source is not None:
            return check(source, contract(name, source.columns, has_event_id(settings)), now=now)
        if name in (*REQUIRED, *needed) or name in settings.table:
            raise DataError(
                f"there must be the table {name}",
                value=address or "nowhere",
                next_step=f"check --tables, or say where it is with --set table.{name}=...",
            )
        return None

    opened = side_by_side(*(partial(checked_one, name) for name in TABLES))
    found = {name: one for name, one in zip(TABLES, opened, strict=True) if one is not None}
    sources.quarantine(*found.values(), max_bad_share=settings.max_bad_share)
    for name in (*REQUIRED, *needed):
        if found[name].profile.rows == found[name].profile.bad_rows:
            raise DataError(f"{name} must have rows", value=found[name].source.source)
    _settle(found, settings)
    said(*found.values())
    tables: dict[str, DataFrame] = {name: completed(name, checked.good) for name, checked in found.items()}
    for missing, schema in ABSENT.items():
        tables.setdefault(missing, local_rows(sources.spark, [], schema))
    timed: tuple[Table, ...] = ("impressions", "reactions", "transactions", "events")
    earliest = found["impressions"].profile.earliest if "impressions" in found else None
    end = complete_until([found[name] for name in timed if name in found])
    latest = end.at if end else None
    if end and end.note and getattr(settings, "now", None) is None:
        logs.log.info(end.note.replace("--horizon", "--set now=..."))
    counted = _actions(tables.get("events"), settings.actions) if actions is None else tuple(actions)
    return Bank(tuple(found.values()), tables, counted, earliest, latest)


def _rules(sources: Sources, settings: BankSettings) -> list[str]:
    """The conditions of the table eligibility, as they are written; none where there is no such table."""
    address = settings.address("eligibility")
    how = reading(settings, "eligibility")
    source = sources.find_table(address, "eligibility", how) if address else None
    if source is None:
        return []
    rows = check(source, contract("eligibility", source.columns), now=datetime.now(UTC)).good
    return [rule for _, rule in read_rules(rows)]


def _settle(found: dict[Table, Checked], settings: BankSettings) -> None:
    """What was delivered twice, once; and the ids of what belongs together must meet."""
    limit = settings.max_bad_share
    if "events" in found:
        events = folded(found["events"], settings.fold_actions)
        found["events"] = once(events, "event_id", ["user_id", "action"], max_bad_share=limit)
    if "impressions" in found:
        of = ["user_id", "category", "content_id"]
        found["impressions"] = once(found["impressions"], "impression_id", of, max_bad_share=limit)
    customers = Side(found["customers"], "user_id")
    for name in ("impressions", "transactions", "events"):
        if name in found:
            found[name] = noted(found[name], meet(customers, Side(found[name], "user_id")))
    if {"impressions", "reactions"} <= found.keys():
        shown, reacted = (Side(found[name], "impression_id") for name in ("impressions", "reactions"))
        found["reactions"] = noted(found["reactions"], meet(shown, reacted))


def contract(
    name: str, columns: Sequence[str], with_id: bool = True, numbers: Collection[str] = ()
) -> Contract:
    """What the table `name` must hold. columns: that it has; those of customers are all handed on, `numbers`
    as such. with_id: whether events may have an id.
    """
    at = ("joined_at", "anchored_at")
    user, category = Field("user_id", "id"), Field("category", "text")
    fields: dict[str, tuple[Field, ...]] = {
        "customers": (
            user,
            *(
                Field(
                    each, "instant" if each in at else "number" if each in numbers else "any", nullable=True
                )
                for each in columns
                if each != "user_id"
            ),
        ),
        "categories": (
            category,
            Field("category_group", "text", nullable=True, optional=True),
            Field("weight", "number", nullable=True, optional=True, low=0),
        ),
        "eligibility": (category, Field("rule", "text")),
        "contents": (
            Field("content_id", "id"),
            category,
            Field("starts_at", "instant", future=True),
            Field("ends_at", "instant", nullable=True, optional=True, future=True),
        ),
        "holdings": (
            user,
            category,
            Field("since", "instant"),
            Field("until", "instant", nullable=True, optional=True, future=True),
        ),
        "transactions": (
            user,
            category,
            Field("occurred_at", "instant"),
            Field("amount", "number", nullable=True, optional=True),
        ),
        "preferences": (
            user,
            category,
            Field("stated_at", "instant"),
            Field("strength", "number", low=-1, high=1),
        ),
        "impressions": (
            Field("impression_id", "id"),
            user,
            category,
            Field("content_id", "id"),
            Field("slot", "number", low=1, high=100),
            Field("shown_at", "instant"),
            Field("policy", "text", nullable=True, optional=True),
            Field("propensity", "number", nullable=True, optional=True),
        ),
        "reactions": (
            Field("impression_id", "id"),
            Field("kind", "text", choices=REACTIONS),
            Field("reacted_at", "instant"),
        ),
        "events": (
            user,
            Field("action", "text"),
            Field("occurred_at", "instant"),
            *([Field("event_id", "id", nullable=True, optional=True)] if with_id else []),
        ),
    }
    unique = {"customers": "user_id", "categories": "category", "contents": "content_id"}
    return Contract(name, fields[name], unique.get(name))


def completed(name: str, rows: DataFrame) -> DataFrame:
    """With the columns that may be missing, null or as documented."""
    there = set(rows.columns)
    defaults = {
        "categories": {"category_group": F.col("category"), "weight": F.lit(1.0)},
        "contents": {"ends_at": F.lit(None).cast("timestamp")},
        "holdings": {"until": F.lit(None).cast("timestamp")},
        "transactions": {"amount": F.lit(None).cast("double")},
        "impressions": {
            "policy": F.lit(None).cast("string"),
            "propensity": F.lit(None).cast("double"),
        },
    }.get(name, {})
    filled = rows.withColumns({key: value for key, value in defaults.items() if key not in there})
    if name == "categories":
        filled = filled.withColumns(
            {
                "category_group": F.coalesce("category_group", "category"),
                "weight": F.coalesce("weight", F.lit(1.0)),
            }
        )
    return filled.withColumn("slot", F.col("slot").cast("int")) if name == "impressions" else filled


def _actions(events: DataFrame | None, patterns: Sequence[str]) -> tuple[str, ...]:
    """The app actions to count, sorted."""
    if events is None or not patterns:
        return ()
    names = sorted(row[0] for row in events.select("action").distinct().limit(MOST_ACTIONS).collect())
    return tuple(sorted(matching(names, patterns, "--actions")))
