"""For an application's own tests: a platform that pushes at its receiver, well or badly, without a network or over one.

    platform = Platform(asgi=receiver.asgi)
    for push in platform.firmware_upgrade("device-1"):
        assert platform.send(push).status == 200

A push is a value: `again`, `delayed`, `forged` and `replayed` give changed copies, and `troubled` gives what becomes of
a list of them when something goes wrong on the way. In an async test use `await platform.send_async(push)`. With
`pytest_plugins = ["firmcast_sdk.testing.pytest_plugin"]` in its conftest.py, a test that asks for `trouble` runs once
for each kind.
"""

from firmcast_sdk.testing.platform import Platform
from firmcast_sdk.testing.pushes import OutgoingPush, Response, Trouble, reordered, troubled

__all__ = ["OutgoingPush", "Platform", "Response", "Trouble", "reordered", "troubled"]
