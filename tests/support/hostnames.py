"""Names for tests that the file system of this host can hold."""

from __future__ import annotations

from tests.support.windows import is_wine

#: Wine stores names as UTF-8, in which half of a pair has no bytes.
HOLDS_LONE_SURROGATES = not is_wine()

#: A name that sorts behind all others of a test: half of a surrogate pair where the host can hold that.
ODD_NAME = "\ud800" if HOLDS_LONE_SURROGATES else "\U0001d11e"
