"""``winlayers stat``: all the metadata of one name."""

from __future__ import annotations

from typing import Any

import click

from winlayers.cli.options import command, json_option, pass_session, raw_option
from winlayers.cli.paths import find_node, path_argument, shown_path
from winlayers.cli.rows import format_time, kind_name, reparse_target, tag_name
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, open_target
from winlayers.errors import WinlayersError
from winlayers.formats.ea import parse_ea_list
from winlayers.formats.reparse import tag_of
from winlayers.formats.sddl import format_sddl, name_of
from winlayers.formats.security import Sid, parse_descriptor
from winlayers.layer.entry import attribute_names
from winlayers.layer.view import Node, View, shown_attributes


@command("stat", examples=["winlayers stat base 'C:\\Windows\\win.ini'"])
@click.argument("target", shell_complete=complete_target)
@click.argument("path")
@raw_option
@json_option
@pass_session
def run(session: Session, target: str, path: str, raw: bool) -> None:
    """Show attributes, times, descriptor, streams, reparse data and EAs of PATH in TARGET."""
    with open_target(session, target) as opened:
        node = find_node(opened.view, path_argument(path), raw=raw, follow_last=False)
        facts = facts_of(opened.view, node, raw=raw)
    if session.is_json:
        session.out.document(facts)
    else:
        session.out.lines(_lines(facts, ""))


def facts_of(view: View, node: Node, *, raw: bool) -> dict[str, Any]:
    """What ``stat --json`` prints."""
    entry = view.entry(node)
    reparse = None
    if entry.reparse:
        target = reparse_target(entry.reparse)
        reparse = {"tag": tag_name(tag_of(entry.reparse)), "target": target}
    eas = parse_ea_list(entry.ea) if entry.ea else []
    return {
        "path": shown_path(node.path, raw=raw),
        "kind": kind_name(node.kind),
        "attributes": attribute_names(shown_attributes(node)),
        "size": node.size,
        "times": {
            "creation": format_time(node.creation_filetime),
            "access": format_time(node.access_filetime),
            "write": format_time(node.write_filetime),
            "change": format_time(node.change_filetime),
        },
        "security": _security(entry.security),
        "reparse": reparse,
        "streams": [
            {"name": part.name, "size": part.size} for part in view.parts(node) if part.name
        ],
        "ea": [
            {"name": ea.name.decode("latin-1"), "value": ea.value.hex(), "flags": ea.flags}
            for ea in eas
        ],
        "target": shown_path(entry.target, raw=raw) if entry.target else None,
        "layer": node.layer_id,
    }


def _security(data: bytes) -> dict[str, Any] | None:
    if not data:
        return None
    descriptor = parse_descriptor(data)
    try:
        sddl = format_sddl(descriptor)
    except WinlayersError as error:
        sddl = f"(not to be said in SDDL: {error})"
    return {
        "owner": _named(descriptor.owner),
        "group": _named(descriptor.group),
        "sddl": sddl,
        "raw": data.hex(),
    }


def _named(sid: Sid | None) -> str | None:
    return None if sid is None else name_of(sid) or str(sid)


def _lines(facts: dict[str, Any], indent: str) -> list[str]:
    lines = []
    for name, value in facts.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", *_lines(value, indent + "  ")]
        elif value and isinstance(value, list) and isinstance(value[0], dict):
            lines.append(f"{indent}{name}:")
            lines += [
                f"{indent}  " + ", ".join(f"{k} {v}" for k, v in row.items()) for row in value
            ]
        elif value not in (None, [], "") and name != "raw":
            shown = ", ".join(value) if isinstance(value, list) else value
            lines.append(f"{indent}{name}: {shown}")
    return lines
