# SPDX-License-Identifier: Apache-2.0
"""Sending: one message, or a load of many over many connections that remembers what was accepted."""

import re
import smtplib
import ssl
import threading
import time

from .message import plain_message


class Sent:
    """What became of one message that was sent."""

    def __init__(self, code, reply, tls_version, tls_cipher):
        self.code = code
        self.reply = reply
        self.tls_version = tls_version
        self.tls_cipher = tls_cipher

    @property
    def accepted(self):
        return self.code == 250

    @property
    def queue_id(self):
        """The queue id that the reply names: 16 characters of lower-case base32hex."""
        found = re.search(r"\b[0-9a-v]{16}\b", self.reply)
        return found.group() if found else None


def any_certificate():
    """A TLS context that takes every certificate: what the server shows is looked at elsewhere."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class _Smtp(smtplib.SMTP):
    def put(self, sender, recipients, raw, *parameters):
        """One transaction; returns (code, reply) of the first command that was refused, or of the final dot."""
        mail = " ".join([f"MAIL FROM:<{sender}> BODY=8BITMIME", *parameters])
        for command in (mail, *(f"RCPT TO:<{recipient}>" for recipient in recipients)):
            code, reply = self.docmd(command)
            if code != 250:
                self.rset()
                return code, reply
        return self.data(raw)


def connect(address, port=25, tls=True, helo="client.lab", timeout=30):
    client = _Smtp(timeout=timeout, local_hostname=helo)
    code, reply = client.connect(address, port)
    if code != 220:
        client.close()
        raise smtplib.SMTPConnectError(code, reply)
    client.ehlo()
    if tls:
        client._host = "gate.lab"
        client.starttls(context=any_certificate())
        client.ehlo()
    return client


def send(address, message=None, sender="alice@client.lab", recipients=("bob@remote.lab",), tls=True, port=25, parameters=(),
         **options):
    """Send one message (bytes with CRLF line ends), with these parameters of MAIL, and return what became of it."""
    client = connect(address, port, tls, **options)
    try:
        code, reply = client.put(sender, recipients, plain_message() if message is None else message, *parameters)
        version, cipher = (client.sock.version(), client.sock.cipher()[0]) if tls else (None, None)
        return Sent(code, reply.decode(errors="replace"), version, cipher)
    finally:
        try:
            client.quit()
        except (OSError, smtplib.SMTPException):
            client.close()


def send_all(address, messages):
    """Send messages, (sender, recipient, bytes) each, over one connection; return what became of each."""
    client = connect(address)
    sent = []
    for sender, recipient, raw in messages:
        code, reply = client.put(sender, [recipient], raw)
        sent.append(Sent(code, reply.decode(errors="replace"), client.sock.version(), client.sock.cipher()[0]))
    client.quit()
    return sent


class Load:
    """Messages sent over several connections at a time, each message until it is accepted.

    A lost connection is made again, as a real client would. Afterwards:
    accepted – the tokens of the messages that were answered 250 (each message has its token in its Message-ID);
    refused – the times at which a connection was refused by the kernel;
    interruptions – what else went wrong and was tried again.
    """

    def __init__(self, address, count=500, connections=10, per_connection=10, tls=True, recipient="bob@remote.lab", size=4096,
                 patience=60, pause=0.0):
        self._address = address
        self._per_connection = per_connection
        self._tls = tls
        self._recipient = recipient
        self._size = size
        self._patience = patience
        self._pause = pause
        self._waiting = [f"load-{number:06d}" for number in range(count)]
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self.count = count
        self.accepted = []
        self.refused = []
        self.interruptions = []
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(connections)]

    def start(self):
        for thread in self._threads:
            thread.start()
        return self

    def wait_accepted(self, count, timeout=60):
        """Wait until count messages have been accepted."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.accepted) >= count, timeout):
                raise AssertionError(f"only {len(self.accepted)} of {count} messages were accepted in {timeout} s; "
                                     f"interruptions: {self.interruptions[-5:]}")

    def wait(self, timeout=120):
        """Wait for the end: every message accepted."""
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0, deadline - time.monotonic()))
        self.wait_accepted(self.count, 0.1)
        return self

    def _next(self):
        with self._lock:
            return self._waiting.pop() if self._waiting else None

    def _back(self, token):
        with self._lock:
            self._waiting.append(token)

    def _work(self):
        deadline = time.monotonic() + self._patience
        while time.monotonic() < deadline:
            token = self._next()
            if token is None:
                return
            token = self._session(token)
            if token is not None:
                self._back(token)

    def _session(self, token):
        """Send messages over one connection, the first with this token; returns a token that was not accepted."""
        client = None
        try:
            client = connect(self._address, tls=self._tls, timeout=20)
            for _ in range(self._per_connection):
                message = plain_message(recipient=self._recipient, token=token, size=self._size)
                code, reply = client.put("alice@client.lab", [self._recipient], message)
                if code != 250:
                    self._interrupted(f"{code} {reply.decode(errors='replace')}")
                    break
                with self._changed:
                    self.accepted.append(token)
                    self._changed.notify_all()
                token = self._next()
                if token is None:
                    break
                if self._pause:
                    time.sleep(self._pause)
            client.quit()
        except ConnectionRefusedError:
            with self._lock:
                self.refused.append(time.monotonic())
            time.sleep(0.05)
        except (OSError, smtplib.SMTPException) as error:
            self._interrupted(f"{type(error).__name__}: {error}")
            time.sleep(0.05)
        finally:
            if client:
                client.close()
        return token

    def _interrupted(self, reason):
        with self._lock:
            self.interruptions.append(reason)
