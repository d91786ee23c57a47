"""Nouns: what a Harbor host should be, as pure functions of settings and facts.

Nothing in here opens a connection, reads the clock or the environment, or prints;
`tests/unit/test_architecture.py` proves that it imports none of fabric, invoke,
paramiko, requests and socket.
"""
