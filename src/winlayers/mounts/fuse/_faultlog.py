"""A file that tells what went wrong in the process of a mount, to which nobody listens.

It is made when there is something to tell, so that a store on a disk that takes no writes can be mounted, and
begins anew when it is long. A disk that is full must not end the mount: then there is no log.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

#: Bytes after which it begins anew.
LOG_SIZE = 1 << 18


class FaultLog(logging.Handler):
    """Appends records to a file, each with time and process.

    Args:
        path: the file; its folder is made too.
        size: bytes after which it begins anew.
    """

    def __init__(self, path: Path, size: int = LOG_SIZE) -> None:
        super().__init__(logging.WARNING)
        self._path = path
        self._size = size
        self.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record) + "\n"
        try:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            with open(self._path, "ab") as file:
                if file.tell() > self._size:
                    file.truncate(0)
                os.chmod(file.fileno(), 0o600)
                file.write(line.encode("utf-8", "backslashreplace"))
        except OSError:
            self.handleError(record)
