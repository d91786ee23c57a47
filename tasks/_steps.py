"""The steps of a deploy, in order: each may rely on the ones before it."""

from harbor.steps import config, docker, environment, release, service, stack, tls, traefik, user

STEPS = (docker, user, release, tls, config, environment, traefik, service, stack)
