"""Traefik's log lines about ACME, turned into cause and cure.

Each text was seen in the log of Traefik 3.0.4 or 3.7.15 (lego 4) on a lab host, with Pebble,
BIND and moto; the first of the list that is found in a line counts.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# Only these lines are looked at: Traefik logs other errors and many warnings besides.
ABOUT = re.compile(
    r"ACME|acme|certificate resolver|DNS provider|command traefik error|docker API", re.IGNORECASE
)
IS_ERROR = re.compile(r"\bERR\b|\bFTL\b|level=(?:error|fatal)|\"level\":\"(?:error|fatal)\"")


@dataclass(frozen=True)
class Failure:
    """Why no certificate comes, what to do, and the line that says so."""

    cause: str
    cure: str
    line: str


# What is found in the line (all words of it), the cause, the cure.
_KNOWN: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("bad authentication",),
        "the DNS server refuses the TSIG key",
        "check RFC2136_TSIG_KEY, RFC2136_TSIG_ALGORITHM and RFC2136_TSIG_SECRET",
    ),
    (
        ("illegal base64 data",),
        "the TSIG secret is not base64",
        "RFC2136_TSIG_SECRET in .env: the text between the quotes of the server's key file",
    ),
    (
        ("start of authority", "connection refused"),
        "a DNS server does not answer: connection refused",
        "check tls.acme.resolvers, and that port 53 is reachable from the host",
    ),
    (
        ("start of authority",),
        "no DNS zone is found for the name",
        "delegate the zone, or check the spelling of hostname and tls.extra_names",
    ),
    (
        ("unexpected response for", "SOA"),
        "no DNS server of tls.acme.resolvers answers for the zone of the name",
        "delegate the zone, or check the spelling of hostname and tls.extra_names",
    ),
    (
        ("NoSuchHostedZone",),
        "Route 53 has no such hosted zone",
        "check AWS_HOSTED_ZONE_ID, and that the zone is in this AWS account",
    ),
    (
        ("InvalidClientTokenId",),
        "AWS does not know the access key",
        "check AWS_ACCESS_KEY_ID in .env",
    ),
    (
        ("SignatureDoesNotMatch",),
        "AWS refuses the secret key",
        "check AWS_SECRET_ACCESS_KEY in .env",
    ),
    (
        ("AccessDenied",),
        "the AWS key may not change the zone",
        "its policy lacks one of the route53 actions that docs/acme.md lists",
    ),
    (("ExpiredToken",), "the AWS key has expired", "a new AWS_ACCESS_KEY_ID and secret in .env"),
    (
        ("no EC2 IMDS role found",),
        "there are no AWS credentials",
        "its two keys under tls.acme.variables (docs/acme.md), or a role for the machine",
    ),
    (
        ("time limit exceeded",),
        "the TXT record was written, and is not seen at the zone's name servers",
        "tls.acme.ask_name_servers: false in a network with its own view; else a longer delay",
    ),
    (
        ("acme:error:rateLimited",),
        "the CA's rate limit is reached",
        "wait until the time that the line names; nothing was lost",
    ),
    (
        ("acme:error:invalidContact",),
        "the CA refuses the e-mail address",
        "another address at tls.acme.email",
    ),
    (
        ("acme:error:accountDoesNotExist",),
        "the store belongs to an account of another CA",
        "check tls.acme.directory; each CA has a store file of its own",
    ),
    (
        ("acme:error:rejectedIdentifier",),
        "the CA issues nothing for one of the names",
        "check hostname and tls.extra_names against the CA's policy",
    ),
    (
        ("acme:error:caa",),
        "a CAA record forbids this CA to issue",
        "add the CA to the zone's CAA record",
    ),
    (
        ("acme:error:unauthorized",),
        "the CA does not see the right TXT record",
        "look for old _acme-challenge records and for a zone that others answer for",
    ),
    (
        ("acme:error:dns",),
        "the CA cannot look up the TXT record",
        "check the zone's delegation and its name servers from outside",
    ),
    (
        ("x509", "unknown authority"),
        "the CA's own server has a certificate that the host does not trust",
        "tls.acme.ca_bundle: the CA that signed it",
    ),
    (
        ("get directory at", "connection refused"),
        "the CA cannot be reached: connection refused",
        "check tls.acme.directory and the way out to it (firewall, proxy)",
    ),
    (
        ("get directory at", "no such host"),
        "the CA's name is not known to the host's resolver",
        "check tls.acme.directory and the host's /etc/resolv.conf",
    ),
    (
        ("get directory at", "timeout"),
        "the CA does not answer",
        "check the way out to tls.acme.directory (firewall, proxy)",
    ),
    (
        ("get directory at",),
        "the CA's directory cannot be read",
        "check tls.acme.directory",
    ),
    (
        ("unrecognized DNS provider",),
        "this Traefik does not know the DNS provider",
        "check tls.acme.provider against traefik.version",
    ),
    (
        ("credentials information are missing",),
        "the DNS provider lacks a setting",
        "add what the line names to tls.acme.variables",
    ),
    (
        ("too open",),
        "Traefik refuses its certificate store: others could read it",
        "fab deploy (puts the mode right)",
    ),
    (
        ("ACME resolve is skipped",),
        "Traefik cannot use its certificate store",
        "fab deploy (puts it right, or back from its copy)",
    ),
    (
        ("permission denied while trying to connect to the docker API",),
        "Traefik may not read the engine's socket",
        "chgrp docker /var/run/docker.sock on the host, then fab restart --service traefik",
    ),
    (
        ("command traefik error",),
        "Traefik refuses its own configuration and does not start",
        "check traefik.version; fab logs --service traefik",
    ),
)


def find(lines: Iterable[str]) -> Failure | None:
    """The failure of the last line that tells one; None where none does."""
    errors = [text for text in map(_plain, lines) if IS_ERROR.search(text) and ABOUT.search(text)]
    known = [failure for failure in map(_known, errors) if failure]
    if known:
        return known[-1]
    orders = [text for text in errors if "obtain" in text or "renew" in text]
    return Failure("Traefik could not get the certificate", "", orders[-1]) if orders else None


def _plain(line: str) -> str:
    return COLOUR.sub("", line).strip()


def _known(line: str) -> Failure | None:
    for words, cause, cure in _KNOWN:
        if all(word.lower() in line.lower() for word in words):
            return Failure(cause, cure, line)
    return None
