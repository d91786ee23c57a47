"""The steps of a deploy, in order: each may rely on the ones before it."""

from harbor.steps import (
    certificate,
    config,
    docker,
    environment,
    history,
    release,
    service,
    stack,
    store_backup,
    store_import,
    store_restore,
    store_watch,
    tls,
    traefik,
    user,
)

STEPS = (
    docker,
    user,
    store_restore,  # before tls, which would make a new certificate
    store_import,
    release,
    tls,
    config,
    environment,
    traefik,
    service,
    store_watch,
    stack,
    certificate,
    history,
    store_backup,
)
