"""Seals a store anew, and stands still in the transaction when everything is sealed; then it prints a line.

Usage: resealing_process.py DATA_FOLDER NEW_KEY_FILE, with FIRMCAST_DATABASE_URL for PostgreSQL.
"""

import asyncio
import sys
from pathlib import Path

from firmcast.cli import resealing
from firmcast.settings import load_settings


async def stand_still(_tx, _sealer) -> None:
    sys.stdout.write("midway\n")
    sys.stdout.flush()
    sys.stdin.read()


resealing.replace_key = stand_still
settings = load_settings(None).model_copy(update={"data": Path(sys.argv[1])})
asyncio.run(resealing.reseal_store(settings, Path(sys.argv[2])))
