"""``winlayers store info``: where the store is, what it holds, and which libraries do the work."""

from __future__ import annotations

import hashlib
import sqlite3
import sys
from collections.abc import Iterator
from typing import Any

from winlayers._version import __version__
from winlayers.backends.choice import choose_backend
from winlayers.base.compression import Libraries, libraries
from winlayers.base.units import human_size
from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.session import Session
from winlayers.errors import EXIT_PARTIAL, WinlayersError


@command("info", examples=["winlayers store info", "winlayers store info --json | jq .disk_size"])
@json_option
@pass_session
def run(session: Session) -> int:
    """Print where the store is, how many layers it has, their sizes, and the libraries in use.

    Sizes are bytes: of files as the layers count them, of the uncompressed tars, and on disk.
    """
    sizes, errors = _sizes(session)
    in_use = libraries()
    facts: dict[str, Any] = {
        "version": __version__,
        "root": str(session.home),
        "tmpdir": str(session.config().tmpdir or session.home / "tmp"),
        "backend": choose_backend(session.backend, session.home),
        **sizes,
        "libraries": _versions(in_use),
        "warnings": list(_warnings(in_use)),
    }
    if session.is_json:
        session.out.document(facts)
    else:
        session.out.lines(_lines(facts))
    for error in errors:
        session.report_error(error)
    return EXIT_PARTIAL if errors else 0


def _sizes(session: Session) -> tuple[dict[str, int], list[WinlayersError]]:
    sizes = {"layers": 0, "size": 0, "tar_size": 0, "disk_size": 0}
    errors = []
    driver = session.open_driver() if session.has_store else None
    for layer_id in driver.layers() if driver is not None else ():
        assert driver is not None
        sizes["layers"] += 1
        try:
            usage = driver.usage(layer_id)
        except WinlayersError as error:
            errors.append(error)
            continue
        sizes["size"] += usage.summary.size
        sizes["tar_size"] += usage.summary.tar_size
        sizes["disk_size"] += usage.disk_size
    return sizes, errors


def _versions(in_use: Libraries) -> dict[str, str]:
    """What is in use for each need, with its version."""
    return {
        "python": sys.version.split()[0],
        "inflate": str(in_use.inflate),
        "deflate": str(in_use.deflate),
        "zstd": str(in_use.zstd or "none"),
        "sha256": "OpenSSL" if _has_openssl() else "standard library without OpenSSL",
        "sqlite": sqlite3.sqlite_version,
    }


def _has_openssl() -> bool:
    return type(hashlib.sha256()).__module__ == "_hashlib"


def _warnings(in_use: Libraries) -> Iterator[str]:
    if not _has_openssl():
        yield "hashlib has no OpenSSL, so digests take several times as long; use a Python built with it"
    if in_use.inflate.is_standard:
        yield "gzip is read at half the speed; install isal or zlib-ng"
    if in_use.zstd is None:
        yield "zstd cannot be read or written; install backports.zstd"


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    for name in ("version", "root", "tmpdir", "backend", "layers"):
        yield f"{name + ':':<11}{facts[name]}"
    for name in ("size", "tar_size", "disk_size"):
        yield f"{name.replace('_', ' ') + ':':<11}{human_size(facts[name])} ({facts[name]})"
    for name, text in facts["libraries"].items():
        yield f"{name + ':':<11}{text}"
    for text in facts["warnings"]:
        yield f"warning:   {text}"
