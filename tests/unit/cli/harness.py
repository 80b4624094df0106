"""Runs the command line inside the test's own process, on a store with two small layers.

``base`` holds one of each kind of thing; ``app`` stands on it and changes some of that.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.builders import (
    OTHER_DESCRIPTOR,
    a_directory,
    a_file,
    a_junction,
    a_layer,
    a_link,
    a_reparse_point,
    a_symlink,
    a_whiteout,
    layer_tar,
)
from winlayers.cli.app import run
from winlayers.formats.ea import NEED_EA, ExtendedAttribute, build_ea_list

SURROGATE_NAME = "lone\ud800"

BASE = layer_tar(
    a_layer(
        a_file("Files/License.txt", b"the license"),
        a_file("Files/Windows/win.ini", b"[fonts]", {"Zone.Identifier": b"ZoneId=3"}),
        a_file("Files/Windows/System32/cmd.exe", b"MZ", attributes=0x27),
        a_link("Files/Windows/cmd-too.exe", "Files/Windows/System32/cmd.exe"),
        a_file(
            "Files/Windows/ea.dat",
            b"x" * 2000,
            ea=build_ea_list([ExtendedAttribute(b"KERNEL.PURGE", b"\x01\x02", NEED_EA)]),
        ),
        a_symlink("Files/ini", "Windows\\win.ini"),
        a_junction("Files/Documents and Settings", "C:\\Users"),
        a_reparse_point("Files/odd.dat"),
        a_file("Files/" + SURROGATE_NAME, b"odd"),
        a_directory("Files/Users/empty"),
        a_file("Hives/Software_Base", b"regf"),
        a_file("UtilityVM/Files/vm.txt", b"vm"),
    )
)
APP = layer_tar(
    a_layer(
        a_file("Files/app/run.exe", b"MZ of the app"),
        a_file("Files/License.txt", b"another license"),
        a_file(
            "Files/Windows/win.ini",
            b"[fonts]",
            {"Zone.Identifier": b"ZoneId=3"},
            security=OTHER_DESCRIPTOR,
        ),
        a_whiteout("Files/Windows/ea.dat"),
    )
)


@dataclass(frozen=True)
class Result:
    """What one run did."""

    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines on standard output."""
        return self.out.decode("utf-8", "surrogatepass").splitlines()

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The JSON objects on standard output, one a line."""
        return [json.loads(line) for line in self.lines]

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on standard output."""
        found: dict[str, Any] = json.loads(self.out)
        return found


class Terminal(io.TextIOWrapper):
    """A text stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


class Shell:
    """Runs commands on one store."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = root
        self.folder = folder

    def run(
        self,
        *arguments: str,
        code: int = 0,
        environ: Mapping[str, str] | None = None,
        is_terminal: bool = False,
    ) -> Result:
        """Run one command, and expect an exit code."""
        kind = Terminal if is_terminal else io.TextIOWrapper
        out, err = io.BytesIO(), io.BytesIO()
        given = {
            "WINLAYERS_ROOT": str(self.root),
            "DOCKER_WINDOWSFILTER_NOREEXEC": "1",
            **(environ or {}),
        }
        # On every system the same ends of lines.
        out_text = kind(out, encoding="utf-8", newline="\n")
        err_text = kind(err, encoding="utf-8", newline="\n")
        with contextlib.redirect_stdout(out_text), contextlib.redirect_stderr(err_text):
            got = run(arguments, given)
        err_text.flush()
        result = Result(got, out.getvalue(), err.getvalue().decode())
        out_text.detach()
        err_text.detach()
        assert result.code == code, result
        assert "Traceback" not in result.err or "-v" in arguments
        return result

    def write(self, name: str, content: bytes) -> str:
        """A file to import."""
        path = self.folder / name
        path.write_bytes(content)
        return str(path)
