"""A Spark standalone cluster on loopback, out of pyspark's own classes: a master, two workers of one core.

spark-submit starts jobs on it. All that was started is ended by its process id.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import pyspark

from firstday.spark import jars, java

REPOSITORY = Path(__file__).parents[2]
SPARK_HOME = Path(pyspark.__file__).parent
LOOPBACK = "127.0.0.1"
WORKERS = 2
STARTED_WITHIN = 120.0  # seconds, for master, workers and executors
DONE_WITHIN = 900.0  # seconds, for one job: on a busy machine all takes ten times as long
ENDED_WITHIN = 15.0  # seconds from SIGTERM to SIGKILL
# What conf/spark-defaults.conf leaves to the cluster, and what makes small jobs quick.
OPTIONS = {
    "spark.driver.host": LOOPBACK,
    "spark.driver.bindAddress": LOOPBACK,
    "spark.driver.memory": "1g",
    "spark.executor.cores": "1",
    "spark.executor.memory": "1g",
    # Jars that are here already, instead of those that Ivy would download.
    "spark.jars.packages": "",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.adaptive.enabled": "false",  # each stage planned anew: for a few rows longer than the stage
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.driver.defaultJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.executor.defaultJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}

Found = TypeVar("Found")


def wait_for(find: Callable[[], Found | None], what: str, within: float) -> Found:
    """What `find` returns once that is neither None nor empty; TimeoutError when it takes longer."""
    ends = time.monotonic() + within
    while time.monotonic() < ends:
        if found := find():
            return found
        time.sleep(0.01)
    raise TimeoutError(f"no {what} within {within:g} s")


@dataclass(frozen=True)
class Driver:
    """A job that spark-submit has started: the JVM and its Python, one process group, and what they say."""

    job: str
    process: subprocess.Popen[bytes]
    log: Path

    def status(self, within: float = DONE_WITHIN) -> int:
        """The exit status; one that takes longer is killed, and TimeoutExpired raised."""
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def succeed(self, within: float = DONE_WITHIN) -> None:
        status = self.status(within)
        assert status == 0, f"{self.job} ended with {status}: {self.said[-6_000:]}"

    def kill(self) -> None:
        """As a machine that is switched off: nothing is cleared away. The group is ours: it is a session."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @property
    def said(self) -> str:
        """Standard output and error, Spark's own lines among them."""
        return self.log.read_text(encoding="utf-8", errors="replace")


class Cluster:
    """Use it in a `with`: leaving it ends all that it has started, drivers first."""

    def __init__(self, folder: Path, package: Path) -> None:
        """folder: for logs and what workers keep. package: the zip of `make dist`."""
        self.folder = folder
        self.package = package
        self.master = ""
        self._workers: list[subprocess.Popen[bytes]] = []
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def submit(self, job: str, *arguments: object, options: dict[str, str] | None = None) -> Driver:
        """Start jobs/JOB.py as README says, `options` beside OPTIONS."""
        # "local:": each machine has the file there, so that nobody copies it.
        told = (
            OPTIONS | {"spark.jars": ",".join(f"local:{jar}" for jar in jars.installed())} | (options or {})
        )
        command = [
            str(SPARK_HOME / "bin" / "spark-submit"),
            *("--master", self.master),
            *("--properties-file", str(REPOSITORY / "conf" / "spark-defaults.conf")),
            *(word for key, value in told.items() for word in ("--conf", f"{key}={value}")),
            *("--py-files", str(self.package)),
            str(REPOSITORY / "jobs" / f"{job}.py"),
            *map(str, arguments),
        ]
        process, log = self._begin(f"{job}-{len(self._running)}", command)
        return Driver(job, process, log)

    def executors(self) -> list[int]:
        """Process ids of the executors, which are children of our workers."""
        workers = {worker.pid for worker in self._workers}
        listed = subprocess.run(
            ["ps", "-eww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
        )
        rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
        return [
            int(pid)
            for pid, parent, *arguments in rows
            if int(parent) in workers and "CoarseGrainedExecutorBackend" in " ".join(arguments)
        ]

    def kill_an_executor(self) -> int:
        """Kill one; returns which."""
        executor = wait_for(self.executors, "executor", STARTED_WITHIN)[0]
        os.kill(executor, signal.SIGKILL)
        return executor

    def _start(self) -> None:
        master = self._daemon("master", "master.Master", "--host", LOOPBACK, "--port", "0")
        self.master = self._told(master, r"Starting Spark master at (spark://\S+)")
        logs = []
        for number in range(WORKERS):
            where = ("--work-dir", str(self.folder / f"work-{number}"))
            size = ("--host", LOOPBACK, "--cores", "1", "--memory", "2g")
            logs.append(self._daemon(f"worker-{number}", "worker.Worker", *size, *where, self.master))
            self._workers.append(self._running[-1])
        for log in logs:
            self._told(log, r"(Successfully registered with master)")

    def _daemon(self, name: str, class_name: str, *arguments: str) -> Path:
        spark_class = [str(SPARK_HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{class_name}"]
        return self._begin(name, [*spark_class, "--webui-port", "0", *arguments])[1]

    def _begin(self, name: str, command: list[str]) -> tuple[subprocess.Popen[bytes], Path]:
        log = self.folder / f"{name}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running.append(process)
        return process, log

    def _environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("SPARK_", "PYSPARK_"))}
        return kept | {
            "JAVA_HOME": str(java.require()),
            "SPARK_HOME": str(SPARK_HOME),
            "SPARK_LOCAL_IP": LOOPBACK,
            "SPARK_DAEMON_MEMORY": "256m",
            "SPARK_DAEMON_JAVA_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
            "PYSPARK_PYTHON": sys.executable,
            "PYTHONPATH": str(Path(__file__).parent / "only_the_zip"),
        }

    def _told(self, log: Path, pattern: str) -> str:
        def find() -> str | None:
            match = re.search(pattern, log.read_text(encoding="utf-8", errors="replace"))
            return match[1] if match else None

        return wait_for(find, f"line {pattern!r} in {log}", STARTED_WITHIN)

    def _end(self) -> None:
        # Backwards: drivers, workers, which end their executors, and the master.
        for process in reversed(self._running):
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(ENDED_WITHIN)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
