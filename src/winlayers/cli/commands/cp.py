"""``winlayers cp``: files between a layer and the system, as ``docker cp`` copies them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from winlayers.cli.copyplaces import HostPlace, LayerPlace, lands_inside, parse_place
from winlayers.cli.layerrows import mount_of
from winlayers.cli.options import command, json_option, pass_session, raw_option
from winlayers.cli.output import count_of, gone_or
from winlayers.cli.paths import find_node, path_argument
from winlayers.cli.progress import shown
from winlayers.cli.session import Session
from winlayers.cli.target import complete_target, open_target, resolve_scratch
from winlayers.errors import (
    EXIT_PARTIAL,
    InvalidArgument,
    LayerMounted,
    NotADirectory,
    PathNotFound,
)

if TYPE_CHECKING:
    from winlayers.cli.copyitems import CopyCounts, HostItems
    from winlayers.cli.copytar import TarItems
    from winlayers.cli.lossnotes import LossNotes
    from winlayers.driver.driver import Driver
    from winlayers.layer.view import Node, Scratch, View


@command(
    "cp",
    examples=[
        "winlayers cp site work:/inetpub                        # C:\\inetpub\\site of a scratch",
        "winlayers cp site/. work:C:\\inetpub\\wwwroot            # what is in site",
        "winlayers cp base:/Windows/win.ini .                   # out of any layer",
        "winlayers cp tar:layer.tar.gz:/app app                 # out of a layer that is not imported",
        "tar -c site | winlayers cp - work:/inetpub",
        "winlayers cp -a base:/app - | winlayers cp - work:/    # from layer to layer, with all it has",
    ],
)
@click.argument("source", metavar="SRC", shell_complete=complete_target)
@click.argument("destination", metavar="DST", shell_complete=complete_target)
@click.option(
    "-a",
    "--archive",
    is_flag=True,
    help="In a tar for DST -, tell security, attributes, all times and alternate streams too.",
)
@click.option(
    "-L", "--follow-link", "follow", is_flag=True, help="Follow SRC if it is a symbolic link."
)
@raw_option
@json_option
@pass_session
def run(
    session: Session, source: str, destination: str, *, archive: bool, follow: bool, raw: bool
) -> int:
    """Copy files into a scratch, or out of any layer. One of SRC and DST is LAYER:PATH.

    The other is a path of the system, or - for a plain tar on standard input or output. A directory is
    copied with all below it: as DST where there is none yet, else into DST; SRC/. copies what is in it.

    Into a scratch, what is new gets its descriptor from the directory it comes to, times are those of the
    source, symbolic links become those of Windows; owners and modes of POSIX are not kept. Attributes
    system.ntfs_*, as a mount has them and 'tar --xattrs' keeps them, are used where they are.
    """
    places = parse_place(source), parse_place(destination)
    match places:
        case HostPlace(), LayerPlace():
            return _copy_in(session, *places, follow=follow, raw=raw)
        case LayerPlace(), HostPlace():
            return _copy_out(session, *places, archive=archive, follow=follow, raw=raw)
        case LayerPlace(), LayerPlace():
            raise InvalidArgument(
                f"both are in layers; say: winlayers cp -a {source} - | winlayers cp - {destination}"
            )
    raise InvalidArgument(f"neither {source!r} nor {destination!r} is of the form LAYER:PATH")


# -- in ------------------------------------------------------------------------------------------------


def _copy_in(
    session: Session, source: HostPlace, destination: LayerPlace, *, follow: bool, raw: bool
) -> int:
    from winlayers.cli.copyinto import TreeCopy
    from winlayers.layer.names import FILES
    from winlayers.layer.tree import Tree

    with _items(session, source, follow=follow) as items:
        driver = session.open_store()
        layer_id = resolve_scratch(session, driver, destination.target)
        with _opened_scratch(session, driver, layer_id) as scratch:
            place = _place_in(scratch, source, destination, items, raw=raw)
            tree = Tree(scratch, root="" if raw else FILES, clock_ns=time.time_ns)
            with shown(session.progress, f"copying to {layer_id}", None) as progress:
                copy = TreeCopy(tree, place, session.cancel, progress)
                copy.run(items)
    for left_out in copy.left_out:
        session.note(
            f"left out {left_out or source}: Windows has no pipes, sockets and devices as files"
        )
    _tell(session, destination, copy.counts, copy.left_out)
    return EXIT_PARTIAL if copy.left_out else 0


@contextmanager
def _items(session: Session, source: HostPlace, *, follow: bool) -> Iterator[HostItems | TarItems]:
    """What is copied; of a tar each item is there until the next."""
    from winlayers.base.compression import open_decompressed
    from winlayers.cli.copyitems import HostItems
    from winlayers.cli.copytar import TarItems

    if not source.is_tar:
        # A separator or dot at the end goes through a link, as everywhere.
        yield HostItems(source.path, follow=follow or source.asks_for_directory)
        return
    descriptor = 0 if sys.stdin is None else sys.stdin.fileno()
    if os.isatty(descriptor):
        raise InvalidArgument("a tar does not come from a terminal; use a pipe")
    with (
        open(descriptor, "rb", buffering=0, closefd=False) as stream,
        open_decompressed(stream) as tar,
    ):
        yield TarItems(tar)
        while tar.read(1 << 20):
            session.cancel.check()  # so that whoever writes it does not end by a broken pipe


def _opened_scratch(session: Session, driver: Driver, layer_id: str) -> Scratch:
    try:
        return driver.scratch(layer_id)
    except LayerMounted as error:
        if mounted := mount_of(session.home, layer_id):
            error.add_note(f"It is mounted at {mounted.path}; copy to there, or unmount it first.")
        raise


def _place_in(
    view: View,
    source: HostPlace,
    destination: LayerPlace,
    items: HostItems | TarItems,
    *,
    raw: bool,
) -> str:
    """Where the source goes, from the root of the tree."""
    text = path_argument(destination.path)
    try:
        node = find_node(view, text, raw=raw)
    except PathNotFound:
        if source.is_tar or not destination.name:
            raise
        above = find_node(view, path_argument(destination.parent), raw=raw)
        if not above.is_directory:
            raise NotADirectory(
                f"{destination.target}:{destination.parent} is no directory"
            ) from None
        lands_inside(destination, None, source, is_directory=items.is_directory)
        return _joined(_in_tree(above, raw=raw), path_argument(destination.name))
    base = _in_tree(node, raw=raw)
    if source.is_tar:
        if not node.is_directory:
            raise NotADirectory(f"{destination} is no directory, so no tar can be unpacked there")
        return base
    is_inside = lands_inside(
        destination, node.is_directory, source, is_directory=items.is_directory
    )
    return _joined(base, path_argument(source.name)) if is_inside else base


def _in_tree(node: Node, *, raw: bool) -> str:
    """The path of a node from the root of the tree."""
    return node.path if raw else node.path.partition("/")[2]


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


# -- out -----------------------------------------------------------------------------------------------


def _copy_out(
    session: Session,
    source: LayerPlace,
    destination: HostPlace,
    *,
    archive: bool,
    follow: bool,
    raw: bool,
) -> int:
    from winlayers.cli.lossnotes import LossNotes

    if destination.is_tar and session.out.is_terminal:
        raise InvalidArgument("a tar is not for a terminal; use a pipe")
    losses = LossNotes(session)
    with open_target(session, source.target) as opened:
        view = opened.view
        follows = follow or source.asks_for_directory
        node = find_node(view, path_argument(source.path), raw=raw, follow_last=follows)
        if source.asks_for_directory and not node.is_directory:
            raise NotADirectory(f"{source} is no directory")
        if destination.is_tar:
            _write_tar(session, source, view, node, losses, keep=archive)
        else:
            _write_folder(session, source, destination, view, node, losses)
    losses.tell()
    return 0


def _write_tar(
    session: Session, source: LayerPlace, view: View, node: Node, losses: LossNotes, *, keep: bool
) -> None:
    from winlayers.cli.copytar import TarCopy

    session.out.flush()
    try:
        with shown(session.progress, f"copying from {source.target}", None) as progress:
            TarCopy(
                view,
                session.out.stream,
                node,
                keep=keep,
                on_loss=losses.add,
                cancel=session.cancel,
                progress=progress,
            ).run(path_argument(source.name))
    except OSError as error:
        raise gone_or(error) from error


def _write_folder(
    session: Session,
    source: LayerPlace,
    destination: HostPlace,
    view: View,
    node: Node,
    losses: LossNotes,
) -> None:
    from winlayers.cli.copyitems import CopyCounts
    from winlayers.cli.copyout import copy_out

    if node.is_reparse_point:
        raise InvalidArgument(
            f"{source} is a link or another reparse point; -L copies what a link leads to"
        )
    path = Path(destination.path)
    present = path.is_dir() if os.path.lexists(path) else None
    name = path_argument(source.name)
    if lands_inside(destination, present, source, is_directory=node.is_directory):
        folder = path
    elif present:
        folder, name = path, ""
    else:
        # A link at the end is followed, wherever it leads.
        whole = path.resolve() if present is not None else path.absolute()
        folder, name = whole.parent, path_argument(whole.name)
    found = copy_out(
        view,
        node,
        folder,
        name,
        on_loss=losses.add,
        cancel=session.cancel,
        progress=session.progress,
    )
    links = found.hard_links + found.symlinks
    _tell(session, destination, CopyCounts(found.files, found.directories, links, found.size), [])


def _tell(
    session: Session, destination: LayerPlace | HostPlace, counts: CopyCounts, left_out: list[str]
) -> None:
    if session.is_json:
        found = {"destination": str(destination), **asdict(counts), "left_out": left_out}
        session.out.document(found)
    else:
        session.note(
            f"copied {count_of(counts.files, 'file', 'files')}, "
            f"{count_of(counts.directories, 'directory', 'directories')} and "
            f"{count_of(counts.links, 'link', 'links')} to {destination}"
        )
