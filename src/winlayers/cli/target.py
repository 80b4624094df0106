"""TARGET: what a reading command looks into, from the text that names it to an open view.

    ID               a layer of the store, by its id or the beginning of one
    tar:FILE         a bare layer tar, compressed or not; nothing is imported
    windowsfilter:ROOT:ID   a layer of another store, or of Docker on Windows, which is only read
    snapshot:KEY     what a snapshot of the store shows, by its key or number
    NAME             an image of the store, by its name; also store:NAME
    docker://NAME, oci:DIR, ...   an image elsewhere, see ``imagenames``; it is not pulled

``TRANSPORTS`` is the list of what else than an image may stand before the colon.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import click
from click.shell_completion import CompletionItem

from winlayers.cli.imagenames import complete_image, is_image_name
from winlayers.cli.session import LAYERS, STAGING, Session
from winlayers.errors import (
    Corrupt,
    ImageNotFound,
    InvalidArgument,
    InvalidReference,
    LayerNotFound,
    Malformed,
    SnapshotNotFound,
    Unsupported,
)

if TYPE_CHECKING:
    from typing import BinaryIO

    from winlayers.backends.portable.loose import LooseLayer
    from winlayers.driver.attached import AttachedLayer, AttachedRoot
    from winlayers.driver.driver import Driver
    from winlayers.layer.findings import Finding
    from winlayers.layer.merge import LayerTable
    from winlayers.layer.view import View

_SHOWN_CANDIDATES = 8
_POSSIBLE_ID = re.compile(r"[A-Za-z0-9][^/\\]*")


@dataclass(slots=True)
class Target:
    """What a command looks into.

    Attributes:
        name: as messages call it.
        view: the layer over its parents; of a bare tar the layer alone.
        table: the layer's own entries, whiteouts too; None of a layer that holds nothing yet.
        parents: those of its parents, nearest first, where they are at hand.
        is_base: whether the layer has no parents; None where nothing tells.
        stored_findings: what the import, or the reading of a bare tar, found.
        close: lets go of it all.
        committed: of a scratch, opens the layer that its changes make; its ``table`` is None.
    """

    name: str
    view: View
    table: LayerTable | None
    parents: tuple[LayerTable, ...]
    is_base: bool | None
    stored_findings: Callable[[], list[Finding]]
    close: Callable[[], None]
    committed: Callable[[], LooseLayer] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_target(session: Session, text: str) -> Target:
    """Open what a TARGET names.

    Args:
        session: whose store and folders are used.
        text: the TARGET as it was typed.
    Returns:
        The target, for a ``with`` block.
    Raises:
        LayerNotFound, ImageNotFound: nothing is called so.
        InvalidArgument: the beginnings of several layers are, or it is no name at all.
        Unsupported: it is something else than a layer or image.
    """
    transport, colon, rest = text.partition(":")
    if colon and (opener := TRANSPORTS.get(transport)):
        return opener(session, transport, rest)
    if colon and is_image_name(text):
        return _open_image(session, text)
    return _open_stored(session, text, may_be_layer=not colon)


def resolve_layer(session: Session, driver: Driver, text: str) -> str:
    """The id of the one layer that has this id, or whose id begins so.

    Raises:
        LayerNotFound: there is none.
        InvalidArgument: there are several.
    """
    # Only what can be an id is asked for: the driver takes the last part of a path too.
    if _POSSIBLE_ID.fullmatch(text) and driver.exists(text):
        return text
    return unique_id(text, driver.layers(), str(session.home / LAYERS))


def resolve_parent(session: Session, driver: Driver, text: str) -> str:
    """The id of the layer to stand on: of a layer, or of the topmost one of an image of the store.

    Raises:
        LayerNotFound: there is neither.
        InvalidArgument: there are several.
    """
    from winlayers.cli.imagetarget import layer_of_image

    try:
        return resolve_layer(session, driver, text)
    except LayerNotFound:
        layer_id = layer_of_image(session, text)
        if layer_id is None:
            raise
        return layer_id


def resolve_scratch(session: Session, driver: Driver, text: str) -> str:
    """The id of a scratch, by its id or the beginning of it.

    Raises:
        LayerNotFound: there is no such layer.
        InvalidArgument: there are several, or it is no scratch.
    """
    layer_id = resolve_layer(session, driver, text)
    if driver.usage(layer_id).kind != "scratch":
        raise InvalidArgument(
            f"layer {layer_id} is no scratch, so it does not change; 'winlayers layer create ID --parent "
            f"{layer_id}' makes one on it"
        )
    return layer_id


def complete_target(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Ids of layers and transports that begin so, for a shell."""
    session = ctx.find_object(Session)
    ids = [] if session is None else _ids_below(session.home / LAYERS)
    if param.name == "layer_id":
        return [CompletionItem(word) for word in ids if word.startswith(incomplete)]
    words = [*ids, *(f"{one}:" for one in TRANSPORTS)]
    found = [CompletionItem(word) for word in words if word.startswith(incomplete)]
    return [*found, *complete_image(ctx, param, incomplete)]


