"""A result as plain text for the terminal: a few sentences, then an aligned table."""

from collections.abc import Sequence

from firstday.report import words
from firstday.report.content import MeasureContent
from firstday.report.measure_rows import CANNOT_TELL, Rows, probability

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
    text = "\n".join(words.sentence(each) for each in dict.fromkeys(sentences))
    if rows.withheld:
        return text
    columns = ("metric", "treatment", "control", "effect", f"{rows.level} interval", "p", "verdict")
    shown = [*rows.deciding(), *rows.guardrails()]
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
