"""Tags and their categories."""

from __future__ import annotations

from lab.provider.errors import ProviderError
from lab.provider.session import Session
from lab.provider.values import Props


def get_tag_category(session: Session, args: Props) -> Props:
    """Return a tag category by name."""
    for category_id in session.tagging.call("GET", "/tagging/category") or []:
        found = session.tagging.call("GET", f"/tagging/category/id:{category_id}")
        if found["name"] == args["name"]:
            return {
                "id": category_id,
                "name": found["name"],
                "description": found.get("description", ""),
                "cardinality": found["cardinality"],
                "associableTypes": sorted(found.get("associable_types", [])),
            }
    raise ProviderError(f'category name "{args["name"]}" not found')


def get_tag(session: Session, args: Props) -> Props:
    """Return a tag by name and category."""
    for tag_id in session.tagging.call("GET", "/tagging/tag") or []:
        found = session.tagging.call("GET", f"/tagging/tag/id:{tag_id}")
        if (found["name"], found["category_id"]) == (args["name"], args["categoryId"]):
            return {**args, "id": tag_id, "description": found.get("description", "")}
    raise ProviderError(
        f'tag name "{args["name"]}" not found in category ID "{args["categoryId"]}"'
    )
