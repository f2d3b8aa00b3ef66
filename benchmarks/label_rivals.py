"""Other people's label models, in an environment of their own, out/rivals.

Inside it: `python label_rivals.py MODEL IN.npz OUT.npz [IN.npz OUT.npz ...]` fits and writes `probabilities`,
or `failed` with the reason; IN has train, test (rows × functions, -1 abstains), classes and perhaps balance.
`python label_rivals.py time MODEL VOTES.npy` prints the seconds of fitting and predicting the same votes, and
the peak of memory, as JSON. From outside: `run(...)` does the same, and makes the environment the first time.
"""

import importlib
import json
import os
import resource
import signal
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
MOST_SECONDS = 180  # of a processor's time for one fit
OUT = Path(__file__).resolve().parents[1] / "out"
HOME = OUT / "rivals"
PINS = Path(__file__).with_name("requirements-rivals.txt")


def majority(train: Ints, test: Ints, classes: int, balance: Floats) -> Floats:  # noqa: ARG001 - as all are called
    """Snorkel's majority vote: ties are shared."""
    return importlib.import_module("snorkel.labeling.model").MajorityLabelVoter(classes).predict_proba(test)


def snorkel(
    train: Ints, test: Ints, classes: int, balance: Floats, epochs: int, is_given: bool = False
) -> Floats:
    """Snorkel's label model, as it comes: of uniform balance, or given the balance."""
    model = importlib.import_module("snorkel.labeling.model").LabelModel(cardinality=classes, verbose=False)
    known = balance.tolist() if is_given else None
    model.fit(train, class_balance=known, n_epochs=epochs, seed=123, progress_bar=False)
    return model.predict_proba(test)


def mace(train: Ints, test: Ints, classes: int, balance: Floats, repaired: bool) -> Floats:  # noqa: ARG001
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


MODELS: dict[str, Callable[[Ints, Ints, int, Floats], Floats]] = {
    "majority": majority,
    "snorkel-100": partial(snorkel, epochs=100),
    "snorkel-500": partial(snorkel, epochs=500),
    "mace": partial(mace, repaired=False),
    "mace-repaired": partial(mace, repaired=True),
}
KNOWING = {"snorkel-500-balance": partial(snorkel, epochs=500, is_given=True)}  # what votes alone do not tell


def fit(model: str, train: Ints, test: Ints, classes: int, balance: Floats) -> Floats:
    """P(class) of the test rows; uniform where nobody votes. Raises ValueError where there is none, or where
    it takes too long.
    """
    signal.signal(signal.SIGPROF, _too_long)
    signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
    found = (MODELS | KNOWING)[model](train, test, classes, balance)
    signal.setitimer(signal.ITIMER_PROF, 0)
    found[(test == ABSTAIN).all(axis=1)] = 1 / classes
    unknown = int((~np.isfinite(found)).any(axis=1).sum())
    if unknown:
        raise ValueError(f"{unknown} rows have no probabilities")
    return found


def _too_long(*_: object) -> None:
    raise ValueError(f"more than {MOST_SECONDS} s of a processor's time")


def write(model: str, given: str, out: str) -> None:
    """Fit on one set; a failure is written down, so that the other sets go on."""
    with np.load(given) as arrays:
        train, test, classes = arrays["train"], arrays["test"], int(arrays["classes"])
        balance = arrays["balance"] if "balance" in arrays else np.full(classes, 1 / classes)
    try:
        np.savez_compressed(out, probabilities=fit(model, train, test, classes, balance))
    except Exception as error:  # noqa: BLE001 - Snorkel raises plain ones
        np.savez_compressed(out, failed=np.array(str(error) or type(error).__name__))


def timed(model: str, given: str) -> str:
    """Seconds of fitting and predicting the same votes, and megabytes at the peak."""
    votes = np.load(given)
    classes = int(votes.max()) + 1
    importlib.import_module("snorkel.labeling.model")
    start = time.perf_counter()
    MODELS[model](votes, votes, classes, np.full(classes, 1 / classes))
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
