"""How verify proves that a client pulls through its cache."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import invoke

from harbor.clients import cut, images, proof, pulls
from harbor.clients import plan as planning
from harbor.clients.cache import Upstream
from harbor.clients.images import Content, Image
from harbor.errors import NotConverged, OpsError, Refused, RemoteError, SettingsError
from tasks import _api, _clients, _fleet
from tasks._host import Host
from tasks._inventory import load

# Blobs are local within a second or two, a tag after 30 s, an index for one platform after 400 s.
BLOB_SECONDS, TAG_SECONDS, INDEX_SECONDS = 60, 120, 480
# The log is written behind syslog: nothing at all, and only a part, after these.
LOG_SECONDS, LAYERS_SECONDS = 15, 5
# src/controller/registry/controller.go: how often Harbor looks at its upstreams, and some more.
LOOK_SECONDS = 330
POLL_SECONDS = 1.0


@dataclass
class Harbor:
    """The Harbor host's side of a proof: what is local there, and who asked for what."""

    host: Host
    source: _clients.Source

    def ask(self, snippet: str, timeout: int = 120) -> Any:
        return self.host.read({"answer": snippet}, timeout)["answer"]

    def content(self, upstream: Upstream, image: Image, platform: str) -> Content:
        """What the image consists of, asked through the cache. Raises RemoteError."""
        text = self._manifest(upstream, image, image.reference)
        manifest = json.loads(text)
        if not images.platforms(manifest):
            return images.content(image.reference, text, index=False)
        digest = images.choose(manifest, platform, str(image))
        return images.content(digest, self._manifest(upstream, image, digest), index=True)

    def _manifest(self, upstream: Upstream, image: Image, reference: str) -> str:
        settings, cache = self.source.settings, self.source.cache
        answer = self.ask(
            proof.get_manifest(settings, cache, upstream.project, image.repository, reference)
        )
        if not answer.ok:
            raise RemoteError(
                f"{image}: the cache has no such image and cannot get it",
                "is the upstream reachable for Harbor? `fab logs --service core`",
            )
        return str(answer.text)

    def missing(self, upstream: Upstream, image: Image, content: Content) -> list[str]:
        """The blobs that are not local."""
        settings, cache = self.source.settings, self.source.cache
        heads = proof.heads(settings, cache, upstream.project, image.repository, content.blobs)
        answers = self.host.read(heads)
        return [digest for digest, answer in answers.items() if answer.text != "200"]

    def log_size(self) -> int:
        return int(self.ask(proof.log_size(self.source.settings)).text or 0)

    def evidence(self, upstream: Upstream, image: Image, offset: int, blobs: int) -> proof.Evidence:
        """What the log shows since `offset`; it is written with some delay.

        Fewer than `blobs` are an answer too, after a while: the client may have had some.
        """
        began = time.monotonic()
        while True:
            log = self.ask(proof.log_since(self.source.settings, offset)).text
            found = proof.evidence(log, upstream.project, image.repository)
            waited = time.monotonic() - began
            complete = found.seen and found.blobs >= blobs
            if complete or waited > (LAYERS_SECONDS if found.seen else LOG_SECONDS):
                return found
            time.sleep(POLL_SECONDS)

    def tag_is_local(self, upstream: Upstream, image: Image) -> bool:
        settings, cache = self.source.settings, self.source.cache
        return bool(
            self.ask(
                proof.tag_is_local(
                    settings, cache, upstream.project, image.repository, image.reference
                )
            ).ok
        )


