"""A plan is checked when it is read: each mistake is named, with what was found and what is allowed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from firstday.errors import SettingsError
from firstday.settings import ExperimentPlan, read_plan

CONF = Path(__file__).parents[2] / "conf" / "experiment.yml"
HALVES = {"control": 0.5, "treatment": 0.5}
PLAIN: dict[str, Any] = {"experiment": "push", "variants": HALVES, "starts_at": "2024-06-01T00:00:00Z"}
RAMP = [
    {"share": 0.01, "starts_at": "2024-06-01T00:00:00Z"},
    {"share": 0.25, "starts_at": "2024-06-03T00:00:00Z"},
    {"share": 0.5, "starts_at": "2024-06-08T00:00:00Z"},
]
CROSSOVER = {"by": "odd_even", "period": "7d", "periods": 4, "washout": "1d"}


def plan(**values: Any) -> ExperimentPlan:
    return ExperimentPlan.model_validate(PLAIN | values)


def written(folder: Path, text: str) -> Path:
    file = folder / "plan.yml"
    file.write_text(text, encoding="utf-8")
    return file


def test_defaults() -> None:
    found = plan()
    assert (found.salt, found.unit, found.control, found.treatments) == (
        "push",
        "user_id",
        "control",
        ("treatment",),
    )
    assert (found.starts_at, found.end) == (datetime(2024, 6, 1, tzinfo=UTC), None)


def test_a_crossover_ends_after_its_periods() -> None:
    found = plan(crossover=CROSSOVER)
    assert found.end == datetime(2024, 6, 29, tzinfo=UTC)
    assert found.crossover is not None
    assert found.crossover.washout == timedelta(days=1)


def test_instants_may_have_any_offset() -> None:
    assert plan(starts_at="2024-06-01T02:00:00+02:00") == plan()


def test_a_plan_that_is_dumped_is_read_again() -> None:
    for values in ({"ramp": RAMP}, {"crossover": CROSSOVER}, {"layer": {"name": "l", "range": [0, 0.5]}}):
        found = plan(**values)
        assert ExperimentPlan.model_validate(found.model_dump(mode="json")) == found


def test_the_file_in_conf_is_a_plan_with_and_without_its_examples(tmp_path: Path) -> None:
    text = CONF.read_text(encoding="utf-8")
    assert read_plan(CONF).variants == HALVES
    keys = {line.removeprefix("# ").split(":")[0] for line in text.splitlines()}
    assert set(ExperimentPlan.model_fields) <= keys
    # Its commented keys, uncommented: with the ramp, and with the crossover, which excludes it and an end.
    told = [line for line in text.splitlines() if not line.startswith(("# ---", "# The", "# what", "# What"))]
    values = yaml.safe_load("\n".join(line.removeprefix("# ") for line in told))
    crossover = values.pop("crossover")
    everything = ExperimentPlan.model_validate(values | {"cluster": None})
    assert everything.ramp[-1].share == 0.5
    assert everything.holdout is not None
    found = ExperimentPlan.model_validate(values | {"ramp": (), "crossover": crossover, "ends_at": None})
    assert found.crossover is not None


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"ends_at": "2024-05-01T00:00:00Z"}, r"ends_at \(2024-05-01 .*swapped"),
        ({"starts_at": "2024-06-01"}, "starts_at: must have a time and an offset"),
        ({"variants": {"control": 1.2, "b": -0.2}}, r"each share must be above 0, got .*'b': -0\.2"),
        ({"variants": {"control": 1.0, "b": 0}}, "above 0"),
        ({"variants": {"control": 0.5, "b": 0.4}}, r"add up to 1, not 0\.9"),
        ({"variants": {"control": 0.5, "b": float("nan")}}, "variants"),
        ({"variants": {"control": 1}}, "two variants or more"),
        ({"control": "a"}, "control must be one of the variants .*got 'a'"),
        ({"experiment": ""}, "experiment"),
        ({"strata": ["user_id"]}, "different columns"),
        ({"strata": "country,Country"}, "different columns"),
        ({"strata": "country", "cluster": "city"}, "cluster or strata"),
        ({"layer": {"name": "l", "range": [0.5, 0.2]}}, "layer.range: must go from a smaller"),
        ({"layer": {"name": "l", "range": [0.5, 1.2]}}, "layer.range.1: .*less than or equal to 1, got 1.2"),
        ({"layer": {"name": "l", "rang": [0, 1]}}, "there is no key 'layer.rang'"),
        ({"layer": {"name": "push", "range": [0, 0.5]}}, "must differ"),
        ({"holdout": {"share": 0.1, "salt": "push"}}, "must differ"),
        ({"holdout": {"share": -0.1}}, "holdout.share: .*got -0.1"),
        ({"ramp": RAMP[::-1]}, "shares of a ramp must rise"),
        ({"ramp": [RAMP[0], RAMP[2] | {"starts_at": RAMP[0]["starts_at"]}]}, "start after the one before"),
        ({"ramp": RAMP[1:]}, "first stage of a ramp must start at the plan's starts_at"),
        ({"ramp": RAMP[:2]}, "last stage of a ramp must have the share of 'treatment'"),
        ({"ramp": RAMP, "ends_at": "2024-06-05T00:00:00Z"}, "after the start of the ramp's last stage"),
        ({"ramp": RAMP, "crossover": CROSSOVER}, "ramp or crossover"),
        ({"ramp": RAMP, "variants": {"control": 0.4, "a": 0.3, "b": 0.3}}, "a ramp has two variants"),
        ({"crossover": CROSSOVER, "variants": {"control": 0.6, "b": 0.4}}, "share of 0.5 each"),
        ({"crossover": CROSSOVER, "ends_at": "2024-06-30T00:00:00Z"}, "ends after its periods .*2024-06-29"),
        ({"crossover": CROSSOVER | {"washout": "7d"}}, "washout .7d. must be shorter than the period"),
        ({"crossover": CROSSOVER | {"periods": 1}}, "crossover.periods: .*got 1"),
        ({"crossover": CROSSOVER | {"by": "even"}}, "crossover.by: .*'odd_even' or 'hash'"),
        ({"crossover": CROSSOVER, "strata": "country"}, "say by: hash"),
        ({"sarts_at": 1}, "there is no key 'sarts_at'"),
    ],
)
def test_what_does_not_hold_is_named(values: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=told) as caught:
        read_plan(written(tmp_path, yaml.safe_dump(PLAIN | values)))
    assert "conf/experiment.yml" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("variants: {a: 0.5, b: 0.3, a: 0.2}", "may stand once in its place.* Got: 'a'"),
        ("variants: {a: 0.5, b: 0.5}\nramp:\n- {share: 0.1, share: 0.2}", "Got: 'share'"),
        ("- a", "a key a line"),
        ("", "a key a line"),
        ("a: [", "must be YAML"),
        ("a: !!python/object:os.system {}", "must be YAML"),
        ("experiment: x", "variants must be given; starts_at must be given"),
    ],
)
def test_a_file_that_holds_no_plan_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        read_plan(written(tmp_path, text))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="absent"):
        read_plan(tmp_path / "absent.yml")
