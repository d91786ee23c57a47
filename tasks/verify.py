"""Proof that clients pull through the cache, and images that are there before they are needed.

Tasks import what they use when they run: `fab --list` loads none of it.
"""

import invoke
from fabric import task

AS_JSON = {"json": "print one JSON document on standard output, everything else on standard error"}


@task(
    help=AS_JSON
    | {
        "image": "an image to pull instead of the test images of the inventory",
        "cut": "also pull with Harbor cut off from its upstreams, for two minutes at most",
    }
)
def verify(c: invoke.Context, image: str = "", cut: bool = False, json: bool = False) -> None:
    """Pull on each client, cold and warm, and prove by Harbor's own log where it came from.

    Finds the silent fall-back to the origin. Clients go one after the other.
    """
    from tasks import _verify

    _verify.verify(c, wanted_image=image, cut_off=cut, as_json=json)


@task(
    help=AS_JSON
    | {
        "images": "a file with an image a line; # begins a comment",
        "platform": "of images for several platforms",
    }
)
def warm(c: invoke.Context, images: str, platform: str = "linux/amd64", json: bool = False) -> None:
    """Pull a list of images into each cache, in order, so that they are there when needed."""
    from pathlib import Path

    from harbor.clients.images import parse
    from harbor.errors import SettingsError
    from tasks import _verify

    try:
        lines = Path(images).read_text().splitlines()
    except OSError as error:
        raise SettingsError(f"{images}: {error.strerror}") from None
    names = [line.partition("#")[0].strip() for line in lines]
    _verify.warm(c, [parse(name) for name in names if name], platform=platform, as_json=json)
