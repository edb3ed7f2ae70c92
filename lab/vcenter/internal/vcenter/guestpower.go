package vcenter

import (
	"errors"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/hook"
)

// What asks the guest holds nothing while the guest takes its time: one that
// hears nothing, because it stands still, must not keep an administrator from
// pulling its power, nor answer him minutes later.

// shutDownGuest asks the guest to power off and reports when it has.
func (c *Center) shutDownGuest(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
	asked, fault := c.ask(ctx, vm, &types.VmGuestShutdownEvent{VmEvent: c.vmEvent(vm)})
	if fault != nil {
		return fault
	}
	err := c.goesDown(vm)
	defer c.ops.lock(vm.Self)()
	switch {
	case c.mustReachRunning(vm) != nil, c.boots.of(vm.Self) != asked:
		return nil // its power was pulled meanwhile, or the watch has seen it go
	case err == nil:
		c.nowOff(ctx, vm)
		return nil
	case errors.Is(err, hook.ErrStillOn):
		fault = &types.Timedout{VimFault: types.VimFault{MethodFault: because("The guest did not shut down.")}}
	default:
		fault = configFault("Power off failed: " + err.Error())
	}
	c.post(ctx, &types.VmFailedToPowerOffEvent{VmEvent: c.vmEvent(vm), Reason: localized(fault)})
	return fault
}

// rebootGuest asks the guest to shut down and starts it again; the virtual
// machine counts as on all the while.
func (c *Center) rebootGuest(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
	defer c.rebooting.begin(vm.Self)()
	asked, fault := c.ask(ctx, vm, &types.VmGuestRebootEvent{VmEvent: c.vmEvent(vm)})
	if fault != nil {
		return fault
	}
	c.reportGuest(vm, hook.Guest{})
	err := c.goesDown(vm)
	defer c.ops.lock(vm.Self)()
	switch {
	case c.mustReachRunning(vm) != nil, c.boots.of(vm.Self) != asked:
		return nil
	case errors.Is(err, hook.ErrStillOn):
		c.logf("%s: %v", vm.Name, err)
	case err != nil:
		return configFault("Restart failed: " + err.Error())
	}
	return c.comesUp(ctx, vm)
}

// ask says which boot of the machine is asked to end.
func (c *Center) ask(ctx *simulator.Context, vm *simulator.VirtualMachine, event types.BaseEvent) (int, types.BaseMethodFault) {
	defer c.ops.lock(vm.Self)()
	if fault := c.mustReachRunning(vm); fault != nil {
		return 0, fault
	}
	c.post(ctx, event)
	return c.boots.of(vm.Self), nil
}

func (c *Center) goesDown(vm *simulator.VirtualMachine) error {
	name, m := c.machine(vm)
	return c.hook.Do("shutdown", name, m)
}

// tally counts something of each managed object.
type tally struct {
	guard  sync.Mutex
	counts map[types.ManagedObjectReference]int
}

func (t *tally) add(ref types.ManagedObjectReference, n int) {
	t.guard.Lock()
	defer t.guard.Unlock()
	if t.counts == nil {
		t.counts = map[types.ManagedObjectReference]int{}
	}
	t.counts[ref] += n
}

func (t *tally) next(ref types.ManagedObjectReference) { t.add(ref, 1) }

func (t *tally) of(ref types.ManagedObjectReference) int {
	t.guard.Lock()
	defer t.guard.Unlock()
	return t.counts[ref]
}

// begin counts one more until the function that it returns is called.
func (t *tally) begin(ref types.ManagedObjectReference) func() {
	t.add(ref, 1)
	return func() { t.add(ref, -1) }
}
