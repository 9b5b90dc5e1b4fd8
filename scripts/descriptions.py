"""Writes the descriptions of the interfaces that are kept beside the code; with --check only says whether they are so.

Usage: descriptions.py [--check]
"""

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from firmcast.clock import SystemClock
from firmcast.events.log import EventLog
from firmcast.http_api import HttpParts, endpoints
from firmcast.metrics import Metrics
from firmcast.rest.descriptions import documents, encode_document
from firmcast.rest.endpoints import Endpoint
from firmcast.sealing import Sealer
from firmcast.settings import Settings, UpgradeSettings
from firmcast.upgrades.limits import limits_of

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
FILES = {
    "/v1/openapi/northbound.json": "openapi-northbound.json",
    "/v1/openapi/management.json": "openapi-management.json",
    "/v1/asyncapi.json": "asyncapi.json",
}


async def _ready() -> Mapping[str, bool]:
    return {}


def declared() -> list[Endpoint]:
    """Return every call of a platform with the settings' defaults; none can be made, as there is no store."""
    nothing: Any = None
    parts = HttpParts(
        database=nothing,
        clock=SystemClock(),
        settings=Settings.model_construct(),
        sealer=Sealer(hashlib.sha256(b"none").digest()),
        files=nothing,
        log=EventLog(encode=lambda _event: b""),
        limits=limits_of(UpgradeSettings()),
        feed=nothing,
        admin_token="none",
        check_callback=lambda _url: None,
        send_callback=nothing,
        check_readiness=_ready,
        metrics=Metrics(),
        require_room=lambda: None,
        require_taken=nothing,
    )
    return endpoints(parts)


def main() -> None:
    """Write the files, or end with status 1 if one would change."""
    found = documents(declared())
    changed = []
    for path, name in FILES.items():
        file, content = FOLDER / name, encode_document(found[path])
        if not file.exists() or file.read_bytes() != content:
            changed.append(name)
            if "--check" not in sys.argv[1:]:
                file.write_bytes(content)
    if changed and "--check" in sys.argv[1:]:
        sys.exit(f"not as the code says: {', '.join(changed)}; run scripts/descriptions.py")


if __name__ == "__main__":
    main()
