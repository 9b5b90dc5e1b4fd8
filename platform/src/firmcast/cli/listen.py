"""`firmcast listen` is an application that prints what it receives: to try a callback before one is written.

With `--forward-to` it receives without an address of its own, and passes every push on to a receiver beside it.
"""

from pathlib import Path
from typing import Annotated

import typer

from firmcast.cli.connection import (
    DEFAULT_FOLDER,
    ApplicationOption,
    Authority,
    DataFolder,
    Json,
    SecretOption,
    Url,
    connect,
)
from firmcast.cli.failures import CommandError, told_plainly
from firmcast_sdk.wire.notify_types import NotifyType

_HERE = "Receiving here"
_FORWARDING = "Forwarding"


Host = Annotated[str, typer.Option(help="Address to listen on.", rich_help_panel=_HERE)]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any free one.", rich_help_panel=_HERE)]
Tls = Annotated[
    Path | None,
    typer.Option(help="Folder of a self-made certificate; makes the callback HTTPS.", rich_help_panel=_HERE),
]
SigningSecret = Annotated[
    str,
    typer.Option(
        envvar="FIRMCAST_SIGNING_SECRET", help="Refuse what is not signed with it; sign with it what is forwarded."
    ),
]
Count = Annotated[int, typer.Option(min=0, help="End after this many pushes; 0 for never.")]
ForwardTo = Annotated[
    str,
    typer.Option(
        help="Ask the platform for the application's events, and push them to this URL.", rich_help_panel=_FORWARDING
    ),
]
ForwardCa = Annotated[
    Path | None,
    typer.Option(help="PEM file that the certificate there is checked against.", rich_help_panel=_FORWARDING),
]
After = Annotated[
    str, typer.Option(help="Go on after this cursor; without it, from now on.", rich_help_panel=_FORWARDING)
]
FromBeginning = Annotated[
    bool, typer.Option("--from-beginning", help="Begin with the oldest event kept.", rich_help_panel=_FORWARDING)
]
State = Annotated[
    Path | None, typer.Option(help="Keep the cursor in this file, and go on after it.", rich_help_panel=_FORWARDING)
]
Types = Annotated[
    list[NotifyType] | None, typer.Option("--type", help="Only these types.", rich_help_panel=_FORWARDING)
]
Device = Annotated[str, typer.Option(help="Only this device.", rich_help_panel=_FORWARDING)]


def listen(
    host: Host = "127.0.0.1",
    port: Port = 9743,
    tls: Tls = None,
    signing_secret: SigningSecret = "",
    count: Count = 0,
    as_json: Json = False,
    forward_to: ForwardTo = "",
    forward_ca: ForwardCa = None,
    after: After = "",
    from_beginning: FromBeginning = False,
    state: State = None,
    notify_type: Types = None,
    device: Device = "",
    application: ApplicationOption = "",
    secret: SecretOption = "",
    url: Url = "",
    authority: Authority = None,
    data: DataFolder = DEFAULT_FOLDER,
) -> None:
    """Receive pushes and print them, until it is interrupted; or pass them on to a receiver on this machine.

    With --forward-to the platform need not reach this machine. Each event is pushed as the platform would push it,
    those of a device in their order, until it is accepted.
    """
    # A server and the SDK's receiver: no other command should wait for them to load.
    import uvloop

    with told_plainly():
        if not forward_to:
            from firmcast.cli.receiving import receive_and_print

            uvloop.run(receive_and_print(host, port, tls, signing_secret, count, as_json=as_json))
            return
        from firmcast.cli.forwarding import Forwarding, forward

        if not application or not secret:
            message = "forwarding needs the application: give --app and --secret"
            raise CommandError(message)
        if after and from_beginning:
            message = "--after and --from-beginning do not go together"
            raise CommandError(message)
        plan = Forwarding(
            url=forward_to,
            authority=forward_ca,
            signing_secret=signing_secret,
            after=after,
            from_beginning=from_beginning,
            notify_types=tuple(notify_type or ()),
            device_id=device,
            state=state,
            count=count,
            as_json=as_json,
        )
        uvloop.run(forward(connect(url, authority, data=data), application, secret, plan))
