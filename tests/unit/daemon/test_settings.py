"""Where settings come from, and what is refused."""

from __future__ import annotations

import json
import logging
import tomllib
from pathlib import Path

import pytest

from winlayers.daemon.logs import JsonFormatter, TextFormatter
from winlayers.daemon.settings import Settings, read_settings
from winlayers.daemon.templates import render
from winlayers.errors import InvalidArgument

FILE = """
root = "/data"
log = "text"
log_level = "warning"
stop_seconds = 5
[docker]
address = "/run/d.sock"
[containerd]
address = "/run/c.sock"
front = "/run/f.sock"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "winlayers.toml"
    path.write_text(FILE)
    return path


def test_flags_win_over_environment_and_that_over_the_file(file: Path) -> None:
    environ = {"WINLAYERS_LOG": "json", "WINLAYERS_LOG_LEVEL": "debug", "WINLAYERS_METRICS": ""}
    told = read_settings("docker", file, environ, {"log_level": "error", "address": None})
    assert told == Settings(
        address="/run/d.sock", root="/data", log="json", log_level="error", stop_seconds=5
    )
    assert read_settings("containerd", file, {}, {}).front == "/run/f.sock"
    assert read_settings("docker", None, {}, {}) == Settings()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("rot = 1", "no setting rot"),
        ("[docker]\nfront = 'x'", "no setting docker.front"),
        ("root = 1", "root is no text"),
        ("stop_seconds = true", "stop_seconds is no number"),
        ("docker = 1", "docker is no table"),
        ("log = 'loud'", "it can be json, text"),
        ("= 1", "cannot be read"),
    ],
)
def test_what_is_not_known_is_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(InvalidArgument, match=why):
        read_settings("docker", path, {}, {})


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="cannot be read"):
        read_settings("docker", tmp_path / "none.toml", {}, {})


def test_lines_of_the_log_have_facts() -> None:
    record = logging.makeLogRecord(
        {
            "name": "winlayers.x",
            "levelname": "INFO",
            "msg": "filled %s",
            "args": ("a",),
            "created": 1.5,
        }
    )
    record.digest = "sha256:00"
    assert json.loads(JsonFormatter().format(record)) == {
        "time": "1970-01-01T00:00:01.500Z",
        "level": "info",
        "event": "filled a",
        "logger": "winlayers.x",
        "digest": "sha256:00",
    }
    assert TextFormatter().format(record) == "info: filled a digest=sha256:00"


def test_configurations_are_printed() -> None:
    place = "/run/docker/plugins/winlayers.sock"
    told = json.loads(render("docker", "docker", "/usr/bin/winlayers", place))
    assert told == {"experimental": True, "storage-driver": "winlayers"}
    units = render("systemd", "docker", "/usr/bin/winlayers", place)
    assert f"ExecStart=/usr/bin/winlayers serve docker --address {place}\n" in units
    assert f"ListenStream={place}\n" in units
    with pytest.raises(InvalidArgument):
        render("docker", "containerd", "winlayers", place)


def test_example_of_the_settings_is_taken(tmp_path: Path) -> None:
    from winlayers.daemon import settings

    assert settings.__doc__ is not None
    example = settings.__doc__.split("\n\n", 1)[1].rpartition("\n\nEnvironment")[0]
    path = tmp_path / "example.toml"
    path.write_text("\n".join(line.strip() for line in example.splitlines()))
    assert set(tomllib.loads(path.read_text())) > {"docker", "containerd"}
    assert read_settings("containerd", path, {}, {}).front == ""
