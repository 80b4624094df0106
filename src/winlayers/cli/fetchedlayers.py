"""Layers of an image that is elsewhere, fetched to be looked into.

Several come at once, as each of them waits for the network now and then. The first error stops the rest, and nothing
is left of what was fetched.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

from winlayers.base.progress import LinkedCancel, Progress
from winlayers.cli.manybars import ManyProgress, NoProgress, choose_many
from winlayers.cli.progress import shown
from winlayers.cli.session import Session, standard_error

if TYPE_CHECKING:
    from pathlib import Path

    from winlayers.backends.portable.loose import LooseLayer
    from winlayers.oci.endpoint import ImageSource
    from winlayers.oci.model import Descriptor

MAX_AT_ONCE = 4


def fetch_layer(
    session: Session, source: ImageSource, layers: Sequence[Descriptor], number: int, tmpdir: Path
) -> LooseLayer:
    """Fetch one layer of an image to be looked into; the caller closes.

    Args:
        session: tells how far it is.
        source: of the image.
        layers: of the image, the base layer first.
        number: of the layer, from 0.
        tmpdir: for its files; a folder that is there.
    """
    label = f"reading layer {number + 1} of {len(layers)}"
    with shown(session.progress, label, layers[number].size) as progress:
        return _Fetcher(session, source, layers, tmpdir).fetch(number, progress)


def fetch_layers(
    session: Session,
    source: ImageSource,
    layers: Sequence[Descriptor],
    numbers: Sequence[int],
    tmpdir: Path,
) -> list[LooseLayer]:
    """Fetch several layers of an image to be looked into, up to ``MAX_AT_ONCE`` at the same time.

    Args:
        session: tells how far they are.
        source: of the image.
        layers: of the image, the base layer first.
        numbers: of the layers, from 0.
        tmpdir: for their files; a folder that is there.
    Returns:
        One for each number, in their order; the caller closes all.
    """
    if len(numbers) < 2:
        return [fetch_layer(session, source, layers, number, tmpdir) for number in numbers]
    progress = choose_many(
        session.progress_mode,
        standard_error(),
        f"reading {len(numbers)} layers",
        is_quiet=session.is_quiet,
        has_color=session.has_color,
    )
    with progress:
        progress.total_size = sum(layers[number].size for number in numbers)
        return _Fetcher(session, source, layers, tmpdir).fetch_all(numbers, progress)


class _Fetcher:
    """Fetches layers of one image; the first that fails ends the others."""

    def __init__(
        self, session: Session, source: ImageSource, layers: Sequence[Descriptor], tmpdir: Path
    ) -> None:
        from winlayers.oci.endpoint import heed

        self._stop = LinkedCancel(session.cancel)
        heed(source, self._stop)
        self._source = source
        self._layers = layers
        self._tmpdir = tmpdir
        self._lock = threading.Lock()
        self._error: BaseException | None = None

    def fetch(self, number: int, progress: Progress) -> LooseLayer:
        """Fetch one; progress is not begun or ended here."""
        from winlayers.backends.portable.loose import open_loose_stream
        from winlayers.transfer.checked import BlobReader

        blob = self._layers[number]
        with BlobReader(self._source, blob, cancel=self._stop, progress=progress) as reader:
            return open_loose_stream(
                reader, str(blob.digest), tmpdir=self._tmpdir, is_base=number == 0
            )

    def fetch_all(
        self, numbers: Sequence[int], progress: ManyProgress | NoProgress
    ) -> list[LooseLayer]:
        """Fetch all, or raise what went wrong first, when no thread runs any more and nothing is left."""
        pool = ThreadPoolExecutor(
            min(MAX_AT_ONCE, len(numbers)), thread_name_prefix="winlayers-fetch"
        )
        futures: list[Future[LooseLayer]] = []
        try:
            for number in numbers:
                futures.append(pool.submit(self._fetch_shown, number, progress.piece()))
            return [future.result() for future in futures]
        except BaseException as error:
            self._stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            with ExitStack() as opened:
                for future in futures:
                    if not future.cancelled() and future.exception() is None:
                        opened.enter_context(future.result())
                if isinstance(error, Exception) and self._error is not None:
                    raise self._error from None
                raise  # an interrupt, whatever the threads make of it
        finally:
            pool.shutdown()

    def _fetch_shown(self, number: int, progress: Progress) -> LooseLayer:
        blob = self._layers[number]
        try:
            with shown(progress, str(blob.digest), blob.size):
                return self.fetch(number, progress)
        except BaseException as error:
            with self._lock:
                if self._error is None:
                    self._error = error
            self._stop.set()
            raise
