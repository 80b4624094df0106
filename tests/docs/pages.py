"""What a page of the documents lets run: its fenced blocks, and what they have to print.

    ```console        commands after ``$ ``, each followed by all that it prints
    ```python         executed; the blocks of a page share their names
    ```output         all that the Python block before it prints

In what is to be printed, ``...`` stands for any text within a line, and alone on a line for any lines. A
command goes on in a line that begins with ``> ``. ``# exit 3`` at its end tells the exit code where that is
not 0. Other blocks are not run. This module knows nothing of how blocks are run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

ELIDED = "..."
#: Stands in pages outside of the tutorial and the how-to pages whose blocks are to be run.
RUNNABLE_MARK = "<!-- runnable -->"

_FENCE = re.compile(r"(`{3,})([\w-]*)$")
_EXIT = re.compile(r"\s+# exit (\d+)$")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Attributes:
        language: the word after the fence, or ``""``.
        lines: what is between the fences.
        line_number: of the first of them, from 1.
    """

    language: str
    lines: tuple[str, ...]
    line_number: int


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a console block.

    Attributes:
        text: for the shell, in one or more lines.
        output: all that it has to print.
        status: its exit code.
        line_number: where it stands in the page.
    """

    text: str
    output: tuple[str, ...]
    status: int
    line_number: int


def fenced_blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order; those indented, as in lists, are left out."""
    fence, language, start = "", "", 0
    kept: list[str] = []
    for number, line in enumerate(page.splitlines(), 1):
        if fence:
            if line.rstrip() == fence:
                yield Block(language, tuple(kept), start)
                fence = ""
            else:
                kept.append(line)
        elif match := _FENCE.match(line):
            fence, language = match.groups()
            start, kept = number + 1, []
    if fence:
        raise ValueError(f"the fence before line {start} is not closed")


def commands_of(block: Block) -> list[Command]:
    """The commands of a console block.

    Raises:
        ValueError: it begins with something else.
    """
    found: list[tuple[int, list[str], list[str]]] = []
    for number, line in enumerate(block.lines, block.line_number):
        if line.startswith("$ "):
            found.append((number, [line[2:]], []))
        elif not found:
            raise ValueError(f"line {number} of a console block stands before any command")
        elif line.startswith("> ") and not found[-1][2]:
            found[-1][1].append(line[2:])
        else:
            found[-1][2].append(line)
    return [_command(number, text, output) for number, text, output in found]


def _command(number: int, lines: list[str], output: list[str]) -> Command:
    match = _EXIT.search(lines[-1])
    status = int(match[1]) if match else 0
    while output and not output[-1].strip():
        output.pop()  # blank lines part commands from each other
    return Command("\n".join(lines), tuple(output), status, number)


def fits(expected: tuple[str, ...], actual: str) -> bool:
    """Whether a text is what a page says it is; blanks at the ends of lines do not count."""
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == ELIDED else _pattern_of(line) for line in expected
    )
    text = "".join(f"{line.rstrip()}\n" for line in actual.rstrip().splitlines())
    return re.fullmatch(pattern, text) is not None


def _pattern_of(line: str) -> str:
    return ".*?".join(map(re.escape, line.rstrip().split(ELIDED))) + r"\n"
