"""Bring the verified Harbor release to a host: by the host, by this machine, or from a file.

Nothing unverified is ever unpacked: whoever fetches, the host compares the sha256 last.
"""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from harbor.changes import FetchRelease, Run
from harbor.errors import ConnectError, Refused, SettingsError
from harbor.settings import Settings
from harbor.shell import command, quote
from tasks._fleet import Target
from tasks._host import PROGRESS, Host
from tasks._inventory import Loaded

CACHE = Path("~/.cache/harbor-cache").expanduser()
# The key that signs Harbor's releases up to 2.11 (Harbor's documentation, download-installer).
GPG_FINGERPRINT = "7722D168DAEC457806C96FF9644FF454C0B4115C"
COSIGN_ISSUER = "https://token.actions.githubusercontent.com"
COSIGN_IDENTITY = (
    r"^https://github\.com/goharbor/harbor/\.github/workflows/publish_release\.yml@refs/tags/v"
)
HTTP_TIMEOUT = (20, 60)
CHUNK = 1 << 20


def bring(target: Target, settings: Settings, loaded: Loaded, change: FetchRelease) -> None:
    """Leave the verified tarball at `change.path` on the host. Raises Refused when it is not right."""
    release = settings.harbor.release
    if release.file:
        source = loaded.path(release.file)
        _place(target, source, release.sha256 or _digest_beside(source), change.path)
    elif release.fetch == "operator":
        source = _download(target, settings)
        _place(target, source, _verified_digest(target, settings, loaded, source), change.path)
    else:
        assert release.sha256
        _fetch_by_host(target, url(settings), change.path, release.sha256)


def url(settings: Settings) -> str:
    """Where this version's offline installer is published."""
    return settings.harbor.release.url.replace("{version}", settings.harbor.version)


def send_verified(target: Target, source: Path, path: str) -> None:
    """Send a file whose digest stands beside it, or is taken now, and compare it on the host."""
    _place(target, source, sha256_of(source), path)


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _digest_beside(source: Path) -> str:
    """The digest in the file that `sha256sum` wrote; the settings checked that it is there."""
    words = source.with_name(source.name + ".sha256").read_text().split()
    return words[0] if words else ""


def _place(target: Target, source: Path, sha256: str, path: str) -> None:
    found = sha256_of(source)
    if found != sha256:
        raise Refused(
            f"{source}: sha256 is {found}, not {sha256}: truncated or altered, nothing was sent",
            "get it again from a source you trust",
        )
    rate = _Rate(target, f"sending {source.name}")
    target.host.send(source, path, rate)
    _compare(target.host, path, sha256)


def _compare(host: Host, path: str, sha256: str) -> None:
    """Refuse and remove what does not have this digest."""
    answer = host.read({"digest": command("sha256sum", path)}, timeout=600)["digest"]
    found = answer.text.split(" ")[0]
    if found != sha256:
        host.read_write(command("rm", "-f", path))
        raise Refused(
            f"{path} on the host: sha256 is {found or 'unknown'}, not {sha256}: truncated or altered, "
            "removed",
            "check release.sha256 in the inventory, then run the task again",
        )


def _fetch_by_host(target: Target, source: str, path: str, sha256: str) -> None:
    folder = path.rpartition("/")[0]
    fetch = command(
        "curl", "-fsSL", "--retry", 3, "--connect-timeout", 20, "-C", "-", "-o", path, source
    )
    script = "\n".join(
        [
            f"install -d -m 0700 {quote(folder)}",
            # A whole file is not asked for again: a range behind its end is an error.
            f"echo {quote(f'{sha256}  {path}')} | sha256sum -c --status 2>/dev/null && exit 0",
            # The last length: those before it are of redirections. 0 where none is told.
            (
                f"total=$(curl -fsSIL --connect-timeout 20 {quote(source)} | tr -d '\\r' | "
                "awk 'tolower($1) == \"content-length:\" {n = $2} END {print n + 0}')"
            ),
            f"there=$(stat -c %s {quote(path)} 2>/dev/null || echo 0)",
            # As long as the whole and another content: there is nothing to go on from.
            f'[ "$total" = 0 ] || [ "$there" -lt "$total" ] || rm -f {quote(path)}',
            f"{fetch} & p=$!",
            (
                f"while kill -0 $p 2>/dev/null; do echo {PROGRESS} "
                f'$(stat -c %s {quote(path)} 2>/dev/null || echo 0) "$total" >&2; sleep 1; done'
            ),
            "wait $p",
        ]
    )
    rate = _Rate(target, f"the host fetches {source.rpartition('/')[2]}")
    target.host.apply(
        [Run(f"fetch {source}", script, timeout=7200)],
        done=lambda _: None,
        progress=lambda text: rate(*map(int, text.split())),
    )
    _compare(target.host, path, sha256)


