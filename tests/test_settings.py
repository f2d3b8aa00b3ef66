from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from firstday.errors import SettingsError
from firstday.settings import DiscoverSettings, ExperimentPlan, MeasureSettings, duration_text, load

REQUIRED = {"users": "u", "events": "e", "out": "o"}
CONF = Path(__file__).parents[1] / "conf"


def discover(**values: Any) -> DiscoverSettings:
    return load(DiscoverSettings, overrides=REQUIRED | values)


def written(folder: Path, text: str) -> Path:
    file = folder / "settings.yml"
    file.write_text(text, encoding="utf-8")
    return file


def test_defaults() -> None:
    settings = discover()
    assert (settings.days, settings.window, settings.retention) == ((1, 7), timedelta(hours=24), "rolling")
    assert (settings.segments, settings.horizon, settings.input_time_zone) == ((), None, None)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        discover().seed = 8  # type: ignore[misc]


def test_flags_override_set_overrides_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, "users: u\nevents: e\nout: o\nseed: 1\nbootstrap: 1\nmin_users: 1\n")
    settings = load(DiscoverSettings, file, {"seed": "3"}, ["seed=2", "bootstrap=2"])
    assert (settings.seed, settings.bootstrap, settings.min_users) == (3, 2, 1)


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    assert load(DiscoverSettings, written(tmp_path, "# nothing\n"), REQUIRED) == discover()


@pytest.mark.parametrize(
    ("assignment", "field", "value"),
    [
        ("days=7,1,7", "days", (1, 7)),
        ("days=3", "days", (3,)),
        ("days=[30, 3]", "days", (3, 30)),
        ("segments=country, gender", "segments", ("country", "gender")),
        ('segments=["a,b", "c=d"]', "segments", ("a,b", "c=d")),
        ("segments=2024", "segments", ("2024",)),
        ("window=90m", "window", timedelta(minutes=90)),
        ("since=2024-02-01", "since", date(2024, 2, 1)),
        ("horizon=2024-02-01T12:00:00+09:00", "horizon", datetime(2024, 2, 1, 3, tzinfo=UTC)),
        ("quick=true", "quick", True),
        ("max_bad_share=0", "max_bad_share", 0.0),
    ],
)
def test_set_reads_the_value_as_yaml(assignment: str, field: str, value: Any) -> None:
    assert getattr(load(DiscoverSettings, None, REQUIRED, [assignment]), field) == value


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"out": ""}, "out: "),
        ({"days": "0"}, "days: .* got '0'"),
        ({"days": ""}, "days: at least one"),
        ({"days": "x"}, "days: .* got 'x'"),
        ({"window": "24"}, "window: must be a whole number and a unit"),
        ({"window": "0h"}, "window: .*greater than"),
        ({"retention": "weekly"}, "retention: .*'rolling' or 'calendar'"),
        ({"time_zone": "Mars/Base"}, "time_zone: must be an IANA"),
        ({"time_zone": "America"}, "time_zone: must be an IANA"),
        ({"time_zone": "../etc/passwd"}, "time_zone: must be an IANA"),
        ({"segments": "country,country"}, "segments: each name"),
        ({"segments": "user_id"}, "segments: .*user_id"),
        ({"segments": "Action"}, "segments: .*Action"),
        ({"segments": "retained_d7"}, "segments: .*retained_d7"),
        ({"segments": ["Plan", "plan"]}, "segments: .*Plan"),
        ({"segments": [""]}, "segments: .*empty"),
        ({"thresholds": "5,20000"}, "raise count_cap"),
        ({"max_bad_share": "1.5"}, "max_bad_share: .*less than or equal to 1"),
        ({"choose_share": "nan"}, "choose_share"),
        ({"daily": True, "since": "2024-01-01"}, "daily or since"),
        ({"dys": 1}, "no setting 'dys', did you mean 'days'"),
        ({"horizon": "yesterday"}, "horizon: .*got 'yesterday'"),
    ],
)
def test_what_does_not_validate_is_named(values: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told) as caught:
        discover(**values)
    assert "firstday discover --help" in str(caught.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(SettingsError, match="events must be given; out must be given; seed: "):
        load(DiscoverSettings, overrides={"users": "u", "seed": "-1"})


@pytest.mark.parametrize(
    "text", ["- a\n", "just words", "1: 2\n", "a: [\n", "a: !!python/object:os.system {}"]
)
def test_a_file_that_holds_no_settings_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=r"settings\.yml"):
        load(DiscoverSettings, written(tmp_path, text))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="absent"):
        load(DiscoverSettings, tmp_path / "absent.yml")


