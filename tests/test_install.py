import subprocess
from pathlib import Path

import certifi
import pytest
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from firstday.errors import FirstdayError
from firstday.spark import install, jars

JAVA = Path("some java")
PKIX = "SSLHandshakeException: PKIX path building failed: unable to find valid certification path"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty jar folder instead of the environment's."""
    monkeypatch.setattr(jars, "folder", lambda: tmp_path / "share" / "jars")
    return tmp_path / "share" / "jars"


class Ivy:
    """Stands for spark-submit: leaves jars, or fails, and remembers with what it was called."""

    def __init__(self, *errors: str) -> None:
        self.errors = list(errors)
        self.java_options: list[str] = []

    def __call__(self, _java: Path, scratch: Path, java_options: str) -> subprocess.CompletedProcess[str]:
        self.java_options.append(java_options)
        error = self.errors.pop(0) if self.errors else ""
        if not error:
            (scratch / "jars").mkdir()
            (scratch / "jars" / "io.delta_delta-spark_2.12-9.jar").touch()
        return subprocess.CompletedProcess([], 1 if error else 0, "", error)


def test_fetched_jars_replace_those_of_before(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(parents=True)
    (folder / "io.delta_delta-spark_2.12-8.jar").touch()
    monkeypatch.setattr(install, "_resolve", Ivy())
    assert install.fetch_jars(JAVA) == [folder / "io.delta_delta-spark_2.12-9.jar"]
    assert [jar.name for jar in jars.installed()] == ["io.delta_delta-spark_2.12-9.jar"]


def test_a_failure_shows_ivys_report_and_keeps_what_was_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.mkdir(parents=True)
    (folder / "old.jar").touch()
    monkeypatch.setattr(install, "_resolve", Ivy("no such host"))
    with pytest.raises(FirstdayError, match="Ivy must be able to fetch"):
        install.fetch_jars(JAVA)
    assert "no such host" in capsys.readouterr().err
    assert (folder / "old.jar").exists()


def test_a_java_that_knows_no_authority_gets_the_machines(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    ivy = Ivy(PKIX)
    monkeypatch.setattr(install, "_resolve", ivy)
    assert len(install.fetch_jars(JAVA)) == 1
    assert ivy.java_options[0] == ""
    assert ivy.java_options[1].startswith('"-Djavax.net.ssl.trustStore=')


def test_the_trust_store_holds_the_bundles_certificates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = "-----END CERTIFICATE-----\n"
    two = end.join(certifi.contents().split(end)[:2]) + end
    (tmp_path / "two.pem").write_text(two)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "two.pem"))
    store = load_pkcs12(install._machine_trust_store(tmp_path).read_bytes(), None)
    assert len(store.additional_certs) == 2


def test_spark_submit_of_the_environment_is_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "_spark_home", lambda: tmp_path)
    install.configure_spark_submit(Path("/a java/17"))
    lines = (tmp_path / "conf" / "spark-defaults.conf").read_text().splitlines()
    options = dict(line.split(" ", 1) for line in lines if not line.startswith("#"))
    assert options["spark.sql.extensions"] == "io.delta.sql.DeltaSparkSessionExtension"
    assert "spark.master" not in options
    assert "delta-spark" in options["spark.jars"]
    show = f". {tmp_path}/conf/spark-env.sh && echo $JAVA_HOME && echo $PYSPARK_PYTHON"
    shell = subprocess.run(
        ["bash", "-c", show], env={"PYSPARK_PYTHON": "mine"}, capture_output=True, text=True, check=True
    )
    assert shell.stdout.splitlines() == ["/a java/17", "mine"]