def _download(target: Target, settings: Settings) -> Path:
    """The tarball in this machine's cache, fetched or completed if need be."""
    import requests

    if settings.harbor.release.verify in ("gpg", "cosign"):
        _tool(settings.harbor.release.verify)  # before a download that nothing could verify
    source = url(settings)
    CACHE.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = CACHE / source.rpartition("/")[2]
    part = path.with_name(path.name + ".part")
    if path.exists():
        return path
    there = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={there}-"} if there else {}
    try:
        with requests.get(source, stream=True, headers=headers, timeout=HTTP_TIMEOUT) as answer:
            # Nothing behind what is here: a run ended before the rename.
            if answer.status_code == 416:
                part.rename(path)
                return path
            answer.raise_for_status()
            resumed = answer.status_code == 206
            total = int(answer.headers.get("Content-Length", 0)) + (there if resumed else 0)
            _save(
                answer.iter_content(CHUNK),
                part,
                there if resumed else 0,
                total,
                _Rate(target, f"fetching {path.name}"),
            )
    except requests.RequestException as error:
        raise ConnectError(
            f"{source}: {error}", "run the task again: it goes on where it stopped"
        ) from None
    part.rename(path)
    return path


def _save(
    chunks: "object", part: Path, there: int, total: int, progress: Callable[[int, int], None]
) -> None:
    with part.open("ab" if there else "wb") as stream:
        for chunk in chunks:  # type: ignore[attr-defined]
            stream.write(chunk)
            progress(stream.tell(), total)
    if total and part.stat().st_size != total:
        raise ConnectError(
            f"{part}: {part.stat().st_size} of {total} bytes arrived", "run the task again"
        )


def _verified_digest(target: Target, settings: Settings, loaded: Loaded, path: Path) -> str:
    """The sha256 of a tarball that passed the chosen verification. Raises Refused."""
    release = settings.harbor.release
    if release.sha256 and release.verify == "sha256":
        if sha256_of(path) != release.sha256:
            path.unlink()
            raise Refused(
                f"{path}: not the pinned sha256: removed", "run the task again, or check the pin"
            )
        return release.sha256
    try:
        {"gpg": _gpg, "cosign": _cosign, "md5": _md5}[release.verify](settings, loaded, path)
    except Refused:
        path.unlink()
        raise
    digest = sha256_of(path)
    target.say(f"verified by {release.verify}; to pin it: release.sha256: {digest}")
    return digest


def _beside(settings: Settings, suffix: str) -> bytes:
    import requests

    source = url(settings)
    where = source + suffix if suffix.startswith(".") else f"{source.rpartition('/')[0]}/{suffix}"
    try:
        answer = requests.get(where, timeout=HTTP_TIMEOUT)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise ConnectError(f"{where}: {error}") from None
    return answer.content


def _md5(settings: Settings, loaded: Loaded, path: Path) -> None:
    listed = dict(
        line.split()[::-1] for line in _beside(settings, "md5sum").decode().splitlines() if line
    )
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "md5").hexdigest()
    if listed.get(path.name) != found:
        raise Refused(f"{path}: md5 is {found}, the release lists {listed.get(path.name)}: removed")


def _gpg(settings: Settings, loaded: Loaded, path: Path) -> None:
    assert settings.harbor.release.gpg_key
    with tempfile.TemporaryDirectory() as home:
        signature = Path(home, "signature.asc")
        signature.write_bytes(_beside(settings, ".asc"))
        gpg = [_tool("gpg"), "--homedir", home, "--batch", "--quiet", "--status-fd", "1"]
        _local(*gpg, "--import", str(loaded.path(settings.harbor.release.gpg_key)))
        said = _local(*gpg, "--verify", str(signature), str(path))
    if f"VALIDSIG {GPG_FINGERPRINT}" not in said and f" {GPG_FINGERPRINT}\n" not in said:
        raise Refused(f"{path}: not signed by Harbor's key {GPG_FINGERPRINT}: removed")


def _cosign(settings: Settings, loaded: Loaded, path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder, "bundle.json")
        bundle.write_bytes(_beside(settings, ".sigstore.json"))
        _local(
            _tool("cosign"),
            "verify-blob",
            "--bundle",
            str(bundle),
            "--certificate-oidc-issuer",
            COSIGN_ISSUER,
            "--certificate-identity-regexp",
            COSIGN_IDENTITY,
            str(path),
        )


def _tool(name: str) -> str:
    found = shutil.which(name)
    if not found:
        raise SettingsError(
            f"release.verify needs `{name}` on this machine", "install it, or pin sha256"
        )
    return found


def _local(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(
            f"{Path(argv[0]).name}: {done.stderr.strip()[-500:]}: the tarball was removed"
        )
    return done.stdout


class _Rate:
    """Progress in words: done, total, rate and time left."""

    def __init__(self, target: Target, what: str) -> None:
        import time

        self._clock = time.monotonic
        self._target, self._what = target, what
        self._began, self._first = self._clock(), -1

    def __call__(self, done: int, total: int) -> None:
        if self._first < 0:
            self._first = done
        seconds = max(self._clock() - self._began, 0.001)
        rate = (done - self._first) / seconds
        text = f"{self._what}: {done / 2**20:.0f} MiB"
        if total:
            text += f" of {total / 2**20:.0f} MiB ({done * 100 // total} %)"
        text += f", {rate / 2**20:.1f} MiB/s"
        if total and rate > 0:
            text += f", {(total - done) / rate:.0f} s left"
        self._target.progress(text)
