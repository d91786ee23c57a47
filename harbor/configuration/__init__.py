"""Harbor's own configuration, as the inventory declares it.

settings.py     the `configuration:` section, typed
catalogue.py    upstream registries: type and address of each, by Harbor version
options.py      the system settings that each Harbor version has
calls.py        a call to the API with its reason, and a whole plan of them
state.py        what Harbor answered: what to ask for, and how to find things in it
registries.py projects.py retention.py members.py robots.py system.py schedules.py
                wanted and found -> the calls that make one the other
plan.py         all of them, in an order that works
undeclared.py   what Harbor has and the inventory has not
oidc.py         checks before Harbor is switched to OIDC; the client for dex
fingerprints.py which secrets Harbor was given: they cannot be read back
export.py       the other way: what Harbor has, as a `configuration:` section
"""
