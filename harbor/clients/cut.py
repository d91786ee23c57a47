"""Cut a Harbor host's containers off from the world for a moment, with a way back that is certain.

Connections out of Harbor's network are refused; those of clients go on.
A timer of systemd takes the rule away even when nobody is left to do it.
"""

from harbor import paths
from harbor.errors import Refused
from harbor.settings import Settings

UNIT = "harbor-cache-cut"
SECONDS = 180


def refusal(settings: Settings) -> Refused | None:
    """Why the cut would hurt more than upstream pulls, or None."""
    harbor = settings.harbor
    outside = [
        name
        for name, used in (
            ("external_database", harbor.external_database),
            ("external_redis", harbor.external_redis),
            (f"storage.driver: {harbor.storage.driver}", harbor.storage.driver != "filesystem"),
        )
        if used
    ]
    if not outside:
        return None
    return Refused(
        f"--cut would cut Harbor off from {', '.join(outside)} as well", "verify without --cut"
    )


def _rule(action: str) -> str:
    # Only what containers began: answers to clients go the other way of their connection. Idle
    # connections to the upstream that Harbor would use again are reset like new ones.
    began = '-i "$bridge" ! -o "$bridge" -p tcp -m conntrack --ctdir ORIGINAL'
    return f"iptables -w {action} DOCKER-USER {began} -j REJECT --reject-with tcp-reset"


def cut() -> str:
    """Script: refuse connections of Harbor's containers to anywhere else, for a while at most."""
    timer = f"systemd-run -q --collect --unit={UNIT} --on-active={SECONDS}"
    return "\n".join([mend(), f"{timer} {_rule('-D')}", _rule("-I")])


def mend() -> str:
    """Script: end the cut, also one that a run which was killed has left."""
    network = f"{paths.PROJECT}_harbor"
    return "\n".join(
        [
            f"id=$(docker network inspect -f '{{{{slice .Id 0 12}}}}' {network})",
            'bridge="br-$id"',
            # The timer last: as long as the rule may be there somebody takes it away.
            f"if {_rule('-C')} 2>/dev/null; then {_rule('-D')}; fi",
            f"if systemctl is-active -q {UNIT}.timer; then systemctl stop {UNIT}.timer; fi",
        ]
    )
