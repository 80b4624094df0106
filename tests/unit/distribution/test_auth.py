"""Logins to registries: what they demand, what they get, and what nobody gets to see."""

from __future__ import annotations

import base64
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.registry import Registry, cut, describe_blob, reply, status
from tests.unit.distribution.conftest import Clock
from winlayers.distribution.auth import Challenge, parse_challenges
from winlayers.distribution.client import RepositoryClient
from winlayers.distribution.credentials import Credentials
from winlayers.distribution.registries import HostSettings, Registries
from winlayers.distribution.retry import Patience
from winlayers.errors import DistributionError, LoginRefused, Malformed, WinlayersError
from winlayers.oci import mediatypes

BLOB = bytes(range(256)) * 2048
SECRET = "s3cret-pass"


@pytest.fixture
def open_client(
    registry: Registry, registries: Registries, patience: Patience
) -> Callable[[Credentials], RepositoryClient]:
    registry.repository("a/b").add_manifest(b"{}", mediatypes.OCI_MANIFEST, "t")
    registry.repository("a/b").add_blob(BLOB)

    def open_(credentials: Credentials) -> RepositoryClient:
        settings = HostSettings(plain_http=True, credentials=credentials)
        known = registries.with_host(registry.host, settings)
        return RepositoryClient(registry.host, "a/b", known, patience=patience)

    return open_


Open = Callable[[Credentials], RepositoryClient]
ME = Credentials("me", SECRET)


@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        ("", []),
        ('Basic realm="x"', [Challenge("basic", {"realm": "x"})]),
        ("Negotiate", [Challenge("negotiate", {})]),
        (
            'Bearer realm="https://a/t",service="s",scope="repository:a:pull,push"',
            [
                Challenge(
                    "bearer",
                    {"realm": "https://a/t", "service": "s", "scope": "repository:a:pull,push"},
                )
            ],
        ),
        (
            r'Negotiate, BASIC Realm="a \"b\"" , bearer realm=x',
            [
                Challenge("negotiate", {}),
                Challenge("basic", {"realm": 'a "b"'}),
                Challenge("bearer", {"realm": "x"}),
            ],
        ),
        ('realm="x"', []),
        ('Basic realm="open', [Challenge("basic", {"realm": ""})]),
    ],
)
def test_challenges_are_read(header: str, challenges: list[Challenge]) -> None:
    assert list(parse_challenges(header)) == challenges


@pytest.mark.parametrize("header", ["a" * 100_000, 'a="' * 30_000, "," * 100_000, "Basic " * 9999])
def test_challenges_of_any_length_are_read(header: str) -> None:
    assert len(parse_challenges(header)) < 10_000


def test_basic_login(registry: Registry, open_client: Open) -> None:
    registry.auth, registry.users = "basic", {"me": SECRET}
    client = open_client(ME)
    assert client.fetch_manifest("t").raw == b"{}"
    assert client.has_blob(describe_blob(BLOB).digest)
    sent = [one.authorization for one in registry.requests]
    pair = base64.b64encode(f"me:{SECRET}".encode()).decode()
    assert sent == ["", f"Basic {pair}", f"Basic {pair}"]


def test_token_login(registry: Registry, open_client: Open) -> None:
    registry.auth, registry.users = "bearer", {"me": SECRET}
    client = open_client(ME)
    assert client.fetch_manifest("t").raw == b"{}"
    assert client.has_blob(describe_blob(BLOB).digest)
    assert list(registry.tokens.values()) == [["repository:a/b:pull"]]
    (asked,) = registry.seen("GET", "/token")
    assert "service=here" in asked.path
    assert "account=me" in asked.path
    assert SECRET not in asked.path


def test_token_for_nobody(registry: Registry, open_client: Open) -> None:
    registry.auth = "bearer"
    assert open_client(Credentials()).fetch_manifest("t").raw == b"{}"
    assert registry.seen("GET", "/token")[0].authorization == ""


def test_token_for_an_identity(registry: Registry, open_client: Open) -> None:
    registry.auth, registry.identity_tokens = "bearer", {"id-token"}
    client = open_client(Credentials(identity_token="id-token"))
    assert client.fetch_manifest("t").raw == b"{}"
    assert list(registry.tokens.values()) == [["repository:a/b:pull"]]
    assert [one.path for one in registry.seen("POST")] == ["/token"]


