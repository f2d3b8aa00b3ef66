"""A result as plain text for the terminal: sentences, then an aligned table."""

from collections.abc import Sequence

from firstday.report import words


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


def lines(sentences: Sequence[str]) -> str:
    """Each sentence once, a line each, with a full stop."""
    return "\n".join(words.stopped(each) for each in dict.fromkeys(sentences))
