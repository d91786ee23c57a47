"""What every part of the settings is built from."""

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

SIZE_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}

Size = Annotated[str, StringConstraints(pattern=r"^\d+(\.\d+)?\s*[KMGT]?(i?B)?$")]


class Section(BaseModel):
    """A mapping of the settings: no unknown keys, never changed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class FromEnvironment(Section):
    """A secret that stands in `.env` or the environment under this name."""

    env: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$")


def size_in_bytes(text: str | int) -> int:
    """`4G`, `500M` or a number of bytes. Raises ValueError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", str(text))
    if not match:
        raise ValueError(f"{text!r} is not a size like 4G or 500M")
    return int(float(match[1]) * SIZE_UNITS[match[2]])
