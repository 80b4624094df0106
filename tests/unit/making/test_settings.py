"""Settings change as Docker changes them, by the rules of Windows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.memoryimages import WINDOWS
from winlayers.base.digest import Digest
from winlayers.errors import InvalidArgument, Malformed
from winlayers.making.settings import Command, Edits, add_step, apply_edits
from winlayers.oci.building import build_config, history_step
from winlayers.oci.model import ImageConfig


def a_config(**settings: Any) -> ImageConfig:
    return build_config(WINDOWS, [], settings=settings)


def test_edits_that_change_nothing_give_the_old_config() -> None:
    config = a_config(Cmd=["cmd"], Env=["A=b"])
    assert apply_edits(config, Edits()) is config
    assert apply_edits(config, Edits(env={"A": "b"}, command=Command(("cmd",)))) is config


def test_env_is_compared_without_case_and_keeps_its_place() -> None:
    config = a_config(Env=["Path=C:\\a", "B=1"])
    edited = apply_edits(config, Edits(env={"PATH": "C:\\b", "C": "x=y"}, unset_env=["b"]))
    assert edited.setting("Env") == ["PATH=C:\\b", "C=x=y"]


def test_last_variable_that_goes_takes_the_list_away() -> None:
    assert apply_edits(a_config(Env=["A=b"]), Edits(unset_env=["a"])).setting("Env") is None


@pytest.mark.parametrize("name", ["", "A=", "A\0"])
def test_variable_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match="cannot be a variable"):
        apply_edits(a_config(), Edits(env={name: "x"}))


def test_new_entrypoint_takes_the_old_command_away() -> None:
    config = a_config(Entrypoint=["a"], Cmd=["b"])
    edited = apply_edits(config, Edits(entrypoint=Command(("new.exe", "-x"))))
    assert (edited.setting("Entrypoint"), edited.setting("Cmd")) == (["new.exe", "-x"], None)
    both = apply_edits(config, Edits(entrypoint=Command(("e",)), command=Command(("c",))))
    assert (both.setting("Entrypoint"), both.setting("Cmd")) == (["e"], ["c"])


def test_shell_form_is_one_line_with_the_shell_of_the_image() -> None:
    edited = apply_edits(a_config(), Edits(command=Command(("echo  %A%",), is_shell=True)))
    assert edited.setting("Cmd") == ["cmd /S /C echo  %A%"]
    assert edited.setting("ArgsEscaped") is True
    shell = a_config(Shell=["powershell", "-Command"])
    edited = apply_edits(shell, Edits(command=Command(("dir",), is_shell=True)))
    assert edited.setting("Cmd") == ["powershell -Command dir"]


def test_exec_form_takes_args_escaped_away() -> None:
    config = a_config(Cmd=["cmd /S /C x"], ArgsEscaped=True)
    assert apply_edits(config, Edits(command=Command(("a",)))).setting("ArgsEscaped") is None
    assert apply_edits(config, Edits(entrypoint=Command(()))).setting("ArgsEscaped") is None


def test_commands_of_two_forms_are_refused() -> None:
    edits = Edits(entrypoint=Command(("a",)), command=Command(("b",), is_shell=True))
    with pytest.raises(InvalidArgument, match="both in shell form"):
        apply_edits(a_config(), edits)


def test_command_that_is_empty_goes() -> None:
    assert apply_edits(a_config(Cmd=["a"]), Edits(command=Command(()))).setting("Cmd") is None


@pytest.mark.parametrize(
    ("before", "text", "after"),
    [
        ("", "C:\\app", "C:\\app"),
        ("", "c:/app/", "C:\\app"),
        ("", "\\app", "C:\\app"),
        ("", "app", "C:\\app"),
        ("C:\\a", "b\\c", "C:\\a\\b\\c"),
        ("D:\\a", "b", "D:\\a\\b"),
        ("C:\\a", "..\\b", "C:\\b"),
        ("C:\\a", "/../../b", "C:\\b"),
        ("C:\\a", "C:", "C:\\"),
        ("/a", "b", "C:\\a\\b"),
        ("C:\\a", "", None),
    ],
)
def test_working_dir_is_absolute_with_a_drive(before: str, text: str, after: str | None) -> None:
    edited = apply_edits(a_config(WorkingDir=before), Edits(working_dir=text))
    assert (edited.setting("WorkingDir") or None) == after


@pytest.mark.parametrize("text", ["\\\\server\\share", "//x/y", "a\0", "E:x"])
def test_working_dir_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        apply_edits(a_config(WorkingDir="C:\\a"), Edits(working_dir=text))


def test_labels_and_ports_are_set_and_taken_away() -> None:
    config = a_config(Labels={"a": "1", "b": "2"}, ExposedPorts={"80/tcp": {}, "53/udp": {}})
    edits = Edits(
        labels={"c": "3"}, unset_labels=["a", "z"], ports=["8000-8001"], unset_ports=["80"]
    )
    edited = apply_edits(config, edits)
    assert edited.setting("Labels") == {"b": "2", "c": "3"}
    assert sorted(edited.setting("ExposedPorts")) == ["53/udp", "8000/tcp", "8001/tcp"]


@pytest.mark.parametrize("port", ["0", "65536", "a", "90-80", "80/icmp", "", "80/"])
def test_port_that_cannot_be_is_refused(port: str) -> None:
    with pytest.raises(InvalidArgument, match="port"):
        apply_edits(a_config(), Edits(ports=[port]))


def test_label_without_name_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="name"):
        apply_edits(a_config(), Edits(labels={"": "x"}))


def test_platform_user_signal_and_author_change() -> None:
    edits = Edits(
        user="ContainerUser",
        stop_signal="SIGTERM",
        os_version="10.0.26100.1",
        os_features=["win32k"],
        author="me",
    )
    edited = apply_edits(a_config(), edits)
    assert edited.platform.os_version == "10.0.26100.1"
    assert edited.platform.os_features == ("win32k",)
    assert (edited.setting("User"), edited.setting("StopSignal")) == ("ContainerUser", "SIGTERM")
    assert edited.fields["author"] == "me"
    assert apply_edits(edited, Edits(user="")).setting("User") is None


def test_version_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="version of Windows"):
        apply_edits(a_config(), Edits(os_version="10.0.20348"))


@pytest.mark.parametrize(
    ("settings", "edits"),
    [
        ({"Env": "A=b"}, Edits(env={"A": "c"})),
        ({"Env": [1]}, Edits(env={"A": "c"})),
        ({"Labels": []}, Edits(labels={"a": "b"})),
    ],
)
def test_setting_of_another_type_is_malformed(settings: dict[str, Any], edits: Edits) -> None:
    with pytest.raises(Malformed):
        apply_edits(a_config(**settings), edits)


def test_step_is_the_time_of_the_image() -> None:
    config = add_step(a_config(), "made", now_seconds=1, author="me", comment="why", is_empty=True)
    assert config.created == "1970-01-01T00:00:01Z"
    assert config.history == (
        {
            "created": "1970-01-01T00:00:01Z",
            "created_by": "made",
            "author": "me",
            "comment": "why",
            "empty_layer": True,
        },
    )


def test_layers_that_the_history_does_not_know_get_entries_before_a_new_one() -> None:
    digests = [Digest("sha256", str(number) * 64) for number in range(3)]
    config = build_config(
        WINDOWS, digests, history=[history_step("one"), history_step("", is_empty=True)]
    )
    edited = add_step(config, "edit", now_seconds=0, is_empty=True)
    assert edited.history == (
        {"created_by": "one"},
        {"empty_layer": True},
        {},
        {},
        {"created": "1970-01-01T00:00:00Z", "created_by": "edit", "empty_layer": True},
    )
    on_top = add_step(config, "layer", now_seconds=0)
    assert on_top.history[2:] == (
        {},
        {"created": "1970-01-01T00:00:00Z", "created_by": "layer"},
    )
