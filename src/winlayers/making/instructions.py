"""Lines of a Dockerfile that change settings, as ``docker commit --change`` takes them.

    ENV A=b "C D=e"      or  ENV A all the rest
    LABEL a=b "c d"="e"
    CMD, ENTRYPOINT      ["program", "argument"], or a line for the shell
    USER, WORKDIR, STOPSIGNAL   the rest of the line
    EXPOSE 80 8000-8002/udp

Unlike in a Dockerfile, variables are not put in, and a backslash is a backslash, but for ``\\"`` and ``\\\\`` between
double quotes: paths of Windows stand as they are.

Source: moby/buildkit frontend/dockerfile docs, reference.md; docker/cli commit.md for which lines are taken.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from winlayers.errors import InvalidArgument
from winlayers.making.settings import Command, Edits

_WORD = re.compile(r'((?:"(?:\\["\\]|[^"])*"|\'[^\']*\'|[^\s"\'])+)(?:\s+|$)')
_PIECE = re.compile(r'"((?:\\["\\]|[^"])*)"|\'([^\']*)\'|([^"\']+)')
_ESCAPE = re.compile(r'\\(["\\])')


def parse_changes(lines: Iterable[str], edits: Edits | None = None) -> Edits:
    """Read lines, one after another; what comes later counts.

    Args:
        lines: each an instruction.
        edits: what they are added to.
    Raises:
        InvalidArgument: a line is none of those that are taken, or has nothing behind its first word.
    """
    result = edits or Edits()
    for line in lines:
        name, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        instruction = _INSTRUCTIONS.get(name.upper())
        if instruction is None:
            raise InvalidArgument(
                f"{line[:200]!r} is none of the changes that are taken: {', '.join(_INSTRUCTIONS)}"
            )
        if not rest:
            raise InvalidArgument(f"{line[:200]!r} says nothing behind its first word")
        result = instruction(result, rest)
    return result


def parse_command(text: str) -> Command:
    """A command as it stands in a Dockerfile.

    Args:
        text: a JSON array of strings, or a line for the shell.
    """
    if text.startswith("["):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            return Command(tuple(value))
    return Command((text,), is_shell=True)


def _pairs(rest: str, what: str) -> dict[str, str]:
    first, *others = rest.split(None, 1)
    if "=" not in first and not first.startswith(("'", '"')):
        if not others:
            raise InvalidArgument(f"{what} {rest[:200]!r} has no value; write {what} name=value")
        return {first: others[0]}
    pairs = {}
    for word in _words(rest):
        name, equals, value = _unquoted(word).partition("=")
        if not equals:
            raise InvalidArgument(f"{what} {word[:200]!r} has no value; write {what} name=value")
        pairs[name] = value
    return pairs


def _words(text: str) -> Iterator[str]:
    position = 0
    while position < len(text):
        word = _WORD.match(text, position)
        if word is None:
            raise InvalidArgument(f"{text[:200]!r} has a quote that does not end")
        yield word[1]
        position = word.end()


def _unquoted(word: str) -> str:
    return "".join(
        _ESCAPE.sub(r"\1", double) if double else single or plain
        for double, single, plain in _PIECE.findall(word)
    )


def _env(edits: Edits, rest: str) -> Edits:
    return replace(edits, env={**edits.env, **_pairs(rest, "ENV")})


def _label(edits: Edits, rest: str) -> Edits:
    return replace(edits, labels={**edits.labels, **_pairs(rest, "LABEL")})


_INSTRUCTIONS: dict[str, Callable[[Edits, str], Edits]] = {
    "CMD": lambda edits, rest: replace(edits, command=parse_command(rest)),
    "ENTRYPOINT": lambda edits, rest: replace(edits, entrypoint=parse_command(rest)),
    "ENV": _env,
    "EXPOSE": lambda edits, rest: replace(edits, ports=(*edits.ports, *rest.split())),
    "LABEL": _label,
    "STOPSIGNAL": lambda edits, rest: replace(edits, stop_signal=rest),
    "USER": lambda edits, rest: replace(edits, user=rest),
    "WORKDIR": lambda edits, rest: replace(edits, working_dir=rest),
}
