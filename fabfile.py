"""Harbor as a pull-through cache on a VM: deploy it, run it, and let clients use it."""

from invoke import Collection

from tasks import deploy, init

namespace = Collection(
    deploy.deploy,
    init.init,
    deploy.lock,
    deploy.plan,
    deploy.preflight,
)
