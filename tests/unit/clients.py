"""A cache for the tests of clients."""

from harbor.clients.cache import Cache, Upstream

HOST, MIRROR = "harbor-cache.example.com", "docker.mirror.test"
CA = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def cache(mirror=MIRROR, ca=CA, more=()):
    hub = Upstream("docker.io", "proxy.docker.io", mirror, "library/hello-world:latest")
    return Cache(HOST, (hub, *more), ca)


QUAY = Upstream("quay.io", "proxy.quay.io")
