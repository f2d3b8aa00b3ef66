"""Other people's label models, in an environment of their own, out/rivals.

Inside it: `python label_rivals.py MODEL IN.npz OUT.npz [IN.npz OUT.npz ...]` fits and writes `probabilities`,
or `failed` with the reason; IN has train, test (rows × functions, -1 abstains) and classes.
`python label_rivals.py time MODEL VOTES.npy` prints the seconds of fitting and predicting the same votes, and
the peak of memory, as JSON. From outside: `run(...)` does the same, and makes the environment the first time.
"""

import importlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer]
Floats = NDArray[np.float64]

ABSTAIN = -1
OUT = Path(__file__).resolve().parents[1] / "out"
HOME = OUT / "rivals"
PINS = Path(__file__).with_name("requirements-rivals.txt")


def majority(train: Ints, test: Ints, classes: int) -> Floats:  # noqa: ARG001 - as the others are called
    """Snorkel's majority vote: ties are shared."""
    return importlib.import_module("snorkel.labeling.model").MajorityLabelVoter(classes).predict_proba(test)


def snorkel(train: Ints, test: Ints, classes: int, epochs: int) -> Floats:
    """Snorkel's label model, uniform balance, as it comes."""
    model = importlib.import_module("snorkel.labeling.model").LabelModel(cardinality=classes, verbose=False)
    model.fit(train, n_epochs=epochs, seed=123, progress_bar=False)
    return model.predict_proba(test)


def mace(train: Ints, test: Ints, classes: int, repaired: bool) -> Floats:
    """crowd-kit's MACE. It has no predict: it is fitted on all votes, and gives the test rows' probabilities.

    As it comes it numbers workers and labels here in the order they come, there in the order they sort, which
    mixes them up, and begins all its restarts with the same draw. Repaired, it is given votes for which both
    orders are the same, and its restarts differ.
    """
    pandas = importlib.import_module("pandas")
    votes = test if np.array_equal(train, test) else np.vstack([train, test])
    rows, voters = np.nonzero(votes != ABSTAIN)
    labels, names = votes[rows, voters], np.arange(classes)
    start: dict[str, Any] = {"n_restarts": 1}  # the others would be the same
    if repaired:
        (labels, names), (voters, _) = pandas.factorize(labels), pandas.factorize(voters)
        start = {"random_state": np.random.RandomState(0)}
    model = importlib.import_module("crowdkit.aggregation").MACE(**start)
    told = model.fit_predict_proba(pandas.DataFrame({"task": rows, "worker": voters, "label": labels}))
    found = np.zeros((len(votes), classes))
    found[np.ix_(told.index, names[told.columns])] = told
    return found[-len(test) :]


MODELS: dict[str, Callable[[Ints, Ints, int], Floats]] = {
    "majority": majority,
    "snorkel-100": partial(snorkel, epochs=100),
    "snorkel-500": partial(snorkel, epochs=500),
    "mace": partial(mace, repaired=False),
    "mace-repaired": partial(mace, repaired=True),
}


def fit(model: str, train: Ints, test: Ints, classes: int) -> Floats:
    """P(class) of the test rows; uniform where nobody votes. Raises ValueError where there is none."""
    found = MODELS[model](train, test, classes)
    found[(test == ABSTAIN).all(axis=1)] = 1 / classes
    unknown = int((~np.isfinite(found)).any(axis=1).sum())
    if unknown:
        raise ValueError(f"{unknown} rows have no probabilities")
    return found


def write(model: str, given: str, out: str) -> None:
    """Fit on one set; a failure is written down, so that the other sets go on."""
    with np.load(given) as arrays:
        train, test, classes = arrays["train"], arrays["test"], int(arrays["classes"])
    try:
        np.savez_compressed(out, probabilities=fit(model, train, test, classes))
    except Exception as error:  # noqa: BLE001 - Snorkel raises plain ones
        np.savez_compressed(out, failed=np.array(str(error) or type(error).__name__))


def timed(model: str, given: str) -> str:
    """Seconds of fitting and predicting the same votes, and megabytes at the peak."""
    votes = np.load(given)
    classes = int(votes.max()) + 1
    importlib.import_module("snorkel.labeling.model")
    start = time.perf_counter()
    MODELS[model](votes, votes, classes)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return json.dumps({"seconds": seconds, "peak_mb": peak})


def environment() -> Path:
    """The rivals' Python, installed where it is not yet, and anew when the pins change."""
    python, stamp, pins = HOME / "bin" / "python", HOME / "pins.txt", PINS.read_text()
    if not stamp.is_file() or stamp.read_text() != pins:
        print(f"Installing the rivals into {HOME}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", HOME], check=True)
        # uv is quick, but knows only its own configuration of mirrors and certificates; pip knows pip's.
        uv = Path(sys.executable).with_name("uv")
        quick = [str(uv), "--quiet", "--system-certs", "pip", "install", "--python", str(python)]
        plain = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        wanted = ["--require-hashes", "-r", str(PINS)]
        if not uv.is_file() or subprocess.run([*quick, *wanted]).returncode:
            subprocess.run([*plain, *wanted], check=True)
        stamp.write_text(pins)
    return python


def run(*arguments: object, threads: int | None = None) -> str:
    """What this file prints, run by the rivals' Python."""
    limit = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    command = [str(environment()), __file__, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, **limit})
    return done.stdout


def main() -> None:
    """Fit one model on each set, or time it."""
    model, *files = sys.argv[1:]
    if model == "time":
        print(timed(*files))
        return
    for given, out in zip(files[::2], files[1::2], strict=True):
        write(model, given, out)


if __name__ == "__main__":
    main()
