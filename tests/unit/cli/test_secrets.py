"""No secret is told, logged or kept, whatever goes wrong and however much is told."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.registry import (
    Action,
    Handler,
    Registry,
    cut,
    hang_up,
    redirect,
    reply,
    serve_registry,
    status,
)
from tests.unit.cli.harness import Shell
from tests.unit.cli.images import put_layout
from winlayers.distribution.retry import Patience
from winlayers.errors import DistributionError

PASSWORD = "pa55-w0rd"
QUERY = "s1gnature"
OTHER_PASSWORD = "0ther-pa55"
SECRETS = [PASSWORD, QUERY, OTHER_PASSWORD, base64.b64encode(f"me:{PASSWORD}".encode()).decode()]


@pytest.fixture
def registry(bare: Shell) -> Iterator[Registry]:
    """One that has an image, and lets in who has the password."""
    layout = put_layout(bare.folder / "layout")
    with serve_registry() as served:
        bare.run("copy", layout, f"docker://{served.host}/a/b:t", "--all-platforms", "-q")
        served.auth, served.users = "bearer", {"me": PASSWORD}
        served.requests.clear()
        yield served


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    def pause(self: Patience, failures: int, error: DistributionError) -> None:
        """Go on at once."""

    monkeypatch.setattr(Patience, "pause", pause)


def echo(code: int) -> Action:
    """Refuse, and repeat all that was sent."""

    def act(handler: Handler) -> bool:
        sent = f"{handler.path} {handler.headers}"
        errors = [{"code": sent, "message": sent, "detail": sent}]
        return reply(code, json.dumps({"errors": errors}).encode())(handler)

    return act


AWAY = f"http://me:{OTHER_PASSWORD}@127.0.0.1:1/x?sig={QUERY}"
READING = {
    "nothing": [],
    "refused": [("/blobs/", echo(403))],
    "login that is refused": [("/token", echo(401))],
    "login that fails": [("/token", echo(500))],
    "token that is not taken": [("/manifests/", status(401, WWW_Authenticate="Bearer"))],
    "failing": [("/blobs/", echo(500))],
    "cut": [("/blobs/", cut(10)), ("/manifests/", hang_up())],
    "redirect to nobody": [("/blobs/", redirect(AWAY))],
    "redirect to no URL": [("/blobs/", redirect(f"http://[x?sig={QUERY}"))],
    "redirect to another scheme": [("/blobs/", redirect(f"ftp://x/?sig={QUERY}"))],
    "redirect in a ring": [("/blobs/", redirect("{path}?sig=" + QUERY))],
    "realm elsewhere": [("/manifests/", status(401, WWW_Authenticate=f'Bearer realm="{AWAY}"'))],
    "realm of no URL": [
        ("/manifests/", status(401, WWW_Authenticate=f'Bearer realm="file:///x?sig={QUERY}"'))
    ],
}
WRITING: dict[str, list[tuple[str, str, Action]]] = {
    "nothing": [],
    "refused": [("POST", "/uploads/", echo(403))],
    "failing": [("PUT", "/uploads/", echo(500))],
    "led to nobody": [("POST", "/uploads/", status(202, Location=AWAY))],
    "led to no URL": [("POST", "/uploads/", status(202, Location=f"http://[x?sig={QUERY}"))],
    "refused manifest": [("PUT", "/manifests/", echo(400))],
}


REFUSED = ("refused", "login that is refused", "token that is not taken", "realm of no URL")


def check_no_secret(told: str, folder: Path, registry: Registry) -> None:
    """Neither a password nor a token is in what was told or kept."""
    tokens = [one for one in registry.tokens if one]
    found = [one for one in (*SECRETS, *tokens) if one in told]
    assert found == [], told
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert [one for one in (*SECRETS, *tokens) if one.encode() in content] == [], path


@pytest.mark.parametrize("name", READING)
def test_pull_tells_no_secret(
    bare: Shell, registry: Registry, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    caplog.set_level(logging.DEBUG)
    for part, action in READING[name]:
        registry.on("GET", part, action, times=99)
    told = tell(
        bare,
        "pull",
        f"docker://{registry.host}/a/b:t",
        code=17 if name in REFUSED else 19 if READING[name] else 0,
    )
    check_no_secret(told + caplog.text, bare.folder, registry)
    assert len(registry.requests) > 1


@pytest.mark.parametrize("name", WRITING)
def test_push_tells_no_secret(
    bare: Shell, registry: Registry, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    caplog.set_level(logging.DEBUG)
    for method, part, action in WRITING[name]:
        registry.on(method, part, action, times=99)
    layout = f"oci:{bare.folder / 'layout'}:multi"
    told = tell(
        bare,
        "copy",
        layout,
        f"docker://{registry.host}/c/d:t",
        code=17 if name in REFUSED else 19 if WRITING[name] else 0,
    )
    check_no_secret(told + caplog.text, bare.folder, registry)
    assert len(registry.requests) > 1


def test_presigned_redirect_is_followed_and_not_told(
    bare: Shell, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with serve_registry() as storage:
        for repository in registry.repositories.values():
            for digest, raw in repository.blobs.items():
                storage.files[f"/v2/a/b/blobs/{digest}"] = raw
        target = f"http://{storage.host}{{path}}?sig={QUERY}"
        registry.on("GET", "/blobs/", redirect(target), times=99)
        told = tell(bare, "pull", f"docker://{registry.host}/a/b:t", code=0)
        assert any(QUERY in one.path for one in storage.requests)
        assert {one.authorization for one in storage.requests} == {""}
    check_no_secret(told + caplog.text, bare.folder, registry)


def tell(shell: Shell, *arguments: str, code: int) -> str:
    """Run a command that logs in, and say all that it tells."""
    login = ("--creds", f"me:{PASSWORD}", "-v", "-v", "--progress", "plain")
    result = shell.run(*arguments, *login, code=code)
    assert ("Traceback" in result.err) == bool(code)
    return result.out.decode() + result.err
