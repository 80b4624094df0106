"""What the daemon is told: a file of TOML, variables of the environment, flags; the later win.

    root = "/var/lib/winlayers"          # the store
    tmpdir = "/var/lib/winlayers/tmp"    # staging, on the same disk
    log = "json"                         # or "text"
    log_level = "info"                   # debug, info, warning, error
    metrics = "127.0.0.1:9469"           # health and metrics; "" for none
    stop_seconds = 30                    # how long calls in flight may take at the end

    [docker]
    address = "/run/docker/plugins/winlayers.sock"

    [containerd]
    address = "/run/winlayers/containerd.sock"
    containerd_address = "/run/containerd/containerd.sock"
    front = ""                           # a second socket in front of containerd 1.6

Environment: ``WINLAYERS_ROOT``, ``WINLAYERS_LOG``, ``WINLAYERS_LOG_LEVEL``, ``WINLAYERS_METRICS``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from winlayers.daemon.logs import LEVELS
from winlayers.errors import InvalidArgument

FORMATS = ("json", "text")


@dataclass(frozen=True, slots=True)
class Settings:
    """See above.

    Attributes:
        root: None for the usual one.
    """

    address: str = ""
    root: str = ""
    tmpdir: str = ""
    log: str = "json"
    log_level: str = "info"
    metrics: str = ""
    stop_seconds: int = 30
    containerd_address: str = "/run/containerd/containerd.sock"
    front: str = ""


_ENGINES: dict[str, tuple[str, ...]] = {
    "docker": ("address",),
    "containerd": ("address", "containerd_address", "front"),
}
_COMMON = tuple(
    field.name
    for field in fields(Settings)
    if not any(field.name in names for names in _ENGINES.values())
)
_VARIABLES = {
    "root": "WINLAYERS_ROOT",
    "log": "WINLAYERS_LOG",
    "log_level": "WINLAYERS_LOG_LEVEL",
    "metrics": "WINLAYERS_METRICS",
}
_CHOICES = {"log": FORMATS, "log_level": LEVELS}


def read_settings(
    engine: str, path: Path | None, environ: Mapping[str, str], flags: Mapping[str, Any]
) -> Settings:
    """Put the settings of one service together.

    Args:
        engine: ``docker`` or ``containerd``.
        path: of the file, if there is one.
        environ: variables.
        flags: values by name of the setting; None for what was not given.
    Raises:
        InvalidArgument: a value, or a name in the file, that is not known.
    """
    settings = Settings()
    if path is not None:
        settings = replace(settings, **_read_file(engine, path))
    told: dict[str, Any] = {
        name: environ[key] for name, key in _VARIABLES.items() if environ.get(key)
    }
    settings = replace(settings, **told)
    settings = replace(settings, **{name: one for name, one in flags.items() if one is not None})
    for name, choices in _CHOICES.items():
        if getattr(settings, name) not in choices:
            raise InvalidArgument(
                f"{name} is {getattr(settings, name)!r}; it can be {', '.join(choices)}"
            )
    return settings


def _read_file(engine: str, path: Path) -> dict[str, Any]:
    try:
        told = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"{path} cannot be read: {error}") from error
    found = {}
    for name, value in told.items():
        if name not in _ENGINES:
            found[name] = _checked(path, name, value, _COMMON)
        elif not isinstance(value, dict):
            raise InvalidArgument(f"{path}: {name} is no table")
        else:
            for key, inner in value.items():
                checked = _checked(path, key, inner, _ENGINES[name], table=name)
                if name == engine:
                    found[key] = checked
    return found


def _checked(
    path: Path, name: str, value: object, known: tuple[str, ...], *, table: str = ""
) -> object:
    shown = f"{table}.{name}" if table else name
    if name not in known:
        raise InvalidArgument(f"{path}: there is no setting {shown}; there are {', '.join(known)}")
    wanted = type(getattr(Settings(), name))
    if type(value) is not wanted:
        raise InvalidArgument(f"{path}: {shown} is no {'number' if wanted is int else 'text'}")
    return value
