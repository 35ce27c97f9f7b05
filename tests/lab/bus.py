# SPDX-License-Identifier: Apache-2.0
"""Calls of the suite's public interfaces on a host's system bus: by busctl, and where descriptors are passed, which busctl
cannot, from the test process."""

import json
import os
import re

from jeepney import DBusAddress, MessageType, new_method_call
from jeepney.io.blocking import open_dbus_connection


class BusError(Exception):
    """What a method answered instead of a result: the error's name without org.postern.Error., and its text."""

    def __init__(self, name, text):
        super().__init__(f"{name}: {text}")
        self.name = name.removeprefix("org.postern.Error.")
        self.text = text


def memfd(content):
    """An anonymous file with this content."""
    file = os.fdopen(os.memfd_create("lab"), "w+b")
    file.write(content)
    file.flush()
    return file


def _words(value, kind):
    """An argument as busctl wants it."""
    if kind == "a{sv}":
        words = [len(value)]
        for name, (value_kind, content) in value.items():
            words += [name, value_kind, *_words(content, value_kind)]
        return words
    if kind == "as":
        return [len(value), *value]
    return [str(value).lower() if kind == "b" else value]


class PublicInterface:
    """One of the interfaces, such as Cert1."""

    def __init__(self, host, name):
        self.host = host
        self.service = f"org.postern.{name}"
        self.object = f"/org/postern/{name}"

    def busctl(self, method, kinds=(), *arguments):
        words = [word for kind, argument in zip(kinds, arguments, strict=True) for word in _words(argument, kind)]
        # busctl shows the name of an error only among its debug messages.
        result = self.host.run(["env", "SYSTEMD_LOG_LEVEL=debug", "busctl", "--json=short", "call", self.service, self.object,
                                self.service, method, "".join(kinds), "--", *words], check=False)
        if result.returncode == 0:
            return json.loads(result.stdout)["data"] if result.stdout else []
        found = re.search(r"error-name=(org\.\S+) error-message=(.*)", result.stderr)
        raise BusError(found.group(1), found.group(2)) if found else AssertionError(result.stderr)

    def call(self, method, signature="", *arguments):
        """The same with descriptors: whatever has a fileno() is one. What is answered has them as files."""
        address = DBusAddress(self.object, self.service, self.service)
        socket = self.host.path("/run/dbus/system_bus_socket")
        with open_dbus_connection(f"unix:path={socket}", enable_fds=True, auth_timeout=20) as connection:
            reply = connection.send_and_get_reply(new_method_call(address, method, signature, arguments), timeout=60)
        if reply.header.message_type == MessageType.error:
            raise BusError(reply.header.fields[4], reply.body[0])
        return [value.to_file("rb") if hasattr(value, "to_file") else value for value in reply.body]
