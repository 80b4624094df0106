"""Global options on both sides, the environment, help and completion."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.unit.cli.harness import BASE, Shell
from winlayers._version import __version__
from winlayers.cli.app import COMPLETE_VARIABLE, cli
from winlayers.cli.options import LazyGroup
from winlayers.cli.session import Session


def commands(
    group: click.Group = cli, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """All commands with the words that call them, groups left out."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from commands(found, (*path, name))
        else:
            yield (*path, name), found


ALL_COMMANDS = list(commands())


@pytest.mark.parametrize("before", [True, False])
def test_root_may_stand_on_both_sides_and_beats_the_environment(
    shared: Shell, tmp_path: Path, before: bool
) -> None:
    option = ("--root", str(shared.root))
    command = ("layer", "ls", "--ids")
    arguments = (*option, *command) if before else (*command, *option)
    elsewhere = {"WINLAYERS_ROOT": str(tmp_path / "elsewhere")}
    assert shared.run(*arguments, environ=elsewhere).lines == ["app", "base"]


def test_option_after_the_command_beats_the_one_before(shared: Shell, tmp_path: Path) -> None:
    before, after = ("--root", str(tmp_path / "none")), ("--root", str(shared.root))
    assert shared.run(*before, "layer", *before, "ls", "-q", *after).lines == ["app", "base"]


def test_backend_comes_from_the_environment_or_an_option(shared: Shell) -> None:
    native = {"WINLAYERS_BACKEND": "native"}
    assert "native" in shared.run("ls", "base", environ=native, code=16).err
    shared.run("ls", "base", "--backend", "portable", environ=native)
    shared.run("--backend", "nonsense", "ls", "base", code=2)


def test_nothing_is_left_in_tmpdir_and_nothing_of_others_is_touched(
    bare: Shell, tmp_path: Path
) -> None:
    tmpdir = tmp_path / "shared-tmp"
    tmpdir.mkdir()
    (tmpdir / "somebody.0123456789abcdef").mkdir()
    file = bare.write("x.tar", BASE)
    bare.run("layer", "import", "x", file, "--tmpdir", str(tmpdir))
    bare.run("--tmpdir", str(tmpdir), "ls", f"tar:{file}")
    assert (tmpdir / "somebody.0123456789abcdef").is_dir()
    assert [path.name for path in tmpdir.rglob("*") if path.is_file()] == []


def test_root_that_is_a_file_is_no_store(bare: Shell) -> None:
    bare.root.write_bytes(b"a file, not a folder")
    tar = bare.write("x.tar", BASE)
    for command in (("layer", "ls"), ("ls", "x"), ("store", "info"), ("layer", "import", "x", tar)):
        assert "is no folder" in bare.run(*command, code=2).err


@pytest.mark.parametrize("option", ["--root", "--tmpdir"])
def test_empty_folder_name_is_not_the_present_folder(bare: Shell, option: str) -> None:
    assert "it is empty" in bare.run(option, "", "layer", "ls", code=2).err


def test_default_root_is_the_platforms_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/tmp/data-home")
    home = Session.from_environ({}).home
    assert home.name == "winlayers"
    assert home.is_absolute()


def test_version_is_told(shared: Shell) -> None:
    assert shared.run("--version").out.decode() == f"winlayers {__version__}\n"


@pytest.mark.parametrize(("path", "found"), ALL_COMMANDS, ids=lambda value: str(value))
def test_help_tells_usage_options_and_examples(
    shared: Shell, path: tuple[str, ...], found: click.Command
) -> None:
    text = shared.run(*path, "--help").out.decode()
    assert text.startswith(f"Usage: winlayers {' '.join(path)} ")
    assert "Global options:" in text
    assert "Examples:\n  " in text
    assert all(flag in text for param in found.params for flag in param.opts if flag[0] == "-")
    assert all(param.help for param in found.params if isinstance(param, click.Option))


def test_help_of_groups_lists_their_commands(shared: Shell) -> None:
    assert all(
        path[0] in shared.run("--help").out.decode() and path[-1] for path, _ in ALL_COMMANDS
    )
    assert "import" in shared.run("layer", "--help").out.decode()


def test_no_command_is_imported_before_it_is_asked_for() -> None:
    name = "winlayers.cli.commands.tree"
    kept = sys.modules.pop(name, None)
    try:
        LazyGroup("group", modules={"tree": "tree"}).list_commands(click.Context(cli))
        assert name not in sys.modules
    finally:
        if kept is not None:
            sys.modules[name] = kept


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_completion_scripts_call_us_back(shared: Shell, shell_name: str) -> None:
    assert COMPLETE_VARIABLE in shared.run("completion", shell_name).out.decode()


def test_unknown_commands_and_missing_arguments_are_usage_errors(shared: Shell) -> None:
    result = shared.run("layer", "nonsense", code=2)
    assert result.err.startswith("winlayers: No such command 'nonsense'")
    assert "'winlayers cat --help'" in shared.run("cat", "base", code=2).err
    assert '"exit": 2' in shared.run("cat", "--json", code=2).err
