"""The command `firstday`: one subcommand a job, its flags made from the fields of the job's settings.

Nothing heavy is imported before a job starts, so that `firstday --help` answers at once.
"""

import importlib
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from firstday import __version__, logs, preflight
from firstday.errors import FirstdayError, reason
from firstday.job_list import JOBS, Job
from firstday.settings import Settings, duration_text, load

INTERRUPTED = 130
# What a flag takes, by what occurs in its field's annotation; the first that fits.
METAVARS = {
    "tuple[tuple[str, tuple": "NAME=COLUMN,NAME=COLUMN",
    "tuple[tuple[str": "NAME=SHARE,NAME=SHARE",
    "tuple[str": "NAME,NAME",
    "tuple[typing.Annotated[float": "SHARE,SHARE",
    "tuple[": "N,N",
    "timedelta": "DURATION",
    "datetime.datetime": "TIME",
    "datetime.date": "DATE",
    "float": "NUMBER",
    "int": "N",
    "str": "TEXT",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line. Returns on success; exits with 1 on a failure, 2 on a user's mistake.

    It does not exit on success: Databricks counts any SystemExit of a wheel task as a failure.
    """
    status = _run(sys.argv[1:] if argv is None else list(argv))
    if status:
        sys.exit(status)


def run_job(name: str, argv: Sequence[str] | None = None) -> None:
    """`main` for the script of one job: the same as `firstday NAME ...`."""
    main([name, *(sys.argv[1:] if argv is None else argv)])


def _run(argv: list[str]) -> int:
    try:
        return commands().main(argv, prog_name="firstday", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except FirstdayError as error:
        click.echo(f"firstday: {error}", err=True)
        return error.exit_status
    except (click.Abort, KeyboardInterrupt):
        click.echo("firstday: stopped; what was published before is as it was", err=True)
        return INTERRUPTED


def commands() -> click.Group:
    """The group `firstday` with a subcommand for each of JOBS."""
    group = click.Group("firstday", help="Find what, done on the first day, makes users stay.")
    group = click.version_option(__version__, prog_name="firstday")(group)
    for name, job in JOBS.items():
        group.add_command(_command(name, job))
    return group


def _command(name: str, job: Job) -> click.Command:
    def callback(config: str | None, given_by_set: tuple[str, ...], debug: bool, **flags: Any) -> int:
        # A list may be one flag with commas, or the flag again and again.
        given_flags = {key: value for key, value in flags.items() if value not in (None, ())}
        given = {
            key: ",".join(value) if isinstance(value, tuple) else value for key, value in given_flags.items()
        }
        settings = load(job.settings, config, given, given_by_set)
        preflight.check(settings)
        return _execute(name, job, settings, debug)

    options = [_option(field, info) for field, info in job.settings.model_fields.items() if not _nested(info)]
    common = [
        click.Option(["--config"], metavar="FILE", help="YAML file of settings; flags override it."),
        click.Option(
            ["--set", "given_by_set"],
            metavar="KEY=VALUE",
            multiple=True,
            help="One setting, the value as YAML; overrides --config. May be repeated.",
        ),
        click.Option(["--debug"], is_flag=True, help="Show tracebacks."),
    ]
    nested = [_field_help(field, info) for field, info in job.settings.model_fields.items() if _nested(info)]
    epilog = "\n\n".join(nested)
    return click.Command(name, params=[*options, *common], callback=callback, help=job.summary, epilog=epilog)


def _execute(name: str, job: Job, settings: Settings, debug: bool) -> int:
    """Run the job and return the exit status. A user's mistake or another foreseen end shows no traceback.

    Of an unforeseen error the terminal gets one line, and the traceback with --debug; a log gets both.
    """
    run_id = logs.new_run_id()
    terminal = sys.stderr.isatty()
    logs.configure(run_id, terminal, debug)
    logs.log.info(f"firstday {name}, run {run_id}: starting")
    try:
        with logs.pulse():
            where = importlib.import_module(job.module).run(settings, run_id)
    except FirstdayError as error:
        logs.log.error(str(error), extra={"fields": {"error": type(error).__name__}}, exc_info=debug)
        return error.exit_status
    except Exception as error:  # noqa: BLE001 - the last resort: reported, logged, and the status says so
        hint = " Run it again with --debug for the traceback." if terminal and not debug else ""
        logs.log.error(f"the job failed: {reason(error).rstrip('.')}.{hint}", exc_info=debug or not terminal)
        return FirstdayError.exit_status
    if text := logs.last_result():
        click.echo(f"\n{text}\n")
    if command := _open_runs():
        click.echo(f"All runs, in MLflow: {command}")
    if isinstance(where, Path):
        click.echo(where.resolve().as_uri())
    return 0


def _open_runs() -> str | None:
    """The command that opens the store in which the job's run was recorded, if there is one."""
    tracking = sys.modules.get("firstday.tracking")  # where no job has loaded it, nothing was recorded
    return tracking.how_to_open() if tracking else None


def _nested(info: FieldInfo) -> bool:
    """Whether a field holds settings of its own, or names with values: given by --set and --config only."""
    kind = info.annotation
    return get_origin(kind) is dict or (isinstance(kind, type) and issubclass(kind, Settings))


def _field_help(name: str, info: FieldInfo) -> str:
    """The help on a field that no flag can give."""
    kind = info.annotation
    keys = list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, Settings) else []
    described = f"--set {name}.KEY=VALUE: {info.description}"
    return f"{described} Keys: {', '.join(keys)}." if keys else described


def _option(name: str, info: FieldInfo) -> click.Option:
    """A flag for a field. Its text goes to the settings as it is: only they know what is valid."""
    flag = "--" + name.replace("_", "-")
    text = info.description or ""
    if info.annotation is bool:
        negated = flag.replace("--", "--no-", 1)
        shown = flag if info.default else negated
        return click.Option([f"{flag}/{negated}"], default=None, help=f"{text} [default: {shown[2:]}]")
    if info.is_required():
        text += " [required]"
    elif info.default not in (None, ()):
        text += f" [default: {_text(info.default)}]"
    others = [kind for kind in get_args(info.annotation) if kind is not type(None)]
    kind = others[0] if len(others) == 1 and get_origin(others[0]) is Literal else info.annotation
    if get_origin(kind) is Literal:
        return click.Option([flag, name], type=click.Choice(get_args(kind)), help=text)
    metavar = next(word for kind, word in METAVARS.items() if kind in str(info.annotation))
    is_list = get_origin(info.annotation) is tuple
    return click.Option([flag, name], metavar=metavar, help=text, multiple=is_list)


def _text(default: Any) -> str:
    if isinstance(default, timedelta):
        return duration_text(default)
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
