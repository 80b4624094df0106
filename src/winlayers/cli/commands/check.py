"""``winlayers check``: what Windows would refuse or lose of a layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import click

from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, open_target
from winlayers.errors import EXIT_PARTIAL
from winlayers.layer.check import check_layer, guess_is_base
from winlayers.layer.findings import Finding
from winlayers.layer.merge import MergedView


@command("check", examples=["winlayers check base", "winlayers check tar:layer.tar.gz --json"])
@click.argument("target", shell_complete=complete_target)
@json_option
@pass_session
def run(session: Session, target: str) -> int:
    """Tell what Windows would refuse or lose of TARGET; exit with 3 where anything is found."""
    with open_target(session, target) as opened:
        view = opened.view
        assert isinstance(view, MergedView)
        table, *parents = view.tables
        is_base = guess_is_base(table) if opened.is_base is None else opened.is_base
        found = list(
            check_layer(table, is_base=is_base, parents=parents, known=opened.stored_findings())
        )
    if session.is_json:
        session.out.rows({"severity": str(one.severity), **asdict(one)} for one in found)
    else:
        session.out.lines(_lines(found))
    return EXIT_PARTIAL if found else 0


def _lines(found: list[Finding]) -> Iterator[str]:
    for finding in found:
        yield str(finding)
        yield f"    cause: {finding.rule.cause}"
        yield f"    next:  {finding.rule.remedy}"
    yield f"{len(found)} findings"
