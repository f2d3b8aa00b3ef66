"""What the SQL of a label function may be made of: operators and built-in functions that are pure.

Pure: the answer depends on the row's values only. So there is no clock, no chance, no place of a row in a
file or partition, nothing that looks at other rows, reads a file, calls Java, or ends the job. Functions that
build values of any size (repeat, sequence, ...) are left out too: a vote has no use for them.
"""

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from py4j.java_gateway import JavaObject

from firstday.errors import SettingsError


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Kinds of nodes in Spark's parsed expressions. All others are refused, those of later Sparks too.
OPERATORS = _names("""
Literal UnresolvedAttribute UnresolvedFunction UnresolvedExtractValue Cast CaseWhen And Or Not In IsNull
IsNotNull IsUnknown IsNotUnknown EqualTo EqualNullSafe LessThan LessThanOrEqual GreaterThan
GreaterThanOrEqual Like ILike RLike LikeAll LikeAny NotLikeAll NotLikeAny Add Subtract Multiply Divide
IntegralDivide Remainder UnaryMinus UnaryPositive BitwiseAnd BitwiseOr BitwiseXor BitwiseNot Concat
StringTrim StringTrimLeft StringTrimRight StringTrimBoth Substring StringLocate Overlay TimestampAdd
TimestampDiff CreateNamedStruct NamePlaceholder$
""")

# What a refused node is to someone who writes SQL.
REFUSED = {
    "AggregateExpression": "an aggregate",
    "WindowExpression": "a window",
    "UnresolvedWindowExpression": "a window",
    "Exists": "a subquery",
    "InSubquery": "a subquery",
    "ListQuery": "a subquery",
    "ScalarSubquery": "a subquery",
    "LateralSubquery": "a subquery",
    "LambdaFunction": "a lambda",
    "UnresolvedStar": "a star",
    "UnresolvedRegex": "a pattern of columns",
    "NamedParameter": "a parameter",
    "PosParameter": "a parameter",
    "Alias": "an alias (AS)",
    "MultiAlias": "an alias (AS)",
    "ExpressionWithUnresolvedIdentifier": "IDENTIFIER",
}

MATH = """
abs acos acosh asin asinh atan atan2 atanh bit_count bit_get bround cbrt ceil ceiling cos cosh cot csc
degrees div e exp expm1 factorial floor getbit greatest hypot least ln log log10 log1p log2 mod negative
pi pmod positive pow power radians rint round sec shiftleft shiftright shiftrightunsigned sign signum sin
sinh sqrt tan tanh try_add try_divide try_multiply try_subtract width_bucket conv bin hex unhex isnan
nanvl
"""

CONDITIONS = """
and or not if ifnull nvl nvl2 nullif coalesce when in isnull isnotnull equal_null
"""

TEXT = """
ascii base64 bit_length btrim char char_length character_length chr concat concat_ws contains decode
encode elt endswith find_in_set format_number format_string initcap instr lcase left len length
levenshtein like ilike locate lower ltrim luhn_check mask octet_length overlay parse_url position regexp
regexp_count regexp_extract regexp_extract_all regexp_instr regexp_like regexp_replace regexp_substr
replace reverse right rlike rtrim sentences soundex split split_part startswith string substr substring
substring_index to_char to_number translate trim try_to_number ucase unbase64 upper url_decode url_encode
get_json_object from_json json_array_length json_object_keys
"""

TIME = """
add_months convert_timezone date date_add date_diff date_format date_from_unix_date date_part date_sub
date_trunc dateadd datediff datepart day dayofmonth dayofweek dayofyear extract from_unixtime
from_utc_timestamp hour last_day make_date make_dt_interval make_interval make_timestamp
make_timestamp_ltz make_timestamp_ntz make_ym_interval month months_between next_day quarter second
timestamp timestamp_micros timestamp_millis timestamp_seconds to_date to_timestamp to_timestamp_ltz
to_timestamp_ntz to_unix_timestamp to_utc_timestamp trunc try_to_timestamp unix_date unix_micros
unix_millis unix_seconds unix_timestamp weekday weekofyear year
"""

COLLECTIONS = """
array array_append array_compact array_contains array_distinct array_except array_intersect array_join
array_max array_min array_position array_prepend array_remove array_size array_sort array_union
arrays_overlap arrays_zip cardinality element_at flatten get map map_concat map_contains_key map_entries
map_from_arrays map_from_entries map_keys map_values named_struct size slice sort_array str_to_map struct
try_element_at
"""

TYPES_AND_HASHES = """
bigint binary boolean decimal double float int smallint tinyint crc32 hash md5 sha sha1 sha2 xxhash64
"""

FUNCTIONS = _names(MATH + CONDITIONS + TEXT + TIME + COLLECTIONS + TYPES_AND_HASHES)

# Those whose second argument is a regular expression.
REGULAR = _names("""
regexp regexp_count regexp_extract regexp_extract_all regexp_instr regexp_like regexp_replace
regexp_substr rlike split
""")

