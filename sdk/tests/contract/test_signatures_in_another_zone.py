"""The reference package verifies our signatures also where local time is not UTC, where its own zones are weak."""

import base64
import os
import subprocess
import sys

NEW = "whsec_" + base64.b64encode(b"n" * 32).decode()
PUBLIC = "whpk_gIRHqQOj3Rm64RN+f5r7g4MW2BZ//7RL0cM/fVNBki4="
PRIVATE = "whsk_bVKWxhmcMVbDl4R4Ns3uUviqCQ2DaS6RMFaUSgviUwI="


def test_the_reference_verifies_ours_in_shanghai():
    program = """
import sys, time
from datetime import UTC, datetime, timedelta, timezone
import standardwebhooks
from firmcast_sdk.signatures import sign, verify
secret, zone = sys.argv[1], timezone(timedelta(hours=8))
assert time.tzname[0] == "CST", time.tzname
now = datetime.now(zone)
headers = sign([secret], message_id="evt", attempted_at=now, body=b"{}")
standardwebhooks.Webhook(secret).verify(b"{}", headers)
assert verify([secret], headers, b"{}", now=datetime.now(UTC)) == now.astimezone(UTC).replace(microsecond=0)
public, private = sys.argv[2:]
headers = sign([private], message_id="evt", attempted_at=now, body=b"{}")
told = verify([], headers, b"{}", now=datetime.now(UTC), public_keys=[public])
assert told == now.astimezone(UTC).replace(microsecond=0)
assert headers["webhook-timestamp"] == str(int(now.timestamp()))
"""
    environment = os.environ | {"TZ": "Asia/Shanghai"}
    ended = subprocess.run(
        [sys.executable, "-c", program, NEW, PUBLIC, PRIVATE],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
