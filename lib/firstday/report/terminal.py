"""A result as plain text for the terminal: a few sentences, then an aligned table."""

from collections.abc import Sequence

from firstday.report import words
from firstday.report.answers import discover_answer, label_answer, recommend_answer, train_answer
from firstday.report.content import DiscoverContent, MeasureContent, RecommendContent, TrainContent
from firstday.report.discover import discover_parts
from firstday.report.label import label_sentences
from firstday.report.label_content import LabelContent
from firstday.report.measure_rows import CANNOT_TELL, Rows, probability
from firstday.report.recommend import earned

MOST_ROWS = 30


def aligned(columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[str] = ()) -> str:
    """A table in lines, each column as wide as its longest cell; numeric ones are aligned to the right."""
    table = [tuple(columns), *map(tuple, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if name in numeric else cell.ljust(width)
            for name, cell, width in zip(columns, row, widths, strict=True)
        ).rstrip()
        for row in table
    ]
    return "\n".join(lines)


def discover_text(content: DiscoverContent) -> str:
    """The answer, the users and dates it rests on, and what to test in which order, or what is too little."""
    found = content.hypothesis
    lines = [discover_answer(content).headline, words.sentence(found.get("reason") or "")]
    lines.append(discover_parts(content))
    lines += [words.text(found["help"])] if found.get("help") else []
    lines += [f"{words.name(name)}: {words.name(said)}" for name, _, said in content.settled]
    lines = [line for line in lines if line]
    if content.shortlist.empty:
        return "\n".join(lines)
    columns = ("rank", "action", "at least", "P(works)", "P(cause)", "expected gain", "users an arm", "days")
    rows = [
        (
            str(row.rank),
            words.name(row.action),
            f"{row.threshold} times",
            words.decimal(row.p_works, 2),
            words.decimal(row.p_cause, 2),
            words.points(row.expected_gain),
            words.number(row.users_per_arm),
            words.number(row.days_needed),
        )
        for row in content.shortlist.itertuples(index=False)
    ]
    numeric = (columns[0], *columns[3:])
    return "\n".join([*lines, "", aligned(columns, rows, numeric)])


def label_text(content: LabelContent) -> str:
    """Which rows are called, how many are missed, how common the class is."""
    return _lines([label_answer(content).headline, *label_sentences(content)])


def measure_text(content: MeasureContent) -> str:
    """The decision, what it rests on, and each metric's effect among all units."""
    rows = Rows(content)
    decision = content.decision
    check = rows.sample_ratio("all")
    sentences = [
        decision.ship,
        decision.headline,
        *([check.note] if check is not None else []),
        *content.notes,
    ]
    text = _lines(sentences)
    if rows.withheld:
        return text
    columns = ("metric", "treatment", "control", "effect", f"{rows.level} interval", "p", "verdict")
    guards = rows.guardrails()
    guarded = {(row.metric, row.treatment) for row in guards}
    shown = [row for row in rows.deciding() if (row.metric, row.treatment) not in guarded] + guards
    if not shown:
        return text
    cells = []
    for row in shown[:MOST_ROWS]:
        amount, known = rows.amount(row), row.verdict != CANNOT_TELL
        p_value = row.p_value if words.absent(row.p_adjusted) else row.p_adjusted
        cells.append(
            (
                rows.label(row),
                amount.level(row.value_treatment),
                amount.level(row.value_control),
                amount.effect(row.estimate) if known else words.NOTHING,
                amount.bounds(row.low, row.high) if known else words.NOTHING,
                probability(p_value),
                words.text(row.verdict),
            )
        )
    rest = (
        f"\nThe first {MOST_ROWS} of {len(shown)}; all are in experiment_results."
        if len(shown) > MOST_ROWS
        else ""
    )
    return f"{text}\n\n{aligned(columns, cells, columns[1:-1])}{rest}"


def train_text(content: TrainContent) -> str:
    """The verdict, the model beside what it is compared with, and the slots that are recommended."""
    sentences = [
        train_answer(content).headline,
        *content.comparisons,
        *([content.champion] if content.champion else []),
    ]
    if content.slots is not None and content.slots.notes:
        sentences.append(content.slots.notes[0])
    valid = content.metrics[(content.metrics["split"] == "valid") & content.metrics["value"].notna()]
    models = list(dict.fromkeys(valid["model"]))
    metrics = list(dict.fromkeys(valid["metric"]))
    value = {(row.model, row.metric): row.value for row in valid.itertuples(index=False)}
    cells = [
        [words.name(model), *(words.decimal(value.get((model, metric)), 4) for metric in metrics)]
        for model in models
    ]
    columns = ["on the rows to measure on", *(metric.upper() for metric in metrics)]
    return f"{_lines(sentences)}\n\n{aligned(columns, cells, columns[1:])}"


def recommend_text(content: RecommendContent) -> str:
    """Who gets a list, what is known of what it earns, and the slots by source."""
    total = max(sum(content.sources.values()), 1)
    cells = [
        (words.text(source), words.number(slots), words.share(slots / total))
        for source, slots in sorted(content.sources.items(), key=lambda item: (-item[1], item[0]))
    ]
    columns = ("source", "slots", "share")
    text = _lines([recommend_answer(content).headline, *content.notes, earned(content)])
    return f"{text}\n\n{aligned(columns, cells, columns[1:])}"


def _lines(sentences: Sequence[str]) -> str:
    return "\n".join(words.stopped(each) for each in dict.fromkeys(sentences))
