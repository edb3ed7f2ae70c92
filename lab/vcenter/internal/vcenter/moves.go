package vcenter

import (
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/placement"
)

// knownPlace refuses folders, pools, hosts and datastores that are not there.
func (c *Center) knownPlace(folder types.ManagedObjectReference, pool, host, ds *types.ManagedObjectReference) types.BaseMethodFault {
	if _, ok := c.reg.Get(folder).(*simulator.Folder); !ok {
		return &types.ManagedObjectNotFound{Obj: folder}
	}
	if pool != nil {
		if _, ok := c.reg.Get(*pool).(*simulator.ResourcePool); !ok {
			return &types.ManagedObjectNotFound{Obj: *pool}
		}
	}
	if host != nil && c.host(*host) == nil {
		return &types.ManagedObjectNotFound{Obj: *host}
	}
	if ds != nil {
		if _, ok := c.reg.Get(*ds).(*simulator.Datastore); !ok {
			return &types.ManagedObjectNotFound{Obj: *ds}
		}
	}
	return nil
}

// placeNew chooses a host for a virtual machine that is about to be made, where
// its maker named none. Until release the choice counts for those that follow.
func (c *Center) placeNew(host **types.ManagedObjectReference, pool types.ManagedObjectReference) (release func(), fault types.BaseMethodFault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	site := c.picture()
	for _, ref := range c.coming {
		site.VMs = append(site.VMs, placement.VM{Host: ref.Value})
	}
	target := *host
	if target == nil {
		id, ok := site.Choose(placement.VM{}, c.pool(pool).Owner.Value)
		if !ok {
			return nil, invalidState("No host of the cluster is connected and out of maintenance mode.")
		}
		target = &types.ManagedObjectReference{Type: "HostSystem", Value: id}
		*host = target
	} else if refusal := site.Migrate(placement.VM{}, target.Value); refusal != nil {
		return nil, c.refused(target.Value, refusal)
	}
	c.coming = append(c.coming, *target)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if i := slices.Index(c.coming, *target); i >= 0 {
			c.coming = slices.Delete(c.coming, i, i+1)
		}
	}, nil
}

// setHost registers the virtual machine with another host. The caller holds mu.
func (c *Center) setHost(vm *simulator.VirtualMachine, to types.ManagedObjectReference) {
	var from types.ManagedObjectReference
	c.locked(vm, func(*simulator.Context) { from = *vm.Runtime.Host })
	if from == to {
		return
	}
	c.dirty.add(vm.Self)
	c.relist(c.host(from), &c.host(from).Vm, c.host(to), &c.host(to).Vm, vm.Self)
	c.update(vm, types.PropertyChange{Name: "runtime.host", Val: to}, types.PropertyChange{Name: "summary.runtime.host", Val: to})
}

// relist moves a reference from one object's list to another's.
func (c *Center) relist(from mo.Reference, src *[]types.ManagedObjectReference, to mo.Reference, dst *[]types.ManagedObjectReference, ref types.ManagedObjectReference) {
	c.locked(from, func(ctx *simulator.Context) {
		*src = slices.DeleteFunc(slices.Clone(*src), func(r types.ManagedObjectReference) bool { return r == ref })
	})
	c.locked(to, func(ctx *simulator.Context) {
		if !slices.Contains(*dst, ref) {
			*dst = append(slices.Clone(*dst), ref)
		}
	})
	c.pulse.send()
}

// RelocateVMTask moves a virtual machine; a running one goes on running.
func (r *vmCalls) RelocateVMTask(ctx *simulator.Context, req *types.RelocateVM_Task) soap.HasFault {
	vm := r.c.vm(req.This)
	return reply[methods.RelocateVM_TaskBody](r.c.task(ctx, vm, "RelocateVM_Task", "VirtualMachine.relocate",
		func(ctx *simulator.Context, _ *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			return nil, r.c.relocate(ctx, vm, req.Spec)
		}))
}

// MigrateVMTask is RelocateVM_Task's older sister.
func (r *vmCalls) MigrateVMTask(ctx *simulator.Context, req *types.MigrateVM_Task) soap.HasFault {
	vm := r.c.vm(req.This)
	return reply[methods.MigrateVM_TaskBody](r.c.task(ctx, vm, "MigrateVM_Task", "VirtualMachine.migrate",
		func(ctx *simulator.Context, _ *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			return nil, r.c.relocate(ctx, vm, types.VirtualMachineRelocateSpec{Pool: req.Pool, Host: req.Host})
		}))
}

