"""The facts of one name, laid out for people: ``winlayers stat`` without ``--json``."""

from __future__ import annotations

from collections.abc import Iterator

from winlayers.base.units import human_size
from winlayers.cli.facts import NodeFacts, ea_name, reparse_facts, sid_text
from winlayers.cli.paths import shown_path
from winlayers.cli.rows import tag_name
from winlayers.formats.ea import NEED_EA
from winlayers.formats.reparse import tag_of
from winlayers.formats.security import Ace, AceFlags, AceType, Acl, Control, SecurityDescriptor
from winlayers.formats.sids import name_of
from winlayers.layer.entry import STREAM_ATTRIBUTE_SPARSE

_SHOWN_BYTES = 32

# Rights as the security dialog of Explorer names them.
_RIGHTS = {
    0x1F01FF: "full control",
    0x1301FF: "modify, delete children",
    0x1301BF: "modify",
    0x1201BF: "read, write and execute",
    0x1200A9: "read and execute",
    0x120089: "read",
    0x120116: "write",
    0x10000000: "full control (generic)",
    0xE0000000: "read, write and execute (generic)",
    0xA0000000: "read and execute (generic)",
    0x80000000: "read (generic)",
}
_VERBS = {
    AceType.ACCESS_ALLOWED: "allow",
    AceType.ACCESS_DENIED: "deny",
    AceType.SYSTEM_AUDIT: "audit",
    AceType.ACCESS_ALLOWED_CALLBACK: "allow if",
    AceType.ACCESS_DENIED_CALLBACK: "deny if",
    AceType.SYSTEM_MANDATORY_LABEL: "label",
}
_FLAGS = (
    (AceFlags.OBJECT_INHERIT, "to files"),
    (AceFlags.CONTAINER_INHERIT, "to folders"),
    (AceFlags.INHERIT_ONLY, "only to these"),
    (AceFlags.NO_PROPAGATE_INHERIT, "one level"),
    (AceFlags.INHERITED, "inherited"),
)


def stat_lines(facts: NodeFacts) -> Iterator[str]:
    """The lines of one name.

    Args:
        facts: what is known of it.
    """
    yield _line("path", facts.path)
    yield _line("kind", facts.kind)
    if facts.target:
        where = f" of layer {facts.target_layer}"
        yield _line("hard link to", shown_path(facts.target, raw=facts.raw) + where)
    yield _line("attributes", ", ".join(facts.attributes) or "none")
    yield _line("size", f"{facts.node.size} ({human_size(facts.node.size)})")
    for name, text in facts.times.items():
        yield _line(name, text)
    yield _line("layer", ", over ".join(facts.layers))
    yield from _reparse_lines(facts)
    yield from _stream_lines(facts)
    yield from _ea_lines(facts)
    yield from _security_lines(facts)


def _line(name: str, text: str) -> str:
    return f"{name + ':':<15}{text}".rstrip()


def _reparse_lines(facts: NodeFacts) -> Iterator[str]:
    point = facts.reparse
    if point is None:
        return
    if isinstance(point, str):
        yield _line("reparse", f"damaged: {point}")
        return
    tag = tag_of(facts.entry.reparse)
    yield _line("reparse", f"{tag_name(tag)} (0x{tag:08X})")
    for name, value in reparse_facts(point).items():
        if value is not None:
            yield f"  {name.replace('_', ' ')}: {value}"


def _stream_lines(facts: NodeFacts) -> Iterator[str]:
    for part in facts.streams:
        sparse = ", sparse" if part.attributes & STREAM_ATTRIBUTE_SPARSE else ""
        yield _line("stream", f"{part.name}, {part.size} bytes{sparse}")


def _ea_lines(facts: NodeFacts) -> Iterator[str]:
    found = facts.ea
    if isinstance(found, str):
        yield _line("EA", f"damaged: {found}")
        return
    for attribute in found or ():
        need = ", needed" if attribute.flags & NEED_EA else ""
        value = attribute.value[:_SHOWN_BYTES].hex()
        more = "…" if len(attribute.value) > _SHOWN_BYTES else ""
        size = len(attribute.value)
        yield _line("EA", f"{ea_name(attribute)}, {size} bytes{need}: {value}{more}")


def _security_lines(facts: NodeFacts) -> Iterator[str]:
    descriptor = facts.descriptor
    if descriptor is None:
        yield _line("security", "none")
    elif isinstance(descriptor, str):
        yield _line("security", f"damaged: {descriptor}")
    else:
        yield from _descriptor_lines(descriptor, facts.sddl)


def _descriptor_lines(descriptor: SecurityDescriptor, sddl: str | None) -> Iterator[str]:
    yield _line("owner", sid_text(descriptor.owner))
    yield _line("group", sid_text(descriptor.group))
    yield _line("SDDL", sddl or "has no form for this descriptor; --json shows its bytes")
    protected = (
        " (not inherited from above)" if Control.DACL_PROTECTED in descriptor.control else ""
    )
    if Control.DACL_PRESENT in descriptor.control:
        yield from _acl_lines("access", descriptor.dacl, protected)
    if Control.SACL_PRESENT in descriptor.control:
        yield from _acl_lines("system", descriptor.sacl, "")


def _acl_lines(name: str, acl: Acl | None, note: str) -> Iterator[str]:
    if acl is None:
        yield _line(name, "everybody may do everything (a NULL list)" + note)
        return
    yield _line(name, ("" if acl.aces else "nobody may do anything (an empty list)") + note.strip())
    for ace in acl.aces:
        yield f"  {_ace_text(ace)}"


def _ace_text(ace: Ace) -> str:
    known = next((known for known in AceType if known == ace.type), None)
    verb = f"type {ace.type}" if known is None else _VERBS.get(known, known.name.lower())
    rights = _RIGHTS.get(ace.mask, f"0x{ace.mask:x}")
    notes = [text for flag, text in _FLAGS if flag in ace.flags]
    tail = f" ({', '.join(notes)})" if notes else ""
    who = "nobody known" if ace.sid is None else name_of(ace.sid) or str(ace.sid)
    return f"{verb} {who}: {rights}{tail}"
