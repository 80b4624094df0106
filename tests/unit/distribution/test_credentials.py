"""Logins from the files and programs of docker and podman."""

from __future__ import annotations

import base64
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winlayers.distribution import credentials as module
from winlayers.distribution.credentials import (
    DOCKER_HUB_KEY,
    Credentials,
    credential_files,
    find_credentials,
)
from winlayers.errors import Denied, InvalidArgument, Malformed, TooLarge, WinlayersError


def encoded(pair: str) -> dict[str, str]:
    return {"auth": base64.b64encode(pair.encode()).decode()}


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write_(fields: Any, name: str = "config.json") -> Path:
        path = tmp_path / name
        path.write_text(fields if isinstance(fields, str) else json.dumps(fields))
        return path

    return write_


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Installs a program ``docker-credential-NAME`` with a body in Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def install(name: str, body: str) -> Path:
        program = folder / f"docker-credential-{name}"
        program.write_text(f"#!{sys.executable}\nimport sys\n{body}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return program

    return install


ECHO = """
server = sys.stdin.read()
assert sys.argv[1:] == ["get"]
print('{"ServerURL": "%s", "Username": "%s", "Secret": "helped"}' % (server, server))
"""


@pytest.mark.parametrize(
    ("environment", "files"),
    [
        ({"REGISTRY_AUTH_FILE": "/x", "DOCKER_CONFIG": "/d", "XDG_RUNTIME_DIR": "/r"}, ["/x"]),
        (
            {"XDG_RUNTIME_DIR": "/r"},
            [
                "/r/containers/auth.json",
                "/home/me/.config/containers/auth.json",
                "/home/me/.docker/config.json",
            ],
        ),
        (
            {"DOCKER_CONFIG": "/d", "XDG_CONFIG_HOME": "/c"},
            ["/c/containers/auth.json", "/d/config.json"],
        ),
    ],
)
def test_files_go_by_the_environment(environment: dict[str, str], files: list[str]) -> None:
    found = credential_files(environment, Path("/home/me"))
    assert [path.as_posix() for path in found] == files


@pytest.mark.parametrize(
    "key",
    [
        "reg.example",
        "https://reg.example",
        "http://reg.example/v1/",
        "reg.example/v2",
        "reg.example/",
    ],
)
def test_host_is_found_however_it_is_written(write: Any, key: str) -> None:
    path = write({"auths": {key: encoded("me:pass:word")}})
    assert find_credentials([path], "reg.example", "a/b") == Credentials("me", "pass:word")
    assert not find_credentials([path], "reg.example:5000", "a/b")


@pytest.mark.parametrize(
    "key", [DOCKER_HUB_KEY, "docker.io", "index.docker.io", "registry-1.docker.io"]
)
def test_docker_hub_has_many_names(write: Any, key: str) -> None:
    path = write({"auths": {key: encoded("me:x")}})
    assert find_credentials([path], "docker.io", "library/ubuntu") == Credentials("me", "x")


@pytest.mark.parametrize(
    ("repository", "username"),
    [("a/b", "deep"), ("a/b/c", "deep"), ("a/bc", "a"), ("a", "a"), ("b", "host"), ("ab", "host")],
)
def test_longest_beginning_wins(write: Any, repository: str, username: str) -> None:
    keys = {"h:1": "host", "h:1/a": "a", "h:1/a/b": "deep"}
    path = write({"auths": {key: encoded(f"{name}:x") for key, name in keys.items()}})
    assert find_credentials([path], "h:1", repository).username == username


def test_first_file_that_has_one_wins(write: Any, tmp_path: Path) -> None:
    files = [
        tmp_path / "missing.json",
        write("", "empty.json"),
        write({"auths": {"other": encoded("o:x"), "h": {}}}, "other.json"),
        write({"auths": {"h": encoded("first:x")}}, "first.json"),
        write({"auths": {"h": encoded("second:x")}}, "second.json"),
    ]
    assert find_credentials(files, "h", "a").username == "first"
    assert not find_credentials(files, "nobody", "a")


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        (encoded("me:x\0\0"), Credentials("me", "x")),
        ({"username": "me", "password": "x"}, Credentials("me", "x")),
        ({"identitytoken": "i"}, Credentials(identity_token="i")),
        ({**encoded("<token>:"), "identitytoken": "i"}, Credentials(identity_token="i")),
        ({"registrytoken": "r"}, Credentials(registry_token="r")),
        ({"auth": ""}, Credentials()),
        ({"auth": 7}, Credentials()),
        (7, Credentials()),
    ],
)
def test_entry_is_read(write: Any, entry: Any, found: Credentials) -> None:
    assert find_credentials([write({"auths": {"h": entry}})], "h", "a") == found


