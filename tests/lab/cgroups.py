# SPDX-License-Identifier: Apache-2.0
"""Control groups: systemd inside a host needs one to itself.

Only the hierarchies that systemd uses to track processes matter: the unified one, and on old set-ups the one named systemd.
"""

import os
import pathlib
import time

TOPS = [pathlib.Path(path) for path in ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")]
PREFIX = "postern-lab-"


def _hierarchies():
    return [top for top in TOPS if (top / "cgroup.procs").exists()]


def make(name):
    """Make the groups of this name; return the files that a process enters them by."""
    files = []
    for top in _hierarchies():
        group = top / f"{PREFIX}{os.getpid()}" / name
        group.mkdir(parents=True, exist_ok=True)
        files.append(group / "cgroup.procs")
    return files


def _remove(group, patience):
    """Remove a group with all below it; one that is in use still, after patience seconds, stays."""
    deadline = time.monotonic() + patience
    for directory, _, _ in os.walk(group, topdown=False):
        while True:
            try:
                os.rmdir(directory)
                break
            except OSError:  # killed processes take a moment to be gone
                if time.monotonic() > deadline:
                    break
                time.sleep(0.02)


def remove(pid=None, patience=2):
    """Remove all groups of the process pid, by default of this one."""
    for top in _hierarchies():
        _remove(top / f"{PREFIX}{pid or os.getpid()}", patience)


def remove_stale():
    """Remove the groups of labs whose processes are gone."""
    for top in _hierarchies():
        for group in top.glob(f"{PREFIX}*"):
            if not os.path.exists(f"/proc/{group.name.removeprefix(PREFIX)}"):
                _remove(group, 0)
