"""vCenter through pyvmomi."""

from permafrost.adapters.vsphere import definitions as definitions  # before what imports pyvmomi
from permafrost.adapters.vsphere.hypervisor import VsphereHypervisor
from permafrost.adapters.vsphere.session import VcenterSession

__all__ = ["VcenterSession", "VsphereHypervisor"]
