# SPDX-License-Identifier: Apache-2.0
"""An SMTP server that misbehaves as told, for what no real server can be made to do."""

import dataclasses
import queue
import socket
import ssl
import time
import warnings

from .listener import Listener
from .message import Message


@dataclasses.dataclass
class Behaviour:
    """What the server says. A reply of None: the connection is dropped instead; the delay comes before every reply."""

    greeting: str | None = "220 fake.lab ESMTP"
    ehlo: str | None = "250"  # "250": the extensions below; anything else is the whole reply to EHLO
    helo: str | None = "250 fake.lab"
    extensions: tuple = ("PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 0", "ENHANCEDSTATUSCODES")
    starttls: str | None = "220 2.0.0 Go ahead"
    secure_extensions: tuple = ()  # offered under TLS only
    offer_starttls: bool = True
    # good, drop (right after the 220), garbage (no TLS at all), silent (never answered), tls1.0 or tls1.2 (nothing newer),
    # anonymous (no cipher but those without a certificate)
    handshake: str = "good"
    mail: str | None = "250 2.1.0 Ok"
    rcpt: str | None = "250 2.1.5 Ok"
    rcpt_for: dict = dataclasses.field(default_factory=dict)  # recipient → its own reply
    data: str | None = "354 Go on"
    dot: str | None = "250 2.0.0 Stored"
    delay: float = 0.0


class _Drop(Exception):
    pass


class _Connection:
    """A connection that becomes one of TLS on the way. wire: all that the client sent, as it went over the network."""

    def __init__(self, connection):
        self._socket = connection
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._read = b""
        self.wire = bytearray()
        self.tls = None

    def receive(self):
        """What comes next, encrypted or not; b"" at the end."""
        data = self._socket.recv(65536)
        self.wire += data
        return data

    def _flush(self):
        if self._outgoing.pending:
            self._socket.sendall(self._outgoing.read())

    def _with_tls(self, function):
        """What function() gives when it has got from the client what it wants; b"" if the client closes before."""
        while True:
            try:
                value = function()
                self._flush()
                return value
            except ssl.SSLWantReadError:
                self._flush()
                data = self.receive()
                if not data:
                    return b""
                self._incoming.write(data)
            except ssl.SSLZeroReturnError:
                return b""

    def readline(self):
        """The next line, or what is left at the end."""
        while b"\n" not in self._read:
            data = self._with_tls(lambda: self.tls.read(65536)) if self.tls else self.receive()
            if not data:
                break
            self._read += data
        line, end, self._read = self._read.partition(b"\n")
        return line + end

    def sendall(self, data):
        if self.tls:
            self.tls.write(data)
            self._flush()
        else:
            self._socket.sendall(data)

    def start_tls(self, context):
        """What the client sent before it is forgotten. ssl.SSLError, when the client has heard why."""
        self._read = b""
        tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        try:
            if self._with_tls(lambda: tls.do_handshake() or True) == b"":
                raise _Drop
        except ssl.SSLError:
            self._flush()
            raise
        self.tls = tls

    def listen(self):
        """Answer nothing any more, and hear what the client still has to say."""
        while self.receive():
            pass

    def say_nothing_more(self):
        self._socket.shutdown(socket.SHUT_WR)


