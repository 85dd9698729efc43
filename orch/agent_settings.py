"""What orch.toml may say of one agent: its table `[agents.<name>]`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from orch.ports import Adapter, Sandbox
from orch.repo_settings import Seconds


class AgentSettings(BaseModel):
    """How one agent is called."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    adapter: Adapter = "command"
    command: tuple[str, ...] = Field((), validate_default=True)
    timeout: Seconds = 3600
    stall_timeout: Seconds = 900
    stop_grace: Seconds = 10
    env: dict[str, str] = {}
    model: str = Field("", pattern=r"^([A-Za-z0-9][A-Za-z0-9._:/@\[\]-]{0,199})?$")
    max_turns: int | None = Field(None, ge=1, le=100_000)
    budget_usd: float | None = Field(None, ge=0.01, le=1_000_000, allow_inf_nan=False)
    sandbox: Sandbox | Literal["none"] = "none"
    network: bool = True

    @field_validator("command")
    @classmethod
    def _a_program(cls, value: tuple[str, ...], known: ValidationInfo) -> tuple[str, ...]:
        if not value and known.data.get("adapter", "command") == "command":
            raise ValueError("the program and its arguments are needed")
        if value and not value[0]:
            raise ValueError("the first word is empty, and no program")
        return value

    @model_validator(mode="after")
    def _what_the_adapter_can_do(self) -> Self:
        counted = [name for name in ("max_turns", "budget_usd") if getattr(self, name) is not None]
        if counted and self.adapter != "claude":
            raise ValueError(f"{counted[0]} is kept by the adapter claude only: use timeout")
        if self.model and self.adapter == "command":
            raise ValueError("model is not passed to a plain command: put it into command or env")
        if not self.network and self.sandbox != "bubblewrap":
            raise ValueError('network = false needs sandbox = "bubblewrap"')
        return self
