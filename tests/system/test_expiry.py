# SPDX-License-Identifier: Apache-2.0
"""Who runs the gateway hears in time that a certificate expires, once for each threshold."""

import datetime
import json

import pytest

from lab import gateway

STORE = "/var/lib/postern/certd"
EXPIRES, EXPIRED = "4966ffb92d7e41238cc2d8709bd258bc", "8642bde8152b46bd94ab01381a2e8a65"
DEMONSTRATION = "a9ec3eab5393446683f0c4e2824dabaa"

AUTHORITY = """\
[ca]
default_ca = lab
[lab]
database = index
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
"""

# name → hours left, whether smtpd may use it, severity of its alert, what is said
CERTIFICATES = {
    "far": (31 * 24, True, None, None),
    "month": (29 * 24 + 1, True, "Warning", "expires in 29 days"),
    "fortnight": (13 * 24 + 1, True, "Warning", "expires in 13 days"),
    "week": (6 * 24 + 1, True, "Warning", "expires in 6 days"),
    "days": (2 * 24 + 1, True, "Warning", "expires in 2 days"),
    "today": (12.5, True, "Warning", "expires in 12 hours"),
    "past": (-1, True, "Critical", "has expired"),
    "unused": (13 * 24 + 1, False, None, "expires in 13 days"),
    "forgotten": (-1, False, None, "has expired"),
}


def put(host, name, seconds_left):
    """A certificate of another authority than ours in the store, as an administrator puts it there."""
    work = "/root/expiry"
    now = datetime.datetime.now(datetime.timezone.utc)
    begin, end = (format(now + datetime.timedelta(seconds=seconds), "%Y%m%d%H%M%SZ") for seconds in (-400 * 86400, seconds_left))
    host.write(f"{work}/ca.cnf", AUTHORITY)
    host.run(f"""cd {work} && exec 2>/dev/null && touch index && echo {len(name):02x}{abs(hash(name)) % 0xffffff:06x} >serial &&
        [ -e ca.key ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=lab
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}.lab &&
        openssl ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key -in {name}.csr -out {name}.crt \
            -startdate {begin} -enddate {end} &&
        install -m 600 -o postern-certd -g postern-certd {name}.key {STORE}/{name}.key &&
        install -m 644 -o postern-certd -g postern-certd {name}.crt {STORE}/{name}.crt""")


def told(host, name, since=0):
    return [entry for entry in host.journal(since=since, POSTERN_CERTIFICATE=name) if entry.get("MESSAGE_ID") in (EXPIRES, EXPIRED)]


def about(name):
    """Whether an alert is about the expiry of this certificate."""
    return lambda entry: f"certificate {name} " in entry["POSTERN_REASON"]


def alerts(host, name, since=0):
    return list(filter(about(name), host.journal(since=since, MESSAGE_ID=gateway.ALERT)))


@pytest.fixture(scope="module")
def office(lab, dns, administrator):
    host = lab.gateway("calendar", dns, [".lab"], alert_recipient="admin@alerts.lab")
    for name, (hours, *_) in CERTIFICATES.items():
        put(host, name, hours * 3600)
    used = " ".join(name for name, (_, used, *_) in CERTIFICATES.items() if used)
    host.configure("certd", f"[Service smtpd]\nCertificates=demonstration {used}\n")
    host.reload("certd")
    return host