def _open_stored(session: Session, text: str, *, may_be_layer: bool) -> Target:
    """A layer by its whole id, else an image by its name, else a layer by the beginning of its id."""
    is_id = may_be_layer and (session.home / LAYERS / text).is_dir()
    if session.has_images and not is_id:
        try:
            return _open_image(session, text)
        except (ImageNotFound, InvalidReference):
            pass  # it may be a layer yet, and what is said below is true of both
    if may_be_layer:
        return _open_layer(session, text)
    raise ImageNotFound(
        f"there is no image {text!r} in the store; 'winlayers pull' gets one, and docker://{text} looks into it "
        "where it is. A TARGET may also be tar:FILE or the id of a layer"
    )


def _open_image(session: Session, text: str) -> Target:
    from winlayers.cli.imagetarget import open_image_layers

    with staging(session) as tmpdir:
        opened = open_image_layers(session, text, tmpdir=tmpdir)
    if isinstance(opened, str):
        return _open_layer(session, opened)
    own, *parents = opened.tables
    return Target(
        text,
        opened.view,
        own,
        tuple(parents),
        not parents,
        lambda: list(own.findings()),
        opened.close,
    )


def _open_layer(session: Session, text: str) -> Target:
    try:
        driver = session.open_store()
        layer_id = resolve_layer(session, driver, text)
    except LayerNotFound as error:
        if os.path.isfile(text):
            error.add_note(f"To look into a tar, say tar:{text}")
        raise
    is_base = not len(driver.chain(layer_id))
    is_scratch = driver.usage(layer_id).kind == "scratch"
    view = driver.view(layer_id)
    table, parents = _own_and_parents(view, layer_id)
    committed = None
    if is_scratch:
        table, committed = None, lambda: _open_committed(session, driver, layer_id, is_base=is_base)
    return Target(
        layer_id,
        view,
        table,
        parents,
        is_base,
        lambda: _findings_of(table),
        view.close,
        committed,
    )


def _open_committed(
    session: Session, driver: Driver, layer_id: str, *, is_base: bool
) -> LooseLayer:
    from winlayers.backends.portable.loose import open_loose_stream

    with staging(session) as tmpdir, driver.diff(layer_id) as tar:
        return open_loose_stream(tar, layer_id, tmpdir=tmpdir, is_base=is_base)


def _own_and_parents(view: View, layer_id: str) -> tuple[LayerTable | None, tuple[LayerTable, ...]]:
    from winlayers.layer.merge import MergedView

    tables = view.tables if isinstance(view, MergedView) else ()
    if tables and tables[0].layer_id == layer_id:
        return tables[0], tables[1:]
    return None, tables  # the layer was created and holds nothing, so its parents show alone


def _findings_of(table: LayerTable | None) -> list[Finding]:
    """What the import of a layer found; of one that was created and holds nothing there is none."""
    from winlayers.backends.sealed.table import IndexTable

    return list(table.findings()) if isinstance(table, IndexTable) else []


