"""A real process, killed while it makes events and pushes them: nothing is lost, nothing is overtaken."""

import asyncio
import sqlite3
import sys
from collections import Counter
from pathlib import Path
from random import Random

PROGRAM = Path(__file__).with_name("pusher_process.py")
KILLS = 5
ALL_THE_TIME = 1_000_000
MOST_REPEATED = 40
"""At one kill: what is under way in 20 lanes, and as much again that was delivered and not yet written."""


async def start(store: Path, url: str, events: int) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), str(store), url, str(events), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"begun\n"
    return process


async def test_killed_at_random_moments(tmp_path: Path, callback) -> None:
    chance = Random(20261124)
    store = tmp_path / "store" / "firmcast.db"
    for _ in range(KILLS):
        process = await start(store, callback.url(), ALL_THE_TIME)
        arrived = len(callback.requests) + chance.randint(1, 400)
        while len(callback.requests) < arrived:
            await asyncio.sleep(0)
        process.kill()
        await process.wait()
    process = await start(store, callback.url(), 0)
    assert await process.wait() == 0
    with sqlite3.connect(store) as connection:
        rows = connection.execute("SELECT device_id, sequence, message_id FROM event ORDER BY event_id").fetchall()
    connection.close()
    committed: dict[str, list[int]] = {}
    for device, sequence, _ in rows:
        committed.setdefault(device, []).append(sequence)
    assert callback.lanes() == committed
    assert all(sequences == list(range(1, len(sequences) + 1)) for sequences in committed.values())
    arrivals = Counter(received.headers["webhook-id"] for received in callback.requests)
    assert arrivals.keys() == {message_id for _, _, message_id in rows}
    repeated = sum(count - 1 for count in arrivals.values())
    assert repeated <= KILLS * MOST_REPEATED
