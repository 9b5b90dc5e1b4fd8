"""Packages by HTTPS need a certificate: the operator's own, that of the REST port, or one that is made.

One that is made is for the host in package URIs, under an authority that devices are given
(`package-tls/authority.pem`).
"""

from datetime import datetime
from pathlib import Path
from typing import Final

from firmcast.errors import StartError
from firmcast.gateway.addresses import is_unspecified
from firmcast.rest.certificates import load_or_make_certificate
from firmcast.settings import Settings

FOLDER: Final = "package-tls"
_PAIR: Final = "gateway.package_certificate_file and gateway.package_key_file go together"
_NO_HOST: Final = (
    "a certificate for gateway.package_secure_port can be made for a known host only: name gateway.public_host, or"
    " gateway.package_certificate_file"
)


def package_certificate(settings: Settings, now: datetime) -> tuple[Path, Path] | None:
    """Return PEM chain and key; None where no package is served by HTTPS. Files are read and perhaps written.

    Raises:
        StartError: the settings do not say enough.
    """
    gateway, rest = settings.gateway, settings.rest
    if (gateway.package_certificate_file is None) != (gateway.package_key_file is None):
        raise StartError(_PAIR)
    if gateway.package_secure_port is None:
        return None
    if gateway.package_certificate_file is not None and gateway.package_key_file is not None:
        return gateway.package_certificate_file, gateway.package_key_file
    if rest.certificate_file is not None and rest.key_file is not None:
        return rest.certificate_file, rest.key_file
    host = gateway.public_host or gateway.host
    if is_unspecified(host):
        raise StartError(_NO_HOST)
    made = load_or_make_certificate(settings.data / FOLDER, [host, "localhost", "127.0.0.1", "::1"], now)
    return made.certificate, made.key
