"""One run of the command line: what was asked for, where output goes, and the store when it is needed.

A Session is made from the environment, then the options before and after the command are put into it. It
opens nothing by itself; what is heavy is imported when it is asked for.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from winlayers.base.progress import Cancel, Progress
from winlayers.cli.output import Output, clean_text
from winlayers.errors import ImageNotFound, InvalidArgument, LayerNotFound

if TYPE_CHECKING:
    from winlayers.cli.failures import Failure
    from winlayers.config import Config
    from winlayers.driver.child import ReadyChild
    from winlayers.driver.driver import Driver
    from winlayers.layer.findings import Finding
    from winlayers.store.store import Store

#: Folder of the layers below the root.
LAYERS = "windowsfilter"
# Folder below --tmpdir that is ours alone: what is left over in it may be removed.
STAGING = "winlayers-staging"
_SHOWN_FINDINGS = 10


@dataclass
class Session:
    """What the commands share.

    Attributes:
        environ: the environment; read only here.
        root: ``--root``, or None for the default.
        tmpdir: ``--tmpdir``, or None.
        backend: ``--backend``.
        platform: ``--platform``, or None.
        progress_mode: ``--progress``.
        verbosity: how often ``-v`` was given.
        is_quiet: ``-q``.
        is_json: ``--json``.
        is_running: whether the command itself has begun.
        cancel: set when the user wants no more of it.
    """

    environ: Mapping[str, str] = field(default_factory=dict)
    root: Path | None = None
    tmpdir: Path | None = None
    backend: str = "auto"
    platform: str | None = None
    progress_mode: str = "auto"
    verbosity: int = 0
    is_quiet: bool = False
    is_json: bool = False
    is_running: bool = False
    cancel: Cancel = field(default_factory=Cancel)
    _writer: ReadyChild | None = None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Session:
        """A session as the environment says."""
        root = environ.get("WINLAYERS_ROOT")
        return cls(
            environ,
            root=Path(root) if root else None,
            backend=environ.get("WINLAYERS_BACKEND") or "auto",
        )

    @cached_property
    def out(self) -> Output:
        """Standard output."""
        # A process may be started without one; nobody reads it then.
        stream = sys.stdout
        if stream is None:
            return Output(open(os.devnull, "wb"))
        is_terminal = stream.isatty()
        return Output(
            stream.buffer, is_terminal=is_terminal, has_color=is_terminal and self.has_color
        )

    @property
    def has_color(self) -> bool:
        """Whether colour is wanted at a terminal; https://no-color.org."""
        return not self.environ.get("NO_COLOR") and self.environ.get("TERM") != "dumb"

    @cached_property
    def progress(self) -> Progress:
        """Where work tells how far it is."""
        from winlayers.cli.progress import choose_progress

        return choose_progress(
            self.progress_mode, standard_error(), is_quiet=self.is_quiet, has_color=self.has_color
        )

    @cached_property
    def home(self) -> Path:
        """The root of the store, absolute."""
        if self.root is not None:
            return self.root.absolute()
        import platformdirs

        return platformdirs.user_data_path("winlayers", appauthor=False)

    def config(self) -> Config:
        """The configuration of the store."""
        from winlayers.config import Config

        return Config(
            self.home,
            tmpdir=None if self.tmpdir is None else self.tmpdir.absolute() / STAGING,
            backend=self.backend,
            reexec=self._reexec,
        )

    @property
    def _reexec(self) -> bool:
        """Whether imports run in a process of their own."""
        return not self.environ.get("DOCKER_WINDOWSFILTER_NOREEXEC")

    @contextmanager
    def start_writer_ahead(self) -> Iterator[None]:
        """Have a write-layer process get ready for the first import in the ``with`` block."""
        if not self._reexec:
            yield
            return
        from winlayers.driver.child import ReadyChild

        with ReadyChild() as self._writer:
            yield

    def open_driver(self) -> Driver:
        """The driver over the store, which is made if it is not there."""
        from winlayers.assembly import open_driver

        self._check_home()
        writer = self._writer
        if writer is None:
            return open_driver(self.config())
        return open_driver(self.config(), start_child=writer.take)

    def _check_home(self) -> None:
        if self.home.exists() and not self.home.is_dir():
            raise InvalidArgument(f"{self.home} is no folder, so no store; --root names another")

    @property
    def has_store(self) -> bool:
        """Whether there is a store at all; whoever only looks makes none.

        Raises:
            InvalidArgument: the root is a file.
            WrongPlatform, Unsupported: the native backend is wanted and cannot work here.
        """
        self._check_home()
        if self.backend == "native":
            from winlayers.backends.native.presence import check_layer_calls

            check_layer_calls()
        return (self.home / LAYERS).is_dir()

    def open_store(self) -> Driver:
        """The driver over a store that is there.

        Raises:
            LayerNotFound: there is none, so no layer either.
        """
        if not self.has_store:
            raise LayerNotFound(
                f"there is no store at {self.home}; 'winlayers layer import' makes one, --root names another"
            )
        return self.open_driver()

    @property
    def has_images(self) -> bool:
        """Whether the store has ever had an image; whoever only looks makes no catalog."""
        return (self.home / "catalog.db").is_file()

    def open_images(self) -> Store:
        """The store of images, which is made if it is not there."""
        from winlayers.assembly import open_store

        self._check_home()
        writer = self._writer
        if writer is None:
            return open_store(self.config())
        return open_store(self.config(), start_child=writer.take)

    def open_present_images(self) -> Store:
        """The store of images, which has to be there.

        Raises:
            ImageNotFound: there is none, so no image either.
        """
        if not self.has_images:
            raise ImageNotFound(
                f"there is no image in the store at {self.home}; 'winlayers pull' gets one, --root names another store"
            )
        return self.open_images()

    def note(self, text: str) -> None:
        """Tell something that is no data, on standard error."""
        if not self.is_quiet:
            print_error(text)

    def report_error(self, error: BaseException, *, is_json: bool | None = None) -> Failure:
        """Tell an error on standard error, as text or JSON; what was told."""
        from winlayers.cli.failures import describe

        failure = describe(error)
        if self.verbosity > (0 if failure.is_fault else 1):
            print_error("".join(traceback.format_exception(error)).rstrip())
        if self.is_json if is_json is None else is_json:
            print_error(json.dumps(failure.as_json()))
        else:
            print_error("\n".join(failure.lines()))
        return failure

    def report_findings(self, findings: Sequence[Finding], count: int) -> None:
        """Tell findings that did not stop the work: the first few, or all that are kept with ``-v``.

        Args:
            findings: those that were kept.
            count: how many there were.
        """
        limit = len(findings) if self.verbosity else _SHOWN_FINDINGS
        for finding in findings[:limit]:
            self.note(str(finding))
        if (more := count - min(limit, len(findings))) > 0:
            advice = "" if self.verbosity else "; -v shows more of them"
            self.note(f"and {more} more{advice}")


def standard_error() -> TextIO:
    """Standard error, or nowhere in a process that was started without one."""
    return sys.stderr if sys.stderr is not None else open(os.devnull, "w")


def print_error(text: str) -> None:
    """Print on standard error, with nothing that steers a terminal, and ignoring that nobody reads it."""
    stream = standard_error()
    lines = "\n".join(map(clean_text, text.split("\n")))
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(lines.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()
    except OSError:
        return  # the last place to tell it is gone
