package vcenter

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// ReconfigVMTask changes the configuration, keeping what the simulator drops.
func (r *vmCalls) ReconfigVMTask(ctx *simulator.Context, req *types.ReconfigVM_Task) soap.HasFault {
	vm := r.c.vm(req.This)
	if fault := r.c.refusals.take("ReconfigVM_Task"); fault != nil {
		return refuse[methods.ReconfigVM_TaskBody](fault)
	}
	return reply[methods.ReconfigVM_TaskBody](r.c.task(ctx, vm, "ReconfigVM_Task", "VirtualMachine.reconfigure",
		func(ctx *simulator.Context, _ *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			defer r.c.ops.lock(vm.Self)()
			if fault := r.c.mustReach(vm); fault != nil {
				return nil, fault
			}
			if fault := r.c.mayReconfigure(vm, &req.Spec); fault != nil {
				return nil, fault
			}
			return nil, r.c.reconfigure(ctx, vm, req.Spec)
		}))
}

// mayReconfigure asks what a vCenter and its hosts ask before they change anything.
func (c *Center) mayReconfigure(vm *simulator.VirtualMachine, spec *types.VirtualMachineConfigSpec) (fault types.BaseMethodFault) {
	if fault := c.knownBackings(spec.DeviceChange); fault != nil {
		return fault
	}
	c.locked(vm, func(*simulator.Context) {
		cfg := vm.Config
		switch {
		case spec.ChangeVersion != "" && spec.ChangeVersion != cfg.ChangeVersion:
			fault = &types.ConcurrentAccess{}
		case !isOn(vm):
		case spec.NumCPUs > cfg.Hardware.NumCPU && !isTrue(cfg.CpuHotAddEnabled),
			spec.NumCPUs != 0 && spec.NumCPUs < cfg.Hardware.NumCPU && !isTrue(cfg.CpuHotRemoveEnabled):
			fault = &types.CpuHotPlugNotSupported{}
		case spec.MemoryMB > int64(cfg.Hardware.MemoryMB) && !isTrue(cfg.MemoryHotAddEnabled),
			spec.MemoryMB != 0 && spec.MemoryMB < int64(cfg.Hardware.MemoryMB):
			fault = &types.MemoryHotPlugNotSupported{}
		case changesPassthrough(spec.DeviceChange):
			fault = powerState(poweredOn, poweredOff)
		}
	})
	return fault
}

func changesPassthrough(changes []types.BaseVirtualDeviceConfigSpec) bool {
	for _, d := range changes {
		if _, ok := d.GetVirtualDeviceConfigSpec().Device.(*types.VirtualPCIPassthrough); ok {
			return true
		}
	}
	return false
}

// knownBackings refuses networks and datastores that do not exist: the simulator
// takes them for granted.
func (c *Center) knownBackings(changes []types.BaseVirtualDeviceConfigSpec) types.BaseMethodFault {
	for i, change := range changes {
		spec := change.GetVirtualDeviceConfigSpec()
		invalid := &types.InvalidDeviceSpec{DeviceIndex: int32(i)}
		invalid.Property = "virtualDeviceSpec.device.backing"
		if spec.Device == nil {
			return invalid
		}
		if spec.Operation == types.VirtualDeviceConfigSpecOperationRemove {
			continue
		}
		switch b := spec.Device.GetVirtualDevice().Backing.(type) {
		case *types.VirtualEthernetCardNetworkBackingInfo:
			if c.networkNamed(b.DeviceName) == nil {
				return invalid
			}
		case *types.VirtualEthernetCardDistributedVirtualPortBackingInfo:
			if c.reg.Get(types.ManagedObjectReference{Type: "DistributedVirtualPortgroup", Value: b.Port.PortgroupKey}) == nil {
				return invalid
			}
		case types.BaseVirtualDeviceFileBackingInfo:
			file := b.GetVirtualDeviceFileBackingInfo()
			if file.Datastore != nil && c.reg.Get(*file.Datastore) == nil {
				return invalid
			}
			if strings.HasPrefix(file.FileName, "[") && !c.onKnownDatastore(file.FileName) && !strings.HasPrefix(file.FileName, "[]") {
				return invalid
			}
		}
	}
	return nil
}