@dataclass
class Trial:
    """One runtime and one upstream on one client; `row` is what is reported of it."""

    target: _fleet.Target
    harbor: Harbor
    runtime: str
    facts: Any
    upstream: Upstream
    image: Image
    row: dict[str, Any]

    @property
    def name(self) -> str:
        cache = self.harbor.source.cache
        return pulls.name_for(self.runtime, self.facts, cache, self.upstream, self.image)

    def run(self, content: Content, *, cut_off: bool) -> None:
        """Cold, warm, and cut off if allowed. Raises NotConverged at a pull past the cache."""
        if self.target.host.read({"p": pulls.present(self.runtime, self.name)})["p"].ok:
            raise Refused(
                f"{self.runtime}: {self.name} is on this client already, its pull proves nothing",
                "choose an image that is not: --image",
            )
        local = not self.harbor.missing(self.upstream, self.image, content)
        self.pull("warm" if local else "cold", content, hit=local)
        self.wait_for_blobs(content)
        if not local:
            self.pull("warm", content, hit=True)
        if cut_off:
            self.wait_for_tag(content)
            self.pull_cut_off(content)

    def pull(self, kind: str, content: Content, *, hit: bool) -> None:
        self.target.progress(f"{self.runtime}: {kind} pull of {self.name}")
        offset = self.harbor.log_size()
        pulled = self.target.host.read_write(
            pulls.pull(self.runtime, self.facts, self.name), timeout=pulls.SECONDS + 60
        )
        try:
            seen = self.harbor.evidence(self.upstream, self.image, offset, len(content.blobs))
        finally:
            self.target.host.read_write(pulls.remove(self.runtime, self.name))
        milliseconds = int(pulled.stdout.split()[-1])
        self.row[kind] = {
            "through_cache": seen.seen,
            "hit": hit and seen.seen,
            "seconds": milliseconds / 1000,
            "bytes": content.size,
            "blobs_asked_for": seen.blobs,
        }
        if not seen.seen:
            raise NotConverged(
                f"{self.runtime}: {self.name} was pulled, and Harbor saw nothing of it: "
                "it came from the origin",
                "`fab use-cache` shows what is not in effect; is the client's address right?",
            )
        if not hit and seen.blobs < len(content.blobs):
            raise Refused(
                f"{self.runtime}: some layers of {self.name} were on this client already, so the "
                "cache was not asked for them",
                "choose an image that shares none: --image",
            )
        word = "hit" if hit else "miss"
        self.target.say(
            f"{self.runtime} {self.upstream.origin}: {kind} pull through the cache, {word}, "
            f"{content.size / 1e6:.1f} MB in {milliseconds / 1000:.1f} s"
        )

    def pull_cut_off(self, content: Content) -> None:
        """Had Harbor looked at its upstreams meanwhile, it would ask none until its next look."""
        side = replace(self.target, host=self.harbor.host)
        with _api.connected(side, self.harbor.source.settings) as api:
            before = _held_for_away(api)
            with _cut_off(self.harbor.host):
                self.pull("cut off", content, hit=True)
            self._wait(
                lambda: _held_for_away(api) <= before,
                LOOK_SECONDS,
                "Harbor to look at its upstreams again (every 5 minutes)",
            )

    def wait_for_blobs(self, content: Content) -> None:
        self._wait(
            lambda: not self.harbor.missing(self.upstream, self.image, content),
            BLOB_SECONDS,
            "the cache to keep the layers",
        )

    def wait_for_tag(self, content: Content) -> None:
        seconds = INDEX_SECONDS if content.index else TAG_SECONDS
        self._wait(
            lambda: self.harbor.tag_is_local(self.upstream, self.image),
            seconds,
            "the cache to keep the tag (an index takes up to 400 s)",
        )

    def _wait(self, done: Callable[[], bool], seconds: int, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            left = deadline - time.monotonic()
            if left < 0:
                raise NotConverged(f"{self.image}: waited {seconds} s for {what}")
            self.target.progress(f"waiting for {what} ({left:.0f} s left)")
            time.sleep(POLL_SECONDS)


def _held_for_away(api: _api.Api) -> set[str]:
    """The upstreams that Harbor asks nothing at present."""
    return {one["name"] for one in api.whole("/registries") if one.get("status") != "healthy"}


@contextmanager
def _cut_off(host: Host) -> Iterator[None]:
    host.read_write(cut.cut())
    try:
        yield
    finally:
        host.read_write(cut.mend())


def verify(c: invoke.Context, *, wanted_image: str, cut_off: bool, as_json: bool) -> None:
    loaded = load()
    clients = _clients.gather(c, loaded)
    image = images.parse(wanted_image) if wanted_image else None
    # One client at a time, so that what Harbor's log shows is this one's; a failure stops no other.
    turn = threading.Lock()

    def work(target: _fleet.Target) -> str:
        with turn:
            return prove(target)

    def prove(target: _fleet.Target) -> str:
        source = clients.source(target.host.name)
        host = _fleet.open_host(
            c,
            loaded,
            source.settings.name,
            secrets=source.settings.secrets.all(),
            read_only=not cut_off,
        )
        try:
            return _verify_one(target, clients, Harbor(host, source), image, cut_off=cut_off)
        finally:
            host.close()

    _fleet.run(
        c,
        "client",
        work,
        loaded=loaded,
        secrets=_clients.secrets(clients),
        as_json=as_json,
    )


def _verify_one(
    target: _fleet.Target,
    clients: _clients.Clients,
    harbor: Harbor,
    image: Image | None,
    *,
    cut_off: bool,
) -> str:
    if cut_off and (refused := cut.refusal(harbor.source.settings)):
        raise refused
    _clients.say_notes(target, harbor.source.notes)
    options = clients.options(target.host.name)
    outputs = target.host.read(planning.probe() | {"platform": pulls.platform()})
    there, known = planning.found(outputs, options), planning.journals(outputs, "use")
    budget = harbor.ask(proof.hub_budget())
    target.result.details["docker_hub_budget"] = (
        proof.parse_budget(budget.text) if budget.ok else "unknown"
    )
    trials = []
    for runtime in (name for name in pulls.PULLERS if name in there):
        if known[runtime].empty:
            raise NotConverged(f"{runtime}: does not use the cache", "first: fab use-cache")
        trials += _trials(target, harbor, runtime, there[runtime], image)
    if not trials:
        raise Refused(
            "nothing to pull: no runtime here mirrors that upstream (docker: Docker Hub only), or it "
            "has no test_image"
        )
    return _run_all(target, harbor, trials, outputs["platform"].text, cut_off=cut_off)


def _trials(
    target: _fleet.Target, harbor: Harbor, runtime: str, facts: Any, image: Image | None
) -> list[Trial]:
    found = []
    for upstream in harbor.source.cache.upstreams:
        if image is not None and image.registry != upstream.origin:
            continue
        chosen = image or (
            images.parse(f"{upstream.origin}/{upstream.test_image}")
            if upstream.test_image
            else None
        )
        if chosen:
            row = {"runtime": runtime, "upstream": upstream.origin, "image": str(chosen)}
            found.append(Trial(target, harbor, runtime, facts, upstream, chosen, row))
    return found


def _run_all(
    target: _fleet.Target, harbor: Harbor, trials: list[Trial], platform: str, *, cut_off: bool
) -> str:
    target.result.details["pulls"] = [trial.row for trial in trials]
    errors: list[OpsError] = []
    for trial in trials:
        try:
            content = harbor.content(trial.upstream, trial.image, platform)
            trial.run(content, cut_off=cut_off)
        except OpsError as error:
            trial.row["error"] = error.message
            errors.append(error)
    for more in errors[1:]:
        target.report.error(target.host.name, more)
    if errors:
        raise errors[0]
    target.say(f"Docker Hub budget of the cache: {target.result.details['docker_hub_budget']}")
    return f"{len(trials)} proven"


# -- warm ------------------------------------------------------------------------------------


def warm(c: invoke.Context, names: list[Image], *, platform: str, as_json: bool) -> None:
    loaded = load()

    def work(target: _fleet.Target, settings: Any) -> str:
        source = _clients.source_of(target.host, loaded, settings)
        return _warm_all(target, Harbor(target.host, source), names, platform)

    _fleet.run_harbors(c, work, read_only=True, as_json=as_json)


def _warm_all(target: _fleet.Target, harbor: Harbor, names: list[Image], platform: str) -> str:
    by_origin = {u.origin: u for u in harbor.source.cache.upstreams}
    unknown = [str(image) for image in names if image.registry not in by_origin]
    if unknown:
        raise SettingsError(f"no upstream of this cache: {', '.join(unknown)}")
    rows = target.result.details.setdefault("images", [])
    for number, image in enumerate(names, 1):
        target.progress(f"{number} of {len(names)}: {image}")
        rows.append(_warm_one(target, harbor, by_origin[image.registry], image, platform))
    fetched = sum(row["fetched"] for row in rows)
    return f"{len(names)} images, {fetched / 1e6:.1f} MB fetched"


def _warm_one(
    target: _fleet.Target, harbor: Harbor, upstream: Upstream, image: Image, platform: str
) -> dict[str, Any]:
    content = harbor.content(upstream, image, platform)
    missing = harbor.missing(upstream, image, content)
    settings, cache = harbor.source.settings, harbor.source.cache
    for digest in missing:
        target.progress(f"{image}: {content.blobs[digest] / 1e6:.1f} MB")
        blob = proof.get_blob(settings, cache, upstream.project, image.repository, digest)
        if not harbor.ask(blob, timeout=3600).ok:
            raise RemoteError(f"{image}: {digest} cannot be fetched through the cache")
    trial = Trial(target, harbor, "warm", None, upstream, image, {})
    trial.wait_for_blobs(content)
    fetched = sum(content.blobs[digest] for digest in missing)
    target.say(f"{image}: {'fetched' if missing else 'was there'}, {content.size / 1e6:.1f} MB")
    return {"image": str(image), "bytes": content.size, "fetched": fetched}