@pytest.mark.parametrize("assignment", ["seed", "=3", "seed=[", "a.=1"])
def test_a_malformed_assignment_is_refused(assignment: str) -> None:
    with pytest.raises(SettingsError, match="--set"):
        load(DiscoverSettings, None, REQUIRED, [assignment])


def test_dotted_keys_reach_into_nested_settings(tmp_path: Path) -> None:
    file = written(tmp_path, "users: {a: 1, b: 2}\n")
    with pytest.raises(SettingsError, match=r"users: .*\{'a': 1, 'b': 3, 'c': \{'d': 4\}\}"):
        load(DiscoverSettings, file, None, ["users.b=3", "users.c.d=4"])


def test_a_horizon_without_offset_is_in_the_declared_zone() -> None:
    noon = "2024-07-01T12:00:00"
    assert discover(horizon=noon).horizon == datetime(2024, 7, 1, 12, tzinfo=UTC)
    berlin = discover(horizon=noon, input_time_zone="Europe/Berlin")
    assert berlin.horizon == datetime(2024, 7, 1, 10, tzinfo=UTC)


@given(st.integers(1, 10_000_000))
def test_durations_are_written_as_they_are_read(seconds: int) -> None:
    window = timedelta(seconds=seconds)
    assert discover(window=duration_text(window)).window == window


def test_dumped_settings_load_again() -> None:
    settings = discover(segments="country", window="36h", since="2024-01-02", horizon="2024-03-01T00:00:00Z")
    assert settings.model_dump(mode="json")["window"] == "36h"
    assert DiscoverSettings.model_validate(settings.model_dump(mode="json")) == settings


def test_the_file_in_conf_shows_every_setting_with_its_default() -> None:
    text = (CONF / "discover.yml").read_text(encoding="utf-8")
    shown = [line.removeprefix("# ") for line in text.splitlines() if line[:1].isalpha() or is_setting(line)]
    values = yaml.safe_load("\n".join(shown))
    assert set(values) == set(DiscoverSettings.model_fields)
    settings = DiscoverSettings.model_validate(values)
    expected = discover(**{key: values[key] for key in ("users", "events", "out", "segments")})
    assert settings == expected


def is_setting(line: str) -> bool:
    return line.startswith("# ") and line[2:].split(":")[0] in DiscoverSettings.model_fields


def test_a_plan_is_measured_with_the_variants_and_the_retention_that_are_asked_for() -> None:
    metrics = [
        {"name": "d7", "kind": "retention", "day": 7},
        {"name": "on 7", "kind": "retention", "day": 7, "retention_kind": "on"},
        {"name": "visits", "kind": "count", "window": "7d"},
    ]
    plan = ExperimentPlan.model_validate(
        {
            "experiment": "e",
            "variants": {"control": 0.5, "a": 0.3, "b": 0.2},
            "starts_at": "2024-06-01T00:00:00Z",
            "metrics": metrics,
        }
    )
    given = {"assignments": "a", "events": "e", "plan": "p", "out": "o"}

    def asked_with(**values: Any) -> MeasureSettings:
        return load(MeasureSettings, overrides=given | values)

    asked = asked_with(variants="control,b", retention_kind="within").planned(plan)
    assert asked.variants == pytest.approx({"control": 5 / 7, "b": 2 / 7})
    assert [metric.retention_kind for metric in asked.metrics] == ["within", "on", None]
    assert asked_with().planned(plan) == plan
    with pytest.raises(SettingsError, match="with its control"):
        asked_with(variants="a,b").planned(plan)
