"""docs/api.md says what the docstrings say."""

from pathlib import Path

from benchmarks.api_page import page


def test_the_page_is_what_help_says() -> None:
    written = (Path(__file__).parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
    assert written.rstrip() == page(), "run make docs"
