"""Logins: challenges, and tokens that answer them.

A registry refuses with ``WWW-Authenticate``. ``Basic`` is answered with name and password. ``Bearer`` names a realm,
which gives tokens for scopes (``repository:NAME:pull,push``): to a ``GET`` with name and password or with nobody, or
to a ``POST`` of an identity token. A token is kept in memory until shortly before it ends, and is asked for anew
when the registry refuses it. Nothing of all this is written, logged or shown.

Source: Docker registry documentation, "Token authentication" and "OAuth 2.0 token"; RFC 9110, 11; RFC 6750, 3.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from winlayers.distribution._documents import read_object, text_of
from winlayers.distribution._failures import TRANSIENT, failure_of
from winlayers.distribution._http import Answer, Connections, origin_of, shown
from winlayers.distribution.credentials import Credentials
from winlayers.errors import DistributionError, LoginRefused

CLIENT_ID = "winlayers"
DEFAULT_LIFE_SECONDS = 60.0
"""Of a token that does not say; also the longest that is lost to a clock, as ours alone counts."""
_EARLY_SECONDS = 5.0
_MAX_TOKEN_SIZE = 1 << 18
_MAX_HEADER_SIZE = 1 << 14

_PART = re.compile(
    r"""[\s,]*(?:
        (?P<name>[\w-]+) \s*=\s* (?: "(?P<quoted>(?:[^"\\]|\\.)*)" | (?P<bare>[^\s,"]*) )
      | (?P<scheme>[A-Za-z][\w-]*) (?=\s|,|$)
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way in that a registry offers.

    Attributes:
        scheme: in lowercase, ``basic`` or ``bearer``.
        parameters: by name in lowercase: ``realm``, ``service``, ``scope``.
    """

    scheme: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Token:
    value: str
    ends: float


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """Read ``WWW-Authenticate``, where several may stand.

    Args:
        header: several headers are joined by commas.
    Returns:
        As far as it can be read.
    """
    found: list[tuple[str, dict[str, str]]] = []
    position = 0
    header = header[:_MAX_HEADER_SIZE]
    while match := _PART.match(header, position):
        position = match.end()
        if scheme := match["scheme"]:
            found.append((scheme.lower(), {}))
        elif found:
            quoted = match["quoted"]
            value = match["bare"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            found[-1][1].setdefault(match["name"].lower(), value)
    return tuple(Challenge(scheme, parameters) for scheme, parameters in found)


class Login:
    """The login to one repository of one registry; for any thread."""

    def __init__(
        self,
        connections: Connections,
        find: Callable[[], Credentials],
        now: Callable[[], float],
    ) -> None:
        """Know nothing yet.

        Args:
            connections: for asking realms.
            find: tells who logs in; called once, when it is first needed.
            now: a clock that never goes back, in seconds.
        """
        self._connections = connections
        self._find = find
        self._now = now
        self._lock = threading.Lock()
        self._credentials: Credentials | None = None
        self._challenge: Challenge | None = None
        self._tokens: dict[tuple[str, ...], _Token] = {}

    def header(self, scopes: tuple[str, ...]) -> str:
        """The ``Authorization`` for a request, or ``""`` as long as nothing was demanded.

        Args:
            scopes: what the request needs.
        Raises:
            LoginRefused: the realm gives no token.
            DistributionError: the realm fails.
        """
        with self._lock:
            return self._header(scopes)

    def take(self, answer: Answer, scopes: tuple[str, ...], sent: str) -> bool:
        """Learn from a 401.

        Args:
            answer: with the challenges.
            scopes: of the request.
            sent: its ``Authorization``.
        Returns:
            Whether it makes sense to ask again.
        Raises:
            LoginRefused: the realm must not be asked.
        """
        challenges = parse_challenges(answer.headers.get("WWW-Authenticate", ""))
        by_scheme = {one.scheme: one for one in reversed(challenges)}
        challenge = by_scheme.get("bearer") or by_scheme.get("basic")
        if challenge is None:
            return False
        if challenge.scheme == "bearer":
            _check_realm(challenge, answer)
        with self._lock:
            self._challenge = challenge
            token = self._tokens.get(scopes)
            if token is not None and f"Bearer {token.value}" == sent:
                del self._tokens[scopes]  # otherwise another thread has a new one already
            return self._header(scopes) not in ("", sent)

    def _header(self, scopes: tuple[str, ...]) -> str:
        if self._challenge is None:
            return ""
        if self._credentials is None:
            self._credentials = self._find()
        if self._challenge.scheme == "basic":
            return self._credentials.basic
        if self._credentials.registry_token:
            return f"Bearer {self._credentials.registry_token}"
        token = self._tokens.get(scopes)
        if token is None or token.ends <= self._now():
            token = self._fetch(self._challenge, self._credentials, scopes)
            self._tokens[scopes] = token
        return f"Bearer {token.value}"

    def _fetch(
        self, challenge: Challenge, credentials: Credentials, scopes: tuple[str, ...]
    ) -> _Token:
        realm = challenge.parameters.get("realm", "")
        service = challenge.parameters.get("service", "")
        wanted = list(scopes)
        wanted += [
            one for one in challenge.parameters.get("scope", "").split() if one not in wanted
        ]
        begun = self._now()
        if credentials.identity_token:
            answer = self._trade(realm, service, wanted, credentials)
        else:
            query = [("service", service)] if service else []
            query += [("scope", scope) for scope in wanted]
            if credentials.username:
                query.append(("account", credentials.username))
            url = f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}"
            headers = {"Authorization": credentials.basic} if credentials.basic else {}
            answer = self._connections.request("GET", url, headers)
        return _read_token(answer, begun)

    def _trade(
        self, realm: str, service: str, scopes: list[str], credentials: Credentials
    ) -> Answer:
        form = {
            "grant_type": "refresh_token",
            "service": service,
            "client_id": CLIENT_ID,
            "scope": " ".join(scopes),
            "refresh_token": credentials.identity_token,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._connections.request(
            "POST", realm, headers, body=urlencode(form).encode("ascii")
        )


def _check_realm(challenge: Challenge, answer: Answer) -> None:
    realm = challenge.parameters.get("realm", "")
    try:
        origin = origin_of(realm)
    except DistributionError:
        raise LoginRefused(
            f"{answer.origin.authority} wants a token from {shown(realm)!r}, which is not a URL"
        ) from None
    if origin.scheme == "http" and answer.origin.scheme != "http":
        raise LoginRefused(
            f"{answer.origin.authority} wants a login to be sent to {shown(realm)} without TLS; it is not sent"
        )


def _read_token(answer: Answer, begun: float) -> _Token:
    where = shown(answer.url)
    if answer.status in TRANSIENT:
        raise failure_of(answer, "asking for a token")
    if answer.status != 200:
        # Without what the other side says, which may repeat the login.
        answer.close()
        raise LoginRefused(
            f"{where} answers {answer.status} to the login; "
            "log in again with docker login or podman login"
        )
    fields = read_object(answer.read_all(_MAX_TOKEN_SIZE, f"token of {where}"), f"token of {where}")
    value = text_of(fields, "token") or text_of(fields, "access_token")
    if not value or not value.isascii() or not value.isprintable():
        raise DistributionError(f"{where} answers without a token")
    life = fields.get("expires_in")
    seconds = DEFAULT_LIFE_SECONDS
    if type(life) is int and 0 < life < 1 << 31:
        seconds = float(life)
    return _Token(value, begun + max(seconds - _EARLY_SECONDS, seconds / 2))
