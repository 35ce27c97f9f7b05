# SPDX-License-Identifier: Apache-2.0
"""What the lab needs of Linux namespaces and Python's standard library does not have (before 3.12)."""

import ctypes
import os
import socket
import subprocess
import threading

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result):
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def unshare(flags):
    """Move the calling thread, which should be the only one, into new namespaces."""
    _check(_libc.unshare(flags))


def setns(fd, kind):
    _check(_libc.setns(fd, kind))


def mount(what, where, kind=None, options=None, *flags):
    command = ["mount", *flags]
    if kind:
        command += ["-t", kind]
    if options:
        command += ["-o", options]
    subprocess.run([*command, what, str(where)], check=True)


def in_network(path, function):
    """Call function() in the network namespace bound at path; sockets made there stay there.

    A namespace belongs to a thread, so a thread of its own enters it and ends there.
    """
    outcome = []

    def body():
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                setns(fd, CLONE_NEWNET)
            finally:
                os.close(fd)
            outcome.append((function(), None))
        except Exception as error:  # handed to the caller's thread below
            outcome.append((None, error))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    value, error = outcome[0]
    if error:
        raise error
    return value


def listen_in(path, address, port):
    """A listening TCP socket in the network namespace bound at path."""
    def make():
        return socket.create_server((address, port), backlog=128)

    return in_network(path, make)