def _open_tar(session: Session, transport: str, rest: str) -> Target:
    from winlayers.backends.portable.loose import open_loose
    from winlayers.cli.progress import shown

    if not rest:
        raise InvalidReference(f"{transport}: names no file")
    path = Path(rest)
    size = path.stat().st_size  # says so at once where there is no such file
    with (
        staging(session) as tmpdir,
        shown(session.progress, f"reading {path.name}", size) as progress,
    ):
        layer = open_loose(path, tmpdir=tmpdir, progress=progress)
    return Target(
        f"{transport}:{rest}",
        layer.view,
        layer.table,
        (),
        None,
        lambda: list(layer.table.findings()),
        layer.close,
    )


@contextmanager
def staging(session: Session) -> Iterator[Path]:
    """The folder for temporary files; errors of it say how another one is named."""
    tmpdir = session.config().tmpdir or session.home / "tmp"
    try:
        tmpdir.mkdir(parents=True, exist_ok=True)
        yield tmpdir
    except OSError as error:
        place = Path(os.fsdecode(error.filename or ""))
        if tmpdir in (place, *place.parents) or place in tmpdir.parents:
            error.add_note(
                f"Temporary files are made in {tmpdir}; --tmpdir DIR has them made in DIR/{STAGING}."
            )
        raise


def _open_store(session: Session, transport: str, rest: str) -> Target:
    from winlayers.backends.portable.lookup import FolderView, is_scratch_folder
    from winlayers.driver.attached import is_attached
    from winlayers.driver.metadata import read_layer_chain

    # From the right: a root may begin with a drive.
    root, colon, text = rest.rpartition(":")
    if not colon or not root or not text:
        raise InvalidReference(f"{transport}:{rest} is not of the form {transport}:ROOT:ID")
    layers = Path(root).absolute()
    if (layers / LAYERS).is_dir():
        layers = layers / LAYERS
    known = _ids_below(layers)
    layer_id = text if text in known else unique_id(text, known, str(layers))
    if is_attached(layers / layer_id):
        return _open_attached(session, f"{transport}:{root}", layers, layer_id)
    chain = (layer_id, *read_layer_chain(layers / layer_id))
    # Two stores may have layers of the same id: in a comparison they must not be taken for one.
    folders = [(f"{transport}:{root}:{member}", layers / member) for member in chain]
    found = FolderView(folders)
    own = [table for table in found.tables if table.layer_id == folders[0][0]]
    return Target(
        folders[0][0],
        found.view,
        own[0] if own else None,
        tuple(found.tables[len(own) :]),
        len(chain) == 1,
        lambda: [finding for table in own for finding in table.findings()],
        found.close,
        _not_committed if is_scratch_folder(folders[0][1]) else None,
    )


def _open_attached(session: Session, prefix: str, layers: Path, layer_id: str) -> Target:
    """A layer of Docker on Windows over its parents, by tars that are made of them to be looked at."""
    from winlayers.driver.attached import AttachedRoot
    from winlayers.layer.merge import MergedView

    root = AttachedRoot(layers)
    own = root.layer(layer_id)
    own.check_readable()
    found: list[Finding] = []
    with ExitStack() as stack:
        layer = stack.enter_context(_open_one_attached(session, prefix, own, found.append))
        parents = _open_parents(session, prefix, root, own, stack)
        return Target(
            f"{prefix}:{layer_id}",
            MergedView([layer.table, *parents]),
            layer.table,
            parents,
            not len(own.chain),
            lambda: [*found, *layer.table.findings()],
            stack.pop_all().close,
        )


def _open_parents(
    session: Session, prefix: str, root: AttachedRoot, own: AttachedLayer, opened: ExitStack
) -> tuple[LayerTable, ...]:
    """All parents of a layer, nearest first; none of them if one cannot be read, which is told."""
    with ExitStack() as stack:
        try:
            parents = [root.layer(layer_id) for layer_id in own.chain]
            for parent in parents:
                parent.check_readable()
            layers = [
                stack.enter_context(
                    _open_one_attached(session, prefix, parent, lambda finding: None)
                )
                for parent in parents
            ]
        except (Corrupt, LayerNotFound, Unsupported) as error:
            session.note(f"layer {own.layer_id} is shown without its parents: {error}")
            return ()
        opened.enter_context(stack.pop_all())
    return tuple(layer.table for layer in layers)


