"""Amazon's services as moto plays them, for the hosts of a lab; a stand-in, its keys are not checked."""

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import boto3
import dns.query
import dns.rcode
import dns.tsig
import dns.tsigkeyring
import dns.update

from lab import Host, network

MOTO = Path(sys.executable).with_name("moto_server")
KEYS = {"AWS_ACCESS_KEY_ID": "Canary-AccessKey", "AWS_SECRET_ACCESS_KEY": "Canary-SecretKey"}
REGION = "us-east-1"


class Aws:
    """The server, on this machine, at an address that the hosts of one lab reach."""

    def __init__(self, host: Host, log: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("", 0))
            port = probe.getsockname()[1]
        self.url = f"http://{network.gateway(host.tag)}:{port}"
        with log.open("w") as stream:
            self.process = subprocess.Popen(
                [MOTO, "-H", "0.0.0.0", "-p", str(port)], stdout=stream, stderr=stream
            )
        deadline = time.monotonic() + 20
        while not self._answers(port):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)

    @staticmethod
    def _answers(port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()


class Bridge(threading.Thread):
    """Copies the TXT records of a hosted zone to a real name server, which the CA asks."""

    def __init__(self, route53: Any, zone_id: str, zone: str, server: Host, key: str) -> None:
        super().__init__(daemon=True)
        self.route53, self.zone_id, self.zone, self.server = route53, zone_id, zone, server
        self.ring = dns.tsigkeyring.from_text({"harbor-key.": key})
        self.ends = threading.Event()
        self.start()

    def run(self) -> None:
        shown: dict[str, list[str]] = {}
        while not self.ends.wait(0.3):
            wanted = self._texts()
            for name in {*shown, *wanted}:
                if shown.get(name) != wanted.get(name):
                    self._show(name, wanted.get(name, []))
            shown = wanted

    def _texts(self) -> dict[str, list[str]]:
        sets = self.route53.list_resource_record_sets(HostedZoneId=self.zone_id)
        return {
            one["Name"]: [record["Value"] for record in one["ResourceRecords"]]
            for one in sets["ResourceRecordSets"]
            if one["Type"] == "TXT"
        }

    def _show(self, name: str, values: list[str]) -> None:
        update = dns.update.UpdateMessage(
            self.zone, keyring=self.ring, keyalgorithm=dns.tsig.HMAC_SHA256
        )
        update.delete(f"{name.rstrip('.')}.", "TXT")
        for value in values:
            update.add(f"{name.rstrip('.')}.", 1, "TXT", value)
        answer = dns.query.tcp(update, self.server.address, timeout=5)
        assert answer.rcode() == dns.rcode.NOERROR, answer
