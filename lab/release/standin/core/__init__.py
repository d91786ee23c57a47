"""The stand-in core: API v2.0 in part, token service, registry front and proxy cache.

app.py          one object with everything, and what happens to a request first
configuration.py  environment of the container; settings and switches of the stand-in
database.py     state in PostgreSQL
errors.py       Harbor's error bodies
security.py     who asks, and what they may do
tokens.py       bearer tokens
routing.py      paths to functions
listing.py      q=, sort and paging
api/            one file for each part of the API
upstream.py     an upstream registry, with its own token dance
local.py        the distribution registry behind us, and the index of what is in it
registry.py     /v2/: authorisation and the local registry
proxycache.py   /v2/ of proxy projects
health.py       the state of the components
"""
