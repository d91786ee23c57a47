"""The certificate store and its copy: what lies in them, and whether it is whole.

The store is a bind mount, which no docker command deletes; the copy is for everything else: a
`rm -rf`, a truncated file, a lost data volume. It lies on another folder tree, for root only.
"""

import hashlib
from dataclasses import dataclass

from harbor import paths
from harbor.settings import Settings
from harbor.shell import Output, command, quote

# Whole: not empty, and openssl can read it; a JSON file is an object whose braces all close.
LIST = r"""
find . -type f ! -name '.*.new' -printf '%P\n' | sort | while IFS= read -r f; do
    whole=yes
    [ -s "$f" ] || whole=no
    case "$f" in
    *key.pem | *.key) openssl pkey -noout -in "$f" >/dev/null 2>&1 || whole=no ;;
    *.pem | *.crt) openssl x509 -noout -in "$f" >/dev/null 2>&1 || whole=no ;;
    *.json)
        [ "$(tr -d ' \n\t' < "$f" | head -c 1)" = "{" ] || whole=no
        [ "$(tr -d ' \n\t' < "$f" | tail -c 1)" = "}" ] || whole=no
        [ "$(tr -dc '{' < "$f" | wc -c)" = "$(tr -dc '}' < "$f" | wc -c)" ] || whole=no
        ;;
    esac
    printf '%s\t%s\t%s\n' "$whole" "$(sha256sum < "$f" | cut -d' ' -f1)" "$f"
done
"""


# Traefik makes its file before it has anything to write in it.
EMPTY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class StoredFile:
    """One file of a store: its digest, and whether it is whole."""

    path: str
    sha256: str
    whole: bool

    @property
    def damaged(self) -> bool:
        """Has content, and not the whole of it."""
        return not self.whole and self.sha256 != EMPTY


# For Traefik, which reads its store at its start alone.
RELOAD = "docker ps -q --filter name=^traefik$ | xargs -r docker restart"
# Traefik's own modes: it refuses a store that others can read, and then has no resolver at all.
TOO_OPEN = "find . -maxdepth 1 -name 'acme*.json' ! -perm 600 -printf '%P\\n'"


def folder(settings: Settings) -> str:
    """The store itself."""
    return paths.certificates(settings.harbor.data_volume)


def probe(path: str) -> str:
    """Snippet: one line a file of the store at `path`. Fails if there is no such folder."""
    return f"cd {quote(path)} && {{ {LIST} }}"


def parse(found: Output) -> dict[str, StoredFile]:
    """The files by their path in the store; nothing if there is none."""
    rows = (line.split("\t", 2) for line in found.lines) if found.ok else []
    return {path: StoredFile(path, sha256, whole == "yes") for whole, sha256, path in rows}


def fingerprint(found: Output) -> str:
    """One value for all names and contents of a store, to compare before and after."""
    files = parse(found).values()
    return ";".join(f"{file.path}={file.sha256}" for file in files)


def lost(store: dict[str, StoredFile], copy: dict[str, StoredFile]) -> dict[str, str]:
    """Path -> what is wrong with it, of the files that the copy can put back."""
    wrong = {}
    for path, saved in copy.items():
        if not saved.whole:
            continue
        if path not in store:
            wrong[path] = "missing"
        elif not store[path].whole:
            wrong[path] = "damaged"
    return wrong


def outdated(store: dict[str, StoredFile], copy: dict[str, StoredFile]) -> list[str]:
    """Paths of whole files of the store that the copy lacks or has in another version."""
    return [
        path
        for path, file in store.items()
        if file.whole and (path not in copy or copy[path].sha256 != file.sha256)
    ]


def copy_files(source: str, target: str, wanted: list[str]) -> str:
    """Shell text that copies files with owner and mode, each put in place in one step."""
    lines = []
    for path in wanted:
        parent, _, name = f"{target}/{path}".rpartition("/")
        staged = f"{parent}/.{name}.new"
        lines += [
            _folders(target, path),
            command("rm", "-f", staged),
            command("cp", "-a", f"{source}/{path}", staged),
            command("sync", staged),
            command("mv", "-fT", staged, f"{target}/{path}"),
        ]
    return "\n".join(lines)


def _folders(target: str, path: str) -> str:
    """The folders above a file, for the user of the containers where they are new."""
    parts = path.split("/")[:-1]
    wanted = [target, *("/".join([target, *parts[: n + 1]]) for n in range(len(parts)))]
    make = command("install", "-d", "-m", "0700", "-o", paths.USER, "-g", paths.USER)
    return "\n".join(f"[ -d {quote(one)} ] || {make} {quote(one)}" for one in wanted)
