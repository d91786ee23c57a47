"""What rewrite and render need: one cache, from the inventory alone or from its host."""

from dataclasses import replace

import invoke

from harbor.clients import cache as caches
from harbor.clients import rollout
from harbor.clients.cache import Cache
from harbor.errors import Refused, SettingsError
from harbor.inventory import ClientOptions
from harbor.settings import Settings
from tasks import _clients, _fleet
from tasks._inventory import Loaded, harbor_settings, load


def _settings(loaded: Loaded, name: str) -> Settings:
    """The settings of the Harbor host of this name, or of the only one. Raises SettingsError."""
    known = list(loaded.hosts([name] if name else [], "harbor"))
    if len(known) != 1:
        raise SettingsError(f"--cache is missing: one of {', '.join(known)}")
    return harbor_settings(loaded, known, keep_ca=False)[0]


def declared_cache(name: str, *, prefix: bool) -> Cache:
    """The cache as the inventory has it; `prefix`: without mirror names."""
    harbor = _settings(load(), name).harbor
    found = caches.of(harbor, b"", caches.all_projects(harbor))
    if not prefix:
        return found
    return replace(found, upstreams=tuple(replace(u, mirror="") for u in found.upstreams))


def rendered(c: invoke.Context, kind: str, runtimes: list[str], name: str, image: str) -> str:
    if kind not in rollout.KINDS:
        raise SettingsError(f"--kind {kind}: one of {', '.join(rollout.KINDS)}")
    loaded = load()
    settings = _settings(loaded, name)
    host = _fleet.open_host(
        c, loaded, settings.name, secrets=settings.secrets.all(), read_only=True
    )
    try:
        cache = _clients.source_of(host, loaded, settings).cache
    finally:
        host.close()
    if not cache.upstreams:
        raise Refused("Harbor has none of the proxy projects yet", "first: fab configure")
    options = ClientOptions.model_validate(loaded.inventory.client)
    if kind == "daemonset":
        return rollout.daemonset(cache, options, image)
    if kind == "cloud-init":
        return rollout.cloud_init(cache, runtimes, options)
    return rollout.as_text([f for r in runtimes for f in rollout.files(cache, r, options)])
