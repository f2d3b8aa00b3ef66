"""How numbers, names and intervals read."""

import math

import numpy as np
import pandas as pd
import pytest

from firstday.report import words
from firstday.report.figures import embedded_json, json_value
from firstday.report.palette import LEADING, Styles

MISSING = (None, math.nan, np.nan, pd.NA, pd.NaT)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (words.share(0.7314), "73.1%"),
        (words.share(-0.0001), "0.0%"),
        (words.points(0.142), "+14.2 points"),
        (words.points(-0.142), "−14.2 points"),
        (words.points(-0.0001), "0.0 points"),
        (words.share_interval(0.693, 0.766), "69.3 to 76.6%"),
        (words.points_interval(-0.0104, 0.018), "−1.0 to +1.8"),
        (words.share_with(0.5, 0.4, 0.6), "50.0% (40.0 to 60.0%)"),
        (words.share_with(0.5, None, None), "50.0%"),
        (words.points_with(0.1, -0.1, 0.3), "+10.0 points (−10.0 to +30.0)"),
        (words.interval(-0.123, 0.5), "−0.12 to 0.50"),
        (words.number(1234567), "1,234,567"),
        (words.number(np.int64(3)), "3"),
        (words.decimal(-0.4596), "−0.460"),
        (words.decimal(math.inf), "∞"),
        (words.probability(0.00001), "< 0.001"),
        (words.probability(0.0123), "0.012"),
        (words.listed([]), ""),
        (words.listed(["a"]), "a"),
        (words.listed(["a", "b", "c"]), "a, b and c"),
        (words.sentence("no moment"), "No moment."),
        (words.sentence(None), ""),
        (words.segment("all"), "everyone"),
        (words.segment("country=KR,gender=f"), "country=KR, gender=f"),
        (words.candidate("friend", 3), "friend ≥ 3"),
        (words.day(7.0), "D7"),
        (words.iso_date(pd.Timestamp("2026-05-01")), "2026-05-01"),
    ],
)
def test_written(shown: str, expected: str) -> None:
    assert shown == expected


@pytest.mark.parametrize("value", MISSING)
def test_what_is_missing_is_a_dash(value: object) -> None:
    forms = (words.share, words.points, words.number, words.decimal, words.probability)
    assert {form(value) for form in (*forms, words.yes, words.text, words.day)} == {words.NOTHING}
    assert json_value(value) is None
    assert not words.true(value)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("line\nbreak\ttab", "line↵break⇥tab"),
        ("\x00\u202eevil\u2028", "��evil�"),
        ("👩‍💻 emoji", "👩‍💻 emoji"),
        ("", "(empty)"),
        (None, "None"),
        (" <b> ", " <b> "),
    ],
)
def test_names_are_one_visible_line(name: str | None, shown: str) -> None:
    assert words.name(name) == shown


def test_long_names_keep_both_ends() -> None:
    shown = words.name("beginning-" + "x" * 100 + "-end", 20)
    assert len(shown) == 20
    assert shown.startswith("beginning-")
    assert shown.endswith("-end")


def test_styles_are_told_apart() -> None:
    actions = ["same" + "x" * 60 + f"{number:03}" + "y" * 60 for number in range(LEADING + 5)]
    styles = Styles(actions)
    assert len({style.label for style in styles.all}) == LEADING + 1
    assert len({style.shape for style in styles.leading.values()}) == LEADING
    assert len({style.colour for style in styles.all}) == LEADING + 1
    assert styles[actions[-1]].label == "5 other actions"


def test_an_action_named_as_the_others_keeps_its_name() -> None:
    styles = Styles(["1 other action", "b"], leading=1)
    assert [style.label for style in styles.all] == ["1 other action", "1 other action (2)"]


def test_colours_stand_out_on_white() -> None:
    """WCAG asks for 3:1 of graphics."""
    for style in Styles([str(number) for number in range(LEADING + 1)]).all:
        parts = [int(style.colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        assert 1.05 / (luminance + 0.05) > 3


def test_json_in_a_page_cannot_end_its_element() -> None:
    text = embedded_json({"name": "</script><!-- & ' \u2028 \ud800"})
    assert not set("<>&'") & set(text)
    assert text.isascii()
    with pytest.raises(ValueError, match="not JSON compliant"):
        embedded_json([math.nan])
