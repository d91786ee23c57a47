"""The settings of a certificate by ACME."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from harbor.acme import providers
from harbor.sections import FromEnvironment, Section

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
LETS_ENCRYPT_STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"
EMAIL = re.compile(r"[^@\s\"'$]+@[^@\s\"'$.]+(\.[^@\s\"'$.]+)+")
Duration = Annotated[int, Field(ge=0, le=3600)]


class Acme(Section):
    """Let's Encrypt, or another CA that speaks ACME, by DNS-01."""

    email: str = Field(description="of the account: the CA writes there before a certificate ends")
    provider: str = Field("route53", description="who serves the DNS zone, as Traefik names it")
    variables: dict[str, str | FromEnvironment] = Field(
        {},
        description="what the provider needs, by its own names; secrets as `{env: NAME}`. "
        "What it cannot do without and is not here is taken from `.env`",
    )
    resolvers: list[str] = Field(["8.8.8.8:53"], description="DNS servers that find the zone")
    delay: Duration = Field(0, description="seconds to wait after the TXT record was written")
    ask_name_servers: bool = Field(
        True, description="wait until the zone's own name servers show the TXT record"
    )
    directory: str = Field(LETS_ENCRYPT, pattern=r"^https://\S+$", description="of the CA")
    staging: str | None = Field(
        None,
        pattern=r"^https://\S+$",
        description="directory of the CA that every new order is rehearsed with; "
        "Let's Encrypt's own staging where `directory` is theirs",
    )
    staging_ca: str | None = Field(None, description="roots that the rehearsal must verify with")
    ca_bundle: str | None = Field(
        None, description="the CA of the CA's own https, where it is a private one"
    )
    existing: str | None = Field(
        None,
        pattern=r"^/\S+$",
        description="an acme.json on the host to take over, so that moving costs no order; the "
        "volume harbor_traefik_certs is found by itself",
    )
    key_type: Literal["EC256", "EC384", "RSA2048", "RSA4096"] = "EC256"

    @model_validator(mode="before")
    @classmethod
    def _secrets_by_name(cls, values: Any) -> Any:
        """What the provider cannot do without and is not given stands in `.env`."""
        name = values.get("provider", "route53") if isinstance(values, dict) else None
        given = values.get("variables", {}) if isinstance(values, dict) else None
        if name not in providers.SINCE or not isinstance(given, dict):
            return values
        missing = [v for v in providers.required(name) if v not in given]
        return {**values, "variables": {**given, **{v: {"env": v} for v in missing}}}

    @field_validator("email")
    @classmethod
    def _is_email(cls, value: str) -> str:
        # The CA refuses these after the fact (RFC 8555 invalidContact): better before.
        if not EMAIL.fullmatch(value) or value.endswith(("@example.com", "@example.org")):
            raise ValueError(f"{value!r} is no e-mail address that the CA takes")
        return value

    @field_validator("resolvers")
    @classmethod
    def _with_port(cls, value: list[str]) -> list[str]:
        return [one if re.search(r":\d+$", one) else f"{one}:53" for one in value]

    @field_validator("variables")
    @classmethod
    def _variable_names(
        cls, value: dict[str, str | FromEnvironment]
    ) -> dict[str, str | FromEnvironment]:
        for name in value:
            if not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
                raise ValueError(f"{name!r} is no environment variable")
        return value

    @property
    def rehearsal(self) -> str | None:
        """The directory that an order is rehearsed with; None for a CA without staging."""
        default = LETS_ENCRYPT_STAGING if self.directory == LETS_ENCRYPT else None
        return self.staging or default
