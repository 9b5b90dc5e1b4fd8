"""`firmcast db`: bring the store to this release, check it, move it to PostgreSQL, and give it another sealing key."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from firmcast.cli.connection import Json
from firmcast.cli.failures import CommandError, told_plainly
from firmcast.cli.output import print_json

app = typer.Typer(no_args_is_help=True, help="The store: migrate it, check it, copy it to PostgreSQL, seal it anew.")

Config = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file of settings.", exists=True, dir_okay=False, show_default=False),
]
Data = Annotated[Path | None, typer.Option("--data", help="Folder of the store, the packages and the keys.")]


@app.command()
def migrate(
    config: Config = None,
    data: Data = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is missing, and change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Bring the store of the settings to this release; each step is applied whole or not at all."""
    from firmcast.cli.database_work import migrate_store
    from firmcast.cli.serving import settings_of

    with told_plainly():
        told = asyncio.run(migrate_store(settings_of(config, data, None, None), dry_run=dry_run))
    if as_json:
        print_json(told)
        return
    for name in told["applied"]:
        typer.echo(f"applied {name}")
    for name in told["missing"]:
        typer.echo(f"missing {name}")
    if not told["missing"]:
        typer.echo(f"the store is of this release (schema {told['schema']})")


@app.command()
def check(
    config: Config = None,
    data: Data = None,
    skip_bytes: Annotated[bool, typer.Option("--skip-bytes", help="Do not read the packages through.")] = False,
    as_json: Json = False,
) -> None:
    """Find out whether the store of the settings is sound; the platform may run meanwhile.

    The status is 1 when something is not as it must be.
    """
    from firmcast.cli.database_work import check_store
    from firmcast.cli.serving import settings_of

    with told_plainly():
        report = asyncio.run(check_store(settings_of(config, data, None, None), skip_bytes=skip_bytes))
    if as_json:
        print_json(report)
    else:
        for finding in report["findings"]:
            typer.echo(f"{finding['result']:<11} {finding['rule']}")
            for line in finding["breaches"]:
                typer.echo(f"            {line}")
        typer.echo("the store is sound" if report["sound"] else "the store is NOT sound")
    if not report["sound"]:
        raise typer.Exit(1)


@app.command()
def copy(
    to: Annotated[
        str,
        typer.Option("--to", envvar="FIRMCAST_DATABASE_URL", help="Empty database, as postgresql://user@host/name."),
    ],
    source: Annotated[
        Path | None, typer.Option("--from", help="Data folder of the platform to copy; the settings' by default.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Copy an SQLite store with its packages and open uploads into an empty PostgreSQL database.

    The platform must be stopped. The copy is compared with the original before it counts: until then, and after a
    copy that failed, no node starts on the database. The original is left as it is.
    """
    from firmcast.cli.copying import copy_store
    from firmcast.cli.serving import settings_of

    with told_plainly():
        folder = source or settings_of(None, None, None, None).data
        if not folder.is_dir():
            message = f"there is no folder {folder}"
            raise CommandError(message)
        told = asyncio.run(copy_store(folder, to))
    if as_json:
        print_json(told)
        return
    typer.echo(f"copied and compared {told['rows']} rows and {told['packages']} packages")
    typer.echo(f"Secrets stay sealed: give every node the key in {folder / 'sealing-key'}, or none of them opens.")


@app.command(name="reseal")
def reseal_with_new_key(
    new_key_file: Annotated[
        Path, typer.Option("--new-key-file", help="Where the new key is made; there must be no such file.")
    ],
    config: Config = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Seal every secret in the store of the settings with a new key, all of them or none.

    The platform must be stopped, all nodes of it. When the command was interrupted, give it again as it was: until it
    has ended well the present key is needed, and the new one may be.
    """
    from firmcast.cli.resealing import reseal_store
    from firmcast.cli.serving import settings_of

    with told_plainly():
        told = asyncio.run(reseal_store(settings_of(config, data, None, None), new_key_file))
    if as_json:
        print_json(told)
        return
    if told["sealed"] is None:
        typer.echo("the store is sealed with this key already; nothing had to be done")
    else:
        for table, count in told["sealed"].items():
            typer.echo(f"sealed {count} secrets of table {table} anew")
    typer.echo(f"The key is in {told['key_file']} now: give it to every node before you start one.")
    typer.echo(f"The former one, {told['former_key_file']}, opens nothing but older backups: destroy it with them.")