class FakeSmtp:
    """Made by Lab.fake_smtp(). Without a certificate it offers no STARTTLS. behaviour and certificate may be changed at any time.
    commands is what all clients said so far, sessions has a Session for each connection, and wait_message() gives the messages
    that came, with their envelopes."""

    def __init__(self, network, address, behaviour=None, certificate=None, port=25):
        self.address = address
        self.behaviour = behaviour or Behaviour()
        self.certificate = certificate
        self.commands = []
        self.sessions = []
        self.messages = queue.Queue()
        self._contexts = {}
        self._listener = Listener(network, address, port, self._serve)

    def stop(self):
        self._listener.stop()

    def wait_message(self, timeout=20):
        try:
            return self.messages.get(timeout=timeout)
        except queue.Empty:
            said = self.commands[-20:]
            raise AssertionError(f"no message came to {self.address} in {timeout} s; clients said: {said}") from None

    @property
    def wire(self):
        """All that clients sent, as it went over the network."""
        return b"".join(session.connection.wire for session in self.sessions)

    def offers_tls(self):
        return self.behaviour.offer_starttls and (self.certificate or self.behaviour.handshake == "anonymous")

    def context(self):
        """One for all connections with the same certificate, so that clients could resume their sessions."""
        handshake, certificate = self.behaviour.handshake, self.certificate
        key = handshake, certificate and certificate.chain
        if key not in self._contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            if handshake == "anonymous":
                context.maximum_version = ssl.TLSVersion.TLSv1_2
                context.set_ciphers("aNULL:@SECLEVEL=0")
            else:
                context.load_cert_chain(certificate.chain, certificate.key)
            if handshake == "tls1.0":
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)
                    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
                context.set_ciphers("ALL:@SECLEVEL=0")
            if handshake == "tls1.2":
                context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.sni_callback = lambda tls, name, _: setattr(tls, "asked_for", name)
            self._contexts[key] = context
        return self._contexts[key]

    def _serve(self, connection):
        session = Session(self, connection)
        self.sessions.append(session)
        try:
            session.run()
        except _Drop:
            pass


class Session:
    """What one client did. tls: the ssl.SSLObject, with the name it asked_for, or None."""

    def __init__(self, server, connection):
        self.server = server
        self.connection = _Connection(connection)
        self.commands = []
        self.sender = None
        self.recipients = []

    @property
    def tls(self):
        return self.connection.tls

    def hello_extensions(self):
        """Those of the ClientHello: type → data (RFC 8446, section 4.1.2)."""
        record = bytes(self.connection.wire.partition(b"STARTTLS\r\n")[2])
        hello = record[9:5 + int.from_bytes(record[3:5], "big")]
        at = 34
        for width in (1, 2, 1):  # session id, ciphers, compression
            at += width + int.from_bytes(hello[at:at + width], "big")
        found = {}
        at += 2
        while at < len(hello):
            kind, size = int.from_bytes(hello[at:at + 2], "big"), int.from_bytes(hello[at + 2:at + 4], "big")
            found[kind] = hello[at + 4:at + 4 + size]
            at += 4 + size
        return found

    def reply(self, text):
        if self.server.behaviour.delay:
            time.sleep(self.server.behaviour.delay)
        if text is None:
            raise _Drop
        self.connection.sendall(text.encode() + b"\r\n")

    def run(self):
        self.reply(self.server.behaviour.greeting)
        while line := self.connection.readline():
            command = line.decode(errors="replace").rstrip("\r\n")
            self.commands.append(command)
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
        if self.server.offers_tls() and not self.tls:
            words.append("STARTTLS")
        if self.tls:
            words += behaviour.secure_extensions
        self.reply("\r\n".join([f"250-{word}" for word in words[:-1]] + [f"250 {words[-1]}"]))

    def on_starttls(self, command):
        behaviour = self.server.behaviour
        self.reply(behaviour.starttls)
        if not (behaviour.starttls or "").startswith("220"):
            return
        if behaviour.handshake == "garbage":
            self.connection.receive()
            self.connection.sendall(b"This is no TLS at all.\r\n" * 10)
        if behaviour.handshake in ("drop", "garbage"):
            self.connection.say_nothing_more()
        if behaviour.handshake in ("drop", "garbage", "silent"):
            self.connection.listen()
            raise _Drop
        try:
            self.connection.start_tls(self.server.context())
        except ssl.SSLError:
            self.connection.listen()
            raise _Drop from None

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
        while (line := self.connection.readline()) != b".\r\n":
            if not line:
                raise _Drop
            lines.append(line[1:] if line.startswith(b".") else line)
        reply = self.server.behaviour.dot
        self.reply(reply)
        if reply.startswith("250"):
            message = Message(b"".join(lines), self.sender, self.recipients)
            message.secure = self.tls is not None
            self.server.messages.put(message)
