"""Harbor as a pull-through cache on a VM: deploy it, run it, and let clients use it."""

from invoke import Collection

from tasks import (
    cert,
    configure,
    deploy,
    doctor,
    gc,
    history,
    init,
    lifecycle,
    names,
    prune,
    rotate,
    trust,
    use_cache,
    verify,
)

namespace = Collection(
    configure.configure,
    deploy.deploy,
    configure.dex_client,
    history.diff,
    doctor.doctor,
    lifecycle.execute,
    configure.export,
    gc.gc,
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
    rotate.rotate,
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
namespace.add_collection(Collection.from_module(cert))
