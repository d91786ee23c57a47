"""The one error that the lab raises on purpose."""


class LabError(Exception):
    """Something the lab cannot do; the message is one for people."""
