"""What an image is run with, changed: entrypoint, command, environment, labels and the like.

Rules that are Windows' or Docker's own:

* names of the environment are compared without case, and the spelling that comes last counts;
* a command in shell form is one string that Windows gets as it is, which ``ArgsEscaped`` tells; in exec form it is a
  list, and ``ArgsEscaped`` is gone;
* a new entrypoint takes the old command away, unless a new one comes with it;
* a working directory is absolute, with a drive and backslashes; a relative one is below the one before.

This module knows nothing of layers and how images are written.

Source: moby/moby builder/dockerfile/dispatchers.go, dispatchers_windows.go (``resolveCmdLine``,
``normalizeWorkdir``), daemon/commit.go; OCI image-spec config.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from winlayers.errors import InvalidArgument, Malformed
from winlayers.layer.names import fold
from winlayers.oci.building import edit_config, history_step, time_text
from winlayers.oci.model import ImageConfig

DEFAULT_SHELL = ("cmd", "/S", "/C")
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)
_DRIVE = re.compile(r"([A-Za-z]):")
_VERSION = re.compile(r"\d{1,9}(?:\.\d{1,9}){3}")
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class Command:
    """A command of an image.

    Attributes:
        arguments: in exec form the program and its arguments, in shell form one line; empty takes the command away.
        is_shell: whether it is a line for the image's shell.
    """

    arguments: tuple[str, ...]
    is_shell: bool = False


@dataclass(frozen=True, slots=True)
class Edits:
    """What is to be changed; None, or nothing in it, leaves a thing as it is.

    Attributes:
        entrypoint: what is run.
        command: its arguments, or what is run where there is no entrypoint.
        env: variables to be set.
        unset_env: names of variables to be taken away.
        labels: to be set.
        unset_labels: names of labels to be taken away.
        user: who runs it; ``""`` takes it away.
        working_dir: where; ``""`` takes it away.
        ports: to be exposed, as ``80`` or ``8000-8002/udp``.
        unset_ports: not to be exposed any more.
        stop_signal: ``""`` takes it away.
        os_version: the build that the image says it is for, as ``10.0.20348.2113``.
        os_features: all of them.
        author: who made the image; ``""`` takes it away.
    """

    entrypoint: Command | None = None
    command: Command | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    unset_env: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    unset_labels: Sequence[str] = ()
    user: str | None = None
    working_dir: str | None = None
    ports: Sequence[str] = ()
    unset_ports: Sequence[str] = ()
    stop_signal: str | None = None
    os_version: str | None = None
    os_features: Sequence[str] | None = None
    author: str | None = None


def apply_edits(config: ImageConfig, edits: Edits) -> ImageConfig:
    """A config with its settings changed; its history and its time are as they were.

    Args:
        config: the old one.
        edits: what changes.
    Returns:
        The new one; the old one where nothing changes.
    Raises:
        InvalidArgument: a name, port, version or directory that cannot be, or commands of two forms.
        Malformed: a setting that is to be changed is not of its type in the old config.
    """
    settings: dict[str, Any] = _commands(config, edits)
    if edits.env or edits.unset_env:
        settings["Env"] = _env(_texts(config, "Env"), edits)
    if edits.labels or edits.unset_labels:
        settings["Labels"] = _labels(config, edits)
    if edits.ports or edits.unset_ports:
        settings["ExposedPorts"] = _ports(config, edits)
    if edits.working_dir is not None:
        settings["WorkingDir"] = _working_dir(config, edits.working_dir) or None
    for name, text in (("User", edits.user), ("StopSignal", edits.stop_signal)):
        if text is not None:
            settings[name] = text or None
    platform = config.platform
    if edits.os_version is not None:
        if not _VERSION.fullmatch(edits.os_version):
            raise InvalidArgument(
                f"{edits.os_version[:100]!r} is not a version of Windows, as 10.0.20348.2113 is"
            )
        platform = replace(platform, os_version=edits.os_version)
    if edits.os_features is not None:
        platform = replace(platform, os_features=tuple(edits.os_features))
    return edit_config(
        config,
        platform=None if platform == config.platform else platform,
        settings=settings or None,
        author=edits.author,
    )


def add_step(
    config: ImageConfig,
    created_by: str,
    *,
    now_seconds: int,
    author: str = "",
    comment: str = "",
    is_empty: bool = False,
) -> ImageConfig:
    """A config with one more entry in its history, which is also the time at which it was made.

    A history that knows nothing of some layers gets empty entries for them first, or the new one would be taken for one
    of theirs.

    Args:
        config: the old one; where the entry makes a layer, with its diff ID already.
        created_by: what was done.
        now_seconds: when, since 1970 UTC.
        author: who did.
        comment: anything.
        is_empty: whether no layer was made.
    Raises:
        InvalidArgument: a time that images cannot have.
    """
    created = time_text(now_seconds)
    step = history_step(
        created_by, created=created, author=author, comment=comment, is_empty=is_empty
    )
    history = [*config.history, *_steps_of_unknown(config, len(config.diff_ids) - (not is_empty))]
    return edit_config(config, history=(*history, step), created=created)


def _steps_of_unknown(config: ImageConfig, layer_count: int) -> list[dict[str, Any]]:
    """Entries for those of the layers that the history does not know."""
    known = sum(not _is_empty(step) for step in config.history)
    return [history_step("") for _ in range(layer_count - known)]


def _is_empty(step: Mapping[str, Any]) -> bool:
    """Whether an entry of a history made no layer."""
    return any(name.lower() == "empty_layer" and bool(step[name]) for name in step)


def _commands(config: ImageConfig, edits: Edits) -> dict[str, Any]:
    given = [one for one in (edits.entrypoint, edits.command) if one and one.arguments]
    if len({one.is_shell for one in given}) > 1:
        raise InvalidArgument(
            "entrypoint and command are both in shell form or both in exec form: Windows joins them to one line"
        )
    settings: dict[str, Any] = {}
    if edits.entrypoint is not None:
        settings["Entrypoint"] = _resolved(config, edits.entrypoint)
        settings["Cmd"] = None
    if edits.command is not None:
        settings["Cmd"] = _resolved(config, edits.command)
    if given or edits.entrypoint is not None:
        settings["ArgsEscaped"] = True if given and given[-1].is_shell else None
    return settings


def _resolved(config: ImageConfig, command: Command) -> list[str] | None:
    if not command.arguments:
        return None
    if not command.is_shell:
        return list(command.arguments)
    shell = _texts(config, "Shell") or list(DEFAULT_SHELL)
    return [" ".join((*shell, *command.arguments))]


def _env(old: Sequence[str], edits: Edits) -> list[str] | None:
    # By folded name, so that each keeps its place.
    by_name = {fold(line.partition("=")[0]): line for line in old}
    for name in edits.unset_env:
        by_name.pop(fold(name), None)
    for name, value in edits.env.items():
        if not name or "=" in name or "\0" in name + value:
            raise InvalidArgument(f"{name!r} cannot be a variable of the environment")
        by_name[fold(name)] = f"{name}={value}"
    return list(by_name.values()) or None


def _labels(config: ImageConfig, edits: Edits) -> dict[str, Any] | None:
    labels = dict(_object(config, "Labels"))
    for name in edits.unset_labels:
        labels.pop(name, None)
    if "" in edits.labels:
        raise InvalidArgument("a label has to have a name")
    return labels | dict(edits.labels) or None


def _ports(config: ImageConfig, edits: Edits) -> dict[str, Any] | None:
    ports = dict(_object(config, "ExposedPorts"))
    for text in edits.unset_ports:
        for port in _expanded(text):
            ports.pop(port, None)
    for text in edits.ports:
        ports |= {port: {} for port in _expanded(text)}
    return ports or None


def _expanded(text: str) -> list[str]:
    """``80`` as ``80/tcp``, and a range as each port of it."""
    match = _PORT.fullmatch(text)
    if match is None:
        raise InvalidArgument(f"{text[:100]!r} is not a port, as 80, 53/udp or 8000-8002 are")
    first, last = int(match[1]), int(match[2] or match[1])
    if not 0 < first <= last <= _MAX_PORT:
        raise InvalidArgument(f"ports are 1 to {_MAX_PORT}, the lower first, not {text!r}")
    protocol = (match[3] or "tcp").lower()
    return [f"{port}/{protocol}" for port in range(first, last + 1)]


def _working_dir(config: ImageConfig, text: str) -> str:
    if not text:
        return ""
    if text.startswith(("\\\\", "//")) or "\0" in text:
        raise InvalidArgument(f"{text!r} cannot be the working directory of a container")
    drive, names = _split_directory(text)
    if names[0]:  # nothing stands before the first separator of an absolute one
        old_drive, old_names = _split_directory(str(config.setting("WorkingDir") or ""))
        if drive and old_drive and drive != old_drive:
            raise InvalidArgument(f"{text!r} is relative on a drive that the image is not on")
        drive, names = drive or old_drive, old_names + names
    kept: list[str] = []
    for name in names:
        if name == "..":
            del kept[-1:]
        elif name not in ("", "."):
            kept.append(name)
    return f"{drive or 'C:'}\\" + "\\".join(kept)


def _split_directory(text: str) -> tuple[str, list[str]]:
    """The drive as ``C:`` or ``""``, and the names."""
    drive = _DRIVE.match(text)
    rest = text[drive.end() :] if drive else text
    return (f"{drive[1].upper()}:" if drive else ""), rest.replace("/", "\\").split("\\")


def _texts(config: ImageConfig, name: str) -> list[str]:
    value = config.setting(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise Malformed("image config", f"{name!r} is not an array of strings")
    return value


def _object(config: ImageConfig, name: str) -> Mapping[str, Any]:
    value = config.setting(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Malformed("image config", f"{name!r} is not an object")
    return value
