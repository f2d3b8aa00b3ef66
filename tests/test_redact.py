"""What is secret is told nowhere: by itself, and at each place where a job tells something."""

import json
import logging
import re
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from firstday import logs
from firstday.errors import DataError, SettingsError, reason
from firstday.redact import HIDDEN, redacted, redacted_values
from firstday.report import page
from firstday.settings import DiscoverSettings, load

SECRET = "Zq7rW2xY9vK4"
# What a URI's password may be made of (RFC 3986), and what a token is made of.
URI_SECRETS = st.text(
    string.ascii_letters + string.digits + "-._~!$&'()*+,;=%:/@", min_size=6, max_size=40
).filter(lambda secret: HIDDEN not in secret and not re.match(r"\d+/", secret))
TOKEN_SECRETS = st.text(string.ascii_letters + string.digits + "-_.~+/=%", min_size=6, max_size=60)
PLACES = (
    "{}", "cannot open {} (403)", "['{}', 'other']", '{{"source": "{}"}}', "a\n{}\nb", "users={}",
)  # fmt: skip
URIS = ("s3a://AKIAIOSF:{}@bucket/users", "postgresql://me:{}@db:5432/app", "https://:{}@host/x?y=1")
NAMED = (
    "https://lake.blob.core.windows.net/c/users?sv=2024&sig={}",
    "https://s3.amazonaws.com/b/users?X-Amz-Signature={}&X-Amz-Date=1",
    "https://s3.amazonaws.com/b/users?X-Amz-Security-Token={}",
    "jdbc:sqlserver://h:1433;user=me;password={};encrypt=true",
    "spark.hadoop.fs.azure.account.key.lake.dfs.core.windows.net={}",
    "fs.s3a.secret.key={}",
    "DefaultEndpointsProtocol=https;AccountName=a;AccountKey={};EndpointSuffix=x",
    "DATABRICKS_TOKEN={}",
    "Authorization: Bearer {}",
    "api_key: {}",
)
FORMS = (
    "dapi0123456789abcdef0123456789abcdef",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmN",
    "bearer abcdefghijklmnop0123",
)


@given(URI_SECRETS, st.sampled_from(URIS), st.sampled_from(PLACES))
@example("p@ss/word:1", URIS[0], PLACES[2])
def test_the_password_of_a_uri_is_hidden(secret: str, uri: str, place: str) -> None:
    text = place.format(uri.format(secret))
    expected = place.format(uri.format(HIDDEN))
    assert redacted(text) == expected or secret not in redacted(text)
    assert uri.partition("//")[0] in redacted(text)


@given(TOKEN_SECRETS, st.sampled_from(NAMED), st.sampled_from(PLACES))
def test_the_value_of_a_secret_name_is_hidden(secret: str, named: str, place: str) -> None:
    assert redacted(place.format(named.format(secret))) == place.format(named.format(HIDDEN)).replace(
        "Bearer ", ""
    )


@pytest.mark.parametrize("token", FORMS)
def test_tokens_are_known_by_their_form(token: str) -> None:
    assert redacted(f"got {token} there") == f"got {HIDDEN} there"


@given(st.recursive(st.text() | st.sampled_from(NAMED + URIS), st.lists, max_leaves=5))
def test_twice_is_as_once(value: object) -> None:
    once = redacted_values(value)
    assert redacted_values(once) == once


@given(st.text().filter(lambda text: "=" not in text and ":" not in text and "eyJ" not in text))
@example("http://host:8080/a?mail=x@y.z")
@example("http://host:8080 asks x@y.z")
@example("abfss://container@account.dfs.core.windows.net/users")
@example("SELECT user_id FROM events WHERE action = 'token' AND token_spent = 3")
@example("main.app.users; out/demo/world/users; C:\\data\\users")
@example("did secret_shared at least 3 times within 24 h; the key: 7 of 8 basic retention")
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize(
    "name",
    [
        *("password", "db_password", "PWD", "api-key", "apiKey", "access_key_id", "token", "tokens"),
        *("client.secret", "key", "sas", "sig", "credentials"),
        "fs.azure.account.key.lake.dfs.core.windows.net",
    ],
)
def test_names_that_say_secret(name: str) -> None:
    settings = {"source": {name: [SECRET, 12345, None, True]}, "days": [1, 7], "since": None}
    assert redacted_values(settings) == {
        "source": {name: [HIDDEN, HIDDEN, None, True]},
        "days": [1, 7],
        "since": None,
    }


@pytest.mark.parametrize(
    "name", ["segments", "users", "token_spent", "keys_found", "monkey", "signal", "group"]
)
def test_names_that_do_not(name: str) -> None:
    assert redacted_values({name: "abc"}) == {name: "abc"}


def test_errors_hide_before_they_cut() -> None:
    source = f"s3a://id:{SECRET}@bucket"
    for error in (DataError(f"cannot read {source}", value=[source, "x" * 400], next_step=f"open {source}"),):
        assert SECRET[:4] not in str(error)
        assert str(error).count(HIDDEN) == 3
    for length in range(250, 320):
        told = f"{'x' * length} {source}/users"
        assert SECRET[:4] not in str(DataError("must be there", value=told))
        assert SECRET[:4] not in reason(OSError(told))
    with pytest.raises(SettingsError) as raised:
        load(DiscoverSettings, None, {"users": "u", "events": "e", "out": "o", "days": f"token={SECRET}"})
    assert SECRET not in str(raised.value)


def test_logs_hide(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal in (False, True):
        monkeypatch.setattr(logs, "_live", None)
        logs.configure("run", terminal=terminal)
        with logs.step("Reading") as step:
            step.note(source=f"s3a://id:{SECRET}@bucket", password=SECRET, rows=7)
        try:
            raise OSError(f"https://host/x?sig={SECRET}")
        except OSError:
            logs.log.error(f"failed with token={SECRET}", exc_info=True)
    told = capsys.readouterr().err
    assert SECRET not in told
    assert told.count(HIDDEN) >= 6
    assert json.loads(told.splitlines()[0])["rows"] == 7
    logging.getLogger("firstday").handlers = []


def test_reports_hide() -> None:
    own = page.Page("Title", f"firstday, token={SECRET}", ())
    run = [("Settings", [("users", f"s3a://id:{SECRET}@bucket"), ("api_key", SECRET), ("seed", "7")])]
    html = page.render(
        "answer.html.j2", own, run=run, verdict=f"https://h/x?sig={SECRET}", notes=[], facts=[],
        facts_title="", facts_caption="", caveat="",
    )  # fmt: skip
    assert SECRET not in html
    assert html.count(HIDDEN) >= 4
    assert "<dd>7</dd>" in html.replace("\n", "")
