"""What a client needs to trust a cache and to pull through it, for each container runtime.

cache.py       the cache as clients see it: its name, its CA, its upstreams
part.py        what one runtime gets: files, checks, how the running process sees them
journal.py     a part as one change that undoes itself when it fails, and its undo
plan.py        which runtimes there are, and everything for one client at once
served.py      whether what answers on 443 belongs to the CA that clients get
docker.py containerd.py containers.py buildkit.py k3s.py gitlab.py system.py
               one runtime each: probe, facts, what trust and use mean for it
proof.py       whether a pull came through the cache, and from where
rewrite.py     image names in compose files and manifests
rollout.py     the same files for fleets that other engines roll out
"""
