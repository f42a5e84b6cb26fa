"""The settings: which issuers are trusted, and what their claims mean here."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, TypeAlias, get_args
from urllib.parse import urlsplit

import msgspec

from famulus import Settings, setting
from famulus_schemas.identity import SYSTEM_PROJECT
from famulus_schemas.keys import normal_scopes

Algorithm: TypeAlias = Literal[
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
]
"""All with a public key: what a verifier knows signs nothing."""

ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)
_ROLES = frozenset({"owner", "member", "reader", "admin"})


class Issuer(Settings, frozen=True, kw_only=True):
    """Table `[[plugins.oidc.issuers]]`: one issuer of tokens."""

    name: Annotated[
        str,
        msgspec.Meta(pattern="^[a-z0-9][a-z0-9_-]{0,31}$"),
        setting(why="How it is called here: what ids of those whom it names begin with."),
    ]
    issuer: Annotated[
        str, msgspec.Meta(min_length=1), setting(why="The claim `iss` of its tokens, exactly.")
    ]
    audience: Annotated[
        str | list[str],
        setting(why="Whom tokens must be for: one of these must be in the audience claim."),
    ]
    audience_claim: Annotated[
        str, setting(why="Where that stands; Amazon Cognito has it in `client_id`.")
    ] = "aud"
    jwks_url: Annotated[
        str | None,
        setting(
            why="Where its keys are; by itself what `ISSUER/.well-known/openid-configuration` says."
        ),
    ] = None
    jwks_file: Annotated[
        str | None, setting(why="A file with its keys, instead; read again every `refresh_s`.")
    ] = None
    allow_http: Annotated[
        bool, setting(why="Whether keys may come by plain http from another machine than this.")
    ] = False
    algorithms: Annotated[
        tuple[Algorithm, ...],
        msgspec.Meta(min_length=1),
        setting(why="How tokens may be signed; by itself in any way that has a public key."),
    ] = ALGORITHMS
    require: Annotated[
        dict[str, str | list[str]],
        setting(why="Claims, by path, that must have one of these values: `token_use` = `access`."),
    ] = {}
    max_age_s: Annotated[
        Annotated[int, msgspec.Meta(ge=1)] | None,
        setting(why="Seconds after its `iat` that a token is taken, whenever it expires."),
    ] = None
    subject_claim: Annotated[
        str, setting(why="The claim that tells who it is, for logs and what is made.")
    ] = "sub"
    project: Annotated[
        str | None,
        setting(why="The project of all its tokens; `default` where nothing is said of projects."),
    ] = None
    project_claim: Annotated[
        str | None,
        setting(why="The claim, by path such as `tenant.id`, that tells the project instead."),
    ] = None
    projects: Annotated[
        dict[str, str], setting(why="The projects that values of that claim stand for.")
    ] = {}
    project_template: Annotated[
        str | None,
        setting(why="How a value becomes a project's id, such as `team-{value}`; else it is one."),
    ] = None
    roles_claim: Annotated[
        str | None,
        setting(why="The claim, by path such as `realm_access.roles`, that tells the roles."),
    ] = None
    roles: Annotated[
        dict[str, str | list[str]],
        setting(
            why="What its values stand for: `owner`, `member`, `reader`, `admin`, or a list of "
            "scopes."
        ),
    ] = {}
    default_role: Annotated[
        Literal["owner", "member", "reader", "none"] | None,
        setting(
            why="The role of a token that has none of these; by itself `member` where no claim "
            "tells roles, and else `none`, which is let in to nothing."
        ),
    ] = None

    def __post_init__(self) -> None:
        if not self.audiences:
            raise ValueError("audience must name at least one")
        if self.jwks_url is not None and self.jwks_file is not None:
            raise ValueError("keys come from jwks_url or from jwks_file, not from both")
        if self.jwks_file is None:
            self.refuse_plain_http(self.jwks_url or self.issuer)
        self._check_projects()
        self._check_roles()

    @property
    def audiences(self) -> frozenset[str]:
        """Whom tokens may be for."""
        given = [self.audience] if isinstance(self.audience, str) else self.audience
        return frozenset(each for each in given if each)

    def refuse_plain_http(self, url: str) -> None:
        """Raise ValueError for a URL from which keys could come that somebody else put there."""
        parts = urlsplit(url)
        if parts.scheme == "https" and parts.hostname:
            return
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError("keys come from https URLs; set jwks_url or jwks_file")
        if not (self.allow_http or _is_loopback(parts.hostname)):
            raise ValueError("keys must come by https; or set allow_http")

    def _check_projects(self) -> None:
        if self.project is not None and self.project_claim is not None:
            raise ValueError("project is the project of all; with project_claim there is none")
        if (self.projects or self.project_template) and self.project_claim is None:
            raise ValueError("projects and project_template need project_claim")
        if self.projects and self.project_template:
            raise ValueError("values become projects by projects or by project_template, not both")
        if self.project_template is not None and "{value}" not in self.project_template:
            raise ValueError("project_template must contain {value}")
        if SYSTEM_PROJECT in (self.project, *self.projects.values()):
            raise ValueError("the project `system` is nobody's; admins come in by a role")

    def _check_roles(self) -> None:
        if (self.roles_claim is None) != (not self.roles):
            raise ValueError("roles_claim and roles need each other: no value is a role by itself")
        for meaning in self.roles.values():
            if isinstance(meaning, str):
                if meaning not in _ROLES:
                    raise ValueError("a role is owner, member, reader, admin or a list of scopes")
                continue
            try:
                scopes = normal_scopes(meaning)
            except ValueError:
                scopes = ()
            if not meaning or not scopes:
                raise ValueError("a scope is api.all, or RESOURCE.read or .write")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class OidcSettings(Settings, frozen=True, kw_only=True):
    """Table `[plugins.oidc]`."""

    issuers: Annotated[
        list[Issuer], setting(why="Whose tokens are taken; without any the plugin is off.")
    ] = []
    create_projects: Annotated[
        bool, setting(why="Whether projects that tokens name are made where there are none.")
    ] = False
    leeway_s: Annotated[
        float,
        msgspec.Meta(ge=0, le=600),
        setting(why="Seconds that the clocks of issuers may be off."),
    ] = 30.0
    token_bytes_max: Annotated[
        int, msgspec.Meta(ge=256), setting(why="Size of a token; longer ones are not looked at.")
    ] = 16_384
    cache_s: Annotated[
        float,
        msgspec.Meta(ge=0),
        setting(why="Seconds a token is taken for valid before it, and its project, is checked."),
    ] = 1.0
    cache_tokens_max: Annotated[int, msgspec.Meta(ge=1), setting(why="Tokens in that cache.")] = (
        10_000
    )
    refresh_s: Annotated[
        float,
        msgspec.Meta(gt=0),
        setting(why="Seconds after which an issuer's keys are fetched anew."),
    ] = 300.0
    refresh_min_s: Annotated[
        float,
        msgspec.Meta(gt=0),
        setting(why="Seconds between two fetches, whatever unknown keys tokens name."),
    ] = 10.0
    stale_max_s: Annotated[
        float,
        msgspec.Meta(gt=0),
        setting(why="Seconds that keys are used for while their issuer is away."),
    ] = 86_400.0
    fetch_s: Annotated[
        float, msgspec.Meta(gt=0), setting(why="Seconds an issuer has to hand out its keys.")
    ] = 5.0
    document_bytes_max: Annotated[
        int, msgspec.Meta(ge=1024), setting(why="Size of what an issuer says of itself.")
    ] = 262_144
    keys_max: Annotated[
        int, msgspec.Meta(ge=1), setting(why="Keys of one issuer; those past it are not used.")
    ] = 64

    def __post_init__(self) -> None:
        for what in ("name", "issuer"):
            given = [getattr(each, what) for each in self.issuers]
            if len(set(given)) != len(given):
                raise ValueError(f"two issuers have the same {what}")
