"""docs/api.md, made of the docstrings: `make docs` prints it there."""

import inspect

from firstday import api

HEAD = """# The Python API
`import firstday as fd`. Inputs are Spark DataFrames, pandas DataFrames, addresses (a path or a table's name),
temporary views, or results of other functions; they are checked by the [same contract](data-contract.md) as
the jobs' inputs. A call works in a session of its own beside yours, whose settings it leaves as they are and
does not depend on. This page is what `help(fd.discover)` says; `make docs` writes it."""
FUNCTIONS = (
    "session",
    "discover",
    "label",
    "label_function",
    "train",
    "recommend",
    "assign",
    "measure",
    "simulate",
)


def page() -> str:
    """Each function with its keywords, then what a result has."""
    parts = [HEAD]
    for name in FUNCTIONS:
        function = getattr(api, name)
        parameters = inspect.signature(function).parameters.values()
        own = [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
        about, _, keywords = (inspect.getdoc(function) or "").partition("\n\nKeyword arguments:\n")
        parts.append(f"## fd.{name}({', '.join(own)})\n{about}")
        if keywords:
            rows = (line.strip().partition(": ") for line in keywords.splitlines())
            parts.append("\n".join(f"- **{key}**: {told}" for key, _, told in rows))
    kinds = (api.Result, api.Answer, api.Fact)
    methods = (api.Result.report, api.Result.save, api.Result.close)
    parts += [f"## fd.{kind.__name__}\n{inspect.getdoc(kind)}" for kind in kinds]
    parts += [f"### {method.__qualname__}\n{inspect.getdoc(method)}" for method in methods]
    return "\n\n".join(parts)


if __name__ == "__main__":
    print(page())
