"""Certificates by ACME with DNS-01, which Traefik orders, and which we rehearse, count and keep.

Everything here is pure: what Traefik is told, what its log and its store say.
"""
