"""What a metric may be told, and what is told to those who mistake it."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from firstday.settings.metrics import OPTIONS, Metric


def test_defaults() -> None:
    retention = Metric(name="retention_1", kind="retention", day=1)
    assert retention.counting_window == timedelta(hours=24)  # as discovery has it
    assert Metric(name="m", kind="moment", actions="chat", threshold=3).counting_window == timedelta(hours=24)
    assert Metric(name="n", kind="count").counting_window is None
    assert (retention.margin, retention.rise_is_good, retention.covariate) == (None, True, None)


def test_ratios() -> None:
    assert Metric(name="c", kind="click_rate").is_ratio
    assert Metric(name="c", kind="column", value="clicks", denominator="impressions").is_ratio
    assert not Metric(name="c", kind="column", value="clicks").is_ratio


def test_metrics_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Metric(name="n", kind="count").name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("kind", OPTIONS)
def test_each_kind_is_made_of_what_it_needs_and_of_nothing_else(kind: str) -> None:
    values: dict[str, Any] = {
        "day": 7, "retention": "calendar", "actions": ["a"], "threshold": 2, "window": "2d", "value": "v",
        "denominator": "w", "value_at": "t", "retention_kind": "on_or_after", "unit": "EUR",
    }  # fmt: skip
    must, may = OPTIONS[kind]
    assert Metric(name="m", kind=kind, **{name: values[name] for name in must})
    assert Metric(name="m", kind=kind, **{name: values[name] for name in must | may})
    for name in must:
        given = {other: values[other] for other in must - {name}}
        with pytest.raises(ValidationError, match=rf"kind {kind} needs {name}"):
            Metric(name="m", kind=kind, **given)
    for name in values.keys() - must - may:
        given = {other: values[other] for other in {*must, name}}
        with pytest.raises(ValidationError, match=rf"kind {kind} is not told by {name}"):
            Metric(name="m", kind=kind, **given)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"kind": "clicks"}, "kind"),
        ({"kind": "count", "name": ""}, "name"),
        ({"kind": "count", "name": "two\nlines"}, "one line of text"),
        ({"kind": "retention", "day": 0}, "greater than or equal to 1"),
        ({"kind": "retention", "day": 1, "window": "48h"}, "must end before day 1 is over"),
        (
            {"kind": "retention", "day": 30, "window": "48h", "retention_kind": "within"},
            "before day 1 is over",
        ),
        ({"kind": "count", "margin": -0.1}, "greater than 0"),
        ({"kind": "count", "window": "24"}, "a whole number and a unit"),
        ({"kind": "count", "pre_window": "0d"}, "greater than"),
        ({"kind": "column", "value": "v", "covariate": "pre"}, "no past to look at"),
        ({"kind": "column", "value": "v", "denominator": "v"}, "different columns"),
        ({"kind": "count", "treshold": 3}, "treshold"),
    ],
)
def test_mistakes_are_explained(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Metric(**({"name": "m"} | values))
