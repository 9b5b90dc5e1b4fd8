"""Commands that play an application use the SDK's client, as an application would (ADR 9)."""

from collections.abc import Iterator
from contextlib import contextmanager

from firmcast.cli.connection import Connection
from firmcast.cli.failures import CommandError
from firmcast_sdk import ClientError, NorthboundClient, TransportOptions


@contextmanager
def northbound(connection: Connection, application: str, secret: str) -> Iterator[NorthboundClient]:
    """Yield a client of the application; its refusals become the command's.

    Raises:
        CommandError: the platform cannot be reached, or refuses.
    """
    options = TransportOptions(verify=connection.tls)
    try:
        with NorthboundClient(connection.url, app_id=application, secret=secret, options=options) as client:
            yield client
    except ClientError as error:
        raise CommandError(str(error)) from error
