package vcenter

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/hook"
)

// powerOn claims host and devices, starts the machine, and reports its guest.
func (c *Center) powerOn(ctx *simulator.Context, vm *simulator.VirtualMachine, wanted *types.ManagedObjectReference) types.BaseMethodFault {
	defer c.ops.lock(vm.Self)()
	placed, fault := false, c.mustReach(vm)
	if fault == nil {
		placed, fault = c.claim(vm, wanted)
	}
	if fault == nil {
		defer c.unclaim(vm)
		c.post(ctx, &types.VmStartingEvent{VmEvent: c.vmEvent(vm)})
		fault = c.boot(vm)
	}
	switch {
	case c.reg.Get(vm.Self) == nil:
	case fault != nil:
		c.post(ctx, &types.VmFailedToPowerOnEvent{VmEvent: c.vmEvent(vm), Reason: localized(fault)})
	case placed:
		c.post(ctx, &types.DrsVmPoweredOnEvent{VmPoweredOnEvent: types.VmPoweredOnEvent{VmEvent: c.vmEvent(vm)}})
	default:
		c.post(ctx, &types.VmPoweredOnEvent{VmEvent: c.vmEvent(vm)})
	}
	return fault
}

// boot starts the machine of a virtual machine that has its place.
func (c *Center) boot(vm *simulator.VirtualMachine) types.BaseMethodFault {
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
// on it counts as running, so that of two that exclude each other one is
// refused. It says whether DRS has placed it.
func (c *Center) claim(vm *simulator.VirtualMachine, wanted *types.ManagedObjectReference) (placed bool, fault types.BaseMethodFault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if fault := c.mayStart(vm); fault != nil {
		return false, fault
	}
	facts := c.facts(vm)
	if wanted != nil && wanted.Value != facts.Host && !facts.Tied() {
		facts.Host = wanted.Value
	}
	cluster := c.clusterAt(facts.Host)
	cfg, site := c.configuration(cluster), c.picture()
	placed = behavior(cfg, vm.Self) == types.DrsBehaviorFullyAutomated || behavior(cfg, vm.Self) == types.DrsBehaviorPartiallyAutomated
	target, refused := site.PowerOn(facts, placed)
	if refused != nil {
		return placed, c.noHost(refused)
	}
	if policy, on := failoverPolicy(cfg); on && !site.Admits(facts, cluster.Self.Value, policy) {
		return placed, &types.InsufficientFailoverResourcesFault{}
	}
	c.starting[vm.Self] = true
	c.setHost(vm, types.ManagedObjectReference{Type: "HostSystem", Value: target})
	return placed, nil
}

// mayStart asks what does not depend on a host. The caller holds mu.
func (c *Center) mayStart(vm *simulator.VirtualMachine) (fault types.BaseMethodFault) {
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
	return fault
}

func (c *Center) unclaim(vm *simulator.VirtualMachine) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.starting, vm.Self)
}

// powerOff pulls the machine's power.
func (c *Center) powerOff(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
	defer c.ops.lock(vm.Self)()
	if fault := c.mustReachRunning(vm); fault != nil {
		return fault
	}
	name, m := c.machine(vm)
	c.post(ctx, &types.VmStoppingEvent{VmEvent: c.vmEvent(vm)})
	if err := c.hook.Do("off", name, m); err != nil {
		fault := configFault("Power off failed: " + err.Error())
		c.post(ctx, &types.VmFailedToPowerOffEvent{VmEvent: c.vmEvent(vm), Reason: localized(fault)})
		return fault
	}
	c.nowOff(ctx, vm)
	return nil
}

// reset takes the machine down and reports the guest that comes up; the virtual
// machine counts as on all the while.
func (c *Center) reset(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
	defer c.ops.lock(vm.Self)()
	if fault := c.mustReachRunning(vm); fault != nil {
		return fault
	}
	name, m := c.machine(vm)
	c.post(ctx, &types.VmResettingEvent{VmEvent: c.vmEvent(vm)})
	c.reportGuest(vm, hook.Guest{})
	if err := c.hook.Do("reset", name, m); err != nil {
		return configFault("Restart failed: " + err.Error())
	}
	return c.comesUp(ctx, vm)
}

// comesUp starts the machine of a virtual machine that counts as on, and
// reports its guest; one that runs already answers at once.
func (c *Center) comesUp(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
	name, m := c.machine(vm)
	c.boots.next(vm.Self)
	guest, err := c.hook.On(name, m)
	if err != nil {
		c.nowOff(ctx, vm)
		return configFault("Restart failed: " + err.Error())
	}
	c.reportGuest(vm, guest)
	return nil
}

func (c *Center) nowOff(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	c.setPower(vm, poweredOff)
	c.post(ctx, &types.VmPoweredOffEvent{VmEvent: c.vmEvent(vm)})
}

// mustReachRunning refuses what needs a machine that runs on a host that answers.
func (c *Center) mustReachRunning(vm *simulator.VirtualMachine) types.BaseMethodFault {
	if fault := c.mustReach(vm); fault != nil {
		return fault
	}
	return c.mustBeOn(vm)
}

// mustReach refuses what a host that does not answer cannot do.
func (c *Center) mustReach(vm *simulator.VirtualMachine) types.BaseMethodFault {
	if c.reg.Get(vm.Self) == nil {
		return &types.ManagedObjectNotFound{Obj: vm.Self}
	}
	var at types.ManagedObjectReference
	c.locked(vm, func(*simulator.Context) { at = *vm.Runtime.Host })
	h, fault := c.host(at), types.BaseMethodFault(nil)
	c.locked(h, func(*simulator.Context) {
		if h.Runtime.ConnectionState != types.HostSystemConnectionStateConnected {
			fault = &types.HostNotConnected{}
		}
	})
	return fault
}
