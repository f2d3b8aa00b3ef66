"""What docs/security.md says of the sources and of what is installed: read from the files, not run."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from firstday.errors import SettingsError
from firstday.labels import functions
from firstday.settings import DiscoverSettings, load
from firstday.settings.load import _AsWritten

REPOSITORY = Path(__file__).parents[1]
SOURCES = [file for folder in ("lib", "jobs") for file in sorted((REPOSITORY / folder).rglob("*.py"))]
PINS = sorted(REPOSITORY.glob("requirements*.txt"))
SAFE_YAML = {"safe_load", "SafeLoader"}
OF_SAFE_LOADERS = {"load.py: yaml.load"}  # with a subclass of SafeLoader
ATTACK = "!!python/object/apply:os.system ['touch {}']"


def test_yaml_is_loaded_safely_everywhere() -> None:
    used = {
        f"{file.name}: yaml.{node.attr}"
        for file in SOURCES
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "yaml"
        if "load" in node.attr.lower() and node.attr not in SAFE_YAML  # load, full_load, UnsafeLoader, ...
    }
    assert used == OF_SAFE_LOADERS
    assert issubclass(_AsWritten, yaml.SafeLoader)
    imported = re.compile(r"^\s*from yaml import|import yaml as|ruamel", re.MULTILINE)
    assert [file.name for file in SOURCES if imported.search(file.read_text(encoding="utf-8"))] == []


def test_yaml_runs_nothing(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    attack = ATTACK.format(trace)
    for name in ("settings.yml", "functions.yml"):
        (tmp_path / name).write_text(f"users: {attack}\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="must be YAML"):
        load(DiscoverSettings, tmp_path / "settings.yml")
    with pytest.raises(SettingsError, match="must be YAML"):
        load(DiscoverSettings, None, {}, [f"users={attack}"])
    with pytest.raises(SettingsError, match="YAML"):
        functions.load(str(tmp_path / "functions.yml"))
    assert not trace.exists()


def test_the_linter_looks_for_what_is_dangerous() -> None:
    """flake8-bandit's rules: eval, pickle, shells, unsafe YAML, SQL made of text, weak hashes, ..."""
    lint = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
    assert {rule for rule in lint["ignore"] if re.fullmatch(r"S\d+", rule)} == {"S101", "S311"}
    without = {files for files, rules in lint["per-file-ignores"].items() if "S" in rules}
    assert without == {"tests/**", "benchmarks/**"}


def test_exceptions_to_the_linter_say_why() -> None:
    exceptions = re.compile(r"# noqa:[^#\n]*\bS\d+[^#\n]*")
    found = [text for file in SOURCES for text in exceptions.findall(file.read_text(encoding="utf-8"))]
    assert found
    assert [text for text in found if " - " not in text] == []


@pytest.mark.parametrize("file", PINS, ids=lambda file: file.name)
def test_everything_that_is_installed_is_pinned_with_hashes(file: Path) -> None:
    text = re.sub(r"\\\n", " ", file.read_text(encoding="utf-8"))
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    assert lines
    pin = re.compile(r"[\w.-]+(\[[\w,-]+\])?==[\w.!+-]+( ; [^#]+?)?( +--hash=sha256:[0-9a-f]{64})+")
    assert [line for line in lines if not pin.fullmatch(line)] == []


def test_make_installs_only_by_hashes() -> None:
    """But the package itself, which is built here from what is here."""
    makefile = re.sub(r"\\\n\s*", " ", (REPOSITORY / "Makefile").read_text(encoding="utf-8"))
    installs = [line for line in makefile.splitlines() if "pip install" in line]
    assert len(installs) >= 4
    own = "--no-deps --no-build-isolation --editable ."
    assert [line for line in installs if "--require-hashes" not in line and own not in line] == []
    assert {"requirements-audit.txt", "requirements-uv.txt", "requirements.txt"} <= {
        file.name for file in PINS
    }
