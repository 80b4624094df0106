"""``winlayers inspect``: what an image is, without its layers."""

from __future__ import annotations

import click

from winlayers.cli.imagefacts import image_json
from winlayers.cli.imagenames import complete_image, open_source, parse_image_name
from winlayers.cli.openimage import open_image
from winlayers.cli.options import command, json_option, pass_session
from winlayers.cli.registryoptions import RegistryOptions, registry_options
from winlayers.cli.session import Session


@command(
    "inspect",
    examples=[
        "winlayers inspect docker://mcr.microsoft.com/windows/nanoserver:ltsc2022",
        "winlayers inspect --config oci:images:app | jq .config.Entrypoint",
        "winlayers inspect --raw docker://localhost:5000/app | sha256sum   # the digest of its name",
    ],
)
@click.argument("image", shell_complete=complete_image)
@click.option("--raw", is_flag=True, help="The manifest or index itself, byte for byte.")
@click.option("--config", "is_config", is_flag=True, help="The config; with --raw byte for byte.")
@registry_options
@json_option
@pass_session
def run(
    session: Session,
    image: str,
    *,
    raw: bool,
    is_config: bool,
    registry: RegistryOptions,
) -> None:
    """Print a JSON document of IMAGE: digests, platform and build, layers with their sizes, what it is run with.

    Only documents are fetched, no layers. --raw prints what the name leads to, with --platform the manifest of that
    platform.
    """
    if raw and not is_config and session.platform is None:
        session.out.write_bytes(_top_document(session, image, registry))
        return
    with open_image(session, image, registry) as opened:
        selected = opened.selected
        if raw and not is_config:
            session.out.write_bytes(selected.manifest.raw)
            return
        config = opened.config()
        if raw:
            session.out.write_bytes(config.raw)
        elif is_config:
            session.out.document(config.fields)
        else:
            facts = (opened.top, selected.descriptor, selected.manifest, config, opened.others)
            session.out.document(image_json(opened.source.name, *facts))


def _top_document(session: Session, image: str, registry: RegistryOptions) -> bytes:
    from winlayers.transfer.checked import read_document

    with open_source(session, parse_image_name(image), registry) as source:
        return read_document(source, source.resolve()).raw
