"""Take secrets out of messages: errors, logs, MLflow's records, the table `runs`, reports.

Known by where they stand: the password of a URI (`s3a://id:SECRET@bucket`), the value of a name that says so
(`password=`, `"token": `, `?sig=`, a setting `api_key`), and by their form (a bearer's token, JSON web
tokens, tokens of Databricks and GitHub). Any other secret cannot be distinguished from text.
"""

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"

# A host with a port looks like a user with a password: it is one if an @ follows.
URI_PASSWORD = re.compile(r'(://[^\s/?#:@"]{0,200}):(?!\d+(?:[/?#\s]|$))[^\s"]{0,1000}@')
# How a name ends, with what Hadoop puts behind: fs.azure.account.key.ACCOUNT. Lengths are bounded, and what
# stands before is not looked at, so that the time grows with the length of a text, not with its square.
NAME = (
    r"(?:(?:password|passwd|passphrase|pwd|secret|token|credential|authorization|signature"
    r"|(?:access|account|api|private|secret|shared|storage)[-_.]?key(?:[-_.]?id)?)s?(?:\.[\w.-]{1,100})?"
    r"|(?<![\w.-])(?:sig|sas))"
)
SECRET_NAME = re.compile(rf"[\w.-]*{NAME}|key", re.IGNORECASE)
# name=value, name: value, "name": "value"; not `name = value`, which in SQL compares a column.
NAMED_VALUE = re.compile(
    rf"""({NAME}["']?(?:=|:\s?))(?:bearer\s+|basic\s+)?"""
    r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s"'&;]+)""",
    re.IGNORECASE,
)
TOKENS = re.compile(
    r"(?i:\bbearer\s+)[\w.~+/=-]{16,}|\bdapi[0-9a-f]{32}\b|\bgh[a-z]_\w{20,}"
    r"|(?<![\w-])eyJ[\w-]+\.[\w-]+\.[\w-]*"
)


def redacted(text: str) -> str:
    """The text with *** for each secret in it. Cut a long text afterwards: half a URI is not recognised."""
    text = URI_PASSWORD.sub(rf"\1:{HIDDEN}@", text)
    text = NAMED_VALUE.sub(rf"\1{HIDDEN}", text)
    return TOKENS.sub(HIDDEN, text)


def redacted_values(value: Any, name: str = "") -> Any:
    """The same of settings: mappings, lists and texts within one another; other values are as they were.

    What stands under a name that says it is secret is hidden whole, but for what says nothing (None, true).
    """
    if isinstance(value, Mapping):
        return {key: redacted_values(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [redacted_values(inner, name) for inner in value]
    if SECRET_NAME.fullmatch(name) and value is not None and not isinstance(value, bool):
        return HIDDEN
    return redacted(value) if isinstance(value, str) else value
