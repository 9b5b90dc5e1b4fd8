"""Every call that the platform answers over HTTP is gathered here, and handed what it needs of the other parts."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from firmcast.administrators import api as administrators_api
from firmcast.application_deletion import ApplicationDeletion
from firmcast.applications import api as applications_api
from firmcast.applications import use_cases as applications
from firmcast.applications.management import api as applications_management_api
from firmcast.audit import api as audit_api
from firmcast.clock import Clock
from firmcast.db.port import Database, Transaction
from firmcast.db.room import RequireRoom
from firmcast.devices import api as devices_api
from firmcast.devices import use_cases as devices
from firmcast.events.log import EventLog
from firmcast.feed import api as feed_api
from firmcast.feed.event_feed import EventFeed
from firmcast.firmware import api as firmware_api
from firmcast.firmware.package_files import PackageFiles
from firmcast.groups import api as groups_api
from firmcast.groups import use_cases as groups
from firmcast.ids import ApplicationId, DeviceId, GroupId
from firmcast.journal import use_cases as journal
from firmcast.metrics import Metrics
from firmcast.profiles import api as profiles_api
from firmcast.profiles import use_cases as profiles
from firmcast.push import api as push_api
from firmcast.push.configuration import retry_policy
from firmcast.push.management import api as push_management_api
from firmcast.push.replay import api as replay_api
from firmcast.rest import health
from firmcast.rest import metrics as metrics_api
from firmcast.rest.authentication import (
    AuthoriseAdministrator,
    CheckToken,
    administrator_authentication,
    application_authentication,
    call_limit,
)
from firmcast.rest.descriptions import description_endpoints
from firmcast.rest.endpoints import Endpoint, within_room
from firmcast.rest.health import CheckReadiness
from firmcast.sealing import Sealer
from firmcast.settings import Settings
from firmcast.subscriptions import api as subscriptions_api
from firmcast.timeline import api as timeline_api
from firmcast.upgrades import api as upgrades_api
from firmcast.upgrades import use_cases as upgrades
from firmcast.upgrades.creation import RequireTaken
from firmcast.upgrades.limits import Limits
from firmcast.upgrades.management import api as upgrades_management_api


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpParts:
    """What the calls stand on."""

    database: Database
    clock: Clock
    settings: Settings
    sealer: Sealer
    files: PackageFiles
    log: EventLog
    limits: Limits
    feed: EventFeed
    admin_token: str
    """The operator's own; allows everything."""
    check_callback: Callable[[str], object]
    """Raises InvalidValueError for a callback URL that will never be called."""
    send_callback: push_api.SendCallback
    """Sends a push that tries a callback."""
    check_readiness: CheckReadiness
    metrics: Metrics
    require_room: RequireRoom
    """Raises StoreError while there is no room for new work."""
    require_taken: RequireTaken
    """Raises UndeliveredLimitError while an application has too much to take before it may begin anything new."""


def endpoints(parts: HttpParts) -> list[Endpoint]:
    """Return every call of both interfaces."""
    database, clock, rest = parts.database, parts.clock, parts.settings.rest
    limit_calls = call_limit(rest.throttle_calls, rest.throttle_period, clock)
    check_token = applications_api.token_check(database, clock)
    authenticate = application_authentication(check_token, limit_calls)
    authorise = administrator_authentication(parts.admin_token, administrators_api.token_holder(database, clock))

    calls = [
        *_for_operators(parts, authorise),
        *applications_api.endpoints(database=database, clock=clock, settings=rest, limit_calls=limit_calls),
        *subscriptions_api.endpoints(
            database=database,
            clock=clock,
            authenticate=authenticate,
            check_callback=parts.check_callback,
            one_callback_host=rest.one_callback_host,
            body_limit=rest.body_limit,
        ),
        *groups_api.endpoints(
            database=database,
            clock=clock,
            authenticate=authenticate,
            group_limit=parts.settings.devices.group_limit,
            body_limit=rest.body_limit,
        ),
        *devices_api.endpoints(
            database=database,
            clock=clock,
            authenticate=authenticate,
            sealer=parts.sealer,
            log=parts.log,
            release_device=_release_device(parts),
            join_group=_join_group,
            body_limit=rest.body_limit,
        ),
        *firmware_api.endpoints(
            database=database,
            clock=clock,
            authenticate=authenticate,
            authorise_administrator=authorise,
            files=parts.files,
            settings=parts.settings.firmware,
            is_needed=upgrades.is_needed,
            verification_key=applications.verification_key,
        ),
        *upgrades_api.endpoints(
            database=database,
            clock=clock,
            authenticate=authenticate,
            require_taken=parts.require_taken,
            body_limit=rest.body_limit,
        ),
        *_feed(parts, check_token, authorise),
        *health.endpoints(parts.check_readiness),
    ]
    calls = [within_room(call, parts.require_room) for call in calls]
    if rest.publish_descriptions:
        calls += description_endpoints(lambda: calls)
    return calls


