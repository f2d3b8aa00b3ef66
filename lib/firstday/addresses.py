"""What an address is: a path, or the name of a table. Needs neither Spark nor the place itself."""

import re
from pathlib import Path

FORMATS = {"parquet": "parquet", "pq": "parquet", "csv": "csv", "tsv": "csv"} | dict.fromkeys(
    ("json", "jsonl", "ndjson"), "json"
)
EXTENSION = rf"\.({'|'.join(FORMATS)})(?:\.(?:gz|bz2|zst|lz4|snappy|deflate))?$"


def is_path(address: str) -> bool:
    """Whether `address` is a path; otherwise it is the name of a table or of a schema."""
    return (
        "/" in address
        or "\\" in address
        or address.startswith(".")
        or "." not in address
        or re.search(EXTENSION, address.lower()) is not None
        or Path(address).exists()
    )
