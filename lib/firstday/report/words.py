"""How numbers and names are written on a page. Names are data: they may hold anything, shown as text."""

import math
import unicodedata
from datetime import date, datetime
from typing import Any

from firstday import rounding
from firstday.windows import day_name

NOTHING = "–"
VISIBLE = {"\n": "↵", "\r": "↵", "\t": "⇥"}
# Categories that would be invisible, break a line or turn the text's direction: control, surrogate, line and
# paragraph separator. Of the format characters only the bidirectional ones: emoji are joined by another one.
HIDDEN = {"Cc", "Cs", "Zl", "Zp"}
BIDIRECTIONAL = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x061C, 0x200E, 0x200F}


def absent(value: Any) -> bool:
    """Is this None, NaN, NaT or pandas' NA?"""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and math.isnan(value)


def true(value: Any) -> bool:
    """A flag that may be missing."""
    return not absent(value) and bool(value)


def name(text: Any, limit: int | None = None) -> str:
    """A name as one line of visible characters, cut in the middle when longer than `limit`."""
    shown = "".join(_visible(character) for character in str(text)) or "(empty)"
    if limit is None or len(shown) <= limit:
        return shown
    head = (limit - 1) * 2 // 3
    return f"{shown[:head]}…{shown[head + 1 - limit :]}"


def candidate(action: Any, threshold: Any, limit: int | None = None) -> str:
    """'friend ≥ 3'"""
    return f"{name(action, limit)} ≥ {number(threshold)}"


def segment(text: Any) -> str:
    """'everyone' for the segment 'all', else the segment as it is named, with a little air."""
    return "everyone" if text == "all" else name(text).replace(",", ", ")


def number(value: Any) -> str:
    """1234 → '1,234'"""
    return NOTHING if absent(value) else f"{value:,.0f}"


def count(value: Any) -> int:
    """A count that may be missing, as an integer to reckon with."""
    return 0 if absent(value) else int(value)


def step(place: Any, title: Any) -> str:
    """'3. stands out from engagement'"""
    return f"{number(place)}. {name(title, 48)}"


def share(value: Any, digits: int = 1) -> str:
    """0.7314 → '73.1%'"""
    return NOTHING if absent(value) or math.isinf(value) else _signed(f"{100 * value:.{digits}f}%")


def points(value: Any) -> str:
    """A difference of two shares: 0.142 → '+14.2 points'"""
    return NOTHING if absent(value) else rounding.points(value)


def decimal(value: Any, digits: int = 3) -> str:
    """0.45963 → '0.460'"""
    if absent(value):
        return NOTHING
    return "∞" if value == math.inf else _signed(f"{value:,.{digits}f}")


def share_interval(low: Any, high: Any, digits: int = 1) -> str:
    """'69.3 to 76.6%'"""
    if absent(low) or absent(high):
        return NOTHING
    return _signed(f"{100 * low:.{digits}f} to {100 * high:.{digits}f}%")


def points_interval(low: Any, high: Any) -> str:
    """'+9.1 to +19.3'"""
    return NOTHING if absent(low) or absent(high) else _signed(f"{100 * low:+.1f} to {100 * high:+.1f}")


def interval(low: Any, high: Any, digits: int = 2) -> str:
    """'0.12 to 0.48'"""
    if absent(low) or absent(high):
        return NOTHING
    return _signed(f"{low:.{digits}f} to {high:.{digits}f}")


def share_with(value: Any, low: Any, high: Any, digits: int = 1) -> str:
    """'73.1% (69.3 to 76.6%)'"""
    between = share_interval(low, high, digits)
    return share(value, digits) if between == NOTHING else f"{share(value, digits)} ({between})"


def points_with(value: Any, low: Any, high: Any) -> str:
    """'+14.2 points (+9.1 to +19.3)'"""
    between = points_interval(low, high)
    return points(value) if between == NOTHING else f"{points(value)} ({between})"


def decimal_with(value: Any, low: Any, high: Any, digits: int = 2) -> str:
    """'0.30 (0.12 to 0.48)'"""
    between = interval(low, high, digits)
    return decimal(value, digits) if between == NOTHING else f"{decimal(value, digits)} ({between})"


def joined(mark: str, *parts: Any) -> str:
    """The parts that are there as text, with `mark` between them."""
    return mark.join(text(part) for part in parts if text(part) != NOTHING)


def probability(value: Any) -> str:
    """A p or q value: '0.012', '< 0.001'"""
    if absent(value):
        return NOTHING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def factor(value: Any) -> str:
    """A Bayes factor: '12', '1/40', 'over 1,000'."""
    if absent(value):
        return NOTHING
    number = float(value)
    if number < 1:
        return "under 1/1,000" if number < 0.001 else f"1/{1 / number:,.3g}"
    return "over 1,000" if number > 1_000 else f"{number:,.3g}"


def yes(value: Any) -> str:
    """True → 'yes', False → 'no'"""
    return NOTHING if absent(value) else "yes" if value else "no"


def text(value: Any) -> str:
    """Any cell as text; a missing one as a dash."""
    return NOTHING if absent(value) or value == "" else name(value)


def day(value: Any, kind: str = "on") -> str:
    """7 → 'D7', or 'D1–7' and 'D7+' by the kind of retention."""
    return NOTHING if absent(value) else day_name(int(value), kind)


def estimable(text: str) -> str:
    """A figure as text; 'not estimable' where there is none."""
    return "not estimable" if text == NOTHING else text


def iso_date(value: Any) -> str:
    """A date, a timestamp or ISO text as '2024-05-01'."""
    if isinstance(value, datetime | date):
        return value.strftime("%Y-%m-%d")
    return str(value)[:10]


def listed(items: list[str]) -> str:
    """'a', 'a and b', 'a, b and c'"""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def some(value: Any, one: str, more: str) -> str:
    """'1 candidate turns', '3 candidates turn'"""
    return f"{number(value)} {one if value == 1 else more}"


NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def some_words(value: int, one: str, more: str) -> str:
    """'two metrics', '12 metrics'"""
    return f"{NUMBERS[value] if value < len(NUMBERS) else number(value)} {one if value == 1 else more}"


def sentence(value: Any) -> str:
    """Text that begins with a capital letter and ends with a full stop."""
    if absent(value) or not str(value).strip():
        return ""
    words = stopped(value)
    return words[:1].upper() + words[1:]


def stopped(value: Any) -> str:
    """Text with a full stop."""
    words = name(str(value).strip())
    return words if words.endswith((".", "!", "?", "…")) else f"{words}."


def _visible(character: str) -> str:
    if character in VISIBLE:
        return VISIBLE[character]
    if unicodedata.category(character) in HIDDEN or ord(character) in BIDIRECTIONAL:
        return "�"
    return character


def _signed(text: str) -> str:
    """A true minus sign, and no minus before a zero."""
    words = [word.replace("-", "") if not word.strip("-+0.,%") else word for word in text.split(" ")]
    return " ".join(words).replace("-", "−")
