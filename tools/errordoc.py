"""Writes docs/reference/errors.md from the errors themselves: python tools/errordoc.py > docs/reference/errors.md

A test compares the page with what this makes, so that neither can change alone.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator

from winlayers.cli import failures
from winlayers.errors import EXIT_FAULT, EXIT_PARTIAL, KINDS, Codes, WinlayersError, codes_of

GRPC_NAMES = {
    1: "CANCELLED",
    3: "INVALID_ARGUMENT",
    4: "DEADLINE_EXCEEDED",
    5: "NOT_FOUND",
    6: "ALREADY_EXISTS",
    7: "PERMISSION_DENIED",
    8: "RESOURCE_EXHAUSTED",
    9: "FAILED_PRECONDITION",
    12: "UNIMPLEMENTED",
    13: "INTERNAL",
    14: "UNAVAILABLE",
    15: "DATA_LOSS",
}

HEAD = """# Errors

Written by `tools/errordoc.py` from `winlayers.errors`; change that, not this page.

All that winlayers raises on purpose is a `WinlayersError`. Below it are kinds, and below most kinds more exact
classes. The kind alone decides the codes: a program that knows the kinds knows what to do with every class of theirs.
Errors of the operating system are passed on as `OSError`, unless there is something to add.

## Kinds and codes

The exit code is that of the command line, errno what a program gets in a mount. The other two are for those who speak to a
program over gRPC or HTTP; nothing of the kind exists yet, and their numbers are fixed already.

| kind | meaning | exit | gRPC | HTTP | errno |
|---|---|---|---|---|---|
"""

CLASSES_HEAD = """
## Classes

Each is in `winlayers.errors`. Where no attributes are named, the message is all there is: `str(error)` tells what
happened, where, why, and what to do where there is something to do. `finding` of every error is a code of
[findings](findings.md) that stands for the same cause, or `None`. Those of images, snapshots, logins and other systems
belong to what this version does not do yet.
"""

SYSTEM_HEAD = """
## Errors of the operating system

On the command line an `OSError` has the exit code of the kind that its errno belongs to, and an error of SQLite, in
whose files the store keeps its indexes, that of its code. Any other is a fault of winlayers: exit code 1.

| kind | exit | errno | SQLite |
|---|---|---|---|
"""

COMMAND_LINE = f"""
## On the command line

An error is told on standard error, in one line or more. The first begins with `winlayers: `; where there is a finding
for it, the last says what to do:

    winlayers: layer tar of 'Files/a.txt' at byte 0: there is no entry for 'Files' before it [parent-missing]
    What to do: Add an entry for every folder on the way, before what is in it.

With `--json` it is one object in one line, `{{"error": {{…}}}}`, with those of these fields that there is something to
say for:

| field | meaning |
|---|---|
| `kind` | name of the class |
| `message` | what happened |
| `exit` | exit code |
| `notes` | what else happened, and hints; texts |
| `finding`, `remedy` | code of the finding for the same cause, and what to do about it |
| `entry` | the entry of the layer |
| `offset` | where, in bytes of what the message names |

Two exit codes belong to no kind: {EXIT_FAULT} is a fault of winlayers, to be reported; {EXIT_PARTIAL} means that something
was found, or only a part was done. [The command line](cli.md#exit-codes) has them all.
"""


def page() -> str:
    """The whole page."""
    return "".join(
        [HEAD, *_kinds(), CLASSES_HEAD, *_classes(), SYSTEM_HEAD, *_system(), COMMAND_LINE]
    )


def _kinds() -> Iterator[str]:
    for kind, codes in KINDS.items():
        yield _kind_row(f"[{kind.__name__}](#{kind.__name__.lower()})", _summary(kind), codes)
    yield _kind_row("none of them", "A fault of winlayers.", codes_of(WinlayersError()))


def _kind_row(name: str, meaning: str, codes: Codes) -> str:
    grpc = f"{codes.grpc} {GRPC_NAMES[codes.grpc]}"
    return f"| {name} | {meaning} | {codes.exit} | {grpc} | {codes.http} | {codes.errno} |\n"


def _classes() -> Iterator[str]:
    for kind in KINDS:
        yield f"\n### {kind.__name__}\n\n{_summary(kind)}\n"
        yield from _attributes(kind)
        if leaves := kind.__subclasses__():
            yield "\n| class | meaning |\n|---|---|\n"
            for leaf in leaves:
                own = [f"`{name}`" for name in _facts(leaf) if name != "finding"]
                facts = f" Attributes: {', '.join(own)}." if own else ""
                yield f"| `{leaf.__name__}` | {_summary(leaf)}{facts} |\n"


def _attributes(kind: type[WinlayersError]) -> Iterator[str]:
    """What the docstring says of the attributes, as a list."""
    _, _, text = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    if text:
        yield "\n"
        for item in re.split(r"\n(?=    \w+: )", text):
            name, _, meaning = " ".join(item.split()).partition(": ")
            yield f"- `{name}`: {meaning}\n"


def _facts(leaf: type[WinlayersError]) -> list[str]:
    """What a class takes beside the message."""
    if "__init__" not in vars(leaf):
        return []
    parameters = inspect.signature(leaf).parameters.values()
    return [one.name for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY]


def _system() -> Iterator[str]:
    sqlite: dict[type[WinlayersError], list[str]] = {}
    for name, kind in failures._SQLITE_KINDS.items():
        sqlite.setdefault(kind, []).append(name)
    for kind, codes in KINDS.items():
        names = failures._ERRNO_KINDS.get(kind, ())
        if names or kind in sqlite:
            row = [kind.__name__, str(codes.exit), " ".join(names), " ".join(sqlite.get(kind, ()))]
            yield f"| {' | '.join(row)} |\n"


def _summary(kind: type[WinlayersError]) -> str:
    return (kind.__doc__ or "").strip().split("\n")[0]


if __name__ == "__main__":
    sys.stdout.write(page())
