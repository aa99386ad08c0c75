"""The settings of a process, read once: explicit over environment over default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self, get_args
from urllib.parse import urlsplit

from annotated_types import Ge, Gt, Le
from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from graph.context import LocalContext
from graph.errors import BadSetting
from services.addresses import parse_origins
from services.handlings import Handlings, parse_handlings
from services.issuers import IssuerSettings, check_issuer
from services.mcp_file import Servers
from services.mcp_file import load as load_mcp
from services.policy import Policy
from services.policy import load as load_policy
from services.prices import Price, parse_prices
from services.rates import RateLimit, parse_rates
from services.receivers import ReceiverSettings

DEFAULT_OPENAI_MODEL = "openai:gpt-5.4-mini"
"""The model chain when a key is set and BALLAST_MODEL is not."""

HIDDEN = (
    *("database_url", "encryption_key", "smtp_url", "openai_api_key", "openai_base_url", "redis_url"),
    *("notify_webhook", "notify_secret", "guards_key"),
)
"""Settings whose value may hold a secret: never shown in an error."""

PAGES = ("https://smith.langchain.com", "https://agentchat.vercel.app", "https://dev.agentinbox.ai")
"""The public pages that talk from a browser to a server on this machine: Studio, agent-chat-ui, agent-inbox."""

REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
REDIS_FORM = "redis://USER:PASSWORD@HOST:PORT/NUMBER, a special character in the password written as %XX"


class Settings(LocalContext, ReceiverSettings, BaseSettings):
    """The run defaults (`BALLAST_MAX_USD`, ...) and what this process connects to.

    An empty variable counts as unset. Variables Ballast does not know are no concern of it.
    """

    model_config = SettingsConfigDict(
        env_prefix="BALLAST_",
        env_ignore_empty=True,
        extra="forbid",
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    database_url: str | None = Field(None, validation_alias=AliasChoices("DATABASE_URL"), repr=False)
    """Postgres; without one an embedded one is started."""
    home: Path = Field(Path(".ballast"), validation_alias=AliasChoices("BALLAST_HOME"))
    """Where the embedded Postgres keeps its state."""
    encryption_key: SecretStr | None = Field(None, validation_alias=AliasChoices("BALLAST_ENCRYPTION_KEY"))
    """Encrypts checkpoints at rest."""
    prices: Annotated[dict[str, Price], NoDecode] = Field(
        default_factory=dict, validation_alias=AliasChoices("BALLAST_PRICES")
    )
    """Prices of models the bundled list does not have: `NAME=input/output,...` in USD a million tokens."""
    tenant_usd_per_day: float = Field(100.0, validation_alias=AliasChoices("BALLAST_TENANT_USD_PER_DAY"), gt=0, le=1e9)
    """Most money for model calls of one tenant on one day (UTC), over all processes."""
    tenant_tool_calls_per_day: int = Field(
        10_000, validation_alias=AliasChoices("BALLAST_TENANT_TOOL_CALLS_PER_DAY"), ge=1, le=1_000_000_000
    )
    """Most tool calls of one tenant on one day (UTC), over all processes."""
    openai_api_key: SecretStr | None = Field(None, validation_alias=AliasChoices("OPENAI_API_KEY"))
    openai_base_url: str | None = Field(
        None, validation_alias=AliasChoices("OPENAI_BASE_URL"), pattern=r"^https?://\S+$", repr=False
    )
    """Any OpenAI-compatible endpoint."""
    openai_timeout: float = Field(120.0, validation_alias=AliasChoices("OPENAI_TIMEOUT"), gt=0, le=3_600)
    """Longest one call to an openai model may take, in seconds; a retry is another call."""

    rates: Annotated[dict[str, RateLimit], NoDecode] = Field(
        default_factory=dict, validation_alias=AliasChoices("BALLAST_RATES")
    )
    """How often endpoints may be asked: `NAME=calls/seconds,...`, a NAME as in a model chain, or `tool:NAME`."""
    redis_url: str | None = Field(None, validation_alias=AliasChoices("BALLAST_REDIS_URL", "REDIS_URL"), repr=False)
    """Where processes share breakers and rate limits; without one each keeps its own."""
    policy: Annotated[Policy, NoDecode] = Field(
        default_factory=Policy, validation_alias=AliasChoices("BALLAST_POLICY"), repr=False
    )
    """What tightens the tools' tiers, and who may decide: a YAML file's name. It belongs to the process: no thread
    keeps it, and no client sets it."""
    mcp: Annotated[Servers, NoDecode] = Field(
        default_factory=Servers, validation_alias=AliasChoices("BALLAST_MCP"), repr=False
    )
    """MCP servers whose tools are offered once a person has approved them: a YAML file's name."""
    untrusted: Annotated[Handlings, NoDecode] = Field(
        default_factory=Handlings, validation_alias=AliasChoices("BALLAST_UNTRUSTED")
    )
    """How what tools read from outside reaches the model. It belongs to the process, like the policy."""
    extractor_model: str | None = Field(None, validation_alias=AliasChoices("BALLAST_EXTRACTOR_MODEL"))
    """The model chain that makes the extracts; without one the run's own, asked apart and without tools."""
    guards: Path | None = Field(None, validation_alias=AliasChoices("BALLAST_GUARDS"))
    """A YAML file with the guards of each stage. It belongs to the process, like the policy."""
    guards_key: SecretStr | None = Field(None, validation_alias=AliasChoices("BALLAST_GUARDS_KEY"))
    """The key for the endpoint of a guard's model; the one of the agent's models is never sent there."""
    breaker_failures: int = Field(5, validation_alias=AliasChoices("BALLAST_BREAKER_FAILURES"), ge=1, le=1_000)
    """Failures in a row after which an endpoint is left alone."""
    breaker_seconds: float = Field(30.0, validation_alias=AliasChoices("BALLAST_BREAKER_SECONDS"), gt=0, le=3_600)
    """For how long; then one call tries it."""

    overdue_seconds: float = Field(
        86_400.0, validation_alias=AliasChoices("BALLAST_OVERDUE_SECONDS"), ge=1, le=31_536_000
    )
    """A medium-risk action whose deadline passed so long ago while nothing could release it expires instead."""
    oidc_issuer: str | None = Field(None, validation_alias=AliasChoices("BALLAST_OIDC_ISSUER"))
    """Whose JSON web tokens are taken: an OpenID Connect issuer, as it stands in their `iss`."""
    oidc_audience: str | None = Field(
        None, validation_alias=AliasChoices("BALLAST_OIDC_AUDIENCE"), validate_default=True
    )
    """What such a token's `aud` must name: this server, as the issuer knows it."""
    oidc_roles_claim: str = Field("roles", validation_alias=AliasChoices("BALLAST_OIDC_ROLES_CLAIM"), max_length=200)
    """The claim with the roles, a list or one as text; `a.b` is also looked for as `b` in `a`."""
    oidc_name_claim: str = Field("sub", validation_alias=AliasChoices("BALLAST_OIDC_NAME_CLAIM"), max_length=200)
    """The claim a person is known by."""
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        PAGES, validation_alias=AliasChoices("BALLAST_ALLOWED_ORIGINS")
    )
    """Pages that may ask this server from a browser on this machine while no token is needed."""

    @field_validator("prices", mode="before")
    @classmethod
    def _read_prices(cls, value: Any) -> Any:
        return parse_prices(value) if isinstance(value, str) else value

    @field_validator("rates", mode="before")
    @classmethod
    def _read_rates(cls, value: Any) -> Any:
        return parse_rates(value) if isinstance(value, str) else value

    @field_validator("policy", mode="before")
    @classmethod
    def _read_policy(cls, value: Any) -> Any:
        return load_policy(Path(value)) if isinstance(value, str | Path) else value

    @field_validator("untrusted", mode="before")
    @classmethod
    def _read_handlings(cls, value: Any) -> Any:
        return parse_handlings(value) if isinstance(value, str) else value

    @field_validator("mcp", mode="before")
    @classmethod
    def _read_mcp(cls, value: Any) -> Any:
        return load_mcp(Path(value)) if isinstance(value, str | Path) else value

    @field_validator("oidc_issuer")
    @classmethod
    def _check_issuer(cls, value: str | None) -> str | None:
        return value if value is None else check_issuer(value)

    @field_validator("oidc_audience")
    @classmethod
    def _audience_with_an_issuer(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("oidc_issuer"):
            raise ValueError("set with BALLAST_OIDC_ISSUER: without it a token made for another server would do here")
        return value

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _read_origins(cls, value: Any) -> Any:
        return parse_origins(value) if isinstance(value, str) else value

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(REDIS_SCHEMES):
            raise ValueError("a redis://, rediss:// or unix:// address")
        if value is not None and not _splits(value):
            raise ValueError(REDIS_FORM)
        return value

    @property
    def issuer(self) -> IssuerSettings | None:
        """The issuer to believe; None when there is none."""
        if self.oidc_issuer is None or self.oidc_audience is None:
            return None
        return IssuerSettings(
            url=self.oidc_issuer,
            audience=self.oidc_audience,
            roles_claim=self.oidc_roles_claim,
            name_claim=self.oidc_name_claim,
        )

    @model_validator(mode="after")
    def _model_with_a_key(self) -> Self:
        if "model" not in self.model_fields_set and self.openai_api_key:
            self.model = DEFAULT_OPENAI_MODEL
        return self


def _splits(address: str) -> bool:
    """Whether host and port can be told; the parser's own words may show a part of the password."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return False
    # An unescaped / or # in a password ends the host before it.
    return port != 0 and "@" not in f"{parts.path}{parts.query}{parts.fragment}"


def load(**explicit: Any) -> Settings:
    """Read the environment; a keyword argument (a field of Settings) wins over it, None included.

    Raises:
        BadSetting: a value does not hold; one line with the variable, the value and the bound.
    """
    try:
        return Settings(**explicit)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise BadSetting(_line(first, _value_of(first, explicit))) from None


def _line(error: ErrorDetails, value: Any) -> str:
    name = _field_name(error)
    field = Settings.model_fields.get(name)
    if field is None:
        return f"there is no setting {name!r}"
    if isinstance(told := error.get("ctx", {}).get("error"), BadSetting):  # whole: it names the variable
        return str(told)
    shown = "" if name in HIDDEN else f", got {str(value)!r:.200}"
    return f"{variable(name)} must be {_bound(field) or _why(error)}{shown}"


def variable(name: str) -> str:
    """The environment variable of a field of Settings."""
    alias = Settings.model_fields[name].validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else f"BALLAST_{name.upper()}"


def _field_name(error: ErrorDetails) -> str:
    """The field an error is about; pydantic names it by whichever alias it was read from."""
    named = str(error["loc"][0])
    wanted = named.lower()
    return next((name for name in Settings.model_fields if wanted in map(str.lower, _variables(name))), named)


def _variables(name: str) -> list[str]:
    alias = Settings.model_fields[name].validation_alias
    return [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else [variable(name)]


def _value_of(error: ErrorDetails, explicit: dict[str, Any]) -> Any:
    return explicit.get(_field_name(error), error["input"])


def _bound(field: FieldInfo) -> str:
    """In words, from the field's own limits; empty when it has none."""
    kind = "a whole number" if int in (field.annotation, *get_args(field.annotation)) else "a number"
    words = []
    for limit in field.metadata:
        if isinstance(limit, Gt):
            words.append(f"above {limit.gt:g}")
        elif isinstance(limit, Ge):
            words.append(f"from {limit.ge}")
        elif isinstance(limit, Le):
            words.append(f"up to {limit.le:g}" if words and "above" in words[0] else f"to {limit.le}")
    return f"{kind} {' '.join(words)}" if words else ""


def _why(error: ErrorDetails) -> str:
    if error["type"] == "string_pattern_mismatch":
        return "an http:// or https:// address"
    told = error["msg"].removeprefix("Value error, ").splitlines()[0]
    return told.removeprefix("Input should be ").replace("String should have", "text of")
