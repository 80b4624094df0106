"""From an answer that is a refusal to an error that says what to do.

Source: OCI distribution-spec spec.md, "Error Codes"; RFC 9110, 15.
"""

from __future__ import annotations

import base64
from typing import Any

from winlayers.distribution._documents import read_object, text_of
from winlayers.distribution._http import Answer, shown
from winlayers.distribution.retry import retry_after_seconds
from winlayers.errors import DistributionError, LoginRefused, Malformed, WinlayersError

TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
MAX_BODY_SIZE = 1 << 16
_MAX_ERRORS = 3
_MAX_TEXT = 300


def failure_of(answer: Answer, what: str) -> WinlayersError:
    """The error that an answer stands for; the answer is closed.

    Args:
        answer: with a status that was not wanted; what of its words repeats the login is not shown.
        what: what was being done.
    Returns:
        LoginRefused for 401 and 403, otherwise DistributionError.
    """
    codes, text = _told_by(answer)
    message = f"{what}: {answer.origin.authority} answers {answer.status}"
    if codes:
        message += f" {' '.join(codes)}"
    if text:
        message += f": {text}"
    if answer.status == 401:
        return LoginRefused(f"{message}; log in with docker login or podman login")
    if answer.status == 403:
        return LoginRefused(f"{message}; this account may not do that")
    if answer.status == 429:
        message += "; wait, or log in, which often raises the limit"
    return DistributionError(
        message,
        status=answer.status,
        codes=codes,
        is_transient=answer.status in TRANSIENT,
        retry_after_seconds=retry_after_seconds(answer.headers),
    )


def _told_by(answer: Answer) -> tuple[tuple[str, ...], str]:
    """Codes and messages of the body, without those that repeat the login; nothing where it has none."""
    with answer:
        try:
            raw = answer.read(MAX_BODY_SIZE)
        except DistributionError:
            return (), ""  # the status says enough
    try:
        errors: Any = read_object(raw, f"answer of {shown(answer.url)}").get("errors")
    except Malformed:
        return (), ""  # a page of HTML, as proxies send it
    if not isinstance(errors, list):
        return (), ""
    told = [one for one in errors[:_MAX_ERRORS] if isinstance(one, dict)]
    secrets = _secrets_of(answer.authorization)
    codes = _shown_words(told, "code", secrets)
    return codes, "; ".join(_shown_words(told, "message", secrets))[:_MAX_TEXT]


def _shown_words(
    told: list[dict[str, Any]], name: str, secrets: tuple[str, ...]
) -> tuple[str, ...]:
    # Looked through before they are cut, so that no half of a secret is left.
    words = [text_of(one, name) for one in told]
    return tuple(_plain(word) for word in words if word and not any(one in word for one in secrets))


def _secrets_of(authorization: str) -> tuple[str, ...]:
    """What a header gives away: its token, or its pair of name and password and each form of that."""
    scheme, _, secret = authorization.partition(" ")
    if not secret:
        return ()
    if scheme != "Basic":
        return (secret,)
    password = base64.b64decode(secret).decode("utf-8").partition(":")[2]
    return (secret, password) if password else (secret,)


def _plain(text: str) -> str:
    """Without what a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in text[:_MAX_TEXT])