def test_token_that_is_given(registry: Registry, open_client: Open) -> None:
    registry.auth, registry.tokens = "bearer", {"mine": []}
    assert open_client(Credentials(registry_token="mine")).fetch_manifest("t").raw == b"{}"
    assert registry.seen("GET", "/token") == []


def test_scopes_go_by_what_is_done(registry: Registry, open_client: Open) -> None:
    registry.auth, registry.users = "bearer", {"me": SECRET}
    client = open_client(ME)
    client.put_manifest("u", b"{}", mediatypes.OCI_MANIFEST)
    blob = registry.repository("other").add_blob(b"x")
    client.mount_blob(blob.digest, "other")
    assert list(registry.tokens.values()) == [
        ["repository:a/b:pull,push"],
        ["repository:a/b:pull,push", "repository:other:pull"],
    ]


def test_scope_that_is_demanded_is_asked_for_too(registry: Registry, open_client: Open) -> None:
    registry.auth = "bearer"
    challenge = f'Bearer realm="{registry.url}/token",scope="repository:a/b:pull extra:x:y"'
    registry.on("GET", "/manifests/", status(401, WWW_Authenticate=challenge))
    open_client(Credentials()).fetch_manifest("t")
    assert list(registry.tokens.values()) == [["repository:a/b:pull", "extra:x:y"]]


def test_token_that_ended_is_asked_for_anew(
    registry: Registry, open_client: Open, clock: Clock
) -> None:
    registry.auth, registry.users, registry.token_life = "bearer", {"me": SECRET}, 100
    client = open_client(ME)
    client.fetch_manifest("t")
    clock.time += 94
    client.fetch_manifest("t")
    assert len(registry.tokens) == 1
    clock.time += 2
    client.fetch_manifest("t")
    assert len(registry.tokens) == 2
    assert len(registry.seen("GET", "/manifests/")) == 4


def test_token_that_expires_in_mid_pull_is_asked_for_anew(
    registry: Registry, open_client: Open
) -> None:
    registry.auth, registry.users = "bearer", {"me": SECRET}
    client = open_client(ME)
    client.fetch_manifest("t")
    blob = describe_blob(BLOB)
    registry.on("GET", "/blobs/", cut(100_000))
    with client.open_blob(blob.digest, blob.size) as file:
        begin = file.read(50_000)
        registry.tokens.clear()
        rest = b"".join(iter(lambda: file.read(1 << 16), b""))
    assert begin + rest == BLOB
    assert len(registry.seen("GET", "/token")) == 2


def test_threads_share_a_token(registry: Registry, open_client: Open) -> None:
    registry.auth, registry.users = "bearer", {"me": SECRET}
    client = open_client(ME)
    start = threading.Barrier(8)

    def ask(_: int) -> bytes:
        start.wait()
        return client.fetch_manifest("t").raw

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [b"{}"] * 8
    assert len(registry.seen("GET", "/token")) == 1


@pytest.mark.parametrize("auth", ["basic", "bearer"])
@pytest.mark.parametrize("credentials", [Credentials(), Credentials("me", "wr0ng-pass")])
def test_wrong_login_is_refused(
    registry: Registry, open_client: Open, auth: str, credentials: Credentials
) -> None:
    registry.auth, registry.users = auth, {"me": SECRET}
    with pytest.raises(LoginRefused, match="log in") as caught:
        open_client(credentials).fetch_manifest("t")
    assert "wr0ng" not in str(caught.value)
    assert len(registry.seen("GET", "/manifests/")) <= 2


def test_token_that_is_refused_again_is_a_refused_login(
    registry: Registry, open_client: Open
) -> None:
    registry.auth = "bearer"
    challenge = f'Bearer realm="{registry.url}/token"'
    registry.on("GET", "/manifests/", status(401, WWW_Authenticate=challenge), times=99)
    with pytest.raises(LoginRefused):
        open_client(Credentials()).fetch_manifest("t")
    assert len(registry.seen("GET", "/manifests/")) == 2


