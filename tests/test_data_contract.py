"""docs/data-contract.md names each table of the code with its columns; docs/runbook.md each kind of error."""

import re
from pathlib import Path

import pytest
from pyspark.sql.types import StructType

from firstday import errors
from firstday.job_list import BY_SETTINGS
from firstday.job_list import schemas as schemas_of_stages
from firstday.ranking import bank
from firstday.settings.bank import TABLES as BANK_TABLES
from firstday.simulation import tables as simulated
from firstday.simulation.fraud import simulate_fraud
from firstday.tables import forget, maintain, schemas
from firstday.tables.write import SHARED

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "data-contract.md").read_text(encoding="utf-8")
INPUTS, OUTPUTS = PAGE.split("## Outputs")
WRITTEN: dict[str, StructType] = {
    **schemas_of_stages(),
    **SHARED,
    **forget.TABLES,
    **maintain.TABLES,
    "moment_counts": schemas.moment_counts([], []),
    "moment_products": schemas.moment_products([]),
}
READ: dict[str, schemas.Contract] = {
    **{name: bank.contract(name, ["user_id", "joined_at"]) for name in BANK_TABLES},
    "users": schemas.users(),
    "events": schemas.events(),
    "labels": schemas.user_labels(),
    "rows": schemas.label_rows([]),
    "votes, wide": schemas.wide_votes([], 2),
    "votes, long": schemas.long_votes(2),
}


def row_of(table: str, part: str) -> str:
    """The row of the page on a table."""
    rows = [line for line in part.splitlines() if re.match(rf"\| ([\w, ]+, )?{re.escape(table)}[ ,]", line)]
    assert rows, f"docs/data-contract.md does not say what {table} holds"
    return rows[0]


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


@pytest.mark.parametrize("table", sorted({*WRITTEN, *BY_SETTINGS}))
def test_each_output_is_there_with_all_its_columns(table: str) -> None:
    told = names_in(row_of(table, OUTPUTS))
    if table in WRITTEN:
        assert set(WRITTEN[table].names) - told == set()


@pytest.mark.parametrize("table", sorted(READ))
def test_each_input_is_there_with_all_its_columns(table: str) -> None:
    told, contract = row_of(table, INPUTS), READ[table]
    assert {field.name for field in contract.fields} - names_in(told) == set()
    if contract.unique is not None:
        assert told.split(" | ")[2].startswith(contract.unique)


def test_no_column_is_told_that_no_table_has() -> None:
    columns = {name for schema in WRITTEN.values() for name in schema.names}
    for line in OUTPUTS.splitlines():
        if line.startswith("| ") and ": " in line and not line.startswith("| table"):
            table, _, told = line.strip("| ").split(" | ", 2)
            named = {name for part in told.split("; ") for name in part.rpartition(": ")[0].split(", ")}
            named -= {"segment columns", "matured_dN", "retained_dN for each day"}
            assert named <= columns, table


def test_the_runbook_says_of_each_kind_of_error_how_it_ends() -> None:
    page = (DOCS / "runbook.md").read_text(encoding="utf-8")
    kinds = [each for each in vars(errors).values() if isinstance(each, type)]
    told = {kind.__name__: kind.exit_status for kind in kinds if issubclass(kind, errors.FirstdayError)}
    del told["UserError"]  # what the others are kinds of
    found = dict(re.findall(r"^\| (\w+Error) \| (\d) \|", page, re.MULTILINE))
    assert found == {name: str(status) for name, status in told.items()}


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_links_between_pages_lead_somewhere(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", text):
        file = (DOCS / target).resolve() if target else DOCS / page
        assert file.exists(), f"{page}: {target}"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{page}: {target}#{anchor}"


def anchors(file: Path) -> set[str]:
    """As a forge makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_each_column_of_a_simulated_table_is_explained() -> None:
    page = (DOCS / "simulate.md").read_text(encoding="utf-8").split("## Columns")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ", 2) for line in page.splitlines() if line.startswith("| ")][2:]
    fraud = {"accounts": simulated.accounts(simulate_fraud(users=50, seed=1).rows)}
    worlds = {"app": simulated.TABLES, "bank": simulated.BANK_TABLES, "fraud": fraud}
    worlds["loop"] = simulated.LOOP_TABLES | fraud
    empty = {"eligibility", "holdings", "transactions", "preferences"}  # of the loop
    for world, tables in worlds.items():
        for table, schema in tables.items():
            if world == "loop" and table in empty:
                continue
            [told] = [
                columns for name, where, columns in rows if name == table and world in where.split(", ")
            ]
            named = names_in(told)
            if "as above" in told or "the segments of users" in told:
                named |= set(simulated.TABLES["users"].names) | set(simulated.TABLES["truth"].names)
            assert set(schema.names) - named == set(), (world, table)
