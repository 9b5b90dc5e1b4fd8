"""Sends to a name that nobody looks up in time, and prints what came of it and how long the loop stood still."""

import asyncio
import json
import time
from datetime import timedelta

from firmcast.push.destination import DestinationRules
from firmcast.push.http_sender import HttpSender, OutgoingRequest, SenderLimits


async def main() -> None:
    limits = SenderLimits(attempt_timeout=timedelta(seconds=0.5), connect_timeout=timedelta(seconds=0.3))
    sender = HttpSender(rules=DestinationRules(), limits=limits)
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - began)

    watching = asyncio.create_task(watch())
    began = time.monotonic()
    request = OutgoingRequest(url="http://receiver.silent:8099/", headers=(), body=b"{}")
    answers = await asyncio.gather(*(sender.send(request) for _ in range(3)))
    seconds = time.monotonic() - began
    began = time.monotonic()
    sender.close()
    closing = time.monotonic() - began
    watching.cancel()
    kinds = [answer.failure.value for answer in answers if answer.failure is not None]
    print(json.dumps({"kinds": kinds, "seconds": seconds, "stood_still": longest, "closing": closing}))


asyncio.run(main())
