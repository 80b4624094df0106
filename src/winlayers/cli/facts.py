"""All that a layer says of one name, gathered for ``winlayers stat``: a value, and its JSON.

What does not parse, as can be in a bare tar, becomes a text that says so; nothing here fails on it. This
module refuses to know how facts are laid out for people.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from winlayers.cli.paths import shown_path
from winlayers.cli.rows import kind_name, tag_name
from winlayers.errors import WinlayersError
from winlayers.formats.ea import NEED_EA, ExtendedAttribute, parse_ea_list
from winlayers.formats.filetime import format_filetime
from winlayers.formats.reparse import (
    SYMLINK_FLAG_RELATIVE,
    AppExecLink,
    MountPoint,
    RawReparse,
    ReparsePoint,
    SymbolicLink,
    WciLink,
    parse_reparse,
    tag_of,
)
from winlayers.formats.sddl import format_sddl
from winlayers.formats.security import SecurityDescriptor, parse_descriptor
from winlayers.formats.sids import Sid, name_of
from winlayers.layer.entry import STREAM_ATTRIBUTE_SPARSE, Entry, EntryKind, Part, attribute_names
from winlayers.layer.view import Node, View, shown_attributes

_ParsedT = TypeVar("_ParsedT")


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """One name of a view with all its metadata.

    Attributes:
        node: the name; of a hard link what it shares.
        entry: its metadata.
        raw: whether paths are those of the tar.
        target: of a hard link the path of what it shares, else ``""``.
        target_layer: the layer that has the shared file, or ``""``.
        parts: data and alternate streams.
        layers: the layers that make up a directory, nearest first; otherwise the one it is from.
    """

    node: Node
    entry: Entry
    raw: bool
    target: str
    target_layer: str
    parts: tuple[Part, ...]
    layers: tuple[str, ...]

    @property
    def path(self) -> str:
        """Its path, as it is shown."""
        return shown_path(self.entry.path, raw=self.raw) or "/"

    @property
    def kind(self) -> str:
        """``file``, ``directory`` or ``link``."""
        return "link" if self.target else kind_name(self.node.kind)

    @property
    def attributes(self) -> list[str]:
        """The attributes by name, as Windows would show them."""
        return attribute_names(shown_attributes(self.node))

    @property
    def times(self) -> dict[str, str]:
        """The four times in UTC, to 100 ns."""
        node = self.node
        return {
            "creation": format_filetime(node.creation_filetime),
            "access": format_filetime(node.access_filetime),
            "write": format_filetime(node.write_filetime),
            "change": format_filetime(node.change_filetime),
        }

    @property
    def streams(self) -> list[Part]:
        """The alternate streams."""
        return [part for part in self.parts if part.name]

    @property
    def descriptor(self) -> SecurityDescriptor | str | None:
        """The security descriptor, why it cannot be read, or None."""
        return _parsed(parse_descriptor, self.entry.security)

    @property
    def sddl(self) -> str | None:
        """The security descriptor as SDDL; None where there is none or SDDL has no form for it."""
        descriptor = self.descriptor
        if not isinstance(descriptor, SecurityDescriptor):
            return None
        try:
            return format_sddl(descriptor)
        except WinlayersError:
            return None  # the bytes are shown beside it

    @property
    def reparse(self) -> ReparsePoint | str | None:
        """The reparse point, why it cannot be read, or None."""
        return _parsed(parse_reparse, self.entry.reparse)

    @property
    def ea(self) -> list[ExtendedAttribute] | str | None:
        """The extended attributes, why they cannot be read, or None."""
        return _parsed(parse_ea_list, self.entry.ea)

    def as_json(self) -> dict[str, Any]:
        """The facts for programs."""
        return {
            "path": self.path,
            "kind": self.kind,
            "attributes": self.attributes,
            "size": self.node.size,
            "times": self.times,
            "security": self._security_json(),
            "reparse": _reparse_json(self.reparse, self.entry.reparse),
            "streams": [
                {
                    "name": part.name,
                    "size": part.size,
                    "sparse": bool(part.attributes & STREAM_ATTRIBUTE_SPARSE),
                }
                for part in self.streams
            ],
            "ea": _ea_json(self.ea, self.entry.ea),
            "target": shown_path(self.target, raw=self.raw) if self.target else None,
            "target_layer": self.target_layer or None,
            "layer": self.layers[0] if self.layers else None,
            "layers": list(self.layers),
        }

    def _security_json(self) -> dict[str, Any] | None:
        if not self.entry.security:
            return None
        raw = self.entry.security.hex()
        descriptor = self.descriptor
        if not isinstance(descriptor, SecurityDescriptor):
            return {"error": descriptor, "raw": raw}
        return {
            "owner": _sid_json(descriptor.owner),
            "owner_name": _name_json(descriptor.owner),
            "group": _sid_json(descriptor.group),
            "group_name": _name_json(descriptor.group),
            "sddl": self.sddl,
            "raw": raw,
        }


def facts_of(view: View, node: Node, *, raw: bool) -> NodeFacts:
    """Gather what there is to know of a node.

    Args:
        view: where it is from.
        node: as ``cli.paths.find_node`` gives it, hard links resolved.
        raw: whether paths are shown as in the tar.
    """
    named = view.lookup(node.path) or node
    is_link = named.kind is EntryKind.LINK
    entry = view.entry(node)
    layer_ids = view.layer_ids
    layers = tuple(layer_ids[number] for number, _ in named.stack) if node.path else layer_ids
    return NodeFacts(
        node,
        entry,
        raw,
        view.entry(named).target if is_link else "",
        node.layer_id if is_link else "",
        view.parts(node),
        layers or (named.layer_id,),
    )


def sid_text(sid: Sid | None) -> str:
    """A SID with its name where it is well known."""
    if sid is None:
        return "none"
    name = name_of(sid)
    return f"{name} ({sid})" if name else str(sid)


def ea_name(attribute: ExtendedAttribute) -> str:
    """The name of an extended attribute; bytes that are no ASCII as ``\\xNN``."""
    return attribute.name.decode("ascii", "backslashreplace")


def _parsed(parse: Callable[[bytes], _ParsedT], data: bytes) -> _ParsedT | str | None:
    if not data:
        return None
    try:
        return parse(data)
    except WinlayersError as error:
        return str(error)


def _sid_json(sid: Sid | None) -> str | None:
    return None if sid is None else str(sid)


def _name_json(sid: Sid | None) -> str | None:
    return None if sid is None else name_of(sid)


def _ea_json(found: list[ExtendedAttribute] | str | None, data: bytes) -> list[dict[str, Any]]:
    if found is None:
        return []
    if isinstance(found, str):
        return [{"error": found, "raw": data.hex()}]
    return [
        {
            "name": ea_name(attribute),
            "size": len(attribute.value),
            "need": bool(attribute.flags & NEED_EA),
            "value": attribute.value.hex(),
        }
        for attribute in found
    ]


def _reparse_json(point: ReparsePoint | str | None, data: bytes) -> dict[str, Any] | None:
    if point is None:
        return None
    if isinstance(point, str):
        return {"error": point, "raw": data.hex()}
    tag = tag_of(data)
    return {"tag": tag, "name": tag_name(tag), **reparse_facts(point), "raw": data.hex()}


def reparse_facts(point: ReparsePoint) -> dict[str, Any]:
    """What a reparse point says, by name."""
    match point:
        case SymbolicLink():
            return {
                "target": point.print_name or point.substitute_name,
                "substitute_name": point.substitute_name,
                "print_name": point.print_name,
                "relative": bool(point.flags & SYMLINK_FLAG_RELATIVE),
            }
        case MountPoint():
            return {
                "target": point.print_name or point.substitute_name,
                "substitute_name": point.substitute_name,
                "print_name": point.print_name,
            }
        case AppExecLink():
            return {"version": point.version, "strings": list(point.strings)}
        case WciLink():
            return {"target": point.name, "layer_guid": str(point.layer_guid)}
        case RawReparse():
            return {"guid": None if point.guid is None else str(point.guid)}