def endpoints_of_every_node(parts: HttpParts) -> list[Endpoint]:
    """Return the calls of a node that serves no interface: how it is."""
    check = administrators_api.token_holder(parts.database, parts.clock)
    authorise = administrator_authentication(parts.admin_token, check)
    return [*metrics_api.endpoints(parts.metrics, authorise), *health.endpoints(parts.check_readiness)]


def _for_operators(parts: HttpParts, authorise: AuthoriseAdministrator) -> list[Endpoint]:
    """Return the calls that operators alone make, packages and health aside."""
    database, clock = parts.database, parts.clock
    return [
        *administrators_api.endpoints(database=database, clock=clock, authorise_administrator=authorise),
        *audit_api.endpoints(database=database, authorise_administrator=authorise),
        *metrics_api.endpoints(parts.metrics, authorise),
        *timeline_api.endpoints(database=database, clock=clock, authorise_administrator=authorise),
        *profiles_api.endpoints(
            database=database,
            clock=clock,
            authorise_administrator=authorise,
            settings=parts.settings.upgrades,
        ),
        *applications_management_api.endpoints(
            database=database,
            clock=clock,
            sealer=parts.sealer,
            authorise_administrator=authorise,
            delete_application=ApplicationDeletion(database, parts.files).delete,
        ),
        *push_api.endpoints(
            database=database,
            clock=clock,
            authorise_administrator=authorise,
            sealer=parts.sealer,
            check_callback=parts.check_callback,
            send_callback=parts.send_callback,
        ),
        *push_management_api.endpoints(
            database=database,
            clock=clock,
            authorise_administrator=authorise,
            usual=retry_policy(parts.settings.push),
            resend_rate=parts.settings.push.replay_rate,
        ),
        *replay_api.endpoints(
            database=database,
            clock=clock,
            authorise_administrator=authorise,
            usual_rate=parts.settings.push.replay_rate,
        ),
        *upgrades_management_api.endpoints(
            database=database, clock=clock, authorise_administrator=authorise, log=parts.log, limits=parts.limits
        ),
    ]


def _feed(parts: HttpParts, check_token: CheckToken, authorise: AuthoriseAdministrator) -> list[Endpoint]:
    """Return the calls of those who read events.

    They make many: these count for themselves, and leave an application its other calls.
    """
    rest = parts.settings.rest
    limit_calls = call_limit(rest.feed_calls, rest.throttle_period, parts.clock)
    return feed_api.endpoints(
        database=parts.database,
        feed=parts.feed,
        authenticate=application_authentication(check_token, limit_calls),
        prove=application_authentication(check_token, lambda _application_id: None),
        authorise_administrator=authorise,
        receivers=rest.feed_receivers,
    )


async def _join_group(tx: Transaction, application_id: ApplicationId, group_id: str, device_id: DeviceId) -> object:
    return await groups.add_members(tx, application_id, GroupId(group_id), [device_id])


def _release_device(parts: HttpParts) -> devices.ReleaseDevice:
    """Return what ends the upgrades of a device that is about to be deleted, and forgets what else is kept of it."""

    async def release(tx: Transaction, device_id: DeviceId, now: datetime) -> None:
        await upgrades.release_device(tx, device_id, now, log=parts.log, limits=parts.limits)
        await groups.forget_device(tx, device_id)
        await journal.forget_devices(tx, [device_id])
        await profiles.forget_devices(tx, [device_id])

    return release
