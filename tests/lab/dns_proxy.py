# SPDX-License-Identifier: Apache-2.0
"""A name server that hands questions on to another one, and answers on request as none should: a forwarder that loses
signatures, a server that fails for some names."""

import socket
import struct
import threading

from . import namespaces

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "MX": 15, "TXT": 16, "AAAA": 28, "DS": 43, "DNSKEY": 48, "TLSA": 52}
RCODES = {"formerr": 1, "servfail": 2, "notimp": 4, "refused": 5}


def _question(message):
    """The name, the type, and where the question ends."""
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]].decode("latin-1").lower())
        at += 1 + message[at]
    return ".".join(labels), struct.unpack_from("!H", message, at + 1)[0], at + 5


class DnsProxy:
    """Listens on port 53 of its address, UDP and TCP.

    authenticated: say so (AD) of all answers, true or not.
    strip: hand questions on without EDNS, so that answers come without signatures, and claim that they were validated.
    fail(name, type, how): from now on, how is "servfail", "refused", "notimp", "formerr", "malformed" or "silent".
    asked: each question as (name, type).
    """

    def __init__(self, network, address, server):
        self.address = address
        self.server = server
        self.authenticated = False
        self.strip = False
        self.asked = []
        self._failures = {}
        self._udp = namespaces.in_network(network, lambda: self._bind(address))
        self._upstream = namespaces.in_network(network, lambda: self._connect(server))
        self._tcp = namespaces.listen_in(network, address, 53)
        self._network = network
        threading.Thread(target=self._serve_udp, daemon=True).start()
        threading.Thread(target=self._serve_tcp, daemon=True).start()

    @staticmethod
    def _bind(address):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind((address, 53))
        return udp

    @staticmethod
    def _connect(server):
        upstream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        upstream.connect((server, 53))
        upstream.settimeout(2)
        return upstream

    def stop(self):
        for server in (self._udp, self._tcp):
            try:
                server.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # a datagram socket has no peer to tell
            server.close()

    def fail(self, name, kind, how):
        self._failures[name, TYPES[kind]] = how

    def mend(self):
        self._failures.clear()

    def count(self, name, kind):
        return self.asked.count((name, TYPES[kind]))

    def _prepare(self, query):
        """The message to hand on; what to answer without doing so (nothing: silence)."""
        name, kind, end = _question(query)
        self.asked.append((name, kind))
        how = self._failures.get((name, kind))
        if how == "silent":
            return None, b""
        if how == "malformed":
            return None, query[:2] + b"\x84\x00\x00\x01\x00\x02\x00\x00\x00\x00" + query[12:end] + b"\xc0"
        if how:
            return None, query[:2] + bytes([query[2] & 1 | 0x80, RCODES[how]]) + b"\0\1\0\0\0\0\0\0" + query[12:end]
        if self.strip:
            query = query[:10] + b"\0\0" + query[12:end]
        return query, None

    def _claim(self, answer):
        """With the AD bit set, which nobody should believe who did not ask for it over a trusted channel."""
        return answer[:3] + bytes([answer[3] | 0x20]) + answer[4:] if self.strip or self.authenticated else answer

    def _serve_udp(self):
        while True:
            try:
                query, client = self._udp.recvfrom(4096)
            except OSError:
                return
            if not query:
                return  # stop() wakes it up like this
            onward, answer = self._prepare(query)
            if onward:
                self._upstream.send(onward)
                try:
                    answer = self._upstream.recv(65535)
                    while answer[:2] != onward[:2]:
                        answer = self._upstream.recv(65535)
                except TimeoutError:
                    continue
            if answer:
                self._udp.sendto(self._claim(answer), client)

    def _serve_tcp(self):
        while True:
            try:
                connection, _ = self._tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection):
        upstream = None
        with connection:
            while len(size := connection.recv(2, socket.MSG_WAITALL)) == 2:
                query = connection.recv(struct.unpack("!H", size)[0], socket.MSG_WAITALL)
                onward, answer = self._prepare(query)
                if onward:
                    upstream = upstream or namespaces.in_network(
                        self._network, lambda: socket.create_connection((self.server, 53), timeout=5))
                    upstream.sendall(struct.pack("!H", len(onward)) + onward)
                    length = struct.unpack("!H", upstream.recv(2, socket.MSG_WAITALL))[0]
                    answer = upstream.recv(length, socket.MSG_WAITALL)
                if answer:
                    connection.sendall(struct.pack("!H", len(answer)) + self._claim(answer))
        if upstream:
            upstream.close()
