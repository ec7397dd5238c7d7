"""Imported first by the forkserver, and for its effect: the forkserver ends in the moment in which its service is gone.

multiprocessing's own looks for that only once all its imports are done, which may take half a minute. Here the kernel
is asked for a signal as soon as the service's end of a pipe is closed. No thread waits for that: what is forked must
not have any. Where multiprocessing is faster, it leaves without the interpreter's end, in which native libraries
complain on stderr.
"""

import atexit
import fcntl
import os
import select
import signal
import sys

#: The variable that names the pipe.
VARIABLE = "FORKSERVER_TETHER"


def tie(pipe: int) -> None:
    """Have SIGKILL, which ends also a process that is stopped, sent here once nobody can write to the pipe."""
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([pipe], [], [], 0)[0]:  # it was over before
        os._exit(0)


def _leave(forkserver: int) -> None:
    if os.getpid() == forkserver:  # its forks inherit this
        os._exit(0)


if sys.platform == "linux" and (_name := os.environ.pop(VARIABLE, None)):
    atexit.register(_leave, os.getpid())
    try:
        tie(os.open(_name, os.O_RDONLY | os.O_NONBLOCK))
    except FileNotFoundError:  # the service is gone
        os._exit(0)
    except PermissionError:  # a system that hides a process's files: it ends once its imports are done
        pass
