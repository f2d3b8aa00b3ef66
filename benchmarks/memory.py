"""The peak of memory of a process and all below it, such as a job, its JVM and its Python workers."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

EVERY = 0.2  # seconds between looks


@dataclass
class Peak:
    """The most that was seen so far."""

    megabytes: float = 0.0


@contextmanager
def peak_memory(root: int) -> Iterator[Peak]:
    """Look at the process `root` and all below it, as long as the `with` lasts."""
    peak, done = Peak(), threading.Event()

    def watch() -> None:
        while not done.wait(EVERY):
            peak.megabytes = max(peak.megabytes, resident_mb(root))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def resident_mb(root: int) -> float:
    """Memory of the process and all below it; what they share counts for each."""
    parents, pages = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            # The name in brackets may hold anything; behind it come the state and the parent.
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            pages[int(entry.name)] = int((entry / "statm").read_text().split()[1])
        except OSError:  # it has ended
            continue
    tree, last = {root}, 0
    while len(tree) > last:
        last = len(tree)
        tree |= {child for child, parent in parents.items() if parent in tree}
    return sum(pages.get(process, 0) for process in tree) * os.sysconf("SC_PAGE_SIZE") / 2**20
