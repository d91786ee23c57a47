"""A lab host with a DNS zone (BIND) and two CAs (Pebble): one for staging, one for production."""

import json
import time
from pathlib import Path

from harbor.certificates import create_authority, issue
from lab import Host

ZONE = "acme.test"
NAME = f"harbor-cache.{ZONE}"
CA_NAME = f"ca.{ZONE}"
TSIG_NAME = "harbor-key"
PORTS = {"production": 14000, "staging": 14100}
FOLDER = "/etc/pebble-lab"
# Well before any limit of lego's own (60 s and more), on a busy machine too; 3 to 5 s on a quiet one.
SOON = 30


class Authority:
    """The host `ca`. Pebble makes new roots at each start; its log counts the orders."""

    def __init__(self, host: Host, harbors: dict[str, Host], now) -> None:
        self.host, self.harbors, self.now = host, harbors, now
        self.front = create_authority("lab front CA", now)
        secret = host.run("tsig-keygen -a hmac-sha256 x | sed -n 's/.*secret \"\\(.*\\)\".*/\\1/p'")
        self.secret = secret.stdout.strip()
        self._zone()
        pair = issue(self.front, [CA_NAME], now)
        host.write(f"{FOLDER}/cert.pem", pair.chain.decode())
        host.write(f"{FOLDER}/key.pem", pair.key.reveal())
        for which in PORTS:
            self.start(which)

    def _zone(self) -> None:
        records = [f"{name} A {one.address}" for name, one in self.harbors.items()]
        text = "\n".join(
            [
                "$TTL 1",
                "@ SOA ns admin 1 60 60 60 1",
                "@ NS ns",
                f"ns A {self.host.address}",
                f"ca A {self.host.address}",
                *records,
                "",
            ]
        )
        self.host.write(f"/var/lib/bind/{ZONE}", text, owner="bind")
        self.host.write(
            "/etc/bind/named.conf.local",
            f'key {TSIG_NAME} {{ algorithm hmac-sha256; secret "{self.secret}"; }};\n'
            f'zone "{ZONE}" {{ type primary; file "/var/lib/bind/{ZONE}"; '
            f"update-policy {{ grant {TSIG_NAME} zonesub ANY; }}; }};\n",
            mode="0640",
            owner="bind",
        )
        # Other zones are refused at once: no root server can be asked from here.
        self.host.write(
            "/etc/bind/named.conf.options",
            'options { directory "/var/cache/bind"; recursion no; };\n',
        )
        self.host.run("systemctl restart named")

    def update(self, *commands: str) -> None:
        """Change the zone as a provider does (nsupdate(1))."""
        key = f"key hmac-sha256:{TSIG_NAME} {self.secret}"
        lines = ["server 127.0.0.1", f"zone {ZONE}", key, *commands, "send"]
        self.host.run("nsupdate", stdin="\n".join(lines) + "\n")

    def serve_an_old_zone(self) -> str:
        """A second BIND with the zone as it was on another day; its address, for `start`."""
        zone = f"""$TTL 1
@ SOA ns admin 1 60 60 60 1
@ NS ns
ns A {self.host.address}
_acme-challenge.harbor-cache TXT "of-another-day"
"""
        self.host.write("/var/lib/bind/old.zone", zone, owner="bind")
        self.host.write(
            "/etc/bind/old.conf",
            'options { directory "/var/cache/bind"; recursion no; pid-file none; '
            "listen-on port 5300 { 127.0.0.1; }; listen-on-v6 { none; }; };\ncontrols { };\n"
            f'zone "{ZONE}" {{ type primary; file "/var/lib/bind/old.zone"; }};\n',
        )
        self.host.run(
            "systemd-run -q --unit=old-zone --collect named -f -u bind -c /etc/bind/old.conf"
        )
        return "127.0.0.1:5300"

    def directory(self, which: str) -> str:
        return f"https://{CA_NAME}:{PORTS[which]}/dir"

    def start(
        self, which: str, validity: int = 0, dns: str = "127.0.0.1:53", **faults: str
    ) -> None:
        """Start a CA anew: its accounts and orders are gone, its root is another."""
        port = PORTS[which]
        settings = {
            "listenAddress": f"0.0.0.0:{port}",
            "managementListenAddress": f"0.0.0.0:{port + 1000}",
            "certificate": f"{FOLDER}/cert.pem",
            "privateKey": f"{FOLDER}/key.pem",
            "httpPort": 5002,
            "tlsPort": 5001,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
            **({"certificateValidityPeriod": validity} if validity else {}),
        }
        self.host.write(f"{FOLDER}/{which}.json", json.dumps({"pebble": settings}))
        speed = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
        environment = " ".join(f"-E {k}={v}" for k, v in {**speed, **faults}.items())
        self.stop(which)
        self.host.run(
            f"systemd-run -q --unit=pebble-{which} --collect {environment} "
            f"-p StandardOutput=append:/var/log/pebble-{which}.log "
            f"-p StandardError=append:/var/log/pebble-{which}.log "
            f"pebble -config {FOLDER}/{which}.json -dnsserver {dns}"
        )
        deadline = time.monotonic() + 20
        ask = f"curl -sk https://127.0.0.1:{port}/dir"
        while "newOrder" not in self.host.run(ask, check=False).stdout:
            assert time.monotonic() < deadline, self.log(which)
            time.sleep(0.2)

    def stop(self, which: str) -> None:
        self.host.run(f"systemctl stop pebble-{which} 2>/dev/null || :")

    def root(self, which: str) -> str:
        port = PORTS[which] + 1000
        return self.host.run(f"curl -sk https://127.0.0.1:{port}/roots/0").stdout

    def log(self, which: str) -> str:
        return self.host.run(f"cat /var/log/pebble-{which}.log", check=False).stdout

    def orders(self, which: str) -> int:
        """How many new orders this CA has been asked for, ever."""
        return self.log(which).count("POST /order-plz -> calling handler()")

    def settings(self, folder: Path) -> dict[str, object]:
        """`tls` of the inventory, with the files that it names written to `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "front.pem").write_bytes(self.front.chain)
        for which in PORTS:
            (folder / f"{which}.pem").write_text(self.root(which))
        return {
            "mode": "acme",
            "ca": "production.pem",
            "acme": {
                "email": "ops@cache.test",
                "provider": "rfc2136",
                "variables": {
                    "RFC2136_NAMESERVER": f"{self.host.address}:53",
                    "RFC2136_TSIG_KEY": f"{TSIG_NAME}.",
                    "RFC2136_TSIG_ALGORITHM": "hmac-sha256.",
                    "RFC2136_TSIG_SECRET": {"env": "RFC2136_TSIG_SECRET"},
                    "RFC2136_SEQUENCE_INTERVAL": "1",  # 60 s between two names else
                },
                "resolvers": [f"{self.host.address}:53"],
                "directory": self.directory("production"),
                "staging": self.directory("staging"),
                "staging_ca": "staging.pem",
                "ca_bundle": "front.pem",
            },
        }