func (c *Center) relocate(ctx *simulator.Context, vm *simulator.VirtualMachine, spec types.VirtualMachineRelocateSpec) types.BaseMethodFault {
	defer c.ops.lock(vm.Self)()
	if fault := c.mustReach(vm); fault != nil {
		return fault
	}
	var parent types.ManagedObjectReference
	c.locked(vm, func(*simulator.Context) { parent = *vm.Parent })
	folder := parent
	if spec.Folder != nil {
		folder = *spec.Folder
	}
	if fault := c.knownPlace(folder, spec.Pool, spec.Host, spec.Datastore); fault != nil {
		return fault
	}
	if fault := c.mayReconfigure(vm, &types.VirtualMachineConfigSpec{DeviceChange: spec.DeviceChange}); fault != nil {
		return fault
	}
	storage, fault := c.storageMoveOf(vm, spec)
	if fault != nil {
		return fault
	}
	if spec.Host != nil {
		if fault := c.migrate(ctx, vm, *spec.Host); fault != nil {
			return fault
		}
	}
	if fault := c.setStorage(ctx, vm, storage); fault != nil {
		return fault
	}
	if spec.Pool != nil {
		c.setPool(vm, *spec.Pool)
	}
	if folder != parent {
		if fault := c.moveIntoFolder(ctx, folder, vm.Self); fault != nil {
			return fault
		}
	}
	if len(spec.DeviceChange) > 0 {
		return c.reconfigure(ctx, vm, types.VirtualMachineConfigSpec{DeviceChange: spec.DeviceChange})
	}
	return nil
}

// migrate changes the host. vMotion carries a running machine along, unless a
// device ties it to its host. The caller holds the operation lock.
func (c *Center) migrate(ctx *simulator.Context, vm *simulator.VirtualMachine, to types.ManagedObjectReference) types.BaseMethodFault {
	c.mu.Lock()
	defer c.mu.Unlock()
	facts := c.facts(vm)
	if facts.Host == to.Value {
		return nil
	}
	fault := c.mayMigrate(facts, to)
	if fault != nil {
		c.post(ctx, &types.VmFailedMigrateEvent{VmEvent: c.vmEvent(vm), DestHost: *c.hostArgument(to), Reason: localized(fault)})
		return fault
	}
	c.move(ctx, vm, to, false)
	return nil
}

func (c *Center) mayMigrate(facts placement.VM, to types.ManagedObjectReference) types.BaseMethodFault {
	if facts.Active && facts.Tied() {
		f := &types.DeviceNotSupported{Device: "PCI device " + facts.Devices[0], Reason: "passthrough"}
		f.MethodFault = because("The virtual machine uses the PCI passthrough device '" + facts.Devices[0] + "', which vMotion does not support.")
		return f
	}
	if refusal := c.picture().Migrate(facts, to.Value); refusal != nil {
		return c.refused(to.Value, refusal)
	}
	return nil
}

// move registers the virtual machine with another host and says so. The caller
// holds mu.
func (c *Center) move(ctx *simulator.Context, vm *simulator.VirtualMachine, to types.ManagedObjectReference, byDRS bool) {
	before, on := c.vmEvent(vm), c.mustBeOn(vm) == nil
	if on {
		c.post(ctx, &types.VmBeingHotMigratedEvent{VmEvent: before, DestHost: *c.hostArgument(to)})
	}
	c.setHost(vm, to)
	moved := types.VmMigratedEvent{VmEvent: c.vmEvent(vm), SourceHost: *before.Host, SourceDatastore: before.Ds, SourceDatacenter: before.Datacenter}
	if byDRS {
		c.post(ctx, &types.DrsVmMigratedEvent{VmMigratedEvent: moved})
	} else {
		c.post(ctx, &moved)
	}
}

// setPool registers the virtual machine with another resource pool.
func (c *Center) setPool(vm *simulator.VirtualMachine, to types.ManagedObjectReference) {
	var from types.ManagedObjectReference
	c.locked(vm, func(*simulator.Context) {
		if vm.ResourcePool != nil {
			from = *vm.ResourcePool
		}
	})
	dst := c.reg.Get(to).(*simulator.ResourcePool)
	src, ok := c.reg.Get(from).(*simulator.ResourcePool)
	if !ok {
		src = dst
	}
	c.dirty.add(vm.Self)
	c.relist(src, &src.Vm, dst, &dst.Vm, vm.Self)
	c.update(vm, types.PropertyChange{Name: "resourcePool", Val: &to})
}
