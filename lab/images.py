"""Building the layers of recipes.py, once for each content.

A layer is a folder in the cache whose name holds a hash of everything it is made from, so a
changed recipe is a new folder.  It appears by a rename, never half built; a lock beside it
lets two labs ask for the same one.
"""

import hashlib
import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path

from lab import debian, locks, paths, recipes, shell
from lab.console import say
from lab.recipes import Recipe

BUILD_SECONDS = 900
# Private mount and pid namespaces: whatever happens to the build, no mount outlives it, and
# whoever dies first (we or it) takes the rest along.
SANDBOX = (
    "setpriv",
    "--pdeathsig",
    "KILL",
    "unshare",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--propagation",
    "private",
    "--",
)
# $1 the parents' folders joined by ":" (empty: $2 is complete already), $2 the new folder,
# $3 where to mount, $4 a scratch folder, then the packages; the set-up script comes on stdin.
INSTALL = r"""
lower=$1 upper=$2 root=$3 work=$4; shift 4
if [ "$lower" ]; then
    mount -t overlay overlay -o "lowerdir=$lower,upperdir=$upper,workdir=$work" "$root"
else
    mount --bind "$upper" "$root"
fi
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
cat /etc/resolv.conf > "$root/etc/resolv.conf"
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod 0755 "$root/usr/sbin/policy-rc.d"
inside() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive \
    LC_ALL=C.UTF-8 chroot "$root" "$@"; }
if [ $# -gt 0 ]; then
    inside apt-get -q update
    inside apt-get -q install -y --no-install-recommends "$@"
fi
inside sh -eu
inside apt-get clean
rm -rf "$root"/var/lib/apt/lists/* "$root/usr/sbin/policy-rc.d" "$root/etc/resolv.conf"
"""


def ensure(suite: str, layer: str) -> list[Path]:
    """The folders of a layer, top first, built where they are not there yet."""
    folders: list[Path] = []
    for recipe in recipes.chain(suite, layer):
        folders.insert(0, _ensure_one(recipe, folders))
    return folders


def key(recipe: Recipe) -> str:
    """A hash of all that goes into a layer, its parents included."""
    below = [asdict(one) for one in recipes.chain(recipe.suite, recipe.name)]
    text = json.dumps([INSTALL, below], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _ensure_one(recipe: Recipe, below: list[Path]) -> Path:
    target = paths.cache() / "layers" / f"{recipe.suite}-{recipe.name}-{key(recipe)}"
    if target.exists():
        return target
    with locks.hold(target.with_suffix(".lock"), BUILD_SECONDS):
        if not target.exists():
            _build(recipe, below, target)
    return target


def _build(recipe: Recipe, below: list[Path], target: Path) -> None:
    """Build into a scratch folder beside `target`, then rename."""
    say(f"building the layer {recipe.suite}/{recipe.name}, once (10 to 60 s)")
    start = time.monotonic()
    scratch = target.with_suffix(".building")
    shutil.rmtree(scratch, ignore_errors=True)
    new, root, work = (scratch / part for part in ("new", "root", "work"))
    for folder in (new, root, work):
        folder.mkdir(parents=True)
    packages = recipe.packages
    if recipe.parent is None:
        debian.bootstrap(
            recipe.suite,
            new,
            recipe.packages,
            "--skip=output/dev",
            inside=SANDBOX,
            seconds=BUILD_SECONDS,
        )
        packages = ()
    lower = ":".join(map(str, below))
    arguments = [lower, *map(str, (new, root, work)), *packages]
    shell.run(
        [*SANDBOX, "bash", "-euc", INSTALL, "install", *arguments],
        stdin=recipe.setup,
        timeout=BUILD_SECONDS,
    )
    new.rename(target)
    shutil.rmtree(scratch)
    say(f"built {recipe.suite}/{recipe.name} in {time.monotonic() - start:.0f} s")
