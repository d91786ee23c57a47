"""The steps of a deploy, in order: each may rely on the ones before it."""

from harbor.steps import (
    config,
    docker,
    environment,
    history,
    release,
    service,
    stack,
    store_backup,
    store_restore,
    tls,
    traefik,
    user,
)

STEPS = (
    docker,
    user,
    store_restore,  # before tls, which would make a new certificate
    release,
    tls,
    config,
    environment,
    traefik,
    service,
    stack,
    history,
    store_backup,
)
