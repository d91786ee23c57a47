"""Harbor as a pull-through cache on a VM: deploy it, run it, and let clients use it."""

from invoke import Collection

from tasks import (
    configure,
    deploy,
    doctor,
    history,
    init,
    lifecycle,
    names,
    prune,
    trust,
    use_cache,
    verify,
)

namespace = Collection(
    configure.configure,
    deploy.deploy,
    history.diff,
    doctor.doctor,
    lifecycle.execute,
    history.history,
    init.init,
    deploy.lock,
    lifecycle.logs,
    deploy.plan,
    deploy.preflight,
    prune.prune,
    names.render,
    lifecycle.restart,
    names.rewrite,
    history.rollback,
    lifecycle.start,
    lifecycle.status,
    lifecycle.stop,
    trust.trust_cert,
    trust.untrust_cert,
    use_cache.unuse_cache,
    use_cache.use_cache,
    verify.verify,
    verify.warm,
)
