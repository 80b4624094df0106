"""``winlayers store check``: whether the files of the store fit together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from winlayers.backends.portable.backend import PortableBackend
from winlayers.backends.portable.check import CURED_BY_INDEX, StoreFinding, check_store
from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.output import count_of
from winlayers.cli.session import Session
from winlayers.driver.driver import Driver
from winlayers.driver.metadata import read_layer_chain
from winlayers.errors import EXIT_PARTIAL, DigestMismatch, WinlayersError
from winlayers.layer.findings import Severity

_STYLES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.LOSS: "cyan"}


@command(
    "check",
    examples=[
        "winlayers store check",
        "winlayers store check --deep            # read every pack and compare its digest",
        "winlayers store check --repair          # remove what is left over, make damaged indexes again",
    ],
)
@click.option("--deep", is_flag=True, help="Read all packs and compare their digests.")
@click.option(
    "--repair",
    is_flag=True,
    help="Remove what crashes left, and make indexes again from their packs; nothing else is changed.",
)
@json_option
@pass_session
def run(session: Session, *, deep: bool, repair: bool) -> int:
    """Check each layer's folder, chain, index and pack, and look for what crashes left.

    Nothing is changed without --repair. The exit code is 3 if errors are found and not repaired.
    """
    found = list(_check(session, deep=deep))
    repaired: list[StoreFinding] = []
    if repair and found:
        is_sound = _repair(session, found)
        # A pack that turned out to be another is told as what it is.
        left = list(_check(session, deep=deep or not is_sound))
        repaired = [finding for finding in found if finding not in left]
        found = left
    if session.is_json:
        session.out.rows(_rows(found, is_repaired=False))
        session.out.rows(_rows(repaired, is_repaired=True))
    else:
        session.out.raw_lines(_lines(session, found))
        session.out.lines(f"repaired {one.code} {_subject(one)}: {one.detail}" for one in repaired)
    session.out.flush()
    count = count_of(len(found), "finding", "findings")
    session.note(f"{session.home}: {count}, {len(repaired)} repaired")
    return EXIT_PARTIAL if any(one.severity is Severity.ERROR for one in found) else 0


def _check(session: Session, *, deep: bool) -> Iterator[StoreFinding]:
    return check_store(
        session.home,
        read_layer_chain,
        tmpdir=_tmpdir(session),
        deep=deep,
        progress=session.progress,
        cancel=session.cancel,
    )


def _tmpdir(session: Session) -> Path | None:
    return session.config().tmpdir


def _repair(session: Session, found: Iterable[StoreFinding]) -> bool:
    """Mend what can be mended; whether all packs that were read are what was imported."""
    driver = session.open_driver()  # opening removes what is left over
    backend = PortableBackend(session.home, tmpdir=_tmpdir(session))
    damaged = {finding.layer_id for finding in found if finding.code in CURED_BY_INDEX}
    is_sound = True
    # Parents first: links into them are looked up while an index is made.
    for layer_id in sorted(damaged, key=lambda one: len(_chain(session, one))):
        session.cancel.check()
        try:
            _rebuild(session, backend, driver, layer_id)
        except DigestMismatch as error:
            is_sound = False
            error.add_note("Its index is made, so that what is left of it can be read.")
            session.report_error(error)
        except WinlayersError as error:
            error.add_note(f"The index of layer {layer_id} could not be made again.")
            session.report_error(error)
    return is_sound


def _rebuild(session: Session, backend: PortableBackend, driver: Driver, layer_id: str) -> None:
    session.note(f"making the index of {layer_id} again")
    backend.rebuild_index(layer_id, driver.chain(layer_id))


def _chain(session: Session, layer_id: str) -> tuple[str, ...]:
    try:
        return read_layer_chain(session.home / "windowsfilter" / layer_id).layer_ids
    except WinlayersError:
        return ()


def _subject(finding: StoreFinding) -> str:
    return finding.layer_id or str(finding.path)


def _lines(session: Session, found: Iterable[StoreFinding]) -> Iterator[str]:
    out = session.out
    for finding in found:
        severity = out.styled(str(finding.severity), _STYLES[finding.severity])
        text = f"{finding.code} {_subject(finding)}: {finding.rule.title}: {finding.detail}"
        yield f"{severity} {out.clean(text)}"
        yield out.clean(f"    {finding.rule.cause} What to do: {finding.rule.remedy}")


def _rows(found: Iterable[StoreFinding], *, is_repaired: bool) -> Iterator[dict[str, Any]]:
    for finding in found:
        yield {
            "severity": str(finding.severity),
            "code": finding.code,
            "layer": finding.layer_id or None,
            "path": str(finding.path),
            "detail": finding.detail,
            "title": finding.rule.title,
            "cause": finding.rule.cause,
            "remedy": finding.rule.remedy,
            "repaired": is_repaired,
        }
