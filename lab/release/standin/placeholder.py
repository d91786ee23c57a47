"""A service that only says that it lives: `python3 -m lab.release.standin.placeholder NAME`.

It stands where Harbor has trivy-adapter, chartmuseum and notary, which a cache does not need.
"""

import sys

from . import web


def main(name: str) -> None:
    """Answer every request with the name."""
    web.serve(lambda _: web.Response.json({"stand-in": name}), 8080)


if __name__ == "__main__":
    main(sys.argv[1])
