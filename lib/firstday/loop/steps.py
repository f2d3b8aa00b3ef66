"""The steps of a loop: each a job with its settings, joined to the steps before it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from firstday import job_list
from firstday.errors import SettingsError
from firstday.settings import (
    Settings,
    load,
    read_plan,
)
from firstday.settings.loop import LoopSettings

JOBS = {name: job for name, job in job_list.JOBS.items() if job.question}
# A setting that is another step's output, unless it is given: job -> setting -> the job it is from.
TAKEN_FROM = {
    "discover": {"labels": "label"},
    "train": {"hypotheses": "discover"},
    "recommend": {"ranker": "train"},
    "measure": {"assignments": "assign"},
}


@dataclass(frozen=True)
class Step:
    """A step: its name in the settings, its job, the job's settings.

    given: the settings as they were written, with what was filled in. outs: where the steps before it write.
    """

    name: str
    job: str
    settings: Settings
    outs: Mapping[str, str] = field(default_factory=dict)

    @property
    def out(self) -> str:
        """Where it writes."""
        return str(self.settings.model_dump()["out"])

    @property
    def question(self) -> str:
        return JOBS[self.job].question


def steps_of(settings: LoopSettings) -> tuple[Step, ...]:
    """The steps in the order in which they run, all of them checked.

    A step is called as its job, or, where a job runs more than once, job_NAME: assign_ramp and measure_ramp
    belong together. `{out}` in a setting stands for the loop's out.

    Raises SettingsError, before anything runs, for a step of no job, wrong settings or a wrong plan.
    """
    jobs = {name: _job(name) for name in settings.steps}
    order = sorted(settings.steps, key=lambda name: [*JOBS].index(jobs[name]))
    steps: list[Step] = []
    for name in order:
        outs = {step.name: step.out for step in steps}
        values = _filled(settings.steps[name], settings.out.rstrip("/"))
        values = {
            "out": f"{settings.out.rstrip('/')}/{name}" if settings.is_folder else settings.out
        } | values
        values = _joined(name, jobs[name], values, outs, settings.steps)
        steps.append(Step(name, jobs[name], _checked(name, jobs[name], values), outs))
    _refuse_unknown(settings, order)
    _refuse_one_out(steps)
    return tuple(steps)


def _job(name: str) -> str:
    job = name.partition("_")[0]
    if job not in JOBS:
        raise SettingsError(
            f"a step is called as its job, {', '.join(JOBS)}, or job_NAME where a job runs more than once",
            value=name,
            next_step="correct the name in steps",
        )
    return job


def _filled(value: Any, out: str) -> Any:
    """With the loop's out for {out}, in texts at any depth."""
    if isinstance(value, str):
        return value.replace("{out}", out)
    if isinstance(value, list):
        return [_filled(item, out) for item in value]
    if isinstance(value, dict):
        return {key: _filled(item, out) for key, item in value.items()}
    return value


def _joined(
    name: str, job: str, values: dict[str, Any], outs: Mapping[str, str], written: Mapping[str, Any]
) -> dict[str, Any]:
    """With the outputs of the steps before, where a setting is not given; given as null it stays so."""
    ending = name.removeprefix(job)
    found = dict(values)
    for setting, source in TAKEN_FROM.get(job, {}).items():
        step = next((each for each in (source + ending, source) if each in outs), None)
        if step is not None and _wanted(job, values):
            found.setdefault(setting, outs[step])
            if job == "measure" and written[step].get("plan"):
                plan = _filled(written[step]["plan"], "{out}")
                found.setdefault("plan", plan)
    return found


def _wanted(job: str, values: Mapping[str, Any]) -> bool:
    if job == "train":
        return values.get("objective") == "hypotheses"
    return job != "measure" or "units" not in values


def _checked(name: str, job: str, values: dict[str, Any]) -> Settings:
    try:
        settings = load(JOBS[job].settings, None, values)
        if plan := settings.model_dump().get("plan"):
            read_plan(plan)
    except SettingsError as error:
        raise SettingsError(
            f"step {name}: {error.rule}", value=error.value, next_step=error.next_step
        ) from None
    return settings


def _refuse_one_out(steps: list[Step]) -> None:
    """An output holds the tables of a job's latest run: of two steps only the later one's would stay."""
    first: dict[tuple[str, str], str] = {}
    for step in steps:
        other = first.setdefault((step.job, step.out), step.name)
        if other != step.name:
            raise SettingsError(
                "steps of one job need outputs of their own, or the later one replaces what the other wrote",
                value=f"{other} and {step.name} in {step.out}",
                next_step=f"give {step.name} an out of its own",
            )


def _refuse_unknown(settings: LoopSettings, names: list[str]) -> None:
    unknown = [name for name in settings.again if name not in names]
    if unknown:
        raise SettingsError(
            "--again names steps of the loop", value=unknown, next_step=f"one of {', '.join(names)}"
        )
