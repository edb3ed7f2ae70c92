package vcenter

import (
	"errors"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/store"
)

// Words of the events that the simulator has no sentence for.
var eventWords = []types.EventDescriptionEventDetail{
	word("CanceledHostOperationEvent", "info", "The operation performed on host {{.Host.Name}} in {{.Datacenter.Name}} was canceled"),
	word("ClusterReconfiguredEvent", "info", "Reconfigured cluster {{.ComputeResource.Name}} in datacenter {{.Datacenter.Name}}"),
	word("DrsRuleComplianceEvent", "info", "{{.Vm.Name}} on {{.Host.Name}} in {{.Datacenter.Name}} is now compliant with DRS rules"),
	word("DrsRuleViolationEvent", "warning", "{{.Vm.Name}} on {{.Host.Name}} in {{.Datacenter.Name}} is violating a DRS rule"),
	word("DrsSoftRuleViolationEvent", "info", "{{.Vm.Name}} on {{.Host.Name}} in {{.Datacenter.Name}} is violating a DRS soft rule"),
	word("ExitMaintenanceModeEvent", "info", "Host {{.Host.Name}} in {{.Datacenter.Name}} has exited maintenance mode"),
	word("HostConnectedEvent", "info", "Connected to {{.Host.Name}} in {{.Datacenter.Name}}"),
	word("HostConnectionLostEvent", "error", "Host {{.Host.Name}} in {{.Datacenter.Name}} is not responding"),
	word("HostDisconnectedEvent", "info", "Disconnected from {{.Host.Name}} in {{.Datacenter.Name}}. Reason: {{.Reason}}"),
	word("NotEnoughResourcesToStartVmEvent", "warning", "Insufficient resources to fail over {{.Vm.Name}} in {{.ComputeResource.Name}} that resides in {{.Datacenter.Name}}. vSphere HA will retry the failover when enough resources are available. Reason: {{.Reason}}"),
	word("TaskEvent", "info", "Task: {{.Info.Name}}"),
	word("VmBeingHotMigratedEvent", "info", "Migrating {{.Vm.Name}} from {{.Host.Name}} to {{.DestHost.Name}}"),
	word("VmConnectedEvent", "info", "Virtual machine {{.Vm.Name}} is connected"),
	word("VmDisconnectedEvent", "info", "{{.Vm.Name}} on host {{.Host.Name}} in {{.Datacenter.Name}} is disconnected"),
	word("VmFailedMigrateEvent", "error", "Migration of {{.Vm.Name}} from {{.Host.Name}} to {{.DestHost.Name}} was not possible"),
	word("VmFailedToPowerOnEvent", "info", "Cannot power on {{.Vm.Name}} on {{.Host.Name}} in {{.Datacenter.Name}}. A general system error occurred: {{.Reason.LocalizedMessage}}"),
	word("VmFailedToPowerOffEvent", "info", "Cannot power off {{.Vm.Name}} on {{.Host.Name}} in {{.Datacenter.Name}}: {{.Reason.LocalizedMessage}}"),
	word("VmFailoverFailed", "warning", "vSphere HA unsuccessfully failed over {{.Vm.Name}} on {{.Host.Name}} in cluster {{.ComputeResource.Name}}. vSphere HA will retry if the maximum number of attempts has not been exceeded. Reason: {{.Reason.LocalizedMessage}}"),
	word("VmGuestRebootEvent", "info", "Guest OS reboot for {{.Vm.Name}} on {{.Host.Name}} in {{.Datacenter.Name}}"),
	word("VmResettingEvent", "info", "{{.Vm.Name}} on {{.Host.Name}} in {{.Datacenter.Name}} is reset"),
	word("VmStoppingEvent", "info", "{{.Vm.Name}} on {{.Host.Name}} in {{.Datacenter.Name}} is stopping"),
}

// Ids of the events that vSphere HA posts since version 5.
const (
	eventHostFailed = "com.vmware.vc.HA.DasHostFailedEvent"
	eventRestarted  = "com.vmware.vc.ha.VmRestartedByHAEvent"
)

const (
	eventsKept = 1000
	tasksKept  = 1000
)

func word(key, category, format string) types.EventDescriptionEventDetail {
	return types.EventDescriptionEventDetail{Key: key, Category: category, Description: key, FullFormat: format}
}

// event is what all events of an object have in common: where it is.
func (c *Center) event(vm *simulator.VirtualMachine, host *simulator.HostSystem) types.Event {
	e := types.Event{CreatedTime: time.Now(), Datacenter: &types.DatacenterEventArgument{
		EntityEventArgument: types.EntityEventArgument{Name: c.cfg.Datacenter}, Datacenter: c.site.datacenter}}
	if vm != nil {
		var at types.ManagedObjectReference
		var on []types.ManagedObjectReference
		name := ""
		c.locked(vm, func(*simulator.Context) { name, at, on = vm.Name, *vm.Runtime.Host, vm.Datastore })
		if len(on) > 0 {
			e.Ds = &types.DatastoreEventArgument{EntityEventArgument: types.EntityEventArgument{Name: c.nameOf(on[0])}, Datastore: on[0]}
		}
		e.Vm = &types.VmEventArgument{EntityEventArgument: types.EntityEventArgument{Name: name}, Vm: vm.Self}
		if host == nil {
			host = c.host(at)
		}
	}
	if host != nil {
		e.Host = c.hostArgument(host.Self)
		cluster := c.site.clusterOf[host.Self]
		e.ComputeResource = &types.ComputeResourceEventArgument{
			EntityEventArgument: types.EntityEventArgument{Name: c.nameOf(cluster)}, ComputeResource: cluster}
	}
	return e
}

func (c *Center) vmEvent(vm *simulator.VirtualMachine) types.VmEvent {
	return types.VmEvent{Event: c.event(vm, nil)}
}

func (c *Center) hostEvent(h *simulator.HostSystem) types.HostEvent {
	return types.HostEvent{Event: c.event(nil, h)}
}

func (c *Center) clusterEvent(ref types.ManagedObjectReference) types.ClusterEvent {
	e := c.event(nil, nil)
	e.ComputeResource = &types.ComputeResourceEventArgument{
		EntityEventArgument: types.EntityEventArgument{Name: c.nameOf(ref)}, ComputeResource: ref}
	return types.ClusterEvent{Event: e}
}

func (c *Center) hostArgument(ref types.ManagedObjectReference) *types.HostEventArgument {
	return &types.HostEventArgument{EntityEventArgument: types.EntityEventArgument{Name: c.nameOf(ref)}, Host: ref}
}

// post enters events in the name of who the context acts for. The caller holds
// no object's lock.
func (c *Center) post(ctx *simulator.Context, events ...types.BaseEvent) {
	own := of(ctx)
	if own.Session == nil {
		own.Session = &simulator.Session{Registry: c.reg, Map: c.reg}
	}
	m := c.reg.EventManager()
	c.reg.WithLock(own, m, func() {
		for _, e := range events {
			m.PostEvent(own, &types.PostEvent{EventToPost: e})
		}
	})
	if err := c.flushEvents(); err != nil && !errors.Is(err, store.ErrClosed) {
		c.logf("%v", err)
	}
}
