"""Writes docs/reference/api.md from the public names and their docstrings:

    python tools/apidoc.py > docs/reference/api.md

A test compares the page with what this makes, so that neither can change alone.
"""

from __future__ import annotations

import enum
import inspect
import re
import sys
from collections.abc import Iterator
from types import ModuleType

import winlayers

HEAD = """# The library

Written by `tools/apidoc.py` from the docstrings; change them, not this page.

```python
from winlayers import Config, open_driver
```

These names are all that is public. Each is imported when it is first asked for. Whatever else can be imported may
change without notice. Paths in a layer are `str` with `/`; sizes and offsets are bytes; times are `_filetime`: 100 ns
since 1601-01-01 UTC. File objects need only `read` unless it is said otherwise. Errors are those of
[the table](errors.md).
"""

_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Source|Life):[ ]?(.*)$")


def page() -> str:
    """The whole page."""
    names = [name for name in winlayers.__all__ if not name.startswith("_") and name != "errors"]
    pieces = [HEAD]
    for name in names:
        pieces.append(f"\n## {name}\n\n" + "\n".join(_subject(name, getattr(winlayers, name))))
    return re.sub(r"\n{3,}", "\n\n", "".join(pieces)).rstrip() + "\n"


def _subject(name: str, subject: object) -> Iterator[str]:
    assert not isinstance(subject, ModuleType)
    if inspect.isclass(subject):
        yield from _code(f"class {name}{_class_signature(subject)}")
        yield from _text(subject)
        if issubclass(subject, enum.Enum):
            yield from (f"- `{name}.{member.name}`" for member in subject)
            yield ""
        for method, function in _methods(subject):
            yield from (f"### {name}.{method}", "")
            yield from _code(_signature(method, function))
            yield from _text(function)
    else:
        yield from _code(_signature(name, subject))
        yield from _text(subject)


def _methods(subject: type) -> Iterator[tuple[str, object]]:
    """The public methods and properties that the class itself has, in the order of its source."""
    for name, value in vars(subject).items():
        if name.startswith("_") or isinstance(value, type) or issubclass(subject, enum.Enum):
            continue
        if isinstance(value, property):
            yield name, value
        elif isinstance(value, classmethod | staticmethod):
            yield name, value.__func__
        elif inspect.isfunction(value):
            yield name, value


def _class_signature(subject: type) -> str:
    if issubclass(subject, enum.Enum) or getattr(subject, "_is_protocol", False):
        return ""
    return _without_self(str(inspect.signature(subject))).replace(" -> None", "")


def _signature(name: str, function: object) -> str:
    if isinstance(function, property):
        assert function.fget is not None
        returned = inspect.signature(function.fget).return_annotation
        return f"{name}: {returned}"
    return name + _without_self(str(inspect.signature(function)))  # type: ignore[arg-type] # callable


def _without_self(signature: str) -> str:
    plain = re.sub(r"\((?:self|cls)(?:, )?", "(", signature, count=1)
    plain = re.sub(r"(: |-> )'([^']+)'", r"\1\2", plain)  # annotations are kept as texts
    # Defaults that are objects would show where they lie in memory.
    plain = re.sub(r"<(\w+\.\w+): [^>]*>", r"\1", plain)
    return re.sub(r"<function (?:\S*<lambda>|\w+)[^>]*>|<factory>", "…", plain)


def _code(text: str) -> Iterator[str]:
    yield from ("```python", text, "```", "")


def _text(subject: object) -> Iterator[str]:
    """A docstring: its paragraphs, and its sections as lists."""
    doc = inspect.getdoc(subject)
    if not doc:
        return
    in_section = ""
    for line in doc.splitlines():
        if match := _SECTION.match(line):
            in_section = match[1]
            yield from ("", f"**{in_section}**" + (f": {match[2]}" if match[2] else ""), "")
        elif in_section and re.match(r"    \S", line):
            yield _item(line.strip(), in_section)
        elif in_section:
            yield "  " + line.strip() if line.startswith("     ") else line.strip()
        else:
            yield line
    yield ""


def _item(line: str, section: str) -> str:
    """One line of a section: a list where each has a name, else text."""
    match = re.match(r"([\w, .*]+): (.*)", line)
    if section == "Returns" or match is None:
        return line
    return f"- `{match[1]}`: {match[2]}"


if __name__ == "__main__":
    sys.stdout.write(page())
