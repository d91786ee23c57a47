"""Whether the DNS servers that Traefik will ask answer the host, and know a zone for each name.

The host asks, since its network is the one that counts. DNS-01 needs the zone of every name: lego
looks for a SOA record at the name and at each of its parents (lego 4, challenge/dns01).
"""

import base64
import binascii
from collections.abc import Iterable, Mapping

import dns.exception
import dns.message
import dns.name
import dns.rdatatype

from harbor.shell import Output, command

SECONDS = 5
_ASK = (
    'exec 3<>"/dev/udp/$1/$2"; printf %s "$3" | base64 -d >&3; '
    f"timeout {SECONDS} dd bs=4096 count=1 status=none <&3 | base64 -w0"
)


def reach(resolvers: Iterable[str]) -> dict[str, str]:
    """Snippets: one question to each resolver (`host:port`); any answer will do."""
    return {resolver: _ask(resolver, dns.name.root) for resolver in resolvers}


def silent(answers: Mapping[str, Output]) -> list[str]:
    """The resolvers that did not answer."""
    return [resolver for resolver, answer in answers.items() if _message(answer) is None]


def find(resolver: str, names: Iterable[str]) -> dict[str, str]:
    """Snippets: who is asked for the SOA record of each name and of its parents."""
    wanted = {candidate for name in names for candidate in _candidates(name)}
    return {str(candidate): _ask(resolver, candidate) for candidate in sorted(wanted)}


def missing(names: Iterable[str], answers: Mapping[str, Output]) -> list[str]:
    """The names for which no zone was found."""
    return [
        name
        for name in names
        if not any(_is_zone(answers[str(candidate)]) for candidate in _candidates(name))
    ]


def _candidates(name: str) -> list[dns.name.Name]:
    """The name and its parents, without the root."""
    full = dns.name.from_text(name.removeprefix("*."))
    return [dns.name.Name(full.labels[start:]) for start in range(len(full.labels) - 1)]


def _ask(resolver: str, name: dns.name.Name) -> str:
    host, _, port = resolver.rpartition(":")
    question = dns.message.make_query(name, dns.rdatatype.SOA)
    wire = base64.b64encode(question.to_wire()).decode()
    return command("bash", "-c", _ASK, "bash", host.strip("[]"), port, wire) + " 2>/dev/null"


def _message(answer: Output) -> dns.message.Message | None:
    try:
        return dns.message.from_wire(base64.b64decode(answer.text))
    except (dns.exception.DNSException, binascii.Error, ValueError):
        return None


def _is_zone(answer: Output) -> bool:
    message = _message(answer)
    return message is not None and any(
        record.rdtype == dns.rdatatype.SOA for record in message.answer
    )
