"""All resource types, by token."""

from __future__ import annotations

from lab.provider.resources.base import Resource
from lab.provider.resources.cluster_groups import HostGroup, VmGroup
from lab.provider.resources.cluster_rules import AntiAffinityRule, DependencyRule, VmHostRule
from lab.provider.resources.custom_attribute import CustomAttribute
from lab.provider.resources.drs_override import DrsOverride
from lab.provider.resources.folder import Folder
from lab.provider.resources.ha_override import HaOverride
from lab.provider.resources.resource_pool import ResourcePool
from lab.provider.resources.tag import Tag
from lab.provider.resources.tag_category import TagCategory
from lab.provider.vm.machine import VirtualMachine

RESOURCES: dict[str, Resource] = {
    resource.token: resource
    for resource in (
        AntiAffinityRule(),
        CustomAttribute(),
        DependencyRule(),
        DrsOverride(),
        Folder(),
        HaOverride(),
        HostGroup(),
        ResourcePool(),
        Tag(),
        TagCategory(),
        VirtualMachine(),
        VmGroup(),
        VmHostRule(),
    )
}
