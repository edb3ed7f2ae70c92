package vcenter

import (
	"slices"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/hook"
	"permafrost.dev/lab/vcenter/internal/placement"
)

func (c *Center) vm(ref types.ManagedObjectReference) *simulator.VirtualMachine {
	vm, _ := c.reg.Get(ref).(*simulator.VirtualMachine)
	return vm
}

func (c *Center) host(ref types.ManagedObjectReference) *simulator.HostSystem {
	h, _ := c.reg.Get(ref).(*simulator.HostSystem)
	return h
}

func (c *Center) cluster(ref types.ManagedObjectReference) *simulator.ClusterComputeResource {
	cluster, _ := c.reg.Get(ref).(*simulator.ClusterComputeResource)
	return cluster
}

func (c *Center) clusters() []*simulator.ClusterComputeResource {
	var out []*simulator.ClusterComputeResource
	for _, ref := range c.site.clusters {
		out = append(out, c.cluster(ref))
	}
	return out
}

// hostsOf are the hosts of a cluster.
func (c *Center) hostsOf(cluster types.ManagedObjectReference) []types.ManagedObjectReference {
	var out []types.ManagedObjectReference
	for _, ref := range c.site.hosts {
		if c.site.clusterOf[ref] == cluster {
			out = append(out, ref)
		}
	}
	return out
}

// locked runs f with the object's lock.
func (c *Center) locked(on mo.Reference, f func(ctx *simulator.Context)) {
	ctx := c.ctx()
	c.reg.WithLock(ctx, on, func() { f(ctx) })
}

// update changes properties under the object's lock and tells the listeners.
func (c *Center) update(on mo.Reference, changes ...types.PropertyChange) {
	c.locked(on, func(ctx *simulator.Context) { c.reg.Update(ctx, on, changes) })
}

func (c *Center) nameOf(ref types.ManagedObjectReference) string {
	e, ok := c.reg.Get(ref).(mo.Entity)
	if !ok {
		return ref.Value
	}
	name := ""
	c.locked(e, func(*simulator.Context) { name = e.Entity().Name })
	return name
}

// vms are all virtual machines, templates too, in the order of their ids.
func (c *Center) vms() []*simulator.VirtualMachine {
	var out []*simulator.VirtualMachine
	for _, e := range c.reg.All("VirtualMachine") {
		out = append(out, e.(*simulator.VirtualMachine))
	}
	slices.SortFunc(out, func(a, b *simulator.VirtualMachine) int { return int(number(a.Self) - number(b.Self)) })
	return out
}

func isOn(vm *simulator.VirtualMachine) bool {
	return vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn
}

// facts are what placement has to know of a virtual machine. The caller holds mu.
func (c *Center) facts(vm *simulator.VirtualMachine) placement.VM {
	f := placement.VM{ID: vm.Self.Value, Active: c.starting[vm.Self]}
	c.locked(vm, func(*simulator.Context) {
		f.Name, f.Template = vm.Name, vm.Config.Template
		f.Active = f.Active || isOn(vm)
		if vm.Runtime.Host != nil {
			f.Host = vm.Runtime.Host.Value
		}
		f.Devices, f.VGPUs = passthrough(vm), vgpus(vm)
		f.MemoryMiB = int64(vm.Config.Hardware.MemoryMB)
		if a := vm.Config.MemoryAllocation; a != nil && a.Reservation != nil {
			f.ReservedMiB = *a.Reservation
		}
		if isTrue(vm.Config.MemoryReservationLockedToMax) {
			f.ReservedMiB = f.MemoryMiB
		}
		if to, ok := c.ha.to[vm.Self]; ok { // HA is starting it there
			f.Host, f.Active = to.Value, true
		}
		if a := vm.Config.CpuAllocation; a != nil && a.Reservation != nil {
			f.ReservedMHz = *a.Reservation
		}
	})
	return f
}

// passthrough lists the PCI addresses that a virtual machine takes from its host.
// The caller holds its lock.
func passthrough(vm *simulator.VirtualMachine) []string {
	var ids []string
	for _, d := range vm.Config.Hardware.Device {
		if id := passthroughID(d); id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}

func passthroughID(d types.BaseVirtualDevice) string {
	p, ok := d.(*types.VirtualPCIPassthrough)
	if !ok {
		return ""
	}
	switch b := p.Backing.(type) {
	case *types.VirtualPCIPassthroughDeviceBackingInfo:
		return b.Id
	case *types.VirtualPCIPassthroughDynamicBackingInfo:
		return b.AssignedId
	}
	return ""
}

// machine is what the hypervisor is told of a virtual machine, and the name by
// which it knows it.
func (c *Center) machine(vm *simulator.VirtualMachine) (string, hook.Machine) {
	m := hook.Machine{ExtraConfig: map[string]string{}, Disks: []hook.Disk{}}
	name := ""
	var host types.ManagedObjectReference
	c.locked(vm, func(*simulator.Context) {
		name = vm.Name
		m.UUID, m.MemoryMiB, m.NumCPUs = vm.Config.Uuid, vm.Config.Hardware.MemoryMB, vm.Config.Hardware.NumCPU
		if vm.Runtime.Host != nil {
			host = *vm.Runtime.Host
		}
		for _, o := range vm.Config.ExtraConfig {
			if v, ok := o.GetOptionValue().Value.(string); ok {
				m.ExtraConfig[o.GetOptionValue().Key] = v
			}
		}
		devices := object.VirtualDeviceList(vm.Config.Hardware.Device)
		for _, d := range devices {
			switch d := d.(type) {
			case *types.VirtualDisk:
				m.Disks = append(m.Disks, hook.Disk{Label: devices.Name(d), Key: d.Key, GiB: d.CapacityInBytes >> 30})
				if info := d.DeviceInfo; info != nil && info.GetDescription().Label != "" {
					m.Disks[len(m.Disks)-1].Label = info.GetDescription().Label
				}
			case types.BaseVirtualEthernetCard:
				if m.MAC == "" {
					m.MAC = d.GetVirtualEthernetCard().MacAddress
				}
			}
		}
	})
	if host.Value != "" {
		m.Host = c.nameOf(host)
	}
	return c.machineName(vm.Self, name), m
}

func isTrue(b *bool) bool { return b != nil && *b }
