"""Start an inventory of one's own."""

import os
import secrets
import string
from pathlib import Path

import invoke
from fabric import task

ALPHABET = string.ascii_letters + string.digits
SECRET_NAMES = ("HARBOR_ADMIN_PASSWORD", "HARBOR_DATABASE_PASSWORD")


@task(help={"folder": "where to write them (default: the folder of the inventory in use)"})
def init(c: invoke.Context, folder: str = "") -> None:
    """Write a commented hosts.yaml and a .env with generated secrets; never overwrites one."""
    from tasks._inventory import PROJECT, VARIABLE, inventory_file

    inventory = Path(folder).expanduser().absolute() / "hosts.yaml" if folder else inventory_file()
    inventory.parent.mkdir(parents=True, exist_ok=True)
    example = (PROJECT / "files" / "hosts.example.yaml").read_bytes()
    _write(inventory, example, 0o644)
    _write(inventory.with_name(".env"), _environment().encode(), 0o600)
    print(f"next: edit {inventory}, then `fab plan` and `fab deploy`")  # noqa: T201
    if inventory != PROJECT / "hosts.yaml":
        print(f"with: export {VARIABLE}={inventory}")  # noqa: T201


def _write(path: Path, content: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        print(f"kept: {path} exists")  # noqa: T201
        return
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    print(f"wrote {path}")  # noqa: T201


def _environment() -> str:
    lines = [
        "# Secrets of the inventory beside this file. Keep it 0600, and keep a copy of it.",
        "# NAME__HOST (the host's name in capitals, _ for anything else) wins over NAME.",
        *(f"{name}={generated_password()}" for name in SECRET_NAMES),
    ]
    return "\n".join(lines) + "\n"


def generated_password(length: int = 24) -> str:
    """Random letters and digits, with an upper case letter, a lower case letter and a digit."""
    while True:
        value = "".join(secrets.choice(ALPHABET) for _ in range(length))
        if (
            any(map(str.isupper, value))
            and any(map(str.islower, value))
            and any(map(str.isdigit, value))
        ):
            return value
