# SPDX-License-Identifier: Apache-2.0
"""A destination whose TLSA record does not fit its certificate gets no mail, and the administrator hears of it."""

from lab import Certificate, gateway, plain_message, send
from lab.node import wait_until


def wait_alert(administrator, about, timeout=30):
    """The first alert mail that names about."""
    while True:
        message = administrator.wait_message(timeout)
        if about.encode() in message.raw:
            return message


def test_a_wrong_tlsa_record_defers_mail_until_it_is_corrected(lab, dns, gate, administrator):
    # Given a domain whose TLSA record names another key than its server has
    mx = lab.mx("wrong-mx", "wrong.lab")
    other = Certificate.self_signed(mx.peer.directory, "other.lab")
    dns.mail_domain("wrong.lab", mx.name, mx.address, other.tlsa())
    before = gate.cursor()
    pids = {unit: gate.pid_of(unit) for unit in gateway.UNITS}

    # when a message is sent to it
    message = plain_message(recipient="carol@wrong.lab")
    sent = send(gate.address, message, recipients=["carol@wrong.lab"])
    assert sent.accepted

    # then it is deferred, with one line that says why,
    entry = gate.wait_entry(gateway.DEFERRED, since=before, QUEUE_ID=sent.queue_id)
    assert entry["POSTERN_DESTINATION"] == "wrong.lab"
    assert entry["POSTERN_TLS_WANTED"] == "dane"
    assert "TLSA" in entry["POSTERN_REASON"] and "TLSA" in entry["MESSAGE"]
    assert len(gate.journal(since=before, MESSAGE_ID=gateway.DEFERRED, POSTERN_QUEUE_ID=sent.queue_id)) == 1
    assert mx.messages() == [] and sent.queue_id in gate.queue()

    # and the administrator gets one mail about it.
    alert = wait_alert(administrator, "wrong.lab")
    assert alert.recipients == ["admin@alerts.lab"]
    subject = alert.header("Subject")[0]
    assert "Warning" in subject and "wrong.lab" in subject
    assert b"1 message waits for wrong.lab" in alert.raw

    # When the record is corrected (and the old one no longer remembered: its TTL is a second)
    dns.set(f"_25._tcp.{mx.name}", "TLSA", mx.tlsa())

    def delivered():
        gate.flush("wrong.lab")
        return gate.journal(since=before, MESSAGE_ID=gateway.DELIVERED, POSTERN_QUEUE_ID=sent.queue_id)

    # then the message is delivered without a restart of anything.
    entry = wait_until(delivered, timeout=20, what="the delivery", interval=1)[0]
    assert entry["POSTERN_TLS_RESULT"] == "dane"
    received = mx.wait_messages()[0]
    assert received.carries(message)
    assert pids == {unit: gate.pid_of(unit) for unit in gateway.UNITS}
    assert not any("wrong.lab" in text for text in subjects_left(administrator)), "there was a second alert"


def subjects_left(administrator):
    left = []
    while not administrator.messages.empty():
        left += administrator.messages.get().header("Subject")
    return left
