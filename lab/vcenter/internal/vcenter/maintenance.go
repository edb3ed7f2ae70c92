package vcenter

import (
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/placement"
)

// EnterMaintenanceModeTask evacuates what can move and waits for the rest to be
// powered off, as long as its caller lets it.
func (r *hostCalls) EnterMaintenanceModeTask(ctx *simulator.Context, req *types.EnterMaintenanceMode_Task) soap.HasFault {
	c, h := r.c, r.c.host(req.This)
	t := c.start(ctx, h, "EnterMaintenanceMode_Task", "HostSystem.enterMaintenanceMode", true,
		func(ctx *simulator.Context, t *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			fault := c.enterMaintenance(ctx, h, t, req)
			switch fault.(type) {
			case nil:
				c.post(ctx, &types.EnteredMaintenanceModeEvent{HostEvent: c.hostEvent(h)})
			case *types.Timedout, *types.RequestCanceled:
				c.post(ctx, &types.CanceledHostOperationEvent{HostEvent: c.hostEvent(h)})
			}
			return nil, fault
		})
	return reply[methods.EnterMaintenanceMode_TaskBody](t.Self)
}

func (c *Center) enterMaintenance(ctx *simulator.Context, h *simulator.HostSystem, t *simulator.Task, req *types.EnterMaintenanceMode_Task) types.BaseMethodFault {
	if fault := c.beginEntering(h); fault != nil {
		return fault
	}
	c.post(ctx, &types.EnteringMaintenanceModeEvent{HostEvent: c.hostEvent(h)})
	timeout := time.Duration(req.Timeout) * time.Second
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.entering, h.Self)
		c.pulse.send()
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
		if fault := c.mustAnswer(h); fault != nil {
			return fault
		}
		if left := c.evacuate(h, t, isTrue(req.EvacuatePoweredOffVms)); left == 0 {
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

// mustAnswer refuses what a host that is not connected cannot do.
func (c *Center) mustAnswer(h *simulator.HostSystem) (fault types.BaseMethodFault) {
	c.locked(h, func(*simulator.Context) {
		if h.Runtime.ConnectionState != types.HostSystemConnectionStateConnected {
			fault = &types.HostNotConnected{}
		}
	})
	return fault
}

// evacuate moves away what DRS may move and counts what is left. When nothing
// is, the host is in maintenance mode, unless the task was cancelled meanwhile.
func (c *Center) evacuate(h *simulator.HostSystem, t *simulator.Task, offToo bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	left, gone := 0, 0
	cluster := c.clusterAt(h.Self.Value)
	for _, vm := range c.vms() {
		facts := c.facts(vm)
		if facts.Host != h.Self.Value || (!facts.Active && !offToo) {
			continue
		}
		to, ok := "", false
		switch {
		case !facts.Active:
			to, ok = c.picture().Choose(placement.VM{ID: facts.ID}, cluster.Self.Value, h.Self.Value)
		// One that is just being started has to be up before it can move.
		case facts.Tied(), c.comingUp(vm.Self):
		case behavior(c.configuration(cluster), vm.Self) == types.DrsBehaviorFullyAutomated:
			to, ok = c.picture().Choose(facts, cluster.Self.Value, h.Self.Value)
		}
		if !ok {
			left++
			continue
		}
		gone++
		c.move(c.ctx(), vm, hostRef(to), facts.Active)
	}
	if left > 0 {
		if gone > 0 {
			c.progress(t, int32(100*gone/(gone+left)))
		}
		return left
	}
	if c.canceled(t) {
		return 1
	}
	c.setMaintenance(h, true)
	return 0
}

// progress tells how far a task is, in percent.
func (c *Center) progress(t *simulator.Task, percent int32) {
	c.update(t, types.PropertyChange{Name: "info.progress", Val: percent})
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
		func(ctx *simulator.Context, _ *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			if fault := c.mustAnswer(h); fault != nil {
				return nil, fault
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			in := false
			c.locked(h, func(*simulator.Context) { in = h.Runtime.InMaintenanceMode })
			if !in {
				return nil, invalidState("The host is not in maintenance mode.")
			}
			c.setMaintenance(h, false)
			c.post(ctx, &types.ExitMaintenanceModeEvent{HostEvent: c.hostEvent(h)})
			return nil, nil
		}))
}
