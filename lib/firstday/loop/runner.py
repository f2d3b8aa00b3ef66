"""Run the steps of a loop: those that have something to do, in order, from where the last loop stopped."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from firstday import logs
from firstday.loop.state import Done, State, made_from
from firstday.loop.steps import Step


@dataclass(frozen=True)
class Ran:
    """What came of a step: seconds, None where it was skipped, and why."""

    name: str
    seconds: float | None
    why: str


@dataclass(frozen=True)
class Doors:
    """What the runner asks of the world outside.

    job: do the step's work and publish it under this run id. versions: by input of the step, what pins its
    content now. published: the run whose results are in the step's output now, None where there is none.
    """

    job: Callable[[Step, str], Any]
    versions: Callable[[Step], Mapping[str, str]]
    published: Callable[[Step], str | None]


@dataclass
class Runner:
    """Runs steps under run ids made of `run_id`; `ran` says what came of each, in order."""

    state: State
    run_id: str
    doors: Doors
    version: str  # firstday's
    ran: list[Ran] = field(default_factory=list)

    def run(self, steps: Sequence[Step], again: Sequence[str] = (), first: int = 1, total: int = 0) -> None:
        """Run the steps that have something to do. What a step raises ends the loop; the next begins with it.

        again: names of steps to run in any case. first, total: the number of the first step, and of all.
        """
        for number, step in enumerate(steps, first):
            try:
                self._run(step, f"{number}/{total or len(steps)}", step.name in again)
            except BaseException:
                rest = [each.name for each in steps[number - first + 1 :]]
                logs.log.error(
                    f"The loop stopped in step {step.name}. "
                    + (f"Not reached: {', '.join(rest)}. " if rest else "")
                    + "What was published before stays; the same command goes on from this step."
                )
                raise

    def _run(self, step: Step, place: str, again: bool) -> None:
        with logs.step(f"{place} {step.name}: {step.question}") as step_log:
            settings = step.settings.model_dump(mode="json")
            made = made_from(settings, self.doors.versions(step), self.version)
            why = self.state.to_do(step.name, made, published=self.doors.published(step), again=again)
            if why is None:
                step_log.note(skipped="nothing has changed")
                self.ran.append(Ran(step.name, None, "nothing has changed"))
                return
            step_log.note(because=why)
            started = time.monotonic()
            run_id = f"{self.run_id}-{len(self.ran) + 1}-{step.name}"  # a step may run twice in one loop
            self.doors.job(step, run_id)
            seconds = round(time.monotonic() - started, 3)
            self.state.keep(step.name, Done(run_id, made, seconds))
            self.ran.append(Ran(step.name, seconds, why))
