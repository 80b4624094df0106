"""What all commands share with click: global options on both sides, lazy loading, examples in the help.

A command is a ``Command`` in a module of its own below ``commands``; the groups know only the names of the
modules, so that a run imports what it runs. Global options are options of the groups and of every command;
wherever they stand, they end in the Session.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from winlayers.cli.session import STAGING, Session
from winlayers.config import BACKENDS

PROGRESS_MODES = ("auto", "plain", "none")

pass_session = click.make_pass_decorator(Session)


class FolderPath(click.Path):
    """A folder, which need not be there. No name is an unset variable of a shell, not the present folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("it is empty; '.' is the present folder", param, ctx)
        return super().convert(value, param, ctx)


class GlobalOption(click.Option):
    """An option that goes into the Session, and stands in a section of its own in the help."""


class Command(click.Command):
    """A command with the global options.

    Args:
        examples: command lines, each with what it does after ``#``; shown at the end of the help.
    """

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)
        own = {flag for param in self.params for flag in param.opts}
        self.params.extend(global_options(own))

    def invoke(self, ctx: click.Context) -> Any:
        session = ctx.find_object(Session)
        if session is not None:
            session.is_running = True
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_options(self, ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}{example}\n")


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for.

    Args:
        modules: name of a command -> module below ``commands`` that has it as ``run``; shown in
            this order.
        groups: groups that are there already.
    """

    def __init__(
        self,
        *args: Any,
        modules: Mapping[str, str],
        groups: Sequence[click.Group] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._modules = dict(modules)
        for group in groups:
            self.add_command(group)
        self.params.extend(global_options(set()))

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self._modules, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = self._modules.get(cmd_name)
        if module is None:
            return super().get_command(ctx, cmd_name)
        loaded = import_module(f"winlayers.cli.commands.{module}").run
        assert isinstance(loaded, click.Command)
        return loaded

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)


def command(name: str, *, examples: Sequence[str]) -> Callable[[Callable[..., Any]], click.Command]:
    """A decorator that makes a ``Command`` of a function; its docstring is the help."""
    return click.command(name, cls=Command, examples=examples)


def global_options(taken: set[str]) -> list[click.Parameter]:
    """Fresh global options, but those of which a command has the flag for something else.

    Args:
        taken: flags that the command has.
    """
    return [
        GlobalOption(flags, expose_value=False, callback=_store, help=text, **settings)
        for flags, text, settings in _GLOBALS
        if not taken.intersection(flags)
    ]


_GLOBALS: tuple[tuple[list[str], str, dict[str, Any]], ...] = (
    (
        ["--root"],
        "Root of the store (environment: WINLAYERS_ROOT; default: the platform's data folder).",
        {"type": FolderPath(path_type=Path), "metavar": "DIR"},
    ),
    (
        ["--tmpdir"],
        f"Stage in DIR/{STAGING}, on the disk of the root (default: in ROOT/tmp).",
        {"type": FolderPath(path_type=Path), "metavar": "DIR"},
    ),
    (
        ["--backend"],
        "Where layers live (environment: WINLAYERS_BACKEND).",
        {"type": click.Choice(BACKENDS)},
    ),
    (
        ["--platform"],
        "Which image of an index: windows/amd64:10.0.20348, windows:ltsc2022, linux/arm64.",
        {"metavar": "PLATFORM"},
    ),
    (
        ["--progress", "progress_mode"],
        "How to show progress on standard error: a bar on a terminal and lines elsewhere, lines, or none.",
        {"type": click.Choice(PROGRESS_MODES)},
    ),
    (
        ["-v", "--verbose", "verbosity"],
        "Tell more; with a fault, where it happened.",
        {"count": True},
    ),
    (["-q", "--quiet", "is_quiet"], "Tell nothing but data and errors.", {"is_flag": True}),
)


def _store(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    session = ctx.find_object(Session)
    name = param.name
    if session is None or name is None:
        return
    # Options stand in two places; one that was not given must not undo the other.
    if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
        if name == "verbosity":
            value += session.verbosity
        setattr(session, name, value)


def _store_json(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    session = ctx.find_object(Session)
    if session is not None and value:
        session.is_json = True


json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    expose_value=False,
    callback=_store_json,
    help="Print JSON: one document, or one object a line where there are rows; errors too.",
)
raw_option = click.option(
    "--raw",
    is_flag=True,
    help="Take and show the names in the tar (Files/, Hives/, UtilityVM/) instead of the container's C:.",
)
lenient_option = click.option(
    "--lenient", is_flag=True, help="Keep names that Windows takes only by \\\\?\\ paths."
)


def write_options(shown: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """The options of a command for its help, its own first."""
    sections: dict[str, list[tuple[str, str]]] = {"Options": [], "Global options": []}
    for param in shown.get_params(ctx):
        # Arguments are told by the usage line and the text.
        record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
        if record is not None:
            is_global = isinstance(param, GlobalOption)
            sections["Global options" if is_global else "Options"].append(record)
    for title, records in sections.items():
        if records:
            with formatter.section(title):
                formatter.write_dl(records)
