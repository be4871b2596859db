"""Worker processes that belong to a run: started by it, reached by a socket, gone with it.

The run opens the listening socket itself and hands it to the worker, so that it can connect at once
and no file lies about longer than that. A second connection, the lifeline, is never used but for
its end: it tells the worker that the run is gone, however it went.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import coupler
from coupler.exchange import sockets
from coupler.parallel import mpi
from coupler.parallel import threads as own_threads

_log = logging.getLogger(__name__)

_STARTS = 4
"""How often a worker that dies is started in all."""
_PATIENCE = 5.0
"""Time for a worker to end by itself [s]."""


class Worker:
    """One worker process."""

    def __init__(self, name: str, request: Mapping[str, Any], *, threads: int = 1) -> None:
        """Starts it; it loads the scheme while the caller goes on.

        Args:
            name: what it serves, for messages.
            request: what to serve, see `coupler.driver.serving.Request`.
            threads: of the worker.
        """
        self.name, self._request, self._threads = name, dict(request), threads
        self.path = sockets.runtime_folder() / f"{os.getpid()}-{secrets.token_hex(4)}.sock"
        self._starts = 0
        self._known = False
        self._start()

    def _start(self) -> None:
        self._starts += 1
        request, threads = self._request, self._threads
        listener = sockets.listen(self.path)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._words = os.memfd_create("isthmus-worker-stderr", os.MFD_CLOEXEC)
        root = str(Path(coupler.__file__).resolve().parent.parent)
        path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH", "")) if p)
        # The worker dies with the thread that starts it: only for one that lives as long as we do.
        main = threading.current_thread() is threading.main_thread()
        text = {**request, "listener": listener.fileno(), "parent": os.getpid() if main else 0}
        command = [sys.executable, "-m", "coupler", "serve", "--worker", str(theirs.fileno())]
        try:
            self.process = subprocess.Popen(
                [*command, "--threads", str(threads)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._words,
                pass_fds=(theirs.fileno(), listener.fileno()),
                env={
                    **mpi.environment_alone(),
                    "PYTHONPATH": path,
                    own_threads.CHOICE: str(threads),
                },
            )
        finally:
            theirs.close()
            listener.close()
        ours.send(json.dumps(text, default=str).encode())
        self._lifeline = ours
        self.close = weakref.finalize(
            self, _end, self.process, ours, self.path, self._words, os.getpid()
        )

    def connected(self) -> None:
        """All who want to are connected: the name of the socket is not needed any more."""
        self._known = True
        self.path.unlink(missing_ok=True)

    def revive(self) -> None:
        """Starts it again, at the same place, if it has served and died; not for ever."""
        if self._known and self._starts < _STARTS and self.process.poll() is not None:
            _log.warning("isthmus: warning: %s: %s; it is started again", self.name, self.fate())
            self.close()
            self._start()

    def fate(self) -> str:
        """How a worker that hung up ended and what it said last; empty while it runs."""
        try:
            status = self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            return ""
        how = (
            f"exit status {status}" if status >= 0 else f"killed by {signal.Signals(-status).name}"
        )
        said = self.last_words()
        return f"process {self.process.pid} ended, {how}" + (f": {said}" if said else "")

    def last_words(self) -> str:
        """The last line that it wrote to its standard error."""
        raw = os.pread(self._words, 1 << 20, max(0, os.fstat(self._words).st_size - (1 << 20)))
        lines = [line for line in raw.decode(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip() if lines else ""


def _end(
    process: subprocess.Popen[bytes], lifeline: socket.socket, path: Path, words: int, owner: int
) -> None:
    """Ends a worker: asks by the end of its lifeline, then kills."""
    lifeline.close()
    if os.getpid() != owner:  # a fork of the run has no business with its worker
        return
    path.unlink(missing_ok=True)
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    os.close(words)
