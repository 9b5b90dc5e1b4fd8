"""The `firmcast` command is a tree of small commands; each module beside this one holds those of one noun."""

import inspect
from typing import Annotated

import typer

import firmcast
from firmcast.cli import (
    administrators,
    application_keys,
    applications,
    database,
    demo,
    device_history,
    devices,
    firmware,
    groups,
    listen,
    push,
    replays,
    serve,
    simulate,
    upgrades,
)

app = typer.Typer(
    name="firmcast",
    help="Upgrade the firmware of LwM2M devices and tell applications every step of it.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.command("demo")(demo.demo)
app.command("simulate")(simulate.simulate)
app.command("listen")(listen.listen)
app.command("audit")(administrators.audit)
applications.app.command("callback-ca")(application_keys.callback_ca)
applications.app.command("callback-headers")(application_keys.callback_headers)
applications.app.command("client-certificate")(application_keys.client_certificate)
applications.app.command("signing-key")(application_keys.signing_key)
applications.app.command("verification-key")(application_keys.verification_key)
devices.app.command("awake-window")(device_history.awake_window)
devices.app.command("check")(device_history.check)
devices.app.command("forget")(device_history.forget)
devices.app.command("timeline")(device_history.timeline)
push.app.command("replay")(replays.replay)
push.app.command("replays")(replays.replays)
push.app.command("cancel-replay")(replays.cancel_replay)
app.add_typer(applications.app, name="app")
app.add_typer(administrators.app, name="admin")
app.add_typer(firmware.app, name="firmware")
app.add_typer(devices.app, name="device")
app.add_typer(groups.app, name="group")
app.add_typer(upgrades.app, name="upgrade")
app.add_typer(push.app, name="push")
app.add_typer(database.app, name="db")


def _let_help_flow(tree: typer.Typer) -> None:
    """Join the lines of each paragraph of help: where they break is the terminal's to say, not the source's."""
    for command in tree.registered_commands:
        paragraphs = (inspect.getdoc(command.callback) or "").split("\n\n")
        command.help = "\n\n".join(" ".join(paragraph.splitlines()) for paragraph in paragraphs)
    for group in tree.registered_groups:
        if group.typer_instance is not None:
            _let_help_flow(group.typer_instance)


_let_help_flow(app)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"firmcast {firmcast.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Upgrade the firmware of LwM2M devices and tell applications every step of it."""


def run() -> None:
    """Run the command line and end the process with its status."""
    app()
