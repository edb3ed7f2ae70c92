package vcenter

import (
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// EnterMaintenanceModeTask evacuates what can move and waits for the rest to be
// powered off, as long as its caller lets it.
func (r *hostCalls) EnterMaintenanceModeTask(ctx *simulator.Context, req *types.EnterMaintenanceMode_Task) soap.HasFault {
	c, h := r.c, r.c.host(req.This)
	t := c.start(ctx, h, "EnterMaintenanceMode_Task", "HostSystem.enterMaintenanceMode", true,
		func(_ *simulator.Context, t *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			return nil, c.enterMaintenance(h, t, time.Duration(req.Timeout)*time.Second)
		})
	return reply[methods.EnterMaintenanceMode_TaskBody](t.Self)
}

func (c *Center) enterMaintenance(h *simulator.HostSystem, t *simulator.Task, timeout time.Duration) types.BaseMethodFault {
	if fault := c.beginEntering(h); fault != nil {
		return fault
	}
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.entering, h.Self)
	}()
	var deadline <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		deadline = timer.C
	}
	for {
		changed := c.pulse.wait()
		if c.canceled(t) {
			return &types.RequestCanceled{}
		}
		if c.evacuate(h) {
			return nil
		}
		// What happens elsewhere may make room without a change that is told.
		again := time.NewTimer(time.Second)
		select {
		case <-changed:
		case <-again.C:
		case <-deadline:
			again.Stop()
			return &types.Timedout{VimFault: types.VimFault{MethodFault: because("Operation timed out: virtual machines still run on the host.")}}
		case <-c.stop:
			again.Stop()
			return &types.RequestCanceled{}
		}
		again.Stop()
	}
}

func (c *Center) beginEntering(h *simulator.HostSystem) (fault types.BaseMethodFault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.locked(h, func(*simulator.Context) {
		switch {
		case h.Runtime.InMaintenanceMode || c.entering[h.Self]:
			fault = invalidState("The host is already in maintenance mode or entering it.")
		case h.Runtime.ConnectionState != types.HostSystemConnectionStateConnected:
			fault = &types.HostNotConnected{}
		}
	})
	if fault == nil {
		c.entering[h.Self] = true
	}
	return fault
}

// evacuate moves away what can move. When nothing runs on the host any more, it
// is in maintenance mode.
func (c *Center) evacuate(h *simulator.HostSystem) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	left := 0
	for _, vm := range c.vms() {
		facts := c.facts(vm)
		if facts.Host != h.Self.Value || !facts.Active {
			continue
		}
		to, ok := "", false
		// One that is just being started has to be up before it can move.
		if len(facts.Devices) == 0 && !c.starting[vm.Self] {
			to, ok = c.picture().Choose(facts, h.Self.Value)
		}
		if !ok {
			left++
			continue
		}
		c.setHost(vm, types.ManagedObjectReference{Type: "HostSystem", Value: to})
	}
	if left > 0 {
		return false
	}
	c.setMaintenance(h, true)
	return true
}

func (c *Center) setMaintenance(h *simulator.HostSystem, in bool) {
	c.dirty.add(h.Self)
	// The summary points to the same runtime information.
	c.update(h, types.PropertyChange{Name: "runtime.inMaintenanceMode", Val: in})
}

// ExitMaintenanceModeTask opens the host again.
func (r *hostCalls) ExitMaintenanceModeTask(ctx *simulator.Context, req *types.ExitMaintenanceMode_Task) soap.HasFault {
	c, h := r.c, r.c.host(req.This)
	return reply[methods.ExitMaintenanceMode_TaskBody](c.task(ctx, h, "ExitMaintenanceMode_Task", "HostSystem.exitMaintenanceMode",
		func(*simulator.Context, *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			c.mu.Lock()
			defer c.mu.Unlock()
			in := false
			c.locked(h, func(*simulator.Context) { in = h.Runtime.InMaintenanceMode })
			if !in {
				return nil, invalidState("The host is not in maintenance mode.")
			}
			c.setMaintenance(h, false)
			return nil, nil
		}))
}

// DisconnectHostTask lets the vCenter stop talking to the host.
func (r *hostCalls) DisconnectHostTask(ctx *simulator.Context, req *types.DisconnectHost_Task) soap.HasFault {
	c, h := r.c, r.c.host(req.This)
	return reply[methods.DisconnectHost_TaskBody](c.task(ctx, h, "DisconnectHost_Task", "HostSystem.disconnect",
		func(*simulator.Context, *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			c.setConnection(h, types.HostSystemConnectionStateDisconnected)
			return nil, nil
		}))
}

// ReconnectHostTask lets it talk to the host again.
func (r *hostCalls) ReconnectHostTask(ctx *simulator.Context, req *types.ReconnectHost_Task) soap.HasFault {
	c, h := r.c, r.c.host(req.This)
	return reply[methods.ReconnectHost_TaskBody](c.task(ctx, h, "ReconnectHost_Task", "HostSystem.reconnect",
		func(*simulator.Context, *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			c.setConnection(h, types.HostSystemConnectionStateConnected)
			return nil, nil
		}))
}

// setConnection changes the host's connection and that of its virtual machines.
func (c *Center) setConnection(h *simulator.HostSystem, state types.HostSystemConnectionState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dirty.add(h.Self)
	c.update(h, types.PropertyChange{Name: "runtime.connectionState", Val: state})
	vmState := types.VirtualMachineConnectionStateConnected
	if state != types.HostSystemConnectionStateConnected {
		vmState = types.VirtualMachineConnectionStateDisconnected
	}
	for _, vm := range c.vms() {
		if c.facts(vm).Host == h.Self.Value {
			c.update(vm, types.PropertyChange{Name: "runtime.connectionState", Val: vmState},
				types.PropertyChange{Name: "summary.runtime.connectionState", Val: vmState})
		}
	}
}
