"""What a store reads at its first start alone is written before it can start at all."""

from __future__ import annotations

from tests.unit.ansible.test_notifications import tasks

FILE, TEMPLATE = "ansible.builtin.file", "ansible.builtin.template"


def test_etcd_is_told_whether_it_joins_before_there_is_a_folder_of_its_data() -> None:
    """Where a disk was replaced its unit runs already, and waits for nothing but that folder."""
    steps = list(tasks("etcd"))
    settings = [i for i, t in enumerate(steps) if "__etcd_state" in t.get("vars", {})]
    folder = [
        i for i, t in enumerate(steps) if t.get(FILE, {}).get("path") == "{{ etcd_data_folder }}"
    ]
    assert [steps[i][TEMPLATE]["dest"] for i in settings] == ["/etc/permafrost/etcd/etcd.yml"]
    assert len(folder) == 1
    assert settings < folder
