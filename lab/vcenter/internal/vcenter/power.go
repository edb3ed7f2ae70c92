package vcenter

import (
	"errors"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/hook"
)

const (
	poweredOn  = types.VirtualMachinePowerStatePoweredOn
	poweredOff = types.VirtualMachinePowerStatePoweredOff
)

// PowerOnVMTask starts the machine where rules, devices and hosts allow it.
func (r *vmCalls) PowerOnVMTask(ctx *simulator.Context, req *types.PowerOnVM_Task) soap.HasFault {
	vm := r.c.vm(req.This)
	return reply[methods.PowerOnVM_TaskBody](r.c.task(ctx, vm, "PowerOnVM_Task", "VirtualMachine.powerOn",
		func(*simulator.Context, *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			return nil, r.c.powerOn(vm, req.Host)
		}))
}

// PowerOffVMTask pulls the machine's power.
func (r *vmCalls) PowerOffVMTask(ctx *simulator.Context, req *types.PowerOffVM_Task) soap.HasFault {
	vm := r.c.vm(req.This)
	return reply[methods.PowerOffVM_TaskBody](r.c.task(ctx, vm, "PowerOffVM_Task", "VirtualMachine.powerOff",
		func(*simulator.Context, *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			return nil, r.c.powerOff(vm, "off")
		}))
}

// ResetVMTask cuts and gives power; the virtual machine stays on.
func (r *vmCalls) ResetVMTask(ctx *simulator.Context, req *types.ResetVM_Task) soap.HasFault {
	vm := r.c.vm(req.This)
	return reply[methods.ResetVM_TaskBody](r.c.task(ctx, vm, "ResetVM_Task", "VirtualMachine.reset",
		func(*simulator.Context, *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			return nil, r.c.restart(vm, "reset")
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
		func(*simulator.Context, *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			return nil, r.c.powerOff(vm, "shutdown")
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
		func(*simulator.Context, *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			return nil, r.c.restart(vm, "shutdown")
		})
	return done[methods.RebootGuestBody]()
}

func (c *Center) needsTools(vm *simulator.VirtualMachine) (fault types.BaseMethodFault) {
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

// powerOn claims host and devices, starts the machine, and reports its guest.
func (c *Center) powerOn(vm *simulator.VirtualMachine, wanted *types.ManagedObjectReference) types.BaseMethodFault {
	defer c.ops.lock(vm.Self)()
	if fault := c.claim(vm, wanted); fault != nil {
		return fault
	}
	defer c.unclaim(vm)
	name, m := c.machine(vm)
	c.nameMachine(vm.Self, name)
	guest, err := c.hook.On(name, m)
	if err != nil {
		return configFault("Power on failed: " + err.Error())
	}
	c.setPower(vm, poweredOn)
	c.reportGuest(vm, guest)
	return nil
}

// claim decides under the cluster's lock that vm may run, and where; from then
// on it counts as running, so that of two that exclude each other one is refused.
func (c *Center) claim(vm *simulator.VirtualMachine, wanted *types.ManagedObjectReference) types.BaseMethodFault {
	c.mu.Lock()
	defer c.mu.Unlock()
	var fault types.BaseMethodFault
	c.locked(vm, func(*simulator.Context) {
		switch {
		case c.reg.Get(vm.Self) == nil:
			fault = &types.ManagedObjectNotFound{Obj: vm.Self}
		case vm.Config.Template:
			fault = invalidState("A template cannot be powered on.")
		case isOn(vm):
			fault = powerState(poweredOn, poweredOn)
		}
	})
	if fault != nil {
		return fault
	}
	facts := c.facts(vm)
	if wanted != nil && wanted.Value != facts.Host && len(facts.Devices) == 0 {
		facts.Host = wanted.Value
	}
	target, refusal := c.picture().PowerOn(facts)
	if refusal != nil {
		return c.refused(refusal)
	}
	c.starting[vm.Self] = true
	c.setHost(vm, types.ManagedObjectReference{Type: "HostSystem", Value: target})
	return nil
}

func (c *Center) unclaim(vm *simulator.VirtualMachine) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.starting, vm.Self)
}

// powerOff stops the machine by the verb off or shutdown.
func (c *Center) powerOff(vm *simulator.VirtualMachine, verb string) types.BaseMethodFault {
	defer c.ops.lock(vm.Self)()
	if fault := c.mustBeOn(vm); fault != nil {
		return fault
	}
	name, m := c.machine(vm)
	if err := c.hook.Do(verb, name, m); errors.Is(err, hook.ErrStillOn) {
		return &types.Timedout{VimFault: types.VimFault{MethodFault: because("The guest did not shut down.")}}
	} else if err != nil {
		return configFault("Power off failed: " + err.Error())
	}
	c.setPower(vm, poweredOff)
	return nil
}

// restart takes the machine down by the verb reset or shutdown and reports the
// guest that comes up; the virtual machine counts as on all the while.
func (c *Center) restart(vm *simulator.VirtualMachine, verb string) types.BaseMethodFault {
	defer c.ops.lock(vm.Self)()
	if fault := c.mustBeOn(vm); fault != nil {
		return fault
	}
	name, m := c.machine(vm)
	c.reportGuest(vm, hook.Guest{})
	if err := c.hook.Do(verb, name, m); errors.Is(err, hook.ErrStillOn) {
		c.logf("%s: %v", name, err)
	} else if err != nil {
		return configFault("Restart failed: " + err.Error())
	}
	guest, err := c.hook.On(name, m) // answers at once where the machine is on
	if err != nil {
		c.setPower(vm, poweredOff)
		return configFault("Restart failed: " + err.Error())
	}
	c.reportGuest(vm, guest)
	return nil
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
