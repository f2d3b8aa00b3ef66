"""What the SQL of a label function may be made of: operators and built-in functions that are pure.

Pure: the answer depends on the row's values only. So there is no clock, no chance, no place of a row in a
file or partition, nothing that looks at other rows, reads a file, calls Java, or ends the job. Functions that
build values of any size (repeat, sequence, ...) are left out too: a vote has no use for them.
"""

import difflib
from collections.abc import Iterable

from firstday.errors import SettingsError


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


# Kinds of nodes that no condition has, by Spark's names, and what they are to someone who writes SQL.
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

FUNCTIONS = words(MATH + CONDITIONS + TEXT + TIME + COLLECTIONS + TYPES_AND_HASHES)

# Those whose second argument is a regular expression.
REGULAR = words("""
regexp regexp_count regexp_extract regexp_extract_all regexp_instr regexp_like regexp_replace
regexp_substr rlike split
""")

# Those whose values are texts or made of texts alone: their arguments become texts, not dates.
OF_TEXTS = words(TEXT) - {"decode"}

# Built-in functions of several rows, which someone may well try.
OTHER_ROWS = {
    "an aggregate": words("""
any any_value approx_count_distinct approx_percentile array_agg avg bit_and bit_or bit_xor bool_and bool_or
collect_list collect_set corr count count_if count_min_sketch covar_pop covar_samp every first first_value
grouping grouping_id histogram_numeric kurtosis last last_value max max_by mean median min min_by mode
percentile percentile_approx regr_slope skewness some std stddev stddev_pop stddev_samp sum try_avg try_sum
var_pop var_samp variance
"""),
    "a window function": words("""
cume_dist dense_rank lag lead nth_value ntile percent_rank rank row_number session_window window window_time
"""),
    "a generator": words("""
explode explode_outer inline inline_outer json_tuple posexplode posexplode_outer stack
"""),
}

PYTHON = frozenset({"PythonUDF", "PythonUDAF", "PythonUDTF"})
SUBQUERIES = frozenset(kind for kind, what in REFUSED.items() if what == "a subquery")


def refused(name: str, rule: str, value: object = None, next_step: str | None = None) -> SettingsError:
    """An error of an expression; `name` says whose it is, as in "label function 'x'"."""
    return SettingsError(f"{name}: {rule}", value=value, next_step=next_step)


def other_rows(function: str) -> str | None:
    """What a built-in function of several rows is; None where it is none of the known ones."""
    return next((what for what, names in OTHER_ROWS.items() if function in names), None)


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """Those of `names` that may have been meant."""
    by_lower = {each.lower(): each for each in names}
    return [by_lower[near] for near in difflib.get_close_matches(name.lower(), by_lower, n=3)]
