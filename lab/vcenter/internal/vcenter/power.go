package vcenter

import (
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

const (
	poweredOn  = types.VirtualMachinePowerStatePoweredOn
	poweredOff = types.VirtualMachinePowerStatePoweredOff
)

// PowerOnVMTask starts the machine where rules, devices and hosts allow it.
func (r *vmCalls) PowerOnVMTask(ctx *simulator.Context, req *types.PowerOnVM_Task) soap.HasFault {
	vm := r.c.vm(req.This)
	if fault := r.c.refusals.take("PowerOnVM_Task"); fault != nil {
		return refuse[methods.PowerOnVM_TaskBody](fault)
	}
	return reply[methods.PowerOnVM_TaskBody](r.c.task(ctx, vm, "PowerOnVM_Task", "VirtualMachine.powerOn",
		func(ctx *simulator.Context, _ *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			return nil, r.c.powerOn(ctx, vm, req.Host)
		}))
}

// PowerOnMultiVMTask starts several, each by a task of its own.
func (r *centerCalls) PowerOnMultiVMTask(ctx *simulator.Context, req *types.PowerOnMultiVM_Task) soap.HasFault {
	c, center := r.c, r.c.reg.Get(req.This)
	return reply[methods.PowerOnMultiVM_TaskBody](c.task(ctx, center, "PowerOnMultiVM_Task", "Datacenter.powerOnMultiVM",
		func(ctx *simulator.Context, _ *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			res := types.ClusterPowerOnVmResult{Attempted: []types.ClusterAttemptedVmInfo{}}
			for _, ref := range req.Vm {
				vm := c.vm(ref)
				if vm == nil {
					res.NotAttempted = append(res.NotAttempted, types.ClusterNotAttemptedVmInfo{
						Vm: ref, Fault: localized(&types.ManagedObjectNotFound{Obj: ref})})
					continue
				}
				task := c.task(ctx, vm, "PowerOnVM_Task", "VirtualMachine.powerOn",
					func(ctx *simulator.Context, _ *simulator.Task) (types.AnyType, types.BaseMethodFault) {
						return nil, c.powerOn(ctx, vm, nil)
					})
				res.Attempted = append(res.Attempted, types.ClusterAttemptedVmInfo{Vm: ref, Task: &task})
			}
			return res, nil
		}))
}

// PowerOffVMTask pulls the machine's power.
func (r *vmCalls) PowerOffVMTask(ctx *simulator.Context, req *types.PowerOffVM_Task) soap.HasFault {
	vm := r.c.vm(req.This)
	return reply[methods.PowerOffVM_TaskBody](r.c.task(ctx, vm, "PowerOffVM_Task", "VirtualMachine.powerOff",
		func(ctx *simulator.Context, _ *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			return nil, r.c.powerOff(ctx, vm)
		}))
}

// ResetVMTask cuts and gives power; the virtual machine stays on.
func (r *vmCalls) ResetVMTask(ctx *simulator.Context, req *types.ResetVM_Task) soap.HasFault {
	vm := r.c.vm(req.This)
	return reply[methods.ResetVM_TaskBody](r.c.task(ctx, vm, "ResetVM_Task", "VirtualMachine.reset",
		func(ctx *simulator.Context, _ *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			return nil, r.c.reset(ctx, vm)
		}))
}

// SuspendVMTask is refused: the lab's machines cannot be suspended, nor can any
// virtual machine with a passthrough device.
func (r *vmCalls) SuspendVMTask(*simulator.Context, *types.SuspendVM_Task) soap.HasFault {
	return refuse[methods.SuspendVM_TaskBody](&types.NotSupported{})
}

// StandbyGuest is refused like suspend.
func (r *vmCalls) StandbyGuest(*simulator.Context, *types.StandbyGuest) soap.HasFault {
	return refuse[methods.StandbyGuestBody](&types.NotSupported{})
}

// CreateSnapshotTask is refused: the lab keeps no snapshots.
func (r *vmCalls) CreateSnapshotTask(*simulator.Context, *types.CreateSnapshot_Task) soap.HasFault {
	return refuse[methods.CreateSnapshot_TaskBody](&types.NotSupported{})
}

// CreateSnapshotExTask is refused: the lab keeps no snapshots.
func (r *vmCalls) CreateSnapshotExTask(*simulator.Context, *types.CreateSnapshotEx_Task) soap.HasFault {
	return refuse[methods.CreateSnapshotEx_TaskBody](&types.NotSupported{})
}

// ShutdownGuest asks the guest and returns; the power state follows when it is down.
func (r *vmCalls) ShutdownGuest(ctx *simulator.Context, req *types.ShutdownGuest) soap.HasFault {
	vm := r.c.vm(req.This)
	if fault := r.c.needsTools(vm); fault != nil {
		return refuse[methods.ShutdownGuestBody](fault)
	}
	r.c.task(ctx, vm, "ShutdownGuest", "VirtualMachine.shutdownGuest",
		func(ctx *simulator.Context, _ *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			return nil, r.c.shutDownGuest(ctx, vm)
		})
	return done[methods.ShutdownGuestBody]()
}

// RebootGuest asks the guest to shut down and starts it again.
func (r *vmCalls) RebootGuest(ctx *simulator.Context, req *types.RebootGuest) soap.HasFault {
	vm := r.c.vm(req.This)
	if fault := r.c.needsTools(vm); fault != nil {
		return refuse[methods.RebootGuestBody](fault)
	}
	r.c.task(ctx, vm, "RebootGuest", "VirtualMachine.rebootGuest",
		func(ctx *simulator.Context, _ *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			return nil, r.c.rebootGuest(ctx, vm)
		})
	return done[methods.RebootGuestBody]()
}

func (c *Center) needsTools(vm *simulator.VirtualMachine) (fault types.BaseMethodFault) {
	if fault := c.mustReach(vm); fault != nil {
		return fault
	}
	c.locked(vm, func(*simulator.Context) {
		switch {
		case !isOn(vm):
			fault = powerState(vm.Runtime.PowerState, poweredOn)
		case vm.Guest.ToolsRunningStatus != string(types.VirtualMachineToolsRunningStatusGuestToolsRunning):
			fault = &types.ToolsUnavailable{}
		}
	})
	return fault
}

func (c *Center) mustBeOn(vm *simulator.VirtualMachine) (fault types.BaseMethodFault) {
	c.locked(vm, func(*simulator.Context) {
		if !isOn(vm) {
			fault = powerState(vm.Runtime.PowerState, poweredOff)
		}
	})
	return fault
}

// setPower sets the power state and what hangs on it.
func (c *Center) setPower(vm *simulator.VirtualMachine, state types.VirtualMachinePowerState) {
	c.dirty.add(vm.Self)
	if state == poweredOn {
		c.boots.next(vm.Self)
	}
	c.locked(vm, func(ctx *simulator.Context) {
		changes := []types.PropertyChange{
			{Name: "runtime.powerState", Val: state}, {Name: "summary.runtime.powerState", Val: state},
			{Name: "config.hardware.device", Val: connected(vm, state == poweredOn)},
		}
		if state == poweredOn {
			now := time.Now()
			changes = append(changes, types.PropertyChange{Name: "runtime.bootTime", Val: now},
				types.PropertyChange{Name: "summary.runtime.bootTime", Val: now})
		} else {
			changes = append(changes, types.PropertyChange{Name: "runtime.bootTime", Val: nil},
				types.PropertyChange{Name: "summary.runtime.bootTime", Val: nil})
			changes = append(changes, guestGone()...)
		}
		c.reg.Update(ctx, vm, changes)
	})
}

// connected is a copy of the devices, with those that start connected so while
// the power is on. The caller holds the lock.
func connected(vm *simulator.VirtualMachine, on bool) []types.BaseVirtualDevice {
	out := cloneDevices(vm.Config.Hardware.Device)
	for _, d := range out {
		if conn := d.GetVirtualDevice().Connectable; conn != nil {
			conn.Connected = on && conn.StartConnected
		}
	}
	return out
}
