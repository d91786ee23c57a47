"""Harbor as a pull-through cache on a VM: deploy it, run it, and let clients use it."""

from invoke import Collection

from tasks import deploy, init, lifecycle

namespace = Collection(
    deploy.deploy,
    lifecycle.execute,
    init.init,
    deploy.lock,
    lifecycle.logs,
    deploy.plan,
    deploy.preflight,
    lifecycle.restart,
    lifecycle.start,
    lifecycle.status,
    lifecycle.stop,
)
