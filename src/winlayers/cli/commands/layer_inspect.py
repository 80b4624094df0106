"""``winlayers layer inspect``: all that is known of one layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from winlayers.cli.checklines import finding_json
from winlayers.cli.layerrows import layer_row, mount_of
from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.session import Session
from winlayers.cli.target import (
    Target,
    check_target,
    complete_target,
    open_target,
    resolve_layer,
)
from winlayers.driver.mounting import mount_text
from winlayers.layer.findings import Finding

if TYPE_CHECKING:
    from winlayers.layer.osbuild import OsBuild


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
    """Print a JSON document of layer ID: what 'layer ls' tells, digests, its chain, mount and findings.

    The build of Windows is that of the registry of its containers, where base and differences tell it. The
    findings are those of its import, of that registry, and what 'winlayers check' finds.
    """
    driver = session.open_store()
    resolved = resolve_layer(session, driver, layer_id)
    usage = driver.usage(resolved)
    with open_target(session, resolved) as target:
        findings = list(check_target(target))
        os_build = _os_build(target, (resolved, *driver.chain(resolved))[-1], findings)
    mounted = mount_of(session.home, resolved)
    session.out.document(
        {
            **layer_row(driver, resolved),
            "digest": usage.summary.digest or None,
            "tar_size": usage.summary.tar_size,
            "disk_size": usage.disk_size,
            "chain": list(driver.chain(resolved)),
            "children": driver.children(resolved),
            "os_build": os_build.version if os_build else None,
            "os_product": (os_build.product or None) if os_build else None,
            "mounted_at": mount_text(mounted.path) if mounted else None,
            "dir": driver.get_metadata(resolved)["dir"],
            "findings": [finding_json(finding) for finding in findings],
        }
    )


def _os_build(target: Target, base_id: str, findings: list[Finding]) -> OsBuild | None:
    """The build of Windows, where it is known; what is found on the way joins the findings once."""
    from winlayers.layer.osbuild import read_os_build

    tables = (*filter(None, (target.table,)), *target.parents)
    known = {(one.code, one.entry, one.layer_id) for one in findings}

    def report(finding: Finding) -> None:
        if (finding.code, finding.entry, finding.layer_id) not in known:
            findings.append(finding)

    # A base layer that holds nothing yet is not among the tables.
    has_base = bool(tables) and tables[-1].layer_id == base_id
    return read_os_build(tables, has_base=has_base, report=report)
