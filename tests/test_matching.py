"""Patterns of names: what they take, and what those behind a minus leave out."""

import pytest

from firstday.errors import SettingsError
from firstday.spark.frames import matching

NAMES = ("row_id", "gold", "f_a", "f_b", "a.b", "-odd")


@pytest.mark.parametrize(
    ("patterns", "taken"),
    [
        (("f_*",), ["f_a", "f_b"]),
        (("*", "-gold", "-row_id"), ["f_a", "f_b", "a.b", "-odd"]),
        (("-f_*", "*"), ["row_id", "gold", "a.b", "-odd"]),
        (("-f_*",), ["row_id", "gold", "a.b", "-odd"]),
        (("gold", "f_*", "-f_a"), ["gold", "f_b"]),
        (("f_b", "f_*"), ["f_b", "f_a"]),
        (("a.b",), ["a.b"]),  # a dot is a dot
        (("*", "--odd"), ["row_id", "gold", "f_a", "f_b", "a.b"]),
    ],
)
def test_what_patterns_take(patterns: tuple[str, ...], taken: list[str]) -> None:
    assert matching(NAMES, patterns, "--features") == taken


@pytest.mark.parametrize(
    ("patterns", "told"),
    [
        (("g_*",), "'g_*'"),
        (("*", "-golds"), "did you mean gold"),  # a misspelt one would be learned from
        (("gold", "-gold"), "must leave some names"),
    ],
)
def test_patterns_that_take_nothing(patterns: tuple[str, ...], told: str) -> None:
    with pytest.raises(SettingsError) as raised:
        matching(NAMES, patterns, "--features")
    assert told.lower() in str(raised.value).lower()