@pytest.mark.parametrize("header", ["", "Negotiate", "Digest realm=x", "Bearer", "Bearer realm=x"])
def test_challenge_that_cannot_be_met_is_a_refused_login(
    registry: Registry, open_client: Open, header: str
) -> None:
    registry.on("GET", "/manifests/", status(401, WWW_Authenticate=header), times=9)
    with pytest.raises(LoginRefused):
        open_client(ME).fetch_manifest("t")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{}", DistributionError),
        (b'{"token":7}', DistributionError),
        (b'{"token":"a\\r\\nb: c"}', DistributionError),
        (b'{"token":"\\u20ac"}', DistributionError),
        (b"<html>", Malformed),
        (b"[]", Malformed),
    ],
)
def test_answer_without_a_token_is_an_error(
    registry: Registry, open_client: Open, body: bytes, kind: type[WinlayersError]
) -> None:
    registry.auth = "bearer"
    registry.on("GET", "/token", reply(200, body))
    with pytest.raises(kind):
        open_client(Credentials()).fetch_manifest("t")


@pytest.mark.parametrize("life", ["-1", "true", "1e400", '"60"', "null", "9" * 30])
def test_odd_life_of_a_token_is_a_minute(
    registry: Registry, open_client: Open, clock: Clock, life: str
) -> None:
    registry.auth, registry.tokens = "bearer", {"mine": []}
    body = b'{"access_token":"mine","expires_in":%s}' % life.encode()
    registry.on("GET", "/token", reply(200, body), times=2)
    client = open_client(Credentials())
    client.fetch_manifest("t")
    clock.time += 61
    client.fetch_manifest("t")
    assert len(registry.seen("GET", "/token")) == 2


def test_failing_realm_is_tried_again(registry: Registry, open_client: Open) -> None:
    registry.auth = "bearer"
    registry.on("GET", "/token", status(503)).on("GET", "/token", status(429, Retry_After="3"))
    assert open_client(Credentials()).fetch_manifest("t").raw == b"{}"


def test_login_does_not_follow_a_redirect_of_the_realm(
    registry: Registry, open_registry: Callable[[], Registry], open_client: Open
) -> None:
    other = open_registry()
    registry.auth, registry.users = "bearer", {"me": SECRET}
    registry.on("GET", "/token", status(307, Location=f"{other.url}/token"))
    with pytest.raises(LoginRefused):
        open_client(ME).fetch_manifest("t")
    assert [one.authorization for one in other.requests] == [""]


@pytest.mark.parametrize("place", ["code", "message"])
def test_secret_is_not_shown_as_a_code_nor_cut_short(
    registry: Registry, open_client: Open, place: str
) -> None:
    registry.auth, registry.users = "basic", {"me": SECRET}
    told = {"code": SECRET, "message": f"{'x' * 292} {SECRET}"}
    client = open_client(ME)
    client.fetch_manifest("t")
    words = {"code": "DENIED", "message": "no"} | {place: told[place]}
    fault = status(403, error=words["code"], message=words["message"])
    registry.on("GET", "/manifests/", fault, times=3)
    with pytest.raises(WinlayersError) as caught:
        client.fetch_manifest("t")
    assert SECRET[:5] not in str(caught.value)


@pytest.mark.parametrize("code", [400, 401, 403, 418, 500])
@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_secrets_that_a_registry_repeats_are_not_shown(
    registry: Registry, open_client: Open, caplog: pytest.LogCaptureFixture, auth: str, code: int
) -> None:
    registry.auth, registry.users = auth, {"me": SECRET}
    pair = base64.b64encode(f"me:{SECRET}".encode()).decode()
    client = open_client(ME)
    client.fetch_manifest("t")
    secrets = [SECRET, pair, *registry.tokens]
    caplog.set_level(logging.DEBUG, logger="winlayers")
    fault = status(code, error="X", message=" ".join(secrets))
    for part in ("/token", "/manifests/"):
        registry.on("GET", part, fault, times=3)
    with pytest.raises(WinlayersError) as caught:
        client.fetch_manifest("t")
    for text in (str(caught.value), repr(caught.value), caplog.text, repr(ME), repr(client)):
        assert not any(secret in text for secret in secrets)
