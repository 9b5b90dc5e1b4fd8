"""Whatever a peer sends that LwM2M does not allow ends in one of these errors, and in no other.

Lwm2mError
├── PathFormatError          not a path of the object tree
├── LinkFormatError          not a link-format document (RFC 6690)
├── RegistrationFormatError  not a Register or Update that can be understood
└── ContentFormatError       a payload that its content format does not allow, or a format not known here
"""


class Lwm2mError(ValueError):
    """A peer sent something that LwM2M does not allow."""


class PathFormatError(Lwm2mError):
    """The text is not a path of one to four numbers."""


class LinkFormatError(Lwm2mError):
    """The text is not a link-format document."""


class RegistrationFormatError(Lwm2mError):
    """The registration lacks something it must have, or has something it must not."""


class ContentFormatError(Lwm2mError):
    """The payload does not fit its content format, or the format is not one of ours."""
