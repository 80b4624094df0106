"""Which lines of winlayers an input is the first to reach.

A trace function sees the calls and lines of the package's own code. A function all of whose lines were
reached is not looked at any more, so that the tracing soon costs little. Other threads are not seen.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import winlayers
from tests.fuzz.registry import Target

_PACKAGE = str(Path(winlayers.__file__).parent)


class Reach:
    """Runs inputs, and remembers the lines that they reached.

    Attributes:
        line_count: lines reached so far.
    """

    def __init__(self) -> None:
        self.line_count = 0
        # By identity: equal code of two places is not the same. The code is kept, so that it stays its own.
        self._left: dict[int, tuple[CodeType, set[int]]] = {}

    def run(self, target: Target, data: bytes) -> bool:
        """Run a target once; whether it reached a line that was not reached before.

        Raises:
            Exception: what the target raises; the lines count all the same.
        """
        before = self.line_count
        former = sys.gettrace()
        sys.settrace(self._on_call)
        try:
            target(data)
        finally:
            sys.settrace(former)
        return self.line_count > before

    def _on_call(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._on_line if self._lines_left(frame.f_code) else None

    def _on_line(self, frame: FrameType, event: str, argument: Any) -> Any:
        left = self._lines_left(frame.f_code)
        if event == "line" and frame.f_lineno in left:
            left.discard(frame.f_lineno)
            self.line_count += 1
        return self._on_line

    def _lines_left(self, code: CodeType) -> set[int]:
        """Lines of some code that were not reached yet; none of code that is not ours."""
        known = self._left.get(id(code))
        if known is None:
            lines = set()
            if code.co_filename.startswith(_PACKAGE):
                # Its first line is that of the definition, which a call does not run.
                lines = {line for _, _, line in code.co_lines() if line} - {code.co_firstlineno}
            known = self._left[id(code)] = code, lines
        return known[1]
