# SPDX-License-Identifier: Apache-2.0
"""A policy host of MTA-STS for any number of domains: an HTTPS server that answers each as told, well or badly."""

import dataclasses
import ssl

from .listener import Listener

PATH = "/.well-known/mta-sts.txt"


def policy(mode, *mx, max_age=604800):
    """The text of a policy (RFC 8461, section 3.2)."""
    return "\r\n".join(["version: STSv1", f"mode: {mode}", *(f"mx: {pattern}" for pattern in mx), f"max_age: {max_age}", ""])


@dataclasses.dataclass
class Answer:
    """What a domain's policy host says."""

    body: str | bytes
    certificate: object = None  # None: a good one of the lab's authority
    status: str = "200 OK"
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple = ()
    endless: bool = False  # the body again and again
    silent: bool = False   # no answer at all; the connection stays open


class PolicyHost:
    """Made by Lab.policy_host(). answers is a dictionary of domain → Answer, which may be changed at any time; requests is what
    clients asked for so far, as (domain, first line, headers); handshakes the names that they asked to see, also in vain."""

    def __init__(self, network, address, authority):
        self.address = address
        self.authority = authority
        self.answers = {}
        self.requests = []
        self.handshakes = []
        self._contexts = {}
        self._context = self._make_context(authority.issue("policy-host.lab"))
        self._context.sni_callback = self._choose_certificate
        self._listener = Listener(network, address, 443, self._serve)

    def stop(self):
        self._listener.stop()

    def publish(self, dns, domain, answer, id="1"):
        """Set the domain's records and what its policy host says; a text is a policy that is well served."""
        self.serve(domain, answer)
        dns.set(f"mta-sts.{domain}", "A", self.address)
        dns.set(f"_mta-sts.{domain}", "TXT", f'"v=STSv1; id={id};"')

    def serve(self, domain, answer):
        answer = answer if isinstance(answer, Answer) else Answer(answer)
        name = f"mta-sts.{domain}"
        certificate = answer.certificate or self.authority.issue(name)
        self._contexts[name] = self._make_context(certificate)
        self.answers[domain] = answer

    def count(self, domain):
        """How often the policy of a domain was asked for."""
        return sum(asked == domain for asked, _, _ in self.requests)

    @staticmethod
    def _make_context(certificate):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.chain, certificate.key)
        return context

    def _choose_certificate(self, connection, name, context):
        self.handshakes.append(name)
        if name in self._contexts:
            connection.context = self._contexts[name]

    def _serve(self, connection):
        with self._context.wrap_socket(connection, server_side=True) as secured:
            self._answer(secured)

    def _answer(self, connection):
        with connection.makefile("rb") as stream:
            first = stream.readline().decode().strip()
            headers = {}
            while line := stream.readline().strip():
                key, _, value = line.decode().partition(":")
                headers[key.lower()] = value.strip()
            domain = headers.get("host", "").removeprefix("mta-sts.")
            self.requests.append((domain, first, headers))
            answer = self.answers.get(domain)
            if answer is None or first.split()[:2] != ["GET", PATH]:
                answer = Answer("nothing here", status="404 Not Found")
            if answer.silent:
                stream.read()
                return
            body = answer.body.encode() if isinstance(answer.body, str) else answer.body
            lines = [f"HTTP/1.1 {answer.status}", f"Content-Type: {answer.content_type}", "Connection: close", *answer.headers]
            if not answer.endless:
                lines.append(f"Content-Length: {len(body)}")
            connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
            while answer.endless:
                connection.sendall(body)
