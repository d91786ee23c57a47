"""Upstream registries: which type and address Harbor must be given for each, by version.

Source of the types: src/pkg/reg/model/registry.go; of those that may back a proxy project:
PERMITTED_REGISTRY_TYPES_FOR_PROXY_CACHE in make/photon/prepare/templates/core/env.jinja of
each release from 2.4 to 2.15.
"""

from dataclasses import dataclass

from harbor.versions import Version

# Type -> the first release in which a proxy project may use it, and the first in which not.
PROXY_TYPES: dict[str, tuple[Version, Version | None]] = {
    "docker-hub": (Version(2, 4, 0), None),
    "docker-registry": (Version(2, 4, 0), None),
    "harbor": (Version(2, 4, 0), None),
    "azure-acr": (Version(2, 4, 0), None),
    "aws-ecr": (Version(2, 4, 0), None),
    "google-gcr": (Version(2, 4, 0), None),
    "quay": (Version(2, 4, 0), Version(2, 14, 0)),
    "github-ghcr": (Version(2, 6, 0), None),
    "jfrog-artifactory": (Version(2, 7, 0), None),
    "ali-acr": (Version(2, 12, 0), None),
}


@dataclass(frozen=True)
class Upstream:
    """What Harbor has to know of one upstream; an empty `url` has to be given by the operator."""

    type: str
    url: str = ""
    credentials_needed: bool = False
    note: str = ""


PLAIN = "docker-registry"
UPSTREAMS: dict[str, Upstream] = {
    # Only this type answers `nginx` with `library/nginx` (src/server/middleware/repoproxy, 2.7+).
    "docker.io": Upstream("docker-hub", "https://hub.docker.com"),
    # Type quay wants JSON for a password, and is gone for new proxy projects in 2.14.
    "quay.io": Upstream(PLAIN, "https://quay.io"),
    "gcr.io": Upstream(PLAIN, "https://gcr.io"),
    "registry.k8s.io": Upstream(PLAIN, "https://registry.k8s.io"),
    "k8s.gcr.io": Upstream(
        PLAIN,
        "https://k8s.gcr.io",
        note="is frozen since 3 April 2023: new images come only from registry.k8s.io, which has "
        "the old ones too. Write `upstream: registry.k8s.io`; the names of registry and project "
        "can stay",
    ),
    "ghcr.io": Upstream("github-ghcr", "https://ghcr.io"),
    "mcr.microsoft.com": Upstream(PLAIN, "https://mcr.microsoft.com"),
    "public.ecr.aws": Upstream(PLAIN, "https://public.ecr.aws"),
    "nvcr.io": Upstream(
        PLAIN, "https://nvcr.io", note="gives most images only with credentials ($oauthtoken, key)"
    ),
    "registry.gitlab.com": Upstream(PLAIN, "https://registry.gitlab.com"),
    "docker.elastic.co": Upstream(PLAIN, "https://docker.elastic.co"),
    "registry.access.redhat.com": Upstream(PLAIN, "https://registry.access.redhat.com"),
    "cgr.dev": Upstream(PLAIN, "https://cgr.dev"),
    "harbor": Upstream("harbor"),
    "aws-ecr": Upstream("aws-ecr", "https://api.ecr.{region}.amazonaws.com", True),
    "azure-acr": Upstream("azure-acr", "", True),
    # Reports unhealthy without a JSON key (goharbor/harbor issue 22343).
    "google-gcr": Upstream("google-gcr", "https://gcr.io", True),
    "jfrog-artifactory": Upstream("jfrog-artifactory"),
    "ali-acr": Upstream("ali-acr", "", True),
}


def find(name: str, version: Version) -> Upstream:
    """The entry of `name` as this release needs it. Raises KeyError."""
    found = UPSTREAMS[name]
    if found.type == "github-ghcr" and not proxied(found.type, version):
        return Upstream(PLAIN, found.url)
    return found


def proxied(type_: str, version: Version) -> bool:
    """Whether a new proxy project of this release may use a registry of this type."""
    since, until = PROXY_TYPES.get(type_, (None, None))
    return since is not None and since <= version and (until is None or version < until)


def why_not_proxied(type_: str, version: Version) -> str:
    """In words, when `proxied` says no."""
    since, until = PROXY_TYPES.get(type_, (None, None))
    if since is None:
        return f"type {type_} cannot back a proxy project (one of: {', '.join(PROXY_TYPES)})"
    if until is not None and version >= until:
        return (
            f"type {type_} backs no new proxy project from Harbor {until} on: use {PLAIN} "
            f"({version} is declared)"
        )
    return f"type {type_} backs a proxy project from Harbor {since} on ({version} is declared)"
