"""Users, roles and grants are made so; what the site file does not name is left alone."""

from __future__ import annotations

from typing import Any

from permafrost.adapters.milvus.access import settle_access
from permafrost.site.knowledge import MilvusAccess

WANTED = MilvusAccess.model_validate(
    {
        "roles": {"reader": [{"collection": "docs", "privileges": ["Search", "Query"]}]},
        "users": {"app": {"password_file": "users/app", "roles": ["reader"]}},
    }
)


class Server:
    """As much of Milvus' access control as the adapter speaks to."""

    def __init__(self) -> None:
        self.roles: dict[str, set[tuple[str, str]]] = {"admin": set(), "public": set()}
        self.users: dict[str, tuple[str, set[str]]] = {"root": ("r", {"admin"})}

    def list_roles(self, **_: Any) -> list[str]:
        return list(self.roles)

    def create_role(self, role: str, **_: Any) -> None:
        assert role not in self.roles
        self.roles[role] = set()

    def describe_role(self, role: str, **_: Any) -> dict[str, Any]:
        return {
            "privileges": [
                {"object_type": "Collection", "object_name": c, "privilege": p}
                for c, p in self.roles[role]
            ]
        }

    def grant_privilege(self, role: str, kind: str, privilege: str, name: str, **_: Any) -> None:
        assert kind == "Collection"
        self.roles[role].add((name, privilege))

    def revoke_privilege(self, role: str, kind: str, privilege: str, name: str, **_: Any) -> None:
        self.roles[role].remove((name, privilege))

    def list_users(self, **_: Any) -> list[str]:
        return list(self.users)

    def create_user(self, user: str, password: str, **_: Any) -> None:
        assert user not in self.users
        self.users[user] = (password, set())

    def drop_user(self, user: str, **_: Any) -> None:
        del self.users[user]

    def describe_user(self, user: str, **_: Any) -> dict[str, Any]:
        return {"roles": tuple(self.users[user][1])}

    def grant_role(self, user: str, role: str, **_: Any) -> None:
        self.users[user][1].add(role)

    def revoke_role(self, user: str, role: str, **_: Any) -> None:
        self.users[user][1].remove(role)

    def settle(self, wanted: MilvusAccess = WANTED, password: str = "p") -> tuple[str, ...]:
        return settle_access(self, wanted, {"app": password}, lambda u, p: self.users[u][0] == p)


def test_a_fresh_cluster_gets_all_of_it_and_a_second_time_nothing() -> None:
    server = Server()
    assert len(server.settle()) == 5
    assert server.roles["reader"] == {("docs", "Search"), ("docs", "Query")}
    assert server.users["app"] == ("p", {"reader"})
    assert server.settle() == ()


def test_a_changed_password_file_changes_the_password_and_keeps_the_roles() -> None:
    server = Server()
    server.settle()
    assert server.settle(password="q") == ("password of app", "role reader for app")
    assert server.users["app"] == ("q", {"reader"})


def test_what_was_granted_beside_the_site_file_is_taken_back_from_its_roles_alone() -> None:
    server = Server()
    server.settle()
    server.roles["reader"].add(("docs", "Insert"))
    server.roles["theirs"] = {("docs", "Delete")}
    server.users["app"][1].add("theirs")
    assert server.settle() == ("revoke Insert on docs from reader",)
    assert server.roles["theirs"] == {("docs", "Delete")}
    assert server.users["app"][1] == {"reader", "theirs"}
