"""docker-compose.yml as data: the services, names, mounts and limits of each Harbor version."""

import io
from typing import Any

from ruamel.yaml import YAML

from .settings import Settings

Service = dict[str, Any]
TRUST = {
    "type": "bind",
    "source": "./common/config/shared/trust-certificates",
    "target": "/harbor_cust_cert",
}


def render(settings: Settings) -> str:
    """The text of docker-compose.yml."""
    writer = YAML()
    writer.default_flow_style = False
    writer.width = 4096
    writer.representer.ignore_aliases = lambda _: True
    out = io.StringIO()
    writer.dump(document(settings), out)
    return out.getvalue()


def document(settings: Settings) -> dict[str, Any]:
    """docker-compose.yml as a mapping, in the order in which it is written."""
    release = settings.release
    top: dict[str, Any] = {}
    if release.has("compose-version-line"):
        top["version"] = "2.3"
    top["services"] = {
        name: {
            "image": f"goharbor/{IMAGES.get(name) or _redis_image(settings)}:{release.tag}",
            **service,
        }
        for name, service in _services(settings).items()
    }
    top["networks"] = {name: {"external": False} for name in _networks(settings)}
    return top


IMAGES = {
    "log": "harbor-log",
    "registry": "registry-photon",
    "registryctl": "harbor-registryctl",
    "postgresql": "harbor-db",
    "core": "harbor-core",
    "portal": "harbor-portal",
    "jobservice": "harbor-jobservice",
    "proxy": "nginx-photon",
    "trivy-adapter": "trivy-adapter-photon",
    "exporter": "harbor-exporter",
    "chartmuseum": "chartmuseum-photon",
    "notary-server": "notary-server-photon",
    "notary-signer": "notary-signer-photon",
}


def _redis_image(settings: Settings) -> str:
    return "valkey-photon" if settings.release.has("valkey") else "redis-photon"


def _networks(settings: Settings) -> list[str]:
    extra = []
    if settings.flags.notary:
        extra = ["notary-sig", "harbor-notary"]
    if settings.flags.chartmuseum:
        extra.append("harbor-chartmuseum")
    return ["harbor", *extra]


def _services(settings: Settings) -> dict[str, Service]:
    services = {
        "log": _log(settings),
        "registry": _registry(settings),
        "registryctl": _registryctl(settings),
    }
    if not settings.database.external:
        services["postgresql"] = _postgresql(settings)
    services["core"] = _core(settings)
    services["portal"] = _portal()
    services["jobservice"] = _jobservice(settings)
    if not settings.redis.external:
        services["redis"] = _redis(settings)
    services["proxy"] = _proxy(settings)
    return services | _optional(settings)


def _optional(settings: Settings) -> dict[str, Service]:
    services: dict[str, Service] = {}
    if settings.flags.notary:
        for name in ("notary-server", "notary-signer"):
            services[name] = _service(name, name, depends=["log"])
    if settings.flags.trivy:
        services["trivy-adapter"] = _trivy(settings)
    if settings.flags.chartmuseum:
        services["chartmuseum"] = _service(
            "chartmuseum",
            "chartmuseum",
            depends=["log"],
            volumes=[f"{settings.data_volume}/chart_storage:/chart_storage:z"],
        )
    if settings.metric:
        services["exporter"] = _service(
            "harbor-exporter",
            "exporter",
            env_file="exporter",
            volumes=[TRUST],
            depends=_present(settings, "core", "postgresql"),
        )
    return services


def _service(
    container: str,
    tag: str,
    *,
    volumes: list[Any] | None = None,
    env_file: str | None = None,
    depends: list[str] | None = None,
    capabilities: tuple[str, ...] = (),
    ports: list[str] | None = None,
    more: Service | None = None,
) -> Service:
    """What all services but `log` have in common, with the empty parts left out."""
    service: Service = {
        "container_name": container,
        "env_file": [f"./common/config/{env_file}/env"] if env_file else None,
        "restart": "always",
        "cap_drop": ["ALL"],
        "cap_add": list(capabilities),
        "volumes": volumes,
        "networks": ["harbor"],
        "ports": ports,
        "depends_on": depends,
        **(more or {}),
        "logging": {
            "driver": "syslog",
            "options": {"syslog-address": "tcp://localhost:1514", "tag": tag},
        },
    }
    return {key: value for key, value in service.items() if value}


def _bind(source: str, target: str) -> Service:
    return {"type": "bind", "source": source, "target": target}


def _present(settings: Settings, *names: str) -> list[str]:
    """The names without those of services that are external."""
    absent = set()
    if settings.database.external:
        absent.add("postgresql")
    if settings.redis.external:
        absent.add("redis")
    return [name for name in names if name not in absent]


def _log(settings: Settings) -> Service:
    service = _service(
        "harbor-log",
        "",
        capabilities=("CHOWN", "DAC_OVERRIDE", "SETGID", "SETUID"),
        volumes=[
            f"{settings.log.location}/:/var/log/docker/:z",
            _bind("./common/config/log/logrotate.conf", "/etc/logrotate.d/logrotate.conf"),
            _bind("./common/config/log/rsyslog_docker.conf", "/etc/rsyslog.d/rsyslog_docker.conf"),
        ],
        ports=["127.0.0.1:1514:10514"],
    )
    del service["logging"]
    return service


