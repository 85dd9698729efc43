"""The settings of who comes in: roles, sessions, and whose word is believed for others."""

from __future__ import annotations

import ipaddress
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from orch.repo_settings import Seconds

Role = Literal["viewer", "operator", "admin"]


class DoorSettings(BaseModel):
    """A part of all settings, in a file of its own."""

    web_session_seconds: Seconds = Field(
        7 * 24 * 3600, description="After this a person has to sign in again, whatever happens."
    )
    web_session_idle_seconds: Seconds = Field(
        12 * 3600, description="After this long without a visit a person has to sign in again."
    )
    web_proxy_addresses: tuple[str, ...] = Field(
        (), description="Comma-separated addresses or networks of reverse proxies to believe."
    )
    web_proxy_hops: int = Field(
        1, ge=1, le=9, description="Reverse proxies in a row before the web app."
    )
    web_proxy_user_header: str = Field(
        "", pattern=r"^[A-Za-z0-9-]{0,60}$", description="Header in which they name the person."
    )
    web_proxy_role: Role | Literal["none"] = Field(
        "viewer", description="Role of whom they name and no admin made: or none, to refuse them."
    )

    @field_validator("web_proxy_addresses", mode="before")
    @classmethod
    def _split_addresses(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @model_validator(mode="after")
    def _believes_known_proxies(self) -> Self:
        for network in self.web_proxy_addresses:
            ipaddress.ip_network(network)  # a ValueError names it
        if self.web_proxy_user_header and not self.web_proxy_addresses:
            raise ValueError("web_proxy_user_header needs web_proxy_addresses: whom to believe it")
        return self
