"""``winlayers layer inspect``: all that is known of one layer."""

from __future__ import annotations

import click

from winlayers.cli.checklines import finding_json
from winlayers.cli.layerrows import layer_row
from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.session import Session
from winlayers.cli.target import check_target, complete_target, open_target, resolve_layer


@command(
    "inspect",
    examples=[
        "winlayers layer inspect base",
        "winlayers layer inspect app | jq -r '.chain[]'    # its parents, nearest first",
    ],
)
@click.argument("layer_id", metavar="ID", shell_complete=complete_target)
@json_option
@pass_session
def run(session: Session, layer_id: str) -> None:
    """Print a JSON document of layer ID: what 'layer ls' tells, digests, its chain and findings.

    The findings are those of its import, and what 'winlayers check' finds.
    """
    driver = session.open_store()
    resolved = resolve_layer(session, driver, layer_id)
    usage = driver.usage(resolved)
    with open_target(session, resolved) as target:
        findings = [finding_json(finding) for finding in check_target(target)]
    session.out.document(
        {
            **layer_row(driver, resolved),
            "digest": usage.summary.digest or None,
            "tar_size": usage.summary.tar_size,
            "disk_size": usage.disk_size,
            "chain": list(driver.chain(resolved)),
            "children": driver.children(resolved),
            "os_build": None,  # nothing that is read yet tells it
            "dir": driver.get_metadata(resolved)["dir"],
            "findings": findings,
        }
    )