def test_each_is_told_once_with_its_severity(office, administrator):
    for name, (_, used, severity, text) in CERTIFICATES.items():
        if text is None:
            continue
        entry = office.wait_journal(POSTERN_CERTIFICATE=name, match=lambda e: e["MESSAGE_ID"] in (EXPIRES, EXPIRED))[0]
        assert entry["POSTERN_REASON"] == text and entry["MESSAGE_ID"] == (EXPIRED if text == "has expired" else EXPIRES)
        assert ("smtpd" in entry["MESSAGE"]) == used
        if severity:
            alert = office.wait_journal(MESSAGE_ID=gateway.ALERT, match=about(name))[0]
            assert alert["POSTERN_ALERT_SEVERITY"] == severity and alert["POSTERN_PEER"] == "certd"
    for name, (_, _, severity, text) in CERTIFICATES.items():
        assert len(told(office, name)) == (text is not None), name
        assert len(alerts(office, name)) == (severity is not None), name

    # By mail, too.
    subjects = []
    while not any("past has expired" in subject for subject in subjects):
        subjects += administrator.wait_message(30).header("Subject")


def test_status_says_what_expires(office):
    warnings = "\n".join(json.loads(office.run(["posternctl", "status", "--json"]).stdout)["Warnings"])
    assert "'fortnight' of smtpd expires in 13 days" in warnings and "'past' of smtpd is not valid" in warnings
    assert "'far'" not in warnings and "'unused'" not in warnings


def test_a_restart_repeats_nothing(office):
    before = office.cursor()
    office.systemctl("restart", "postern-certd.service")
    office.run(["posternctl", "cert", "list"])  # it has started
    office.reload("certd")
    assert all(not told(office, name, since=before) and not alerts(office, name, since=before) for name in CERTIFICATES)


def test_what_comes_into_use_is_told(office):
    before = office.cursor()
    used = " ".join(name for name, (_, used, *_) in CERTIFICATES.items() if used)
    office.configure("certd", f"[Service smtpd]\nCertificates=demonstration {used} forgotten\n")
    office.reload("certd")
    office.wait_journal(since=before, MESSAGE_ID=gateway.ALERT, match=about("forgotten"))
    assert len(told(office, "forgotten", since=before)) == 1


def test_it_is_noticed_when_the_time_has_come(office):
    # Given a certificate that is good for a few seconds
    put(office, "seconds", 15)
    office.reload("certd")
    assert office.wait_journal(MESSAGE_ID=EXPIRES, POSTERN_CERTIFICATE="seconds")
    # then nobody has to ask.
    office.wait_journal(timeout=60, MESSAGE_ID=EXPIRED, POSTERN_CERTIFICATE="seconds")
    assert len(told(office, "seconds")) == 2


def test_authorities_are_told_of(office):
    # Given an authority of the own list that is good for a few days
    office.run("""cd /root/expiry && exec 2>/dev/null && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
        -keyout short.key -out short.pem -subj "/CN=Short Authority" -days 6 && posternctl ca import short.pem""")
    raised = office.wait_journal(MESSAGE_ID=gateway.ALERT, match=lambda e: "authority Short Authority " in e["POSTERN_REASON"])[0]
    assert raised["POSTERN_ALERT_SEVERITY"] == "Info" and "expires in 5 days" in raised["POSTERN_REASON"]
    # then a restart does not repeat it.
    office.systemctl("restart", "postern-certd.service")
    office.run(["posternctl", "ca", "list"])
    assert len([e for e in office.journal(MESSAGE_ID=gateway.ALERT) if "Short Authority" in e["POSTERN_REASON"]]) == 1
    # Those that came with the host are nobody's alert, whatever their age.
    assert not [e for e in office.journal(MESSAGE_ID=gateway.ALERT)
                if "authority" in e["POSTERN_REASON"] and "Short Authority" not in e["POSTERN_REASON"]]


def test_the_demonstration_certificate_is_told_by_one(office):
    office.wait_journal(MESSAGE_ID=DEMONSTRATION)
    assert {entry["SYSLOG_IDENTIFIER"] for entry in office.journal(MESSAGE_ID=DEMONSTRATION)} == {"postern-certd"}
    raised = [entry for entry in office.journal(MESSAGE_ID=gateway.ALERT) if "demonstration" in entry["POSTERN_REASON"]]
    assert {entry["POSTERN_PEER"] for entry in raised} == {"certd"}
