"""What an operator can set of the metrics, beside those of the management API."""

from pydantic import Field

from firmcast.settings.values import Section


class MetricsSettings(Section):
    """What the platform tells of itself, beside `/metrics` of the management API."""

    host: str = Field(default="127.0.0.1", description="address on which metrics and health are told, see metrics.port")
    port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="tell metrics and health in clear and without a token on this port too; 0 for any free one",
    )
