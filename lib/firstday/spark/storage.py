"""What lies at a path, and files beside tables: through Hadoop; on Spark Connect through Spark's own readers
and, where Python sees the place too, Python's files.
"""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote

from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession

from firstday.errors import DataError
from firstday.spark.connect import on_connect
from firstday.spark.failures import error_class

# A column in a Parquet schema's text, and whether its nanoseconds are adjusted to UTC.
INTEGER_COLUMN = (
    r"^  (?:optional|required) int64 (.+?)(?: \(TIMESTAMP\(NANOS,(true|false)\)\)| \(.*\))?(?: = \d+)?;$"
)
OF_THIS_MACHINE = "file"
NANOSECONDS = {"true": "timestamp", "false": "timestamp_ntz"}
SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:")
LOCAL = re.compile(r"file:/*|dbfs:/+(?=Volumes/)")  # before a path that Python may see


class File(NamedTuple):
    """A file's address, its bytes, and when it was written, in milliseconds since 1970."""

    path: str
    bytes: int
    modified: int


class Storage(Protocol):
    """Files and folders at paths, as a session's Spark has them."""

    def absolute(self, path: str) -> str:
        """The path as SQL takes it."""

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder."""

    def is_delta(self, path: str) -> bool:
        """Whether a Delta table is there, or the path is inside of one."""

    def file(self, path: str) -> File | None:
        """The file at the path; None for a folder, and where it shows only to Spark's readers."""

    def folders(self, path: str) -> Sequence[str]:
        """Names of the folders in a folder, sorted."""

    def is_open(self, folder: str) -> bool:
        """Whether `put` and `rename` work in a folder that is there."""

    def put(self, path: str, unfinished: str, content: bytes) -> None:
        """Make or replace a file, whole or not at all; `unfinished` is a path beside it."""

    def rename(self, unfinished: str, path: str) -> None:
        """Give a folder its name, in place of the one that is there."""

    def parquet_integers(self, path: str) -> dict[str, str | None]:
        """The columns of a Parquet file that are 64-bit integers; of those that are nanoseconds since 1970
        the type that they stand for. Only the footer is read: Spark itself does not tell the two apart.
        """


def storage(spark: SparkSession) -> Storage:
    """The files that the session works with."""
    return ThroughConnect(spark) if on_connect(spark) else ThroughHadoop(spark)


@dataclass(frozen=True)
class ThroughHadoop:
    """By the classes of Hadoop, for every store that it knows."""

    spark: SparkSession

    def absolute(self, path: str) -> str:
        files, found = self._at(path)
        return str(files.makeQualified(found).toString())

    def exists(self, path: str) -> bool:
        files, found = self._at(path)
        return bool(files.exists(found))

    def is_delta(self, path: str) -> bool:
        from delta.tables import DeltaTable

        return bool(DeltaTable.isDeltaTable(self.spark, path))

    def file(self, path: str) -> File | None:
        files, found = self._at(path)
        if not files.isFile(found):
            return None
        status = files.getFileStatus(found)
        return File(status.getPath().toString(), status.getLen(), status.getModificationTime())

    def folders(self, path: str) -> Sequence[str]:
        files, found = self._at(path)
        return sorted(each.getPath().getName() for each in files.listStatus(found) if each.isDirectory())

    def is_open(self, folder: str) -> bool:  # noqa: ARG002 - every store is
        return True

    def put(self, path: str, unfinished: str, content: bytes) -> None:
        files, target = self._at(path)
        _, beside = self._at(unfinished)
        if files.getScheme() == OF_THIS_MACHINE:
            # Hadoop's local files have checksums beside them and are not replaced in one step.
            local = Path(beside.toUri().getPath())
            local.write_bytes(content)
            local.replace(target.toUri().getPath())
            return
        stream = files.create(beside, True)
        try:
            stream.write(bytearray(content))
        finally:
            stream.close()
        files.delete(target, False)  # on most file systems a rename does not replace
        files.rename(beside, target)

    def rename(self, unfinished: str, path: str) -> None:
        files, target = self._at(path)
        _, beside = self._at(unfinished)
        files.delete(target, True)
        files.rename(beside, target)

    def parquet_integers(self, path: str) -> dict[str, str | None]:
        jvm: Any = self.spark._jvm
        configuration = self.spark._jsc.hadoopConfiguration()
        file = jvm.org.apache.parquet.hadoop.util.HadoopInputFile.fromPath(
            jvm.org.apache.hadoop.fs.Path(jvm.java.net.URI(path)), configuration
        )
        reader = jvm.org.apache.parquet.hadoop.ParquetFileReader.open(file)
        try:
            schema = reader.getFooter().getFileMetaData().getSchema().toString()
        finally:
            reader.close()
        found = re.finditer(INTEGER_COLUMN, schema, re.MULTILINE)
        return {each[1]: None if each[2] is None else NANOSECONDS[each[2]] for each in found}

    def _at(self, path: str) -> tuple[Any, Any]:
        """Hadoop's file system of a path, and the path as it takes it."""
        jvm: Any = self.spark._jvm
        found = jvm.org.apache.hadoop.fs.Path(path)
        return found.getFileSystem(self.spark._jsc.hadoopConfiguration()), found