// onKnownDatastore says whether a path begins with a datastore of the site.
func (c *Center) onKnownDatastore(path string) bool {
	return slices.ContainsFunc(c.cfg.Datastores(), func(name string) bool { return strings.HasPrefix(path, "["+name+"]") })
}

func (c *Center) networkNamed(name string) any {
	dc := c.reg.Get(c.site.datacenter).(*simulator.Datacenter)
	var refs []types.ManagedObjectReference
	c.locked(dc, func(*simulator.Context) { refs = append(refs, dc.Network...) })
	if e := c.reg.FindByName(name, refs); e != nil {
		return e
	}
	return nil
}

// reconfigure applies the change. The caller holds the operation lock.
func (c *Center) reconfigure(ctx *simulator.Context, vm *simulator.VirtualMachine, spec types.VirtualMachineConfigSpec) types.BaseMethodFault {
	c.dirty.add(vm.Self)
	c.locked(vm, func(*simulator.Context) { keep(vm, &spec) })
	_, fault := c.stockTree(ctx, vm, func() soap.HasFault {
		return vm.ReconfigVMTask(ctx, &types.ReconfigVM_Task{This: vm.Self, Spec: spec})
	})
	c.locked(vm, func(own *simulator.Context) {
		complete(vm)
		changes := []types.PropertyChange{}
		if fault == nil {
			changes = append(changes, changed(vm)...)
			if spec.Name != "" {
				changes = append(changes, types.PropertyChange{Name: "name", Val: spec.Name})
			}
		}
		if spec.SwapPlacement != "" {
			changes = append(changes, types.PropertyChange{Name: "config.swapPlacement", Val: spec.SwapPlacement})
		}
		// The lock follows the size: a locked reservation is always the whole memory.
		if isTrue(vm.Config.MemoryReservationLockedToMax) && vm.Config.MemoryAllocation != nil {
			a := *vm.Config.MemoryAllocation
			a.Reservation = types.NewInt64(int64(vm.Config.Hardware.MemoryMB))
			changes = append(changes, types.PropertyChange{Name: "config.memoryAllocation", Val: a})
		}
		changes = append(changes, mirrored(vm)...)
		if len(changes) > 0 {
			c.reg.Update(own, vm, changes)
		}
	})
	return fault
}

// keep completes a partial change by what the virtual machine already has: the
// simulator replaces these structures as wholes.
func keep(vm *simulator.VirtualMachine, spec *types.VirtualMachineConfigSpec) {
	if spec.MemoryAllocation != nil {
		spec.MemoryAllocation = merged(spec.MemoryAllocation, vm.Config.MemoryAllocation)
	}
	if spec.CpuAllocation != nil {
		spec.CpuAllocation = merged(spec.CpuAllocation, vm.Config.CpuAllocation)
	}
	if spec.Flags != nil {
		spec.Flags = merged(spec.Flags, &vm.Config.Flags)
	}
	if spec.Tools != nil {
		spec.Tools = merged(spec.Tools, vm.Config.Tools)
	}
	if spec.BootOptions != nil {
		spec.BootOptions = merged(spec.BootOptions, vm.Config.BootOptions)
	}
}

// merged is a copy of src whose empty fields come from old.
func merged[T any](src, old *T) *T {
	out := *src
	if old == nil {
		return &out
	}
	dst, from := reflect.ValueOf(&out).Elem(), reflect.ValueOf(old).Elem()
	for i := range dst.NumField() {
		if dst.Field(i).CanSet() && dst.Field(i).IsZero() {
			dst.Field(i).Set(from.Field(i))
		}
	}
	return &out
}

// changed is the configuration's new version.
func changed(*simulator.VirtualMachine) []types.PropertyChange {
	now := time.Now().UTC()
	return []types.PropertyChange{
		{Name: "config.changeVersion", Val: now.Format("2006-01-02T15:04:05.000000Z")}, {Name: "config.modified", Val: now}}
}

