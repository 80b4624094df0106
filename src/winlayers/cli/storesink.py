"""A name in the store for an image that comes; what its layers make notable is told when it is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from winlayers.cli.commands.layer_import import KeptFindings
from winlayers.cli.session import Session

if TYPE_CHECKING:
    from winlayers.oci.endpoint import ImageSink


@contextmanager
def opened_store_sink(session: Session, name: str, *, lenient: bool) -> Iterator[ImageSink]:
    """The sink, as long as the ``with`` block lasts.

    Args:
        session: whose store is used, and which tells what was found.
        name: what the image will be called.
        lenient: ``--lenient``.
    Raises:
        InvalidReference: it is no name.
    """
    from winlayers.backends.contract import ImportPolicy

    findings = KeptFindings()
    policy = ImportPolicy(lenient_names=lenient)
    with session.open_images().open_sink(name, policy=policy, report=findings.add) as sink:
        yield sink
    session.report_findings(findings.kept, findings.count)