@dataclass(frozen=True)
class ThroughConnect:
    """Without a JVM. What Spark reads and writes may be on another machine: its readers say what is there.
    Python's files serve where Python sees the same folder, as on this machine and in /Volumes.
    """

    spark: SparkSession

    def absolute(self, path: str) -> str:
        return path if SCHEME.match(path) else str(Path(path).absolute())

    def exists(self, path: str) -> bool:
        try:
            _ = self.spark.read.format("binaryFile").load(_literal(self.absolute(path))).schema
        except AnalysisException as error:
            if error_class(error) != "PATH_NOT_FOUND":
                raise
            return False
        return True

    def is_delta(self, path: str) -> bool:
        where = self.absolute(path)
        root = re.match(r"(?:[\w+.-]+:/*[^/]*)?/?", where)
        start = len(root[0]) if root else 0
        ends = [at for at, character in enumerate(where) if character == "/" and at > start]
        return any(self._is_table(where[:end]) for end in [len(where), *reversed(ends)])

    def file(self, path: str) -> File | None:  # noqa: ARG002 - its address and time are another machine's
        return None

    def folders(self, path: str) -> Sequence[str]:
        if (seen := _seen(path)) is not None:
            return sorted(each.name for each in seen.iterdir() if each.is_dir())
        where = self.absolute(path).rstrip("/")
        below = (
            self.spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(_literal(where))
        )
        tail = re.sub(r"^[a-zA-Z]+:/*", "", where) + "/"
        files = [unquote(file).partition(tail)[2] for file in below.inputFiles()]
        return sorted({file.partition("/")[0] for file in files if "/" in file})

    def is_open(self, folder: str) -> bool:
        return _seen(folder) is not None

    def put(self, path: str, unfinished: str, content: bytes) -> None:
        beside = _python(unfinished)
        beside.write_bytes(content)
        beside.replace(_python(path))

    def rename(self, unfinished: str, path: str) -> None:
        target = _python(path)
        if target.exists():
            shutil.rmtree(target)
        _python(unfinished).rename(target)

    def parquet_integers(self, path: str) -> dict[str, str | None]:
        import pyarrow as pa
        from pyarrow import parquet

        file = _python(unquote(path)) if _is_local(path) else None
        if file is None or not file.is_file():
            raise DataError(
                "whole numbers in Parquet must be told from times in nanoseconds, for which Python must see "
                "the file: this session is of Spark Connect",
                value=path,
                next_step="make a table of the files (CREATE TABLE ... AS SELECT), or put them into a volume",
            )
        found: dict[str, str | None] = {}
        for each in parquet.read_schema(file):
            if pa.types.is_int64(each.type):
                found[each.name] = None
            elif pa.types.is_timestamp(each.type) and each.type.unit == "ns":
                found[each.name] = NANOSECONDS["false" if each.type.tz is None else "true"]
        return found

    def _is_table(self, path: str) -> bool:
        """Whether Spark can open a Delta table there; its data are not read."""
        try:
            _ = self.spark.read.format("delta").load(path).schema
        except AnalysisException as error:
            if error_class(error).startswith(("DELTA_", "PATH_NOT_FOUND")):
                return False
            raise
        return True


def _is_local(path: str) -> bool:
    """Whether Python's files may know the path."""
    return LOCAL.match(path) is not None or SCHEME.match(path) is None


def _python(path: str) -> Path:
    """A local path as Python has it."""
    return Path("/" + LOCAL.sub("", path, count=1)) if LOCAL.match(path) else Path(path)


def _seen(path: str) -> Path | None:
    """The folder, where Python sees it."""
    return folder if _is_local(path) and (folder := _python(path)).is_dir() else None


def _literal(path: str) -> str:
    """The path with nothing in it that Spark takes for a pattern."""
    return re.sub(r"([\\*?\[\]{}])", r"\\\1", path)