def _registry(settings: Settings) -> Service:
    return _service(
        "registry",
        "registry",
        depends=["log"],
        capabilities=("CHOWN", "SETGID", "SETUID"),
        volumes=_registry_mounts(settings),
    )


def _registry_mounts(settings: Settings) -> list[Any]:
    mounts: list[Any] = [
        f"{settings.data_volume}/registry:/storage:z",
        "./common/config/registry/:/etc/registry/:z",
        _bind(f"{settings.data_volume}/secret/registry/root.crt", "/etc/registry/root.crt"),
    ]
    keyfile = (settings.storage.get("gcs") or {}).get("keyfile")
    if keyfile:
        mounts.append(_bind(keyfile, "/etc/registry/gcs.key"))
    return [*mounts, TRUST]


def _registryctl(settings: Settings) -> Service:
    config = _bind("./common/config/registryctl/config.yml", "/etc/registryctl/config.yml")
    return _service(
        "registryctl",
        "registryctl",
        env_file="registryctl",
        depends=["log"],
        capabilities=("CHOWN", "SETGID", "SETUID"),
        volumes=[*_registry_mounts(settings), config],
    )


def _postgresql(settings: Settings) -> Service:
    return _service(
        "harbor-db",
        "postgresql",
        env_file="db",
        depends=["log"],
        capabilities=("CHOWN", "DAC_OVERRIDE", "SETGID", "SETUID"),
        volumes=[f"{settings.data_volume}/database:/var/lib/postgresql/data:z"],
        more={"shm_size": "1gb"},
    )


def _core(settings: Settings) -> Service:
    data = settings.data_volume
    return _service(
        "harbor-core",
        "core",
        env_file="core",
        capabilities=("SETGID", "SETUID"),
        depends=_present(settings, "log", "registry", "redis", "postgresql"),
        volumes=[
            f"{data}/ca_download/:/etc/core/ca/:z",
            f"{data}/:/data/:z",
            "./common/config/core/certificates/:/etc/core/certificates/:z",
            _bind("./common/config/core/app.conf", "/etc/core/app.conf"),
            _bind(f"{data}/secret/core/private_key.pem", "/etc/core/private_key.pem"),
            _bind(f"{data}/secret/keys/secretkey", "/etc/core/key"),
            TRUST,
        ],
    )


def _portal() -> Service:
    return _service(
        "harbor-portal",
        "portal",
        depends=["log"],
        capabilities=("CHOWN", "SETGID", "SETUID", "NET_BIND_SERVICE"),
        volumes=[_bind("./common/config/portal/nginx.conf", "/etc/nginx/nginx.conf")],
    )


def _jobservice(settings: Settings) -> Service:
    volumes: list[Any] = [
        f"{settings.data_volume}/job_logs:/var/log/jobs:z",
        _bind("./common/config/jobservice/config.yml", "/etc/jobservice/config.yml"),
        TRUST,
    ]
    if settings.release.has("scandata-exports"):
        volumes.insert(0, f"{settings.data_volume}/scandata_exports:/var/scandata_exports:z")
    return _service(
        "harbor-jobservice",
        "jobservice",
        env_file="jobservice",
        depends=["core"],
        capabilities=("CHOWN", "SETGID", "SETUID"),
        volumes=volumes,
    )


def _redis(settings: Settings) -> Service:
    return _service(
        "redis",
        "redis",
        depends=["log"],
        capabilities=("CHOWN", "SETGID", "SETUID"),
        volumes=[f"{settings.data_volume}/redis:/var/lib/redis"],
    )


def _proxy(settings: Settings) -> Service:
    volumes: list[Any] = ["./common/config/nginx:/etc/nginx:z"]
    ports = [f"{settings.http_port}:8080"]
    if settings.https:
        volumes.append(f"{settings.data_volume}/secret/cert:/etc/cert:z")
        ports.append(f"{settings.https.port}:8443")
        if settings.flags.notary:
            ports.append("4443:4443")
    if settings.metric:
        ports.append(f"{settings.metric['port']}:9090")
    return _service(
        "nginx",
        "proxy",
        volumes=[*volumes, TRUST],
        ports=ports,
        capabilities=("CHOWN", "SETGID", "SETUID", "NET_BIND_SERVICE"),
        depends=_present(settings, "registry", "core", "portal", "log"),
    )


def _trivy(settings: Settings) -> Service:
    data = settings.data_volume
    return _service(
        "trivy-adapter",
        "trivy-adapter",
        env_file="trivy-adapter",
        depends=_present(settings, "log", "redis"),
        volumes=[
            f"{data}/trivy-adapter/trivy:/home/scanner/.cache/trivy",
            f"{data}/trivy-adapter/reports:/home/scanner/.cache/reports",
            TRUST,
        ],
    )
