# SPDX-License-Identifier: Apache-2.0
"""Throw-away copies of this machine's root directory, and layers of packages over it.

A layer is the upper directory of an overlay in which apt-get ran once. It is kept in the lab's cache under a name made
of the package names and of everything installed here, so that it is made again when the machine below it changed.
Peers of the suite (Postfix, Knot, …) are therefore never installed on the machine itself.
"""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess

from . import namespaces

CACHE = pathlib.Path(os.environ.get("POSTERN_LAB_DIR", "/var/cache/postern-lab"))

# A service must not be started by the installation of its package.
POLICY = "#!/bin/sh\nexit 101\n"


def opaque(path):
    """Make the directory path in an upper layer, hiding what the layers below have there."""
    path.mkdir(parents=True, exist_ok=True)
    os.setxattr(path, "trusted.overlay.opaque", b"y")


def lay(layers, upper):
    """Copy layers into an upper directory, the later over the earlier. (Linux refuses a lower layer that lies inside another,
    and every directory here lies inside "/".)"""
    upper.mkdir(parents=True, exist_ok=True)
    for layer in layers:
        subprocess.run(["cp", "--archive", "--reflink=auto", f"{layer}/.", str(upper)], check=True)


def merge_usr(layer):
    """Where this machine has /lib → usr/lib and the like, put what a layer has in /lib there, too."""
    layer.chmod(0o755)
    for path in layer.iterdir():
        link = pathlib.Path("/", path.name)
        if path.is_dir() and link.is_symlink():
            lay([path], layer / os.readlink(link).lstrip("/"))
            shutil.rmtree(path)


def mount_overlay(directory):
    """Mount directory/root: this machine's root directory, with directory/upper, writable, above it."""
    upper, work, root = (directory / name for name in ("upper", "work", "root"))
    for path in (upper, work, root):
        path.mkdir(parents=True, exist_ok=True)
    options = f"lowerdir=/,upperdir={upper},workdir={work},index=off,metacopy=off,redirect_dir=off"
    namespaces.mount("overlay", root, "overlay", options)
    return root


@contextlib.contextmanager
def locked(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _installed():
    query = ["dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Abbrev}\n"]
    return subprocess.run(query, check=True, capture_output=True).stdout


def _key(packages):
    return hashlib.sha256(_installed() + " ".join(sorted(packages)).encode()).hexdigest()[:16]


def package_layer(packages, network, log):
    """The layer with packages installed; network is the path of the namespace that reaches the package mirror."""
    packages = sorted(packages)
    layers = CACHE / "layers"
    with locked(layers / "lock"):
        name = "-".join(packages)[:60]
        layer = layers / f"{name}.{_key(packages)}"
        if not layer.is_dir():
            for old in layers.glob(f"{name}.*"):
                shutil.rmtree(old)
            _make_layer(layer, packages, network, log)
    return layer


def _make_layer(layer, packages, network, log):
    scratch = layer.with_name("new")
    shutil.rmtree(scratch, ignore_errors=True)
    root = mount_overlay(scratch)
    try:
        for path, kind in (("proc", "proc"), ("dev", None)):
            if kind:
                namespaces.mount(kind, root / path, kind)
            else:
                namespaces.mount(f"/{path}", root / path, None, None, "--rbind")
        policy = root / "usr/sbin/policy-rc.d"
        policy.write_text(POLICY)
        policy.chmod(0o755)
        resolver = pathlib.Path("/etc/resolv.conf").read_text()
        (root / "etc/resolv.conf").unlink(missing_ok=True)
        (root / "etc/resolv.conf").write_text(resolver)

        apt = ["nsenter", f"--net={network}", "chroot", str(root), "env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8",
               "apt-get", "-q", "-y", "-o", "Dpkg::Use-Pty=0"]
        install = [*apt, "install", "--no-install-recommends", *packages]
        for command in ([*apt, "update"], install):
            with open(log, "wb") as output:
                result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
            if result.returncode != 0:
                raise SystemExit(f"Packages could not be installed:\n{log.read_text(errors='replace')[-2000:]}")
        policy.unlink()
        (root / "etc/resolv.conf").unlink()
    finally:
        subprocess.run(["umount", "--recursive", "--lazy", str(root)], check=True)

    # Only what the packages brought is kept, not the package manager's own files.
    shutil.rmtree(scratch / "upper/var/lib/apt", ignore_errors=True)
    shutil.rmtree(scratch / "upper/var/cache/apt", ignore_errors=True)
    (scratch / "upper").rename(layer)
    shutil.rmtree(scratch)
