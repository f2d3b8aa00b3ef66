"""Run a notebook from a clean kernel and say how long it took; with --write its outputs are kept in it.

A report is kept as its picture: the page would be a megabyte for each.
"""

import argparse
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

LIMIT = 180  # seconds, at rest
PATIENCE = 600  # of one cell, on a busy machine


def main() -> None:
    """Run the notebook; exit with 1 where a cell fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    notebook = nbformat.read(asked.notebook, as_version=4)
    began = time.monotonic()
    client = NotebookClient(notebook, timeout=PATIENCE, kernel_name="python3")
    client.execute(cwd=str(asked.notebook.parent))
    seconds = time.monotonic() - began
    print(f"{asked.notebook.name}: {seconds:.0f} s (at most {LIMIT} s at rest)", file=sys.stderr)
    if not asked.write:
        return
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                data.pop("text/html", None)
        cell.get("metadata", {}).pop("execution", None)
    nbformat.write(notebook, asked.notebook)


if __name__ == "__main__":
    main()
