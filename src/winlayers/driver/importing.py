"""One import: in line, or handed to the write-layer process.

Either way the parent inflates, digests and compares, and the backend parses and writes; what differs is
whether the backend runs in this process. A process of its own keeps a fault in parsing a stranger's tar
away from the daemon, and on Windows the privileges of a restore away from it too.

Source: moby/moby daemon/graphdriver/windows/windows.go (importLayer, writeLayerReexec).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol

from winlayers.backends.contract import Backend, ImportPolicy, ImportRequest, TarFacts
from winlayers.base.blocks import BlockPump
from winlayers.base.digest import Digest
from winlayers.base.progress import Cancel, NullProgress, Progress
from winlayers.base.splicing import PipeSender
from winlayers.driver import wire
from winlayers.driver.child import Child, start_child
from winlayers.errors import DigestMismatch, RemoteFailure
from winlayers.layer.chain import Chain
from winlayers.layer.entry import LayerSummary
from winlayers.layer.findings import Finding

SMALL_SIZE = 4 << 20
"""Layers with fewer bytes, compressed as they come, are imported before a process of their own would have started."""


@dataclass(frozen=True, slots=True)
class ImportJob:
    """One layer to be imported, as the driver sees it.

    Attributes:
        layer_id: name of the new layer.
        chain: the layers it stands on.
        source: the layer's tar, perhaps compressed; only ``read`` is used.
        files: the driver's own files, published with the layer.
        digest: what the bytes of ``source`` must have, or None.
        diff_id: what the uncompressed tar must have, or None.
        policy: what is let pass.
        progress: told the bytes read from ``source``.
        cancel: asked before each block.
        report: called with each finding that is no error.
        size: bytes of ``source``, where they are known.
        confirm: called with what was read, before anything of the layer is seen; raises to abandon it.
    """

    layer_id: str
    chain: Chain
    source: BinaryIO
    files: Mapping[str, bytes]
    digest: Digest | None = None
    diff_id: Digest | None = None
    policy: ImportPolicy = field(default_factory=ImportPolicy)
    progress: Progress = field(default_factory=NullProgress)
    cancel: Cancel = field(default_factory=Cancel)
    report: Callable[[Finding], None] = lambda finding: None
    size: int | None = None
    confirm: Callable[[TarFacts], None] = lambda facts: None


class Importer(Protocol):
    """A way to run one import."""

    def __call__(self, job: ImportJob) -> LayerSummary: ...


class InlineImporter:
    """Runs imports in this process."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def __call__(self, job: ImportJob) -> LayerSummary:
        with _pump(job) as pump:
            return self._backend.import_tar(
                ImportRequest(
                    job.layer_id,
                    job.chain,
                    pump,
                    lambda size: _verified(job, pump),
                    job.files,
                    job.policy,
                    job.report,
                )
            )


class ChildImporter:
    """Runs each import in a process of its own, which is spawned, never forked.

    Args:
        backend: which backend the store has, told to the child.
        home: root of the store, told to the child.
        tmpdir: where the child stages, or None for its default.
        start: starts a child.
    """

    def __init__(
        self,
        backend: str,
        home: Path,
        tmpdir: Path | None = None,
        start: Callable[[], Child] = start_child,
    ) -> None:
        self._backend = backend
        self._home = home
        self._tmpdir = tmpdir
        self._start = start

    def __call__(self, job: ImportJob) -> LayerSummary:
        child = self._start()
        with _Answers(child, job.report) as answers, _pump(job) as pump:
            assert child.stdin is not None
            try:
                self._send(job, pump, child.stdin, answers)
            except _ChildGoneError:
                return answers.summary()  # the child stopped listening, and says why
            except BaseException:
                child.stdin.close()  # the word to abandon it
                raise
            return answers.summary()

    def _send(self, job: ImportJob, pump: BlockPump, stdin: IO[bytes], answers: _Answers) -> None:
        sender = PipeSender(stdin.fileno())
        with _noticing_its_end():
            sender.send_bytes(wire.build_message(self._request(job)))
        while (block := pump.take()) is not None:
            answers.check()
            with _noticing_its_end():
                sender.send_bytes(wire.build_frame_head(block[1]))
                free = sender.send(*block)
            if free is not None:
                pump.give_back(free)
        facts = _verified(job, pump)
        answers.check()
        with _noticing_its_end():
            sender.send_bytes(wire.build_frame_head(0) + wire.build_message(asdict(facts)))

    def _request(self, job: ImportJob) -> dict[str, Any]:
        return {
            "backend": self._backend,
            "home": str(self._home),
            "tmpdir": None if self._tmpdir is None else str(self._tmpdir),
            "layer_id": job.layer_id,
            "chain": job.chain.layer_ids,
            "files": {name: wire.dump_bytes(content) for name, content in job.files.items()},
            "policy": asdict(job.policy),
        }


