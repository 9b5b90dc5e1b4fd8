"""What `firmcast db copy` does."""

from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from firmcast.clock import SystemClock
from firmcast.db.copying import Source, Target, copy_table
from firmcast.db.sqlite import STORE_FILE
from firmcast.firmware import upload_use_cases, use_cases
from firmcast.firmware.chunk_copy import copy_package, copy_upload
from firmcast.firmware.files import FOLDER


async def copy_store(folder: Path, url: str) -> dict[str, Any]:
    """Copy the store, the packages and the open uploads of a data folder; return what is to be told.

    Raises:
        FirmcastError: it cannot be done.
    """
    source = Source(folder / STORE_FILE)
    try:
        columns = (TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=Console(stderr=True)) as progress:
            async with Target.opened(url, SystemClock().now()) as target:
                return await _copy(source, target, folder / FOLDER, progress)
    finally:
        source.close()


async def _copy(source: Source, target: Target, root: Path, progress: Progress) -> dict[str, Any]:
    tables = source.tables()
    for table in tables:
        shown = progress.add_task(table.name, total=table.rows)
        await copy_table(source, target, table, partial(progress.advance, shown))
    await target.count_on({table.name: table.highest for table in tables})
    now = SystemClock().now()
    packages = await source.read(use_cases.files)
    shown = progress.add_task("packages", total=len(packages))
    for stored in packages:
        await copy_package(target, root, stored, now)
        progress.advance(shown)
    uploads = await source.read(upload_use_cases.listed)
    for upload in progress.track(uploads, description="uploads"):
        await copy_upload(target, root, upload, now)
    return {
        "tables": {table.name: table.rows for table in tables},
        "rows": sum(table.rows for table in tables),
        "packages": len(packages),
        "uploads": len(uploads),
    }
