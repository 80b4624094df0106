"""Options that all commands of ``serve`` have, and what they come to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from winlayers.cli.session import Session
from winlayers.config import Config

if TYPE_CHECKING:
    from winlayers.daemon.settings import Settings


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What was given.

    Attributes:
        path: of the file of settings.
        flags: settings by name, None for those that were not given.
        printed: what is to be printed instead of serving.
    """

    path: Path | None
    flags: Mapping[str, Any] = field(default_factory=dict)
    printed: str | None = None

    def settings(self, session: Session, engine: str, address: str) -> Settings:
        """All settings as they are now.

        Args:
            session: has the environment.
            engine: ``docker`` or ``containerd``.
            address: where it listens if nobody says so.
        """
        from winlayers.daemon.settings import read_settings

        told = read_settings(engine, self.path, session.environ, self.flags)
        return replace(told, address=str(Path(told.address or address).absolute()))

    def config(self, session: Session, settings: Settings) -> Config:
        """The store: of the command line, else of the settings."""
        config = session.config()
        if settings.root and session.root is None:
            config = replace(config, root=Path(settings.root))
        if settings.tmpdir and session.tmpdir is None:
            config = replace(config, tmpdir=Path(settings.tmpdir))
        return config

    def run(self, session: Session, engine: str, address: str) -> None:
        """Serve an engine until a signal ends that, or print what was asked for; see ``settings``."""
        settings = self.settings(session, engine, address)
        if self.printed is not None:
            from winlayers.daemon.templates import render

            program = str(Path(sys.argv[0]).absolute())
            text = render(self.printed, engine, program, settings.address)
            session.out.lines(text.splitlines())
            return
        from winlayers.daemon.run import SERVED

        config = self.config(session, settings)
        SERVED[engine](
            config, settings, session.environ, lambda: self.settings(session, engine, address)
        )


def serve_options(address: str, printed: list[str]) -> Callable[..., Any]:
    """Add the options to a command, which gets them as ``options``, and what it has besides as settings in them.

    Args:
        address: where it listens by default, for the help.
        printed: what ``--print-config`` can print.
    """
    decorators = [
        click.option("--address", metavar="SOCKET", help=f"Where the engine finds it ({address})."),
        click.option(
            "--config",
            "path",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Settings, as TOML.",
        ),
        click.option(
            "--log", type=click.Choice(["json", "text"]), help="How lines of the log look (json)."
        ),
        click.option(
            "--log-level",
            type=click.Choice(["debug", "info", "warning", "error"]),
            help="From which level on (info).",
        ),
        click.option(
            "--metrics", metavar="HOST:PORT", help="Tell health and metrics there, on loopback."
        ),
        click.option(
            "--print-config",
            "printed",
            type=click.Choice(printed),
            help="Print what has to be pasted there, and end.",
        ),
    ]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def with_options(*, path: Path | None, printed: str | None, **flags: Any) -> Any:
            return function(options=ServeOptions(path, flags, printed))

        for decorator in reversed(decorators):
            with_options = decorator(with_options)
        return with_options

    return decorate
