# SPDX-License-Identifier: Apache-2.0
"""The lab: booted throw-away hosts, name servers and mail servers for the system tests.

    with Lab() as lab:
        dns = lab.dns()
        gate = lab.host("gate", stage=lab.stage("build"))
        mx = lab.mx("mx1", domain="remote.lab")
        …

One process holds one lab. It lives in mount and network namespaces of its own, so that nothing of it is
visible outside and nothing remains when the process is gone, however it ends.
"""

from .certs import Authority, Certificate
from .client import Load, Sent, send, send_all
from .fake import Behaviour, FakeSmtp
from .lab import Lab
from .message import Message, plain_message, rough_message
from .node import CommandFailed, Timeout
from .posternctl import Posternctl

__all__ = ["Authority", "Behaviour", "Certificate", "CommandFailed", "FakeSmtp", "Lab", "Load", "Message",
           "Posternctl", "Sent", "Timeout", "plain_message", "rough_message", "send", "send_all"]
