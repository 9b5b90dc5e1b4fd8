"""The settings are one frozen tree, read once at the start; nobody else reads the environment.

Every field can be set by an environment variable, `FIRMCAST_` and the path of the field with two underscores between
(`FIRMCAST_REST__PORT=8743`), or in a TOML file named to the command. Secrets are of a type that does not print.

Each section of the tree is a module of its own, called what it is called in the file; here they are put together.
"""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from firmcast.settings.devices import DeviceSettings
from firmcast.settings.firmware import FirmwareSettings
from firmcast.settings.gateway import GatewaySettings
from firmcast.settings.intake import IntakeSettings
from firmcast.settings.metrics import MetricsSettings
from firmcast.settings.nodes import NodeSettings
from firmcast.settings.push import PushSettings
from firmcast.settings.rest import RestSettings
from firmcast.settings.retention import RetentionSettings
from firmcast.settings.upgrades import UpgradeSettings
from firmcast.settings.values import Role, Roles

__all__ = [
    "DeviceSettings",
    "FirmwareSettings",
    "GatewaySettings",
    "IntakeSettings",
    "MetricsSettings",
    "NodeSettings",
    "PushSettings",
    "RestSettings",
    "RetentionSettings",
    "Role",
    "Settings",
    "UpgradeSettings",
    "load_settings",
]


class Settings(BaseSettings):
    """Everything an operator can set."""

    model_config = SettingsConfigDict(
        env_prefix="FIRMCAST_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        nested_model_default_partial_update=True,
    )

    data: Path = Field(default=Path("firmcast-data"), description="folder of the store, the packages and the keys")
    database_url: SecretStr | None = Field(
        default=None,
        description="postgresql://…; without it the store is an SQLite file in the folder, and there is one node",
    )
    migrate_at_start: bool = Field(
        default=True,
        description="bring the store to this release when it is served; else `firmcast db migrate` does, or no start",
    )
    roles: Roles = Field(
        default=frozenset(Role),
        description="what this node does, such as `rest,pusher`; less than all of it needs a database_url",
    )
    sealing_key_file: Path | None = Field(
        default=None,
        description="32 bytes that seal stored secrets, the same on all nodes; made in the folder if unset",
    )
    admin_token: SecretStr | None = Field(
        default=None, description="opens /v1; without it one is made and kept in the folder"
    )
    rest: RestSettings = RestSettings()
    gateway: GatewaySettings = GatewaySettings()
    devices: DeviceSettings = DeviceSettings()
    upgrades: UpgradeSettings = UpgradeSettings()
    push: PushSettings = PushSettings()
    firmware: FirmwareSettings = FirmwareSettings()
    metrics: MetricsSettings = MetricsSettings()
    intake: IntakeSettings = IntakeSettings()
    retention: RetentionSettings = RetentionSettings()
    nodes: NodeSettings = NodeSettings()


def load_settings(file: Path | None = None) -> Settings:
    """Return the settings of the environment over those of the TOML `file`.

    Raises:
        pydantic.ValidationError: a value is missing, unknown or outside its range.
    """
    if file is None:
        return Settings()

    class _FromFile(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del dotenv_settings, file_secret_settings
            return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file)

    return _FromFile()
