# SPDX-License-Identifier: Apache-2.0
"""Control groups: systemd inside a host needs one to itself.

Only the hierarchies that systemd uses to track processes matter: the unified one, and on old set-ups the one named systemd.
"""

import os
import pathlib
import time

TOPS = [pathlib.Path(path) for path in ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")]
PREFIX = "postern-lab-"
STALE = 3600  # seconds after which an empty group is taken for left over


def _hierarchies():
    return [top for top in TOPS if (top / "cgroup.procs").exists()]


def make(lab, name):
    """Make the groups of one node of a lab; return the files that a process enters them by."""
    files = []
    for top in _hierarchies():
        group = top / f"{PREFIX}{lab}" / name
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


def remove(lab):
    """Remove all groups of a lab."""
    for top in _hierarchies():
        _remove(top / f"{PREFIX}{lab}", patience=2)


def remove_stale():
    """Remove the groups of labs whose processes were killed; the kernel keeps those that are in use."""
    for top in _hierarchies():
        for group in top.glob(f"{PREFIX}*"):
            if time.time() - group.stat().st_mtime > STALE:
                _remove(group, patience=0)
