"""How settings are written: what an environment variable can say, which is text alone, becomes typed values here."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import NoDecode


def _seconds(given: object) -> object:
    """Take digits as seconds: the environment knows text only, and pydantic reads text as ISO 8601."""
    try:
        return float(given) if isinstance(given, str) else given
    except ValueError:
        return given


Duration = Annotated[timedelta, BeforeValidator(_seconds)]
PositiveDuration = Annotated[Duration, Field(gt=timedelta(0))]


class Role(StrEnum):
    """What a node does."""

    REST = "rest"
    GATEWAY = "gateway"
    PUSHER = "pusher"


def _words(given: object) -> object:
    """Take names with commas between them: the environment knows text only."""
    if isinstance(given, str):
        return [word for word in given.strip("[]").replace('"', "").replace(",", " ").split() if word]
    return given


Roles = Annotated[frozenset[Role], NoDecode, BeforeValidator(_words), Field(min_length=1)]

Protocols = Annotated[
    tuple[Literal["coap", "coaps", "http", "https"], ...], NoDecode, BeforeValidator(_words), Field(min_length=1)
]


class Section(BaseModel):
    """One part of the tree."""

    model_config = ConfigDict(frozen=True, extra="forbid")
