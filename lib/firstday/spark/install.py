"""`python -m firstday.spark.install`: make this Python environment ready for Spark, as `make install` does.

It fetches the jars through Spark's own Ivy and configures the environment's own spark-submit, so that
`spark-submit jobs/discover.py ...` works as `firstday discover ...` does.
"""

import ctypes
import os
import shlex
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from shutil import copy2

import click
from cryptography.hazmat.primitives.serialization import NoEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import (
    PKCS12Certificate,
    serialize_java_truststore,
)
from cryptography.x509 import load_pem_x509_certificates

from firstday.errors import FirstdayError
from firstday.spark import jars, java, session


def main() -> None:
    """Fetch and configure; exits with 1 and a clear sentence where something is missing."""
    try:
        home = java.require()
        fetch_jars(home)
        configure_spark_submit(home)
    except FirstdayError as error:
        click.echo(f"firstday: {error}", err=True)
        sys.exit(error.exit_status)
    if not has_libgomp():
        click.echo("note: libgomp is absent; training a ranker needs it: apt-get install libgomp1", err=True)


def has_libgomp() -> bool:
    """LightGBM, in Python as on Spark, loads the OpenMP runtime of the machine."""
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        return False
    return True


def fetch_jars(java_home: Path) -> list[Path]:
    """Fetch the jars and all they depend on into the jar folder, from the repositories that Spark knows.

    Ivy works in a folder of its own that is removed afterwards: nothing is left in the user's home. Jars that
    were there before are removed, as two versions of a jar must not meet on one class path.
    """
    with tempfile.TemporaryDirectory(prefix="firstday-ivy-") as name:
        scratch = Path(name)
        done = _resolve(java_home, scratch, "")
        if "PKIX path building failed" in done.stderr:
            # This Java does not know the authority that signs what the machine's network shows it.
            store = _machine_trust_store(scratch)
            done = _resolve(java_home, scratch, f'"-Djavax.net.ssl.trustStore={store}"')
        fetched = sorted(scratch.glob("jars/*.jar"))
        if done.returncode != 0 or not fetched:
            click.echo(done.stdout + done.stderr, err=True)
            raise FirstdayError(
                "Spark's Ivy must be able to fetch the jars",
                value=jars.line().coordinates,
                next_step="read its report above; DEFAULT_ARTIFACT_REPOSITORY may name a mirror",
            )
        jars.folder().mkdir(parents=True, exist_ok=True)
        for old in jars.folder().glob("*.jar"):
            old.unlink()
        return [Path(copy2(jar, jars.folder())) for jar in fetched]


def _resolve(java_home: Path, scratch: Path, java_options: str) -> subprocess.CompletedProcess[str]:
    """Let spark-submit resolve the packages for a script that does nothing."""
    script = scratch / "nothing.py"
    script.touch()
    needed = jars.line()
    command = [
        *(str(_spark_home() / "bin" / "spark-submit"), "--master", "local[1]"),
        *("--packages", ",".join(needed.coordinates), "--exclude-packages", ",".join(needed.excludes)),
        *("--conf", f"spark.jars.ivy={scratch}", "--driver-java-options", java_options, str(script)),
    ]
    environment = os.environ | {"JAVA_HOME": str(java_home), "PYSPARK_PYTHON": sys.executable}
    return subprocess.run(command, env=environment, capture_output=True, text=True)  # noqa: S603 - words of our own


def _machine_trust_store(scratch: Path) -> Path:
    """The certificates this machine trusts (SSL_CERT_FILE, else Debian's bundle), as Java reads them.

    A Java from a package index brings a list of its own, without the authorities that a company adds.
    """
    bundle = Path(os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old authorities whose serial number is not positive
        trusted = load_pem_x509_certificates(bundle.read_bytes())
    certificates = [PKCS12Certificate(one, str(number).encode()) for number, one in enumerate(trusted)]
    store = scratch / "trusted.p12"
    store.write_bytes(serialize_java_truststore(certificates, NoEncryption()))
    return store


def configure_spark_submit(java_home: Path) -> None:
    """Write the conf folder of the environment's pyspark: the options of local mode, this Java, this Python.

    What spark-submit is given goes before these options.
    """
    conf = _spark_home() / "conf"
    conf.mkdir(exist_ok=True)
    # Name and master are the submitter's to choose, and the warehouse is a folder of this process.
    left_out = {"spark.app.name", "spark.master", "spark.sql.warehouse.dir"}
    options = [f"{key} {value}\n" for key, value in session.local_conf("").items() if key not in left_out]
    note = "# Local mode (firstday.spark.install); a cluster takes conf/spark-defaults.conf\n"
    (conf / "spark-defaults.conf").write_text(note + "".join(options))
    (conf / "spark-env.sh").write_text(
        f"export JAVA_HOME={shlex.quote(str(java_home))}\n"
        f'[ -n "$PYSPARK_PYTHON" ] || export PYSPARK_PYTHON={shlex.quote(sys.executable)}\n'
    )


def _spark_home() -> Path:
    import pyspark

    return Path(pyspark.__file__).parent


if __name__ == "__main__":
    main()
