"""The loop's index page: what each step has answered, as its output keeps it, beside the truth."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import quote

from pyspark.sql import SparkSession

from firstday.answer import Answer
from firstday.loop.report import Effect, IndexContent, Stage
from firstday.loop.runner import Ran, Runner
from firstday.loop.steps import Step
from firstday.parallel import side_by_side
from firstday.report import words
from firstday.report.page import tile
from firstday.tables.address import is_path
from firstday.tables.published import published_answer

TrueEffects = Mapping[tuple[str, str, str], float]  # by experiment, metric and treatment
NOT_KEPT = Answer("", "No answer is kept: an earlier version of firstday made this run")


def content(
    spark: SparkSession,
    out: str,
    steps: Sequence[Step],
    runner: Runner,
    truth: Mapping[str, str],
    true_effects: TrueEffects,
) -> IndexContent:
    """All of the page. truth: by step, a sentence."""
    last = {ran.name: ran for ran in runner.ran}  # of a step that ran twice, the second time
    kept = side_by_side(*(partial(published_answer, spark, step.out, step.job) for step in steps))
    answers = [NOT_KEPT if each is None else Answer.of(each) for each in kept]
    stages = [
        _stage(out, step, answer, last[step.name], truth.get(step.name))
        for step, answer in zip(steps, answers, strict=True)
    ]
    return IndexContent(
        runner.run_id,
        "From raw logs to a proved decision",
        _verdict(stages),
        stages,
        [effect for answer in answers for effect in _effects(answer, true_effects)],
        seconds=[(ran.name, ran.seconds, ran.why) for ran in runner.ran],
    )


def _verdict(stages: Sequence[Stage]) -> str:
    """What was found, and what came of it."""
    found = [words.sentence(stage.answer) for stage in stages if stage.job in ("discover", "measure")]
    return " ".join(found) or f"{words.some(len(stages), 'step is', 'steps are')} done"


def _stage(out: str, step: Step, answer: Answer, ran: Ran, truth: str | None) -> Stage:
    """The step's question, its answer in a sentence and its evidence."""
    state = f"skipped: {ran.why}" if ran.seconds is None else f"ran in {ran.seconds:.0f} s: {ran.why}"
    facts = tuple(map(tile, answer.facts))
    report = _report(out, step)
    return Stage(step.name, step.job, step.question, answer.headline, facts, report, truth, state)


def _effects(answer: Answer, true_effects: TrueEffects) -> list[Effect]:
    """The effects on shares that a measure step found, with what is true of them."""
    found = []
    for fact in answer.facts:
        if fact.unit == "points" and "metric" in fact.about and isinstance(fact.value, float):
            experiment, metric, treatment = (
                fact.about[name] for name in ("experiment", "metric", "treatment")
            )
            true = true_effects.get((experiment, metric, treatment))
            found.append(Effect(f"{experiment}: {fact.name}", fact.value, fact.low, fact.high, true))
    return found


def _report(out: str, step: Step) -> str | None:
    """The address of its report from the index page. Assigning has none."""
    if step.job == "assign" or not is_path(step.out):
        return None
    file = f"{step.out.rstrip('/')}/{step.job}.html"
    return file if "://" in file else quote(Path(os.path.relpath(file, out)).as_posix())