@pytest.mark.parametrize("auth", ["s3cret!", "czNjcmV0", "/////w=="])
def test_entry_that_is_not_base64_does_not_show_it(write: Any, auth: str) -> None:
    path = write({"auths": {"h": {"auth": auth}}})
    if auth == "czNjcmV0":  # a name without a colon
        assert find_credentials([path], "h", "a") == Credentials("s3cret", "")
        return
    with pytest.raises(InvalidArgument, match="log in again") as caught:
        find_credentials([path], "h", "a")
    assert auth not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"auths":{"h":{"auth":"s3cret"}}} s3cret', "[" * 99999]
)
def test_file_that_is_none_does_not_show_itself(write: Any, text: str) -> None:
    with pytest.raises(Malformed) as caught:
        find_credentials([write(text)], "h", "a")
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_huge_file_is_refused(write: Any) -> None:
    with pytest.raises(TooLarge):
        find_credentials([write(" " * (1 << 20) + "{}")], "h", "a")


@settings(derandomize=True, max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["auths", "h", "auth", "h/a", "username"]), inner, max_size=4
            )
        ),
        max_leaves=12,
    )
)
def test_any_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.mktemp("x") / "config.json"
    path.write_text(json.dumps(value))
    told = ""
    try:
        found: Credentials | None = find_credentials([path], "h", "a")
    except WinlayersError as error:
        found, told = None, str(error)
    assert isinstance(found, Credentials) or "config.json" in told


def test_secrets_are_not_in_a_repr() -> None:
    one = Credentials("me", "s3cret-1", "s3cret-2", "s3cret-3")
    assert "s3cret" not in repr(one)
    assert "s3cret" not in str(one)


# Programs


def test_program_for_a_host_is_asked(write: Any, helper: Any) -> None:
    helper("test", ECHO)
    path = write({"credHelpers": {"h:5": "test"}, "auths": {"h:5": encoded("me:x")}})
    assert find_credentials([path], "h:5", "a") == Credentials("h:5", "helped")


def test_program_for_all_is_asked_by_the_name_that_docker_uses(write: Any, helper: Any) -> None:
    helper("test", ECHO)
    path = write({"credsStore": "test"})
    assert find_credentials([path], "docker.io", "a/b").username == DOCKER_HUB_KEY
    assert find_credentials([path], "h:5", "a/b").username == "h:5"


def test_program_may_keep_an_identity_token(write: Any, helper: Any) -> None:
    helper("test", """print('{"Username": "<token>", "Secret": "i"}')""")
    path = write({"credsStore": "test"})
    assert find_credentials([path], "h", "a") == Credentials(identity_token="i")


def test_program_that_knows_nobody_leaves_it_to_the_file(write: Any, helper: Any) -> None:
    helper("test", "print('credentials not found in native keychain'); sys.exit(1)")
    path = write({"credsStore": "test", "auths": {"h": encoded("me:x")}})
    assert find_credentials([path], "h", "a") == Credentials("me", "x")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("print('s3cret'); sys.exit(3)", Denied),
        ("print('s3cret')", Malformed),
        ("print(' ' * 2_000_000)", TooLarge),
    ],
)
def test_program_that_fails_is_told_of_without_what_it_wrote(
    write: Any, helper: Any, body: str, kind: type[WinlayersError]
) -> None:
    helper("test", body)
    with pytest.raises(kind, match="docker-credential-test") as caught:
        find_credentials([write({"credsStore": "test"})], "h", "a")
    assert "s3cret" not in str(caught.value)


def test_program_that_does_not_end_is_stopped(
    write: Any, helper: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper("test", "import time; time.sleep(30)")
    monkeypatch.setattr(module, "HELPER_SECONDS", 0.2)
    with pytest.raises(Denied, match="did not answer"):
        find_credentials([write({"credsStore": "test"})], "h", "a")


def test_program_that_is_missing_is_told_of(write: Any) -> None:
    with pytest.raises(Denied, match=r"docker-credential-nowhere.* is not installed"):
        find_credentials([write({"credsStore": "nowhere"})], "h", "a")


@pytest.mark.parametrize("name", ["../x", "/bin/x", "a b", "-x", "a/b", "a;b"])
def test_program_has_a_plain_name(write: Any, name: str) -> None:
    with pytest.raises(InvalidArgument):
        find_credentials([write({"credHelpers": {"h": name}})], "h", "a")


def test_program_that_cannot_be_started_is_told_of(write: Any, helper: Any) -> None:
    helper("test", "").chmod(0o600)
    with pytest.raises((Denied, OSError)):
        find_credentials([write({"credsStore": "test"})], "h", "a")