// mirrored keeps the summary in step with the configuration.
func mirrored(vm *simulator.VirtualMachine) []types.PropertyChange {
	out := []types.PropertyChange{{Name: "summary.config.annotation", Val: vm.Config.Annotation},
		{Name: "summary.config.guestFullName", Val: vm.Config.GuestFullName}}
	if a := vm.Config.MemoryAllocation; a != nil && a.Reservation != nil {
		mib := *a.Reservation
		if isTrue(vm.Config.MemoryReservationLockedToMax) {
			mib = int64(vm.Config.Hardware.MemoryMB)
		}
		out = append(out, types.PropertyChange{Name: "summary.config.memoryReservation", Val: int32(mib)},
			types.PropertyChange{Name: "resourceConfig.memoryAllocation", Val: *a})
	}
	if a := vm.Config.CpuAllocation; a != nil && a.Reservation != nil {
		out = append(out, types.PropertyChange{Name: "summary.config.cpuReservation", Val: int32(*a.Reservation)})
	}
	return out
}

// UpgradeVMTask raises the hardware version; there may be nothing to do.
func (r *vmCalls) UpgradeVMTask(ctx *simulator.Context, req *types.UpgradeVM_Task) soap.HasFault {
	vm := r.c.vm(req.This)
	return reply[methods.UpgradeVM_TaskBody](r.c.task(ctx, vm, "UpgradeVM_Task", "VirtualMachine.upgradeVirtualHardware",
		func(*simulator.Context, *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			defer r.c.ops.lock(vm.Self)()
			return nil, r.c.upgrade(vm, req.Version)
		}))
}

func (c *Center) upgrade(vm *simulator.VirtualMachine, to string) (fault types.BaseMethodFault) {
	top := c.newest()
	if to == "" {
		to = top.String()
	}
	want, err := types.ParseHardwareVersion(to)
	if err != nil || want > top {
		return &types.NotSupported{}
	}
	c.dirty.add(vm.Self)
	c.locked(vm, func(ctx *simulator.Context) {
		have, _ := types.ParseHardwareVersion(vm.Config.Version)
		switch {
		case want <= have:
			// Clients ask for it in every update; that it is so already is what they want.
		case isOn(vm):
			fault = powerState(poweredOn, poweredOff)
		default:
			c.reg.Update(ctx, vm, append(changed(vm), types.PropertyChange{Name: "config.version", Val: want.String()},
				types.PropertyChange{Name: "summary.config.hwVersion", Val: want.String()}))
		}
	})
	return fault
}

// RenameTask renames in the inventory and in the configuration.
func (r *vmCalls) RenameTask(ctx *simulator.Context, req *types.Rename_Task) soap.HasFault {
	vm := r.c.vm(req.This)
	return reply[methods.Rename_TaskBody](r.c.task(ctx, vm, "Rename_Task", "VirtualMachine.rename",
		func(ctx *simulator.Context, _ *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			defer r.c.ops.lock(vm.Self)()
			if fault := r.c.freeName(vm, req.NewName); fault != nil {
				return nil, fault
			}
			return nil, r.c.reconfigure(ctx, vm, types.VirtualMachineConfigSpec{Name: req.NewName})
		}))
}

// freeName refuses a name that a sibling has.
func (c *Center) freeName(vm *simulator.VirtualMachine, name string) types.BaseMethodFault {
	var parent types.ManagedObjectReference
	c.locked(vm, func(*simulator.Context) { parent = *vm.Parent })
	if other, ok := c.childNamed(parent, name); ok && other != vm.Self {
		return &types.DuplicateName{Name: name, Object: other}
	}
	return nil
}

// MarkAsTemplate takes a virtual machine out of use as a model for others.
func (r *vmCalls) MarkAsTemplate(_ *simulator.Context, req *types.MarkAsTemplate) soap.HasFault {
	vm := r.c.vm(req.This)
	return r.c.marked(vm, func() soap.HasFault { return vm.MarkAsTemplate(req) })
}

// MarkAsVirtualMachine brings a template into use.
func (r *vmCalls) MarkAsVirtualMachine(_ *simulator.Context, req *types.MarkAsVirtualMachine) soap.HasFault {
	vm := r.c.vm(req.This)
	return r.c.marked(vm, func() soap.HasFault { return vm.MarkAsVirtualMachine(req) })
}

func (c *Center) marked(vm *simulator.VirtualMachine, mark func() soap.HasFault) (body soap.HasFault) {
	defer c.ops.lock(vm.Self)()
	c.locked(vm, func(*simulator.Context) { body = mark() })
	c.dirty.add(vm.Self)
	return c.saved(body)
}
