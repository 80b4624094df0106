"""``winlayers layer commit``: a layer of what a scratch changed."""

from __future__ import annotations

import click

from winlayers.cli.commands.layer_import import KeptFindings, print_summary
from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, resolve_scratch


@command(
    "commit",
    examples=[
        "winlayers layer commit work app2",
        "winlayers layer commit work app2 --json | jq -r .diff_id",
    ],
)
@click.argument("layer_id", metavar="SCRATCH", shell_complete=complete_target)
@click.argument("new_id", metavar="NEW")
@json_option
@pass_session
def run(session: Session, layer_id: str, new_id: str) -> None:
    """Make layer NEW of what SCRATCH changed, on the parent of SCRATCH. Prints its diff ID.

    The scratch stays as it is, and may be changed and committed again.
    """
    with session.start_writer_ahead():
        # Imported only now, so that the write-layer process gets ready at the same time.
        from winlayers.cli.progress import shown

        driver = session.open_store()
        resolved = resolve_scratch(session, driver, layer_id)
        parent = driver.chain(resolved).parent or ""
        findings = KeptFindings()
        with (
            driver.diff(resolved, parent) as tar,
            shown(session.progress, f"committing {resolved}", None) as progress,
        ):
            summary = driver.import_layer(
                new_id,
                parent,
                tar,
                progress=progress,
                cancel=session.cancel,
                report=findings.add,
            )
    print_summary(session, new_id, parent, summary, findings)
