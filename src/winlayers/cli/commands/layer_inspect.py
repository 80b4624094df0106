"""``winlayers layer inspect``: all that is known of one layer."""

from __future__ import annotations

import click

from winlayers.cli.commands.layer_ls import row_of
from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, open_target, resolve_layer


@command("inspect", examples=["winlayers layer inspect base"])
@click.argument("layer_id", metavar="ID", shell_complete=complete_target)
@json_option
@pass_session
def run(session: Session, layer_id: str) -> None:
    """Print a JSON document about layer ID: sizes, digests, chain, findings of its import."""
    driver = session.open_driver()
    resolved = resolve_layer(session, driver, layer_id)
    usage = driver.usage(resolved)
    with open_target(session, resolved) as target:
        findings = [str(finding) for finding in target.stored_findings()]
    session.out.document(
        {
            **row_of(driver, resolved),
            "digest": usage.summary.digest or None,
            "tar_size": usage.summary.tar_size,
            "disk_size": usage.disk_size,
            "chain": list(driver.chain(resolved)),
            "dir": driver.get_metadata(resolved)["dir"],
            "findings": findings,
        }
    )
