"""The table of packages; their bytes are files, named by digest."""

from firmcast.db.columns import from_column, to_column
from firmcast.db.page import Page
from firmcast.db.port import Row, Transaction
from firmcast.db.statement import portable
from firmcast.firmware.model import FirmwarePackage, PackageFilter
from firmcast.ids import ApplicationId, PackageId

# A package whose bytes are on disk.
_INSERT = portable(
    "INSERT INTO firmware_package (package_id, application_id, name, version, device_type, model, manufacturer_name,"
    " protocol_type, description, size, digest, uploaded_at)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
)

# One package.
_FIND = portable(
    "SELECT package_id, application_id, name, version, device_type, model, manufacturer_name, protocol_type,"
    " description, size, digest, uploaded_at FROM firmware_package WHERE package_id = ?1"
)

# A page of an application's packages, the newest first; an empty filter matches everything.
_LIST = portable(
    "SELECT package_id, application_id, name, version, device_type, model, manufacturer_name, protocol_type,"
    " description, size, digest, uploaded_at FROM firmware_package"
    " WHERE (?1 = '' OR application_id = ?1) AND (?2 = '' OR version = ?2) AND (?3 = '' OR device_type = ?3)"
    " AND (?4 = '' OR model = ?4) AND (?5 = '' OR manufacturer_name = ?5)"
    " ORDER BY uploaded_at DESC, package_id DESC LIMIT ?6 OFFSET ?7"
)

# How many the list above would hold without its page.
_COUNT = portable(
    "SELECT count(*) FROM firmware_package"
    " WHERE (?1 = '' OR application_id = ?1) AND (?2 = '' OR version = ?2) AND (?3 = '' OR device_type = ?3)"
    " AND (?4 = '' OR model = ?4) AND (?5 = '' OR manufacturer_name = ?5)"
)

# A package is withdrawn.
_DELETE = portable("DELETE FROM firmware_package WHERE package_id = ?1")

# Bytes may be removed when no package is made of them any more.
_COUNT_OF_DIGEST = portable("SELECT count(*) FROM firmware_package WHERE digest = ?1")

# Which bytes are needed at all; a start removes the others.
_DIGESTS = portable("SELECT DISTINCT digest FROM firmware_package")


def _package(row: Row) -> FirmwarePackage:
    return FirmwarePackage(
        package_id=PackageId(row[0]),
        application_id=ApplicationId(row[1]),
        name=row[2],
        version=row[3],
        device_type=row[4],
        model=row[5],
        manufacturer_name=row[6],
        protocol_type=row[7],
        description=row[8],
        size=row[9],
        digest=row[10],
        uploaded_at=from_column(row[11]),
    )


async def insert(tx: Transaction, package: FirmwarePackage) -> None:
    """Store a package."""
    await tx.execute(
        _INSERT,
        package.package_id,
        package.application_id,
        package.name,
        package.version,
        package.device_type,
        package.model,
        package.manufacturer_name,
        package.protocol_type,
        package.description,
        package.size,
        package.digest,
        to_column(package.uploaded_at),
    )


async def find(tx: Transaction, package_id: PackageId) -> FirmwarePackage | None:
    """Return the package, None when there is none."""
    row = await tx.fetch_row(_FIND, package_id)
    return None if row is None else _package(row)


async def listed(
    tx: Transaction, application_id: ApplicationId | None, wanted: PackageFilter, page: Page
) -> tuple[list[FirmwarePackage], int]:
    """Return a page of packages, of one application or of all, and how many there are on all pages."""
    arguments = (
        application_id or "",
        wanted.version,
        wanted.device_type,
        wanted.model,
        wanted.manufacturer_name,
    )
    rows = await tx.fetch(_LIST, *arguments, page.limit, page.offset)
    total = await tx.fetch_row(_COUNT, *arguments)
    return [_package(row) for row in rows], 0 if total is None else total[0]


async def delete(tx: Transaction, package_id: PackageId) -> None:
    """Forget a package."""
    await tx.execute(_DELETE, package_id)


async def count_of_digest(tx: Transaction, digest: str) -> int:
    """Return how many packages are made of these bytes."""
    row = await tx.fetch_row(_COUNT_OF_DIGEST, digest)
    return 0 if row is None else row[0]


async def digests(tx: Transaction) -> set[str]:
    """Return the digests of all packages."""
    return {row[0] for row in await tx.fetch(_DIGESTS)}
