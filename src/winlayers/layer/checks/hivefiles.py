"""Whether a file can be a registry hive, by the first 4096 bytes: the base block.

This module refuses to know keys and values, and what a base block looks like (``formats.hive.cells``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from winlayers.errors import Malformed
from winlayers.formats.hive.cells import BASE_BLOCK_SIZE, parse_base_block
from winlayers.layer.checks.subject import Subject
from winlayers.layer.findings import Finding
from winlayers.layer.view import Node, View


def check_hive(subject: Subject, node: Node, *, invalid: str = "hive-invalid") -> Iterator[Finding]:
    """Look at a file that has to be a hive.

    Args:
        subject: the layer.
        node: the file.
        invalid: the code under which a file that is no hive is reported; another code than the default
            stands for a file that may not be empty either.
    """
    opened = subject.open_data(node)
    if opened is None:
        yield subject.finding(invalid, node.path, "is no file with content")
        return
    size, file = opened
    if not size and invalid == "hive-invalid":
        yield subject.finding("hive-empty", node.path, "has no bytes")
        return
    with file:
        block = _head(file)
    try:
        head = parse_base_block(block)
    except Malformed as error:
        yield subject.finding(invalid, node.path, error.reason)
        return
    if head.is_dirty:
        yield subject.finding("hive-dirty", node.path, "its two sequence numbers differ")


def has_log(view: View, path: str) -> bool:
    """Whether a transaction log lies beside a hive, so that Windows can complete it.

    Args:
        view: the layer that has the hive, by itself.
        path: of the hive.
    """
    logs = (view.lookup(f"{path}.{suffix}") for suffix in ("LOG", "LOG1", "LOG2"))
    return any(log is not None and log.size for log in logs)


def _head(file: BinaryIO) -> bytes:
    """The base block, or all there is."""
    head = b""
    while (left := BASE_BLOCK_SIZE - len(head)) and (data := file.read(left)):
        head += data
    return head
