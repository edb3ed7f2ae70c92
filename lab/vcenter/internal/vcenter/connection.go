package vcenter

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

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
			if c.isLost(h.Self) {
				return nil, &types.HostConnectFault{VimFault: types.VimFault{MethodFault: because("Cannot contact the specified host: it does not answer.")}}
			}
			c.regain(h)
			return nil, systemFault(c.reconcile())
		}))
}

// setConnection changes the host's connection and that of its virtual machines.
func (c *Center) setConnection(h *simulator.HostSystem, state types.HostSystemConnectionState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := types.HostSystemConnectionState("")
	c.locked(h, func(*simulator.Context) { before = h.Runtime.ConnectionState })
	if before == state {
		return
	}
	c.dirty.add(h.Self)
	c.postConnection(h, state)
	c.update(h, types.PropertyChange{Name: "runtime.connectionState", Val: state})
	vmState := types.VirtualMachineConnectionStateConnected
	if state != types.HostSystemConnectionStateConnected {
		vmState = types.VirtualMachineConnectionStateDisconnected
	}
	for _, vm := range c.vms() {
		if c.facts(vm).Host == h.Self.Value {
			c.showVM(vm, vmState)
		}
	}
}

// showVM changes a virtual machine's connection. Of one that is not connected a
// vCenter shows what it has last heard: its power state does not change.
func (c *Center) showVM(vm *simulator.VirtualMachine, state types.VirtualMachineConnectionState) {
	changes := []types.PropertyChange{
		{Name: "runtime.connectionState", Val: state}, {Name: "summary.runtime.connectionState", Val: state}}
	heartbeat := types.ManagedEntityStatusGray
	running := ""
	c.locked(vm, func(*simulator.Context) { running = vm.Guest.ToolsRunningStatus })
	if state == types.VirtualMachineConnectionStateConnected && running == toolsRunning {
		heartbeat = types.ManagedEntityStatusGreen
	}
	c.update(vm, append(changes, types.PropertyChange{Name: "guestHeartbeatStatus", Val: heartbeat},
		types.PropertyChange{Name: "summary.quickStats.guestHeartbeatStatus", Val: heartbeat})...)
	if state == types.VirtualMachineConnectionStateConnected {
		c.post(c.ctx(), &types.VmConnectedEvent{VmEvent: c.vmEvent(vm)})
	} else {
		c.post(c.ctx(), &types.VmDisconnectedEvent{VmEvent: c.vmEvent(vm)})
	}
}

func (c *Center) postConnection(h *simulator.HostSystem, state types.HostSystemConnectionState) {
	switch state {
	case types.HostSystemConnectionStateConnected:
		c.post(c.ctx(), &types.HostConnectedEvent{HostEvent: c.hostEvent(h)})
	case types.HostSystemConnectionStateDisconnected:
		c.post(c.ctx(), &types.HostDisconnectedEvent{HostEvent: c.hostEvent(h), Reason: string(types.HostDisconnectedEventReasonCodeUserRequest)})
	case types.HostSystemConnectionStateNotResponding:
		c.post(c.ctx(), &types.HostConnectionLostEvent{HostEvent: c.hostEvent(h)})
	}
}

// systemFault is a fault of an error, or none.
func systemFault(err error) types.BaseMethodFault {
	if err == nil {
		return nil
	}
	return systemError(err.Error())
}
