"""`firmcast push`: what was sent, what waits, what was given up."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from firmcast.cli.connection import (
    DEFAULT_FOLDER,
    AdminToken,
    ApplicationOption,
    Authority,
    DataFolder,
    Json,
    ManagementClient,
    SecretOption,
    Url,
    connect,
    quoted,
)
from firmcast.cli.failures import CommandError, told_plainly
from firmcast.cli.northbound import northbound
from firmcast.cli.output import plain, print_fields, print_json, print_rows
from firmcast_sdk import ConflictError, NorthboundClient
from firmcast_sdk.wire.notify_types import NotifyType

app = typer.Typer(no_args_is_help=True, help="Pushes: subscribe, test a callback, look at deliveries, send them again.")


Subscription = Annotated[str, typer.Argument(help="Subscription id.")]


class SubscriptionState(StrEnum):
    """Which subscriptions are shown."""

    ACTIVE = "active"
    PAUSED = "paused"
    DISABLED = "disabled"


class WhenGivenUp(StrEnum):
    """What becomes of the events behind one that was given up."""

    SKIP = "skip"
    BLOCK = "block"


class Listing(StrEnum):
    """Which list is shown."""

    ATTEMPTS = "attempts"
    WAITING = "waiting"
    DEAD = "dead"


_PATHS = {
    Listing.ATTEMPTS: ("/v1/attempts", "attempts"),
    Listing.WAITING: ("/v1/deliveries", "deliveries"),
    Listing.DEAD: ("/v1/dead-letters", "dead_letters"),
}
_COLUMNS = {
    Listing.ATTEMPTS: ("attempted_at", "device_id", "event_id", "number", "status", "failure", "subscription_id"),
    Listing.WAITING: ("event_id", "device_id", "sequence", "attempts", "next_attempt_at", "reason", "subscription_id"),
    Listing.DEAD: ("died_at", "event_id", "device_id", "sequence", "attempts", "reason", "subscription_id"),
}
_SUBSCRIPTION_COLUMNS = ("subscriptionId", "notifyType", "callbackUrl")
_STANDING_COLUMNS = ("subscription_id", "application_id", "notify_type", "callback_url", "state", "stopped_at")
_MOVING_TYPES = (
    NotifyType.FW_UPGRADE_STATE_CHANGE,
    NotifyType.FW_UPGRADE_RESULT,
    NotifyType.SW_UPGRADE_STATE_CHANGE,
    NotifyType.SW_UPGRADE_RESULT,
)
"""Of these a second subscription takes the place of the first; of the others it is refused."""
_USUAL_TYPES = (NotifyType.FW_UPGRADE_STATE_CHANGE, NotifyType.FW_UPGRADE_RESULT)


@app.command()
def log(
    what: Annotated[
        Listing, typer.Argument(help="Attempts made, deliveries that wait, or dead letters.")
    ] = Listing.ATTEMPTS,
    device: Annotated[str, typer.Option(help="Only those of this device.")] = "",
    subscription: Annotated[str, typer.Option(help="Only those of this subscription.")] = "",
    limit: Annotated[int, typer.Option(help="How many at the most.", min=1, max=1000)] = 50,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Show attempts, waiting deliveries or dead letters."""
    path, key = _PATHS[what]
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        query = {"device_id": device, "subscription_id": subscription, "page_size": limit}
        answer = client.call("GET", path, query=query)
    if as_json:
        print_json(answer[key])
        return
    print_rows(answer[key], _COLUMNS[what])
    typer.echo(f"{len(answer[key])} of {answer['total']}")


