"""Sends buffers through a pipe, by reference where the kernel can do that (Linux).

``vmsplice`` puts pages of memory into a pipe without copying them. The pages stay the sender's: a buffer
may be written again only when the reader has taken all of it, which is certain once the next full buffer
is wholly in the pipe, because the pipe holds no more than one. Elsewhere the bytes are written.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import sys

_PIPE_SIZE = 1 << 20
_F_SETPIPE_SZ = 1031
_REFUSED = (errno.EINVAL, errno.EPERM, errno.ENOSYS, errno.EBADF)


class _IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class PipeSender:
    """Sends blocks into the writing end of a pipe.

    Args:
        descriptor: the writing end; not closed here.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._vmsplice = _find_vmsplice(descriptor)
        self._held: mmap.mmap | None = None

    def send_bytes(self, data: bytes) -> None:
        """Send bytes by copying them. Raises BrokenPipeError where the reader is gone."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def send(self, buffer: mmap.mmap, size: int) -> mmap.mmap | None:
        """Send the first ``size`` bytes of a buffer; a buffer that is free again, if there is one.

        Every buffer but the last must be full, and as large as the pipe or larger.
        """
        if self._vmsplice is not None and self._send_pages(buffer, size):
            free, self._held = self._held, buffer
            return free
        view = memoryview(buffer)[:size]
        while view:
            view = view[os.write(self._descriptor, view) :]
        view.release()
        return buffer

    def _send_pages(self, buffer: mmap.mmap, size: int) -> bool:
        """Put the pages into the pipe; False where the kernel does not take any."""
        assert self._vmsplice is not None
        start = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
        sent = 0
        while sent < size:
            vector = _IoVec(start + sent, size - sent)
            count = self._vmsplice(self._descriptor, ctypes.byref(vector), 1, 0)
            if count < 0:
                code = ctypes.get_errno()
                if code == errno.EINTR:
                    continue
                if sent == 0 and code in _REFUSED:
                    self._vmsplice = None
                    return False
                raise OSError(code, os.strerror(code))
            sent += count
        return True


def _find_vmsplice(descriptor: int) -> ctypes._NamedFuncPointer | None:
    """The system call, with the pipe set to the size that the rule above counts on."""
    if sys.platform != "linux":
        return None
    import fcntl

    try:
        size = fcntl.fcntl(descriptor, _F_SETPIPE_SZ, _PIPE_SIZE)
        if size != _PIPE_SIZE:
            return None
        function = ctypes.CDLL(None, use_errno=True).vmsplice
    except (OSError, AttributeError):
        return None  # bytes are written then, which every pipe takes
    function.restype = ctypes.c_ssize_t
    function.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_uint)
    return function
