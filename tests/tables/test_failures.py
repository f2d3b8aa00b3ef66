import pytest

from firstday.spark.failures import CONFLICTS, delta_class


@pytest.mark.parametrize(
    ("message", "expected", "is_conflict"),
    [
        # As Delta 3.3 and 4.3 say it, through Py4J with a stack trace, and with sub-classes.
        (
            "[DELTA_CONCURRENT_APPEND] Files were added to it",
            "DELTA_CONCURRENT_APPEND",
            1,
        ),
        ("[DELTA_CONCURRENT_DELETE_READ.WITHOUT_HINT] Transaction", "DELTA_CONCURRENT_DELETE_READ", 1),
        (
            "An error occurred while calling o1.save.\n: io.delta.exceptions.ProtocolChangedException: "
            "[DELTA_PROTOCOL_CHANGED] ProtocolChangedException: The protocol version",
            "DELTA_PROTOCOL_CHANGED",
            1,
        ),
        ("[DELTA_SCHEMA_CHANGED] Detected schema change:", "DELTA_SCHEMA_CHANGED", 0),
        ("[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column", None, 0),
        ("no class at all: DELTA_CONCURRENT_APPEND", None, 0),
    ],
)
def test_a_lost_race_is_known_by_deltas_error_class(
    message: str, expected: str | None, is_conflict: int
) -> None:
    found = delta_class(RuntimeError(message))
    assert found == expected
    assert (found in CONFLICTS) == bool(is_conflict)