# Kinds of nodes in analysed expressions.
CLOCKS = frozenset({"CurrentDate", "CurrentTimestamp", "Now", "LocalTimestamp", "CurrentBatchTimestamp"})
TO_TIME = frozenset({"Cast", "ParseToDate", "ParseToTimestamp"})
PYTHON = frozenset({"PythonUDF", "PythonUDAF", "PythonUDTF"})
SUBQUERIES = frozenset(kind for kind, words in REFUSED.items() if words == "a subquery")

# Spark reads these words as dates, in literals at once and in casts when the plan is made.
CLOCK_WORD = re.compile(r"\s*(now|today|tomorrow|yesterday)\b", re.IGNORECASE)
CLOCK_LITERAL = re.compile(
    r"\b(?:date|timestamp(?:_[ln]tz)?)(?:\s|/\*.*?\*/|--[^\n]*\n)*['\"]\s*(?:now|today|tomorrow|yesterday)\b",
    re.IGNORECASE | re.DOTALL,
)
# Groups of built-in functions, as Spark's documentation has them, that are never plain functions.
GROUPS = {"agg_funcs": "an aggregate", "window_funcs": "a window function", "generator_funcs": "a generator"}
Node = Mapping[str, Any]


def refused(name: str, rule: str, value: object = None, next_step: str | None = None) -> SettingsError:
    """An error of an expression; `name` says whose it is, as in "label function 'x'"."""
    return SettingsError(f"{name}: {rule}", value=value, next_step=next_step)


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """Those of `names` that may have been meant."""
    by_lower = {each.lower(): each for each in names}
    return [by_lower[near] for near in difflib.get_close_matches(name.lower(), by_lower, n=3)]


def tree(expression: JavaObject) -> tuple[Node, ...]:
    """The nodes of a Spark expression, each before its children."""
    if "CASE WHEN" not in expression.toString():
        return tuple(json.loads(expression.toJSON()))
    # Spark's JSON has the branches of a CASE twice, and twice at each level of nested ones: go down by hand.
    below = expression.children()
    node: dict[str, Any] = {"class": expression.getClass().getName(), "num-children": below.size()}
    if kind(node) == "UnresolvedFunction":
        node["nameParts"] = expression.nameParts().mkString("[", ", ", "]")
    elif kind(node) == "Cast":
        node["dataType"] = expression.dataType().typeName()
    return (node, *(each for place in range(below.size()) for each in tree(below.apply(place))))


def kind(node: Node) -> str:
    """The node's class, without its package and what Scala adds to unnamed ones."""
    return str(node["class"]).rpartition(".")[2].partition("$$")[0]


def sizes(nodes: Sequence[Node]) -> list[int]:
    """How many nodes each one is with all below it."""
    found = [1] * len(nodes)
    for place in reversed(range(len(nodes))):
        for _ in range(nodes[place]["num-children"]):
            found[place] += found[place + found[place]]
    return found


def check_kinds(name: str, text: str, nodes: Sequence[Node]) -> None:
    """Raise SettingsError where the parsed expression has what no condition may have, or reads the clock."""
    for node in nodes:
        if kind(node) not in OPERATORS:
            raise refused(
                name,
                "a condition looks at one row, with operators and plain functions",
                REFUSED.get(kind(node), kind(node)),
                "put what it needs of other rows or tables into a column of the rows beforehand",
            )
    if CLOCK_LITERAL.search(text) and any(_temporal(node) for node in nodes if kind(node) == "Literal"):
        raise _no_clock(name, text)


def refuse_clock(name: str, nodes: Sequence[Node]) -> None:
    """Raise SettingsError where the analysed expression reads the clock: a vote is the same tomorrow."""
    size = sizes(nodes)
    for place, node in enumerate(nodes):
        if kind(node) in CLOCKS:
            raise _no_clock(name, kind(node))
        # A cast's type is in it; that of to_date and the like is always a time.
        if kind(node) in TO_TIME and (kind(node) != "Cast" or _temporal(node)):
            below = nodes[place : place + size[place]]
            word = next((each["value"] for each in below if _is_clock_word(each)), None)
            if word and not any(kind(each) == "AttributeReference" for each in below):
                raise _no_clock(name, word)


def called(node: Node) -> str:
    """The name of the function that a parsed node calls."""
    return str(node["nameParts"])[1:-1].lower()


def _temporal(node: Node) -> bool:
    return str(node.get("dataType")) in {"date", "timestamp", "timestamp_ntz"}


def _is_clock_word(node: Node) -> bool:
    is_text = kind(node) == "Literal" and node["dataType"] == "string"
    return is_text and bool(CLOCK_WORD.match(str(node["value"])))


def _no_clock(name: str, value: str) -> SettingsError:
    return refused(
        name, "a condition may not read the clock", value, "compare with a column, or with a fixed date"
    )
