"""``winlayers store check``: whether the files of the store fit together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import click

from winlayers.backends.checking import StoreFinding
from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.output import count_of
from winlayers.cli.session import Session
from winlayers.cli.storechecks import open_check
from winlayers.errors import EXIT_PARTIAL
from winlayers.layer.findings import Severity

_STYLES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.LOSS: "cyan"}


@command(
    "check",
    examples=[
        "winlayers store check",
        "winlayers store check --deep            # read all content and compare its digests",
        "winlayers store check --repair          # do what the check says that a repair does",
        "winlayers store check --root /mnt/ProgramData/docker    # a store of Windows, seen from elsewhere",
    ],
)
@click.option("--deep", is_flag=True, help="Read all content and compare its digests.")
@click.option(
    "--repair",
    is_flag=True,
    help="Do what the check says that a repair does, and nothing else: remove what crashes left, make damaged indexes again.",
)
@json_option
@pass_session
def run(session: Session, *, deep: bool, repair: bool) -> int:
    """Check each layer's folder, chain, index and content, and look for what crashes left.

    Each finding tells what --repair does about it; without --repair nothing is changed. A store of Windows is checked on any
    system; what only Windows can repair is then left and said. The exit code is 3 if errors are found and not repaired.
    """
    check = open_check(session)
    found = list(check.look(deep=deep))
    repaired: list[StoreFinding] = []
    if repair and found:
        is_sound = check.repair(found)
        # A pack that turned out to be another is told as what it is.
        left = list(check.look(deep=deep or not is_sound))
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


def _subject(finding: StoreFinding) -> str:
    return finding.layer_id or str(finding.path)


def _lines(session: Session, found: Iterable[StoreFinding]) -> Iterator[str]:
    out = session.out
    for finding in found:
        severity = out.styled(str(finding.severity), _STYLES[finding.severity])
        text = f"{finding.code} {_subject(finding)}: {finding.rule.title}: {finding.detail}"
        yield f"{severity} {out.clean(text)}"
        yield out.clean(f"    {finding.rule.cause} What to do: {finding.rule.remedy}")
        if finding.action:
            where = "on Windows" if finding.needs_windows else "does"
            yield out.clean(f"    --repair {where}: {finding.action}")


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
            "action": finding.action or None,
            "needs_windows": finding.needs_windows,
            "repaired": is_repaired,
        }