class SparingImporter:
    """Runs imports in processes of their own, but not more of them than pay.

    A small layer is imported before a process has started, and each process takes some memory: where the layers of an
    image come at the same time, small ones and those past the limit are imported in line. A layer whose size nobody
    knows always gets its process.

    Args:
        in_child: runs an import in a process of its own.
        in_line: runs it here.
        limit: how many processes there may be for layers whose size is known.
    """

    def __init__(self, in_child: Importer, in_line: Importer, limit: int) -> None:
        self._in_child = in_child
        self._in_line = in_line
        self._free = threading.Semaphore(limit)

    def __call__(self, job: ImportJob) -> LayerSummary:
        if job.size is None:
            return self._in_child(job)
        if job.size < SMALL_SIZE or not self._free.acquire(blocking=False):
            return self._in_line(job)
        try:
            return self._in_child(job)
        finally:
            self._free.release()


class _ChildGoneError(Exception):
    """The child reads no more. Not a BrokenPipeError, which the source may raise too."""


@contextmanager
def _noticing_its_end() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise _ChildGoneError from error


class _Answers:
    """Collects what a child says while it is being talked to, and ends it."""

    def __init__(self, child: Child, report: Callable[[Finding], None]) -> None:
        self._child = child
        self._report = report
        self._summary: LayerSummary | None = None
        self._error: Exception | None = None
        self._failure: Exception | None = None
        self._stderr = b""
        self._threads = [
            threading.Thread(target=target, name="winlayers-child", daemon=True)
            for target in (self._read_answers, self._read_stderr)
        ]

    def __enter__(self) -> _Answers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the pipes; a child that was not told to commit leaves nothing behind."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait()
        for thread in self._threads:
            thread.join()
        for pipe in (self._child.stdout, self._child.stderr):
            assert pipe is not None
            pipe.close()

    def check(self) -> None:
        """Raise what went wrong here with an answer: the receiver of findings may want no more of it."""
        if self._failure is not None:
            raise self._failure

    def summary(self) -> LayerSummary:
        """What the child made of the layer, once it has ended.

        Raises:
            WinlayersError, OSError: what the child met; RemoteFailure if it died without a word.
        """
        assert self._child.stdin is not None
        self._child.stdin.close()
        status = self._child.wait()
        for thread in self._threads:
            thread.join()
        self.check()
        if self._error is not None:
            raise self._error
        if self._summary is None:
            said = self._stderr.decode("utf-8", "replace").strip()
            how = f"by signal {-status}" if status < 0 else f"with status {status}"
            raise RemoteFailure(
                f"the write-layer process ended {how}, before it told that the layer is complete"
                + (f"; it said: {said[-2000:]}" if said else "")
            )
        return self._summary

    def _read_answers(self) -> None:
        assert self._child.stdout is not None
        buffered = open(self._child.stdout.fileno(), "rb", closefd=False)  # noqa: SIM115 - a view of the pipe
        while line := buffered.readline(wire.MAX_MESSAGE):
            try:
                self._take(wire.load_answer(line))
            except Exception as error:
                # Kept for the thread that waits. The rest is read all the same: nobody else does.
                self._failure = self._failure or error

    def _take(self, answer: Finding | LayerSummary | Exception) -> None:
        if isinstance(answer, Finding):
            self._report(answer)
        elif isinstance(answer, LayerSummary):
            self._summary = answer
        else:
            self._error = answer

    def _read_stderr(self) -> None:
        assert self._child.stderr is not None
        while chunk := self._child.stderr.read(65536):
            self._stderr = (self._stderr + chunk)[-65536:]


def _pump(job: ImportJob) -> BlockPump:
    return BlockPump(
        job.source, max_size=job.policy.max_size, progress=job.progress, cancel=job.cancel
    )


def _verified(job: ImportJob, pump: BlockPump) -> TarFacts:
    """Compare the digests with the wanted ones, and ask whoever wants to be asked.

    Raises:
        DigestMismatch: one is another.
        WinlayersError: as ``job.confirm``.
    """
    for what, wanted, actual in (
        ("the layer file", job.digest, pump.digest),
        ("the uncompressed layer", job.diff_id, pump.diff_id),
    ):
        if wanted is not None and wanted != actual:
            raise DigestMismatch(what, expected=str(wanted), actual=str(actual))
    is_verified = job.digest is not None or job.diff_id is not None
    facts = TarFacts(pump.size, str(pump.diff_id), str(pump.digest), is_verified)
    job.confirm(facts)
    return facts