@app.command()
def subscribe(
    callback: Annotated[str, typer.Argument(help="URL with scheme, host, port and path.")],
    application: ApplicationOption,
    secret: SecretOption,
    kind: Annotated[
        list[NotifyType] | None,
        typer.Option("--type", help="Type of push; may be given many times. Firmware states and results without it."),
    ] = None,
    url: Url = "",
    authority: Authority = None,
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Have pushes of an application sent to a callback; what was sent elsewhere before is moved."""
    with told_plainly(), northbound(connect(url, authority, "", data), application, secret) as client:
        kinds = kind or _USUAL_TYPES
        for each in kinds:
            _subscribe(client, each, callback)
        made = [plain(each) for each in client.subscriptions() if each.notify_type.value in set(kinds)]
    if as_json:
        print_json(made)
    elif kind:
        typer.echo(f"{', '.join(kinds)}: to {callback} from now on")
    else:
        typer.echo(f"states and results go to {callback} from now on")


@app.command()
def subscriptions(
    application: ApplicationOption,
    secret: SecretOption,
    url: Url = "",
    authority: Authority = None,
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """List what an application has subscribed to."""
    with told_plainly(), northbound(connect(url, authority, "", data), application, secret) as client:
        found = [plain(each) for each in client.subscriptions()]
    if as_json:
        print_json(found)
    else:
        print_rows(found, _SUBSCRIPTION_COLUMNS)


@app.command()
def unsubscribe(
    application: ApplicationOption,
    secret: SecretOption,
    subscription: Annotated[list[str] | None, typer.Argument(help="Subscription ids.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="End every subscription of the application.")] = False,
    url: Url = "",
    authority: Authority = None,
    data: DataFolder = DEFAULT_FOLDER,
) -> None:
    """End subscriptions; what waits to be delivered to them is dropped."""
    with told_plainly():
        if bool(subscription) == everything:
            message = "give subscription ids, or --all"
            raise CommandError(message)
        with northbound(connect(url, authority, "", data), application, secret) as client:
            if everything:
                client.delete_subscriptions(everything=True)
            for each in subscription or ():
                client.delete_subscription(each)


@app.command("test")
def try_callback(
    application: ApplicationOption,
    callback: Annotated[str, typer.Argument(help="URL to try; that of a subscription without it.")] = "",
    kind: Annotated[
        NotifyType | None, typer.Option("--type", help="Whose callback is tried; firmware states without it.")
    ] = None,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Send one signed push to a callback and say what came of it; the status is 1 if an event would not have come."""
    body = {"application_id": application, "callback_url": callback, "notify_type": kind.value if kind else None}
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        said = client.call("POST", "/v1/callback-tests", json_body=body)
    if as_json:
        print_json(said)
    else:
        print_fields(said)
    if not said["delivered"]:
        raise typer.Exit(1)


@app.command()
def standing(
    subscription: Annotated[str, typer.Argument(help="Subscription id; all of them without it.")] = "",
    application: Annotated[str, typer.Option("--app", help="Only those of this application.")] = "",
    state: Annotated[SubscriptionState | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(help="How many at the most.", min=1, max=1000)] = 100,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Show how subscriptions stand: whether each is called, and how its deliveries are retried."""
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        if subscription:
            _print_standing(client.call("GET", _managed(subscription)), as_json=as_json)
            return
        query = {"application_id": application, "state": state.value if state else "", "page_size": limit}
        answer = client.call("GET", "/v1/subscriptions", query=query)
    if as_json:
        print_json(answer["subscriptions"])
        return
    print_rows(answer["subscriptions"], _STANDING_COLUMNS)
    typer.echo(f"{len(answer['subscriptions'])} of {answer['total']}")


@app.command()
def pause(
    subscription: Subscription,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Send nothing more to a subscription until it is resumed; what happens meanwhile is kept for it."""
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        _print_standing(client.call("POST", f"{_managed(subscription)}/pause"), as_json=as_json)


@app.command()
def resume(
    subscription: Subscription,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Send to a subscription again that is paused or disabled, from the first that was kept for it."""
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        _print_standing(client.call("POST", f"{_managed(subscription)}/resume"), as_json=as_json)


@app.command()
def policy(
    subscription: Subscription,
    delay: Annotated[
        list[int] | None,
        typer.Option(
            help="Seconds to wait after the first failure; given again, after the second, …; the last repeats."
        ),
    ] = None,
    age_limit: Annotated[
        int | None, typer.Option(help="Seconds after the first attempt that a delivery is still tried.")
    ] = None,
    given_up: Annotated[
        WhenGivenUp | None,
        typer.Option(help="Whether events go on behind one that was given up, or wait until somebody decides."),
    ] = None,
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Set how the deliveries of a subscription are retried; what is not given is as the platform's settings say."""
    body = {
        "retry_delay_seconds": delay or None,
        "age_limit_seconds": age_limit,
        "when_given_up": given_up.value if given_up else None,
    }
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        _print_standing(client.call("PUT", f"{_managed(subscription)}/policy", json_body=body), as_json=as_json)


@app.command()
def resend(
    subscription: Annotated[str, typer.Option(help="Subscription id; alone, all its dead letters are sent again.")],
    event: Annotated[int | None, typer.Option(help="Only this event; need not be a dead letter.")] = None,
    device: Annotated[str, typer.Option(help="Only the dead letters of this device.")] = "",
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Send one event, or all dead letters of a subscription or a device, again."""
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        if event is not None and device:
            message = "give an event or a device, not both"
            raise CommandError(message)
        if event is None:
            answer = _resend_all(client, {"subscription_id": subscription, "device_id": device})
        else:
            body = {"event_id": event, "subscription_id": subscription}
            answer = client.call("POST", "/v1/deliveries/resend", json_body=body)
        if as_json:
            print_json(answer)
        if not answer["resent"]:
            message = "there is nothing to send again"
            raise CommandError(message)
    if not as_json:
        typer.echo(f"{answer['resent']} sent again")


@app.command()
def discard(
    subscription: Annotated[str, typer.Option(help="Subscription id; alone, all its dead letters are thrown away.")],
    event: Annotated[int | None, typer.Option(help="Only this event.")] = None,
    device: Annotated[str, typer.Option(help="Only those of this device.")] = "",
    url: Url = "",
    authority: Authority = None,
    admin_token: AdminToken = "",
    data: DataFolder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Throw dead letters of a subscription away; what they held up goes on."""
    body = {"subscription_id": subscription, "event_id": event, "device_id": device}
    with told_plainly(), connect(url, authority, admin_token, data).management() as client:
        answer = client.call("POST", "/v1/dead-letters/discard", json_body=body)
    if as_json:
        print_json(answer)
    else:
        typer.echo(f"{answer['discarded']} thrown away")


def _resend_all(client: ManagementClient, wanted: dict[str, Any]) -> dict[str, Any]:
    """Have dead letters sent again until there are no more: a call does as many as it may in a few seconds."""
    resent, after = 0, None
    while True:
        answer = client.call("POST", "/v1/dead-letters/resend", json_body={**wanted, "after": after})
        resent, after = resent + answer["resent"], answer.get("next")
        if after is None:
            return {"resent": resent}


def _managed(subscription: str) -> str:
    return f"/v1/subscriptions/{quoted(subscription)}"


def _print_standing(said: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(said)
    else:
        print_fields(said)


def _subscribe(client: NorthboundClient, kind: NotifyType, callback: str) -> None:
    """Subscribe, moving a subscription that is there."""
    if kind in _MOVING_TYPES:
        client.subscribe(kind, callback)
        return
    try:
        client.create_subscription(kind, callback)
    except ConflictError:
        client.delete_subscriptions(notify_type=kind)
        client.create_subscription(kind, callback)
