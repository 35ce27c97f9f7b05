# SPDX-License-Identifier: Apache-2.0
"""Each daemon can be looked at with busctl, on the system bus and on its peer socket."""

import json

import pytest

from lab import gateway, plain_message, send

BUSES = gateway.INTERFACES


@pytest.mark.parametrize("bus", ["system bus", "peer socket"])
@pytest.mark.parametrize("daemon", BUSES)
def test_busctl_introspects_and_calls(gate, daemon, bus):
    name = BUSES[daemon]
    busctl = ["busctl"] if bus == "system bus" else ["busctl", f"--address=unix:path=/run/postern/{daemon}"]
    target = [f"org.postern.{name}", f"/org/postern/{name}"]

    listing = gate.run([*busctl, "introspect", *target]).stdout
    interfaces = {line.split()[0] for line in listing.splitlines() if " interface " in line}
    assert {f"org.postern.{name}", "org.postern.Daemon1"} <= interfaces
    # Only the daemons call each other there, and none calls smtpd.
    assert (f"org.postern.{name}.Peer" in interfaces) == (bus == "peer socket" and daemon != "smtpd")

    reply = json.loads(gate.run([*busctl, "--json=short", "call", *target, "org.postern.Daemon1", "Describe"]).stdout)
    assert reply["type"] == "s"
    assert isinstance(json.loads(reply["data"][0]), dict)


@pytest.mark.parametrize("daemon", BUSES)
def test_everybody_may_look_and_only_root_reload(gate, daemon):
    name = BUSES[daemon]
    call = ["busctl", "--allow-interactive-authorization=no", "call", f"org.postern.{name}", f"/org/postern/{name}",
            "org.postern.Daemon1"]
    gate.run([*call, "Describe"], user="nobody")
    assert gate.run([*call, "Reload"], user="nobody", check=False).returncode != 0
    gate.run([*call, "Reload"])


def test_mail_goes_on_without_the_system_bus(gate, mx):
    mx.clear()
    gate.systemctl("stop", "dbus.socket", "dbus.service")
    try:
        message = plain_message()
        assert send(gate.address, message).accepted
        assert mx.wait_messages()[0].carries(message)
    finally:
        gate.run(["systemctl", "start", "dbus.socket", "dbus.service"])