def _open_one_attached(
    session: Session, prefix: str, attached: AttachedLayer, report: Callable[[Finding], None]
) -> LooseLayer:
    from winlayers.backends.portable.loose import open_loose_stream
    from winlayers.base.pipe import reader_of
    from winlayers.cli.attaching import write_attached

    def write(target: BinaryIO) -> None:
        write_attached(
            attached,
            target,
            note=session.note,
            report=report,
            progress=session.progress,
            cancel=session.cancel,
        )

    name = f"{prefix}:{attached.layer_id}"
    with staging(session) as tmpdir, reader_of(write) as tar:
        return open_loose_stream(tar, name, tmpdir=tmpdir, is_base=not len(attached.chain))


def _open_snapshot(session: Session, transport: str, rest: str) -> Target:
    if not session.has_images:
        raise SnapshotNotFound(f"there is no snapshot in the store at {session.home}")
    layer_id = session.open_images().snapshots.shown_layer(rest)
    if not layer_id:
        raise SnapshotNotFound(f"snapshot {rest!r} stands on nothing and holds nothing yet")
    return _open_layer(session, layer_id)


def _not_committed() -> LooseLayer:
    raise Unsupported(
        "a scratch of another store is only shown; name that store by --root to have it checked"
    )


#: What may stand before the colon of a TARGET, and what opens it.
TRANSPORTS: dict[str, Callable[[Session, str, str], Target]] = {
    "tar": _open_tar,
    "windowsfilter": _open_store,
    "snapshot": _open_snapshot,
}


def unique_id(text: str, ids: Iterable[str], where: str) -> str:
    """The one id that begins so.

    Args:
        text: the beginning.
        ids: all that there are.
        where: they are, for messages.
    Raises:
        LayerNotFound: none does.
        InvalidArgument: several do.
    """
    candidates = [layer_id for layer_id in ids if text and layer_id.startswith(text)]
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise LayerNotFound(f"there is no layer {text!r} in {where}")
    shown = ", ".join(candidates[:_SHOWN_CANDIDATES])
    more = len(candidates) - _SHOWN_CANDIDATES
    raise InvalidArgument(
        f"{text!r} is the beginning of {len(candidates)} layers: {shown}"
        + (f" and {more} more" if more > 0 else "")
    )


def _ids_below(layers: Path) -> list[str]:
    from winlayers.driver.metadata import REMOVING

    try:
        with os.scandir(layers) as folders:
            return sorted(f.name for f in folders if f.is_dir() and not f.name.endswith(REMOVING))
    except FileNotFoundError:
        return []


def finding_of(error: Malformed, label: str) -> Finding:
    """The finding that tells what an error tells.

    Args:
        error: raised while a target was opened.
        label: what the target is called.
    Raises:
        Malformed: the error itself, where it is none of the findings.
    """
    from winlayers.layer.findings import Finding

    if error.finding is None:
        raise error
    detail = f"{error.structure}: {error.reason}"
    return Finding(error.finding, error.entry or "", detail, label, error.offset)


def check_target(target: Target) -> Iterator[Finding]:
    """What Windows would refuse or lose of the layer that a target shows, or that a scratch would become.

    Args:
        target: its parents are looked at where they are at hand.
    """
    from winlayers.layer.check import check_layer, guess_is_base

    if target.committed is not None:
        yield from _check_committed(target, target.committed)
    elif target.table is not None:  # otherwise it was created and holds nothing
        is_base = guess_is_base(target.table) if target.is_base is None else target.is_base
        known = target.stored_findings()
        yield from check_layer(target.table, is_base=is_base, parents=target.parents, known=known)


def _check_committed(target: Target, committed: Callable[[], LooseLayer]) -> Iterator[Finding]:
    from winlayers.layer.check import check_layer

    with committed() as layer:
        yield from check_layer(
            layer.table,
            is_base=bool(target.is_base),
            parents=target.parents,
            known=layer.table.findings(),
        )
