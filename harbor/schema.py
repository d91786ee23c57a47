"""The JSON schema of hosts.yaml, for editors: `python -m harbor.schema > files/hosts.schema.json`."""

import json
import sys
from typing import Any

from harbor.inventory import Inventory
from harbor.settings import HarborSettings


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the inventory, with the Harbor settings in both of their places."""
    inventory = Inventory.model_json_schema(ref_template="#/$defs/{model}")
    harbor = HarborSettings.model_json_schema(ref_template="#/$defs/{model}")
    definitions = inventory.setdefault("$defs", {}) | harbor.pop("$defs")
    # A host's own block may be incomplete: it is merged over the shared one.
    harbor.pop("required", None)
    inventory["$defs"] = definitions | {"Harbor": harbor}
    inventory["properties"]["harbor"] = {"$ref": "#/$defs/Harbor"}
    definitions["InventoryHost"]["properties"]["harbor"] = {"$ref": "#/$defs/Harbor"}
    return inventory


if __name__ == "__main__":
    json.dump(schema(), sys.stdout, indent=2)
    sys.stdout.write("\n")
