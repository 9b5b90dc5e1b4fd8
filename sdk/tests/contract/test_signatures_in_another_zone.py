"""The reference package verifies our signatures also where local time is not UTC, where its own zones are weak."""

import base64
import os
import subprocess
import sys

NEW = "whsec_" + base64.b64encode(b"n" * 32).decode()


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
"""
    environment = os.environ | {"TZ": "Asia/Shanghai"}
    ended = subprocess.run(
        [sys.executable, "-c", program, NEW], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
