"""``winlayers check``: what Windows would refuse or lose of a layer, found without Windows."""

from __future__ import annotations

from contextlib import ExitStack

import click

from winlayers.cli.checklines import Tally, finding_json, finding_lines
from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.session import Session
from winlayers.cli.target import check_target, complete_target, finding_of, open_target
from winlayers.errors import EXIT_PARTIAL, Malformed
from winlayers.layer.findings import Severity


@command(
    "check",
    examples=[
        "winlayers check app",
        "winlayers check tar:layer.tar.gz                  # before it is imported or pushed",
        "winlayers check --strict --json app | jq .code    # warnings and losses count too",
    ],
)
@click.argument("target", shell_complete=complete_target)
@click.option("--strict", is_flag=True, help="End with 3 for warnings and losses too.")
@json_option
@pass_session
def run(session: Session, target: str, *, strict: bool) -> int:
    """Print findings: severity, code, layer, entry and detail; with each code its cause and remedy.

    Of each code the first hundred are told. The exit code is 3 if there are errors.
    """
    with ExitStack() as stack:
        try:
            findings = check_target(stack.enter_context(open_target(session, target)))
        except Malformed as error:
            # A file that cannot be read to its end is what a check is there to tell.
            findings = iter([finding_of(error, target)])
        found = Tally(findings)
        if session.is_json:
            session.out.rows(map(finding_json, found))
        else:
            session.out.raw_lines(finding_lines(session.out, found))
    session.out.flush()
    session.note(f"{target}: {found}")
    failing = found.by_severity if strict else {Severity.ERROR: found.by_severity[Severity.ERROR]}
    return EXIT_PARTIAL if any(failing.values()) else 0
