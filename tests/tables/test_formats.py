"""The exports of common tools, as their vendors publish the schemas; and one table in every form of file."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from firstday.errors import SettingsError
from firstday.settings import DiscoverSettings
from firstday.tables import check, open_input
from firstday.tables.reading import reading
from firstday.tables.schemas import Contract, Field, events

NOW = datetime(2024, 6, 1, tzinfo=UTC)
AT = datetime(2024, 3, 1, 10, 0, 5, tzinfo=UTC)

# One event of each export, with the fields that the vendor's page on the schema names.
GA4 = {
    "event_date": "20240301",
    "event_timestamp": 1709287205000000,
    "event_name": "add_to_cart",
    "event_params": [
        {"key": "page_location", "value": {"string_value": "https://shop.example/a", "int_value": None}},
        {"key": "ga_session_id", "value": {"string_value": None, "int_value": 1709287000}},
    ],
    "user_id": None,
    "user_pseudo_id": "1234.5678",
    "geo": {"country": "Germany", "city": "Berlin"},
    "platform": "WEB",
}
POSTHOG = {
    "uuid": "018d-77",
    "event": "add_to_cart",
    "properties": json.dumps({"page_location": "https://shop.example/a"}),
    "distinct_id": "anonymous-9",
    "person_id": "1234.5678",
    "timestamp": "2024-03-01T10:00:05.000000Z",
    "created_at": "2024-03-01T10:00:09Z",
}
AMPLITUDE = {
    "$insert_id": "018d-77",
    "amplitude_id": 12345678,
    "device_id": "d-1",
    "event_properties": {"page_location": "https://shop.example/a"},
    "event_time": "2024-03-01 10:00:05.000000",
    "event_type": "add_to_cart",
    "server_upload_time": "2024-03-01 10:00:09.000000",
    "user_id": None,
    "uuid": "f47ac10b",
}
MIXPANEL = {
    "event": "add_to_cart",
    "properties": {
        "time": 1709287205,
        "distinct_id": "1234.5678",
        "$insert_id": "018d-77",
        "mp_processing_time_ms": 1709287209000,
        "page_location": "https://shop.example/a",
    },
}
SEGMENT = {
    "id": "018d-77",
    "anonymous_id": "1234.5678",
    "user_id": None,
    "event": "add_to_cart",
    "event_text": "Add to cart",
    "timestamp": "2024-03-01T10:00:05.000Z",
    "received_at": "2024-03-01T10:00:09.000Z",
    "sent_at": "2024-03-01T10:00:06.000Z",
}
SNOWPLOW = {
    "app_id": "shop",
    "platform": "web",
    "collector_tstamp": "2024-03-01 10:00:07.000",
    "derived_tstamp": "2024-03-01 10:00:05.000",
    "event": "unstruct",
    "event_name": "add_to_cart",
    "event_id": "018d-77",
    "user_id": None,
    "domain_userid": "1234.5678",
    "network_userid": "n-1",
}
PAGES: dict[str, tuple[dict[str, Any], str]] = {
    "ga4": (GA4, "event_params.page_location"),
    "posthog": (POSTHOG, "properties.page_location"),
    "amplitude": (AMPLITUDE, "event_properties.page_location"),
    "mixpanel": (MIXPANEL, "properties.page_location"),
}
EXPORTS: dict[str, dict[str, Any]] = {name: row for name, (row, _) in PAGES.items()} | {
    "segment": SEGMENT,
    "snowplow": SNOWPLOW,
}


@pytest.mark.parametrize("name", sorted(EXPORTS))
def test_an_export_is_read_as_it_is(spark: SparkSession, tmp_path: Path, name: str) -> None:
    lines, table = tmp_path / "export.jsonl", tmp_path / "export.parquet"
    lines.write_text(json.dumps(EXPORTS[name]))
    pq.write_table(pa.Table.from_pylist([EXPORTS[name]]), table)
    path = PAGES[name][1] if name in PAGES else "event"
    for file in (lines, table):
        told = DiscoverSettings(events=str(file), out="o", format=name, columns=f"page={path}")
        source = open_input(spark, str(file), name="events", reading=reading(told, "events"))
        checked = check(source, events(segments=["page"]), now=NOW)
        assert checked.profile.reasons == {}
        [row] = checked.good.collect()
        who = "12345678" if name == "amplitude" else "1234.5678"
        assert (row["user_id"], row["action"]) == (who, "add_to_cart")
        assert checked.profile.latest == AT
        assert row["page"] == ("https://shop.example/a" if name in PAGES else EXPORTS[name]["event"])
        if name != "ga4":
            assert row["event_id"] == "018d-77"


def test_segment_s_raw_events_of_all_calls(spark: SparkSession, tmp_path: Path) -> None:
    """As they lie in storage: camel case, and calls that are no track calls have no name of an event."""
    shared = {"anonymousId": "a1", "timestamp": "2024-03-01T10:00:05.000Z"}
    calls = [
        {"type": "track", "event": "add_to_cart", "messageId": "m1", "userId": "u1", **shared},
        {"type": "page", "name": "Cart", "messageId": "m2", "userId": None, **shared},
        {"type": "identify", "traits": {"plan": "x"}, "messageId": "m3", "userId": "u1", **shared},
    ]
    file = tmp_path / "raw.json"
    file.write_text("\n".join(map(json.dumps, calls)))
    told = DiscoverSettings(events=str(file), out="o", format="segment")
    checked = check(
        open_input(spark, str(file), name="events", reading=reading(told, "events")), events(), now=NOW
    )
    assert checked.profile.reasons == {}
    found = checked.good.select("event_id", "user_id", "action").orderBy("event_id").collect()
    assert [tuple(row) for row in found] == [
        ("m1", "u1", "add_to_cart"), ("m2", "a1", "page"), ("m3", "u1", "identify"),
    ]  # fmt: skip


def test_flags_go_before_formats_and_unknown_formats_are_refused(tmp_path: Path) -> None:
    told = DiscoverSettings(
        events="e", out="o", format="mixpanel", time_unit="ms", columns="action=properties.name"
    )
    how = reading(told, "events")
    assert (how.time_unit, how.columns["action"]) == ("ms", ("properties.name",))
    assert reading(told, "users").columns == {"action": ("properties.name",)}
    with pytest.raises(SettingsError, match="amplitude, ga4, mixpanel, posthog, segment, snowplow"):
        reading(DiscoverSettings(events="e", out="o", format="matomo"), "events")
    own = tmp_path / "own.yml"
    own.write_text("columns: {user_id: [a, b], action: c, occurred_at: d}\n")
    assert reading(DiscoverSettings(events="e", out="o", format=str(own)), "events").columns["user_id"] == (
        "a",
        "b",
    )


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6).filter(
    lambda text: text == text.strip() and text not in ("NULL", "null", "\\N") and "\ufffd" not in text
)
tables = st.lists(
    st.fixed_dictionaries(
        {
            "user_id": texts | st.sampled_from(["007", "7", "1e3", "true", "2024-01-01"]),
            "action": texts,
            "occurred_at": st.datetimes(datetime(1990, 1, 2), datetime(2024, 5, 31)),
            "amount": st.none() | st.floats(-1e9, 1e9) | st.integers(-(10**9), 10**9).map(float),
            "flag": st.none() | st.booleans(),
        }
    ),
    min_size=1,
    max_size=6,
)
CONTRACT = Contract(
    "events",
    (
        Field("user_id", "id"),
        Field("action", "text"),
        Field("occurred_at", "instant"),
        Field("amount", "number", nullable=True),
        Field("flag", "truth", nullable=True),
    ),
)


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(rows=tables)
def test_every_form_of_file_gives_the_same_checked_table(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("forms")
    frame = pd.DataFrame(rows).assign(
        occurred_at=lambda each: each["occurred_at"].astype("datetime64[us]").dt.tz_localize("UTC"),
        amount=lambda each: each["amount"].astype(float),
        flag=lambda each: each["flag"].astype("boolean"),
    )
    written = frame.assign(occurred_at=frame["occurred_at"].map(lambda at: at.isoformat()))
    written.to_csv(folder / "a.csv", index=False)
    written.to_csv(folder / "b.tsv", index=False, sep="\t", lineterminator="\r\n")
    records = written.astype(object).where(written.notna(), None).to_dict("records")
    (folder / "c.jsonl").write_text("\n".join(map(json.dumps, records)))
    frame.assign(occurred_at=frame["occurred_at"].dt.as_unit("ns")).to_parquet(folder / "d.parquet")
    pq.write_table(pa.Table.from_pandas(frame), folder / "e.parquet", coerce_timestamps="us")
    spark.read.parquet(str(folder / "e.parquet")).write.parquet(str(folder / "f"))
    spark.read.parquet(str(folder / "e.parquet")).write.format("delta").save(str(folder / "g"))
    found = {}
    for name in ("a.csv", "b.tsv", "c.jsonl", "d.parquet", "e.parquet", "f", "g"):
        checked = check(open_input(spark, str(folder / name), name="events"), CONTRACT, now=NOW)
        assert not checked.profile.bad_rows, (name, checked.profile.reasons)
        cells = checked.good.selectExpr("user_id", "action", "unix_micros(occurred_at)", "amount", "flag")
        found[name] = sorted(map(repr, map(tuple, cells.collect())))
    assert all(each == found["e.parquet"] for each in found.values()), found
