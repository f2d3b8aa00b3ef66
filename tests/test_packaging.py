"""What reaches an installation: packages, data files, entry points, pins."""

import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from firstday import __version__, cli

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy, so that no build folder is left in the repository."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("lib", "jobs", "conf"):
        shutil.copytree(REPOSITORY / name, copy / name, ignore=shutil.ignore_patterns("*.egg-info"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, copy)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(copy / "dist"), str(copy)], check=True)
    (built,) = (copy / "dist").glob("*.whl")
    return built


def test_only_firstday_reaches_site_packages(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {"firstday", f"firstday-{__version__}.dist-info"}


def test_the_wheel_has_every_module_and_every_file_of_conf(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {
        f"firstday/{file.relative_to(REPOSITORY / 'lib/firstday')}" for file in sources("lib/firstday")
    }
    jobs = {f"firstday/jobs/{file.name}" for file in sources("jobs")}
    conf = {f"firstday/conf/{file.name}" for file in (REPOSITORY / "conf").iterdir() if file.is_file()}
    assert (modules | jobs | conf) - names == set()


def test_a_zip_of_the_wheel_imports(wheel: Path, tmp_path: Path) -> None:
    """As spark-submit --py-files imports it: from the archive, without the installed package."""
    archive = shutil.copy(wheel, tmp_path / "firstday.zip")
    code = "import firstday.cli, firstday.jobs, firstday.conf; print(firstday.cli.__file__)"
    isolated = "import sys; sys.meta_path = [f for f in sys.meta_path if 'editable' not in repr(f).lower()];"
    done = subprocess.run(
        [sys.executable, "-c", f"{isolated} sys.path.insert(0, {str(archive)!r}); {code}"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.stderr == ""
    assert done.stdout.startswith(str(archive))


def test_every_job_is_an_entry_point() -> None:
    points = {point.name: point for point in distribution("firstday").entry_points}
    assert points["firstday"].load() is cli.main
    assert set(points) == {"firstday", *(f"firstday-{name}" for name in cli.JOBS)}
    for name, job in cli.JOBS.items():
        assert points[f"firstday-{name}"].value == f"{job.module}:main"
        assert callable(points[f"firstday-{name}"].load())


def test_the_command_works_from_any_folder(tmp_path: Path) -> None:
    command = Path(sys.prefix) / "bin" / "firstday"
    done = subprocess.run([command, "--version"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()[-1]) == (0, __version__)


def test_what_a_cluster_brings_itself_is_no_requirement() -> None:
    required = {Requirement(line).name for line in requires() if "extra ==" not in line}
    assert required.isdisjoint({"pyspark", "delta-spark", "mlflow", "synapseml", "lightgbm"})


@pytest.mark.parametrize(
    ("file", "spark"), [("requirements.txt", "3.5."), ("requirements-spark4.txt", "4.1.")]
)
def test_pins_fit_the_ranges_and_have_hashes(file: str, spark: str) -> None:
    text = (REPOSITORY / file).read_text()
    blocks = re.findall(r"^([\w.-]+)==([^\s;\\]+)(.*?)(?=^[\w.-]+==|\Z)", text, re.MULTILINE | re.DOTALL)
    pins = {name: version for name, version, _ in blocks}
    assert pins["pyspark"].startswith(spark)
    assert [name for name, _, rest in blocks if "--hash=sha256:" not in rest] == []
    for line in requires():
        requirement = Requirement(line)
        extras = [{"extra": extra} for extra in ("", "local", "dev")]
        if requirement.marker is None or any(requirement.marker.evaluate(extra) for extra in extras):
            assert pins[requirement.name.lower()] in requirement.specifier, line


def requires() -> list[str]:
    return distribution("firstday").requires or []


def sources(folder: str) -> list[Path]:
    return sorted((REPOSITORY / folder).rglob("*.py"))
