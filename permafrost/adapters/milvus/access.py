"""Makes users, roles and grants so as the site file says; what it does not name is left alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from permafrost.adapters.milvus.session import CALL_S
from permafrost.site.knowledge import MilvusAccess

OBJECT = "Collection"


def settle_access(
    client: Any, access: MilvusAccess, passwords: Mapping[str, str], logs_in: Any
) -> tuple[str, ...]:
    """Return what was changed. ``logs_in(user, password)`` says whether a password holds."""
    changed: list[str] = []
    roles = set(client.list_roles(timeout=CALL_S))
    for role, grants in sorted(access.roles.items()):
        if role not in roles:
            client.create_role(role, timeout=CALL_S)
            changed.append(f"role {role}")
        wanted = {(g.collection, p) for g in grants for p in g.privileges}
        has = {
            (g["object_name"], g["privilege"])
            for g in client.describe_role(role, timeout=CALL_S).get("privileges", ())
            if g["object_type"] == OBJECT
        }
        for collection, privilege in sorted(wanted - has):
            client.grant_privilege(role, OBJECT, privilege, collection, timeout=CALL_S)
            changed.append(f"grant {privilege} on {collection} to {role}")
        for collection, privilege in sorted(has - wanted):
            client.revoke_privilege(role, OBJECT, privilege, collection, timeout=CALL_S)
            changed.append(f"revoke {privilege} on {collection} from {role}")
    users = set(client.list_users(timeout=CALL_S))
    for user, entry in sorted(access.users.items()):
        if user not in users:
            client.create_user(user, passwords[user], timeout=CALL_S)
            changed.append(f"user {user}")
        elif not logs_in(user, passwords[user]):
            # Root knows nobody's password: the user is made anew, with the roles below.
            client.drop_user(user, timeout=CALL_S)
            client.create_user(user, passwords[user], timeout=CALL_S)
            changed.append(f"password of {user}")
        held = set(client.describe_user(user, timeout=CALL_S).get("roles", ()))
        for role in sorted(set(entry.roles) - held):
            client.grant_role(user, role, timeout=CALL_S)
            changed.append(f"role {role} for {user}")
        for role in sorted((held & access.roles.keys()) - set(entry.roles)):
            client.revoke_role(user, role, timeout=CALL_S)
            changed.append(f"role {role} from {user}")
    return tuple(changed)
