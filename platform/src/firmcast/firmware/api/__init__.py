"""Firmware over HTTP: version packages for applications, and `/v1/firmware` with its uploads for administrators."""

from firmcast.clock import Clock
from firmcast.db.port import Database
from firmcast.firmware import use_cases
from firmcast.firmware.api.management import management_endpoints
from firmcast.firmware.api.packages import package_endpoints
from firmcast.firmware.api.uploads import upload_endpoints
from firmcast.firmware.model import UploadLimits
from firmcast.firmware.package_files import PackageFiles
from firmcast.firmware.uploads import Uploads
from firmcast.rest.authentication import Authenticate, AuthoriseAdministrator
from firmcast.rest.endpoints import Endpoint
from firmcast.settings import FirmwareSettings


def endpoints(
    *,
    database: Database,
    clock: Clock,
    authenticate: Authenticate,
    authorise_administrator: AuthoriseAdministrator,
    files: PackageFiles,
    settings: FirmwareSettings,
    is_needed: use_cases.IsNeeded,
    verification_key: use_cases.VerificationKey,
) -> list[Endpoint]:
    """Return the calls of version packages and of `/v1/firmware`."""
    limits = UploadLimits(
        package_size=settings.size_limit, open_uploads=settings.upload_limit, total_size=settings.partial_limit
    )
    uploads = Uploads(database=database, clock=clock, files=files, limits=limits, verification_key=verification_key)
    return [
        *package_endpoints(database=database, clock=clock, authenticate=authenticate, files=files, is_needed=is_needed),
        # Before `/v1/firmware/{package_id}`, which would take `uploads` for an id.
        *upload_endpoints(
            database=database,
            clock=clock,
            authorise_administrator=authorise_administrator,
            uploads=uploads,
            upload_life=settings.upload_life,
        ),
        *management_endpoints(
            database=database,
            clock=clock,
            authorise_administrator=authorise_administrator,
            files=files,
            size_limit=settings.size_limit,
            is_needed=is_needed,
            verification_key=verification_key,
        ),
    ]
