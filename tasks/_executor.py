"""How `fab -H ...` finds its hosts, and how an error ends with its own exit code.

Fabric runs a task once for each `-H`, one after the other. Ours run once and reach their hosts
themselves, in parallel and with one report: `-H` only tells them which (`tasks/_fleet.py`).
"""

from typing import Any

from fabric.executor import Executor as FabricExecutor
from invoke import Call, Exit

from harbor.errors import OpsError, SettingsError

INTERRUPTED = (
    "interrupted: what runs on a host goes on to its end\n\n"
    "hint: run the same task again: it waits for that and looks first"
)


class Executor(FabricExecutor):
    """Hands the names of `-H` to the task as `c.config.wanted`; turns our errors into exit codes."""

    def expand_calls(self, calls: Any, apply_hosts: bool = True) -> list[Call]:
        wanted = self.core[0].args.hosts.value or ""
        self.config["wanted"] = [name for name in wanted.split(",") if name]
        if self.core.remainder:
            raise Exit("`--` commands are not supported here: use `ssh`", 3)
        return list(super().expand_calls(calls, apply_hosts))

    def normalize_hosts(self, hosts: Any) -> list[dict[str, Any]]:
        """No hosts, so that Fabric leaves the task whole."""
        return []

    def execute(self, *tasks: Any) -> Any:
        try:
            return super().execute(*tasks)
        except OpsError as error:
            raise Exit(f"error: {error}", error.code) from None
        except (OSError, UnicodeError) as error:  # a file of this machine
            raise Exit(f"error: {error}", SettingsError.code) from None
        except KeyboardInterrupt:
            raise Exit(INTERRUPTED, 130) from None
