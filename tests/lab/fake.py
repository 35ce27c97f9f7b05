# SPDX-License-Identifier: Apache-2.0
"""An SMTP server that misbehaves as told, for what no real server can be made to do."""

import dataclasses
import queue
import socket
import ssl
import threading
import time

from . import namespaces
from .message import Message


@dataclasses.dataclass
class Behaviour:
    """What the server says. A reply of None: the connection is dropped instead; the delay comes before every reply."""

    greeting: str | None = "220 fake.lab ESMTP"
    ehlo: str | None = "250"  # "250": the extensions below; anything else is the whole reply to EHLO
    helo: str | None = "250 fake.lab"
    extensions: tuple = ("PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 0", "ENHANCEDSTATUSCODES")
    starttls: str | None = "220 2.0.0 Go ahead"
    offer_starttls: bool = True
    handshake: str = "good"  # good, drop (right after the 220), garbage (no TLS at all), silent (never answered)
    mail: str | None = "250 2.1.0 Ok"
    rcpt: str | None = "250 2.1.5 Ok"
    rcpt_for: dict = dataclasses.field(default_factory=dict)  # recipient → its own reply
    data: str | None = "354 Go on"
    dot: str | None = "250 2.0.0 Stored"
    delay: float = 0.0


class _Drop(Exception):
    pass


class FakeSmtp:
    """Made by Lab.fake_smtp(). Without a certificate it offers no STARTTLS. behaviour may be changed at any time; commands is
    what all clients said so far, and wait_message() gives the messages that came, with their envelopes."""

    def __init__(self, network, address, behaviour=None, certificate=None, port=25):
        self.address = address
        self.behaviour = behaviour or Behaviour()
        self.certificate = certificate
        self.commands = []
        self.connections = 0
        self.messages = queue.Queue()
        self._open = set()
        self._listener = namespaces.listen_in(network, address, port)
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        # close() alone would leave the accepting thread asleep.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            connection.close()

    def wait_message(self, timeout=20):
        try:
            return self.messages.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"no message came to {self.address} in {timeout} s; clients said: {self.commands[-20:]}") from None

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        self._open.add(connection)
        try:
            _Session(self, connection).run()
        except (_Drop, OSError):
            pass
        finally:
            self._open.discard(connection)
            connection.close()


class _Session:
    def __init__(self, server, connection):
        self.server = server
        self.connection = connection
        self.stream = connection.makefile("rb")
        self.secure = False
        self.sender = None
        self.recipients = []

    def reply(self, text):
        if self.server.behaviour.delay:
            time.sleep(self.server.behaviour.delay)
        if text is None:
            raise _Drop
        self.connection.sendall(text.encode() + b"\r\n")

    def run(self):
        self.reply(self.server.behaviour.greeting)
        while line := self.stream.readline():
            command = line.decode(errors="replace").rstrip("\r\n")
            self.server.commands.append(command)
            verb = command.partition(" ")[0].upper()
            if verb == "QUIT":
                self.reply("221 2.0.0 Bye")
                return
            getattr(self, f"on_{verb.lower()}", self.on_other)(command)

    def on_other(self, command):
        self.reply("250 2.0.0 Ok" if command.upper() in ("NOOP", "RSET") else "500 5.5.2 What?")

    def on_helo(self, command):
        self.reply(self.server.behaviour.helo)

    def on_ehlo(self, command):
        behaviour = self.server.behaviour
        if behaviour.ehlo != "250":
            self.reply(behaviour.ehlo)
            return
        words = ["fake.lab", *behaviour.extensions]
        if behaviour.offer_starttls and self.server.certificate and not self.secure:
            words.append("STARTTLS")
        self.reply("\r\n".join([f"250-{word}" for word in words[:-1]] + [f"250 {words[-1]}"]))

    def on_starttls(self, command):
        behaviour = self.server.behaviour
        self.reply(behaviour.starttls)
        if not (behaviour.starttls or "").startswith("220"):
            return
        if behaviour.handshake == "drop":
            raise _Drop
        if behaviour.handshake == "garbage":
            self.connection.sendall(b"This is no TLS at all.\r\n" * 10)
            raise _Drop
        if behaviour.handshake == "silent":
            while self.connection.recv(4096):
                pass
            raise _Drop
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server.certificate.chain, self.server.certificate.key)
        self.connection = context.wrap_socket(self.connection, server_side=True)
        self.stream = self.connection.makefile("rb")
        self.secure = True

    def on_mail(self, command):
        self.sender = command.partition("<")[2].partition(">")[0]
        self.recipients = []
        self.reply(self.server.behaviour.mail)

    def on_rcpt(self, command):
        recipient = command.partition("<")[2].partition(">")[0]
        reply = self.server.behaviour.rcpt_for.get(recipient, self.server.behaviour.rcpt)
        if reply and reply.startswith("25"):
            self.recipients.append(recipient)
        self.reply(reply)

    def on_data(self, command):
        if not self.recipients:
            self.reply("503 5.5.1 No recipients")
            return
        self.reply(self.server.behaviour.data)
        lines = []
        while (line := self.stream.readline()) != b".\r\n":
            if not line:
                raise _Drop
            lines.append(line[1:] if line.startswith(b".") else line)
        reply = self.server.behaviour.dot
        self.reply(reply)
        if reply.startswith("250"):
            message = Message(b"".join(lines), self.sender, self.recipients)
            message.secure = self.secure
            self.server.messages.put(message)
