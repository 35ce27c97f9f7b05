# SPDX-License-Identifier: Apache-2.0
"""Messages to send, and the comparison of what arrived with what was sent."""

import os
import re
import uuid


class Message:
    """A message as it was received: bytes with CRLF line ends."""

    def __init__(self, raw, sender=None, recipients=(), log=""):
        self.raw = raw
        self.sender = sender
        self.recipients = list(recipients)

    @classmethod
    def from_file(cls, path):
        """A message that a mail server stored with LF line ends."""
        return cls(path.read_bytes().replace(b"\n", b"\r\n"))

    def __contains__(self, data):
        return data in self.raw

    def header(self, name):
        """All values of the header field name, unfolded, in order."""
        head = self.raw.split(b"\r\n\r\n", 1)[0].decode("utf-8", "replace")
        lines = re.sub(r"\r\n[ \t]+", " ", head).split("\r\n")
        return [line.split(":", 1)[1].strip() for line in lines if line.lower().startswith(name.lower() + ":")]

    def carries(self, original):
        """Whether this is original, byte for byte, with nothing but trace fields (Received, Return-Path) before it."""
        if not self.raw.endswith(original):
            return False
        added = self.raw[:len(self.raw) - len(original)].decode("ascii")
        fields = re.sub(r"\r\n[ \t]+", " ", added).split("\r\n")
        return fields[-1] == "" and all(re.match(r"(Received|Return-Path|Delivered-To):", field) for field in fields[:-1])


def _head(subject, sender, recipient, token):
    return (f"From: <{sender}>\r\nTo: <{recipient}>\r\nSubject: {subject}\r\nMessage-ID: <{token}@client.lab>\r\n"
            f"Date: Tue, 24 Nov 2026 08:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\n"
            f"Content-Transfer-Encoding: 8bit\r\n\r\n").encode()


def plain_message(subject="A message", sender="alice@client.lab", recipient="bob@remote.lab", token=None, size=0):
    """A small message, filled up with lines to about size bytes."""
    text = _head(subject, sender, recipient, token or uuid.uuid4().hex) + b"Hello.\r\n"
    line = b"The quick brown fox jumps over the lazy dog, and again over the same dog.\r\n"
    return text + line * max(0, (size - len(text)) // len(line))


def rough_message(size, sender="alice@client.lab", recipient="bob@remote.lab"):
    """A message of at least size bytes with everything that a careless mail server spoils: lines that begin with dots or
    are a dot alone, all 8-bit bytes, empty lines, blanks at line ends, a line of the longest allowed length."""
    special = [b".", b"..", b".leading dot", b"...", b"", b"trailing blank ", b"\ttab", b"From the start of a line",
               bytes(range(0x80, 0x100)), b"x" * 998, "Grüße, 世界".encode(), b"."]
    parts = [_head("Everything that is easily spoiled", sender, recipient, uuid.uuid4().hex)]
    length = 0
    while length < size:
        noise = os.urandom(48).translate(bytes(b if b not in b"\0\r\n" else 0x2e for b in range(256)))
        block = b"\r\n".join([*special, noise, b"." + noise]) + b"\r\n"
        parts.append(block)
        length += len(block)
    return b"".join(parts)
