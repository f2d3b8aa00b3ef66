"""Where Spark's Python workers come from in local mode: pyspark's own daemon, with less to do for each task.

Between two tasks a worker reads the contents of each archive on its path anew, of Spark's jar with its 5,000
classes, too, and searches all objects for garbage, those of the modules that it has imported included. That
takes 150 to 200 ms, which a task of a small table does not take otherwise.
"""

import gc
import sys
from importlib.machinery import PathFinder
from typing import BinaryIO

SPARKS_OWN = "pyspark.zip"  # sources, to be compiled by each process; installed they lie in a folder, too


def without_archives(path: list[str]) -> list[str]:
    """The path less the archives that Spark adds and that are not needed: jars, and itself where it is
    installed.
    """
    folders = [entry for entry in path if not entry.endswith((".jar", SPARKS_OWN))]
    return folders if PathFinder.find_spec("pyspark", folders) else path


def serve() -> None:
    """Fork workers for as long as Spark asks for them."""
    from pyspark import daemon

    work = daemon.worker_main

    def main(requests: BinaryIO, answers: BinaryIO) -> None:
        imported = len(sys.modules)
        work(requests, answers)
        if len(sys.modules) > imported:  # they stay: nothing of theirs will be garbage
            gc.collect()
            gc.freeze()

    daemon.worker_main = main
    daemon.manager()


if __name__ == "__main__":
    sys.path[:] = without_archives(sys.path)
    sys.path_importer_cache.clear()  # to find this module, Python has opened the archives
    serve()
