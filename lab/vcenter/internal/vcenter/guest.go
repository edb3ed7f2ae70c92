package vcenter

import (
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/hook"
)

const toolsVersion = "12389"

var (
	toolsRunning = string(types.VirtualMachineToolsRunningStatusGuestToolsRunning)
	toolsStopped = string(types.VirtualMachineToolsRunningStatusGuestToolsNotRunning)
)

// reportGuest is what VMware Tools does: it reports a guest that is up, or,
// without an address, that nothing is heard of it.
func (c *Center) reportGuest(vm *simulator.VirtualMachine, g hook.Guest) {
	c.dirty.add(vm.Self)
	if g.Address == "" && !c.hook.Empty() {
		c.update(vm, guestGone()...)
		return
	}
	nic, family := types.GuestNicInfo{Connected: true, DeviceConfigId: -1, Network: c.cfg.Network}, ""
	c.locked(vm, func(*simulator.Context) {
		family = vm.Config.GuestId
		for _, d := range vm.Config.Hardware.Device {
			if e, ok := d.(types.BaseVirtualEthernetCard); ok {
				card := e.GetVirtualEthernetCard()
				nic.MacAddress, nic.DeviceConfigId = card.MacAddress, card.Key
				nic.Network = c.networkOf(card, nic.Network)
				break
			}
		}
	})
	first := []types.PropertyChange{
		{Name: "guest.toolsStatus", Val: types.VirtualMachineToolsStatusToolsOk},
		{Name: "guest.toolsRunningStatus", Val: toolsRunning}, {Name: "guest.toolsVersion", Val: toolsVersion},
		{Name: "guest.toolsVersionStatus2", Val: string(types.VirtualMachineToolsVersionStatusGuestToolsUnmanaged)},
		{Name: "guest.guestState", Val: "running"}, {Name: "guest.guestId", Val: family}, {Name: "guest.hostName", Val: g.Hostname},
		{Name: "guest.guestOperationsReady", Val: true},
		{Name: "summary.guest.toolsRunningStatus", Val: toolsRunning},
		{Name: "summary.guest.toolsStatus", Val: types.VirtualMachineToolsStatusToolsOk},
		{Name: "summary.guest.hostName", Val: g.Hostname}, {Name: "summary.quickStats.guestHeartbeatStatus", Val: types.ManagedEntityStatusGreen},
		{Name: "guestHeartbeatStatus", Val: types.ManagedEntityStatusGreen},
	}
	if g.Address == "" { // no machines behind: Tools runs, and no address is known
		c.update(vm, first...)
		return
	}
	nic.IpAddress, nic.IpConfig = []string{g.Address}, &types.NetIpConfigInfo{}
	for _, a := range g.Addresses {
		if a != g.Address {
			nic.IpAddress = append(nic.IpAddress, a)
		}
	}
	for _, a := range nic.IpAddress {
		nic.IpConfig.IpAddress = append(nic.IpConfig.IpAddress,
			types.NetIpConfigInfoIpAddress{IpAddress: a, PrefixLength: g.Prefix, State: "preferred"})
	}
	stack := []types.GuestStackInfo{{
		DnsConfig: &types.NetDnsConfigInfo{HostName: g.Hostname},
		IpRouteConfig: &types.NetIpRouteConfigInfo{IpRoute: []types.NetIpRouteConfigInfoIpRoute{
			{Network: "0.0.0.0", PrefixLength: 0, Gateway: types.NetIpRouteConfigInfoGateway{IpAddress: g.Gateway, Device: "0"}}}},
	}}
	c.update(vm, append(first, types.PropertyChange{Name: "guest.ipStack", Val: stack})...)
	// Waiters compare an address with the gateway that they have seen so far and
	// do not look again: the gateway has to reach them first.
	time.Sleep(100 * time.Millisecond)
	c.update(vm, types.PropertyChange{Name: "guest.net", Val: []types.GuestNicInfo{nic}},
		types.PropertyChange{Name: "guest.ipAddress", Val: g.Address}, types.PropertyChange{Name: "summary.guest.ipAddress", Val: g.Address})
}

// networkOf is the name of the network that a card is connected to.
func (c *Center) networkOf(card *types.VirtualEthernetCard, otherwise string) string {
	switch b := card.Backing.(type) {
	case *types.VirtualEthernetCardNetworkBackingInfo:
		return b.DeviceName
	case *types.VirtualEthernetCardDistributedVirtualPortBackingInfo:
		// A port group's name does not change: nobody's lock is needed.
		if pg, ok := c.reg.Get(types.ManagedObjectReference{Type: "DistributedVirtualPortgroup", Value: b.Port.PortgroupKey}).(*simulator.DistributedVirtualPortgroup); ok {
			return pg.Name
		}
	}
	return otherwise
}

// guestGone is the guest's part of a virtual machine whose Tools are silent.
func guestGone() []types.PropertyChange {
	return []types.PropertyChange{
		{Name: "guest.toolsStatus", Val: types.VirtualMachineToolsStatusToolsNotRunning},
		{Name: "guest.toolsRunningStatus", Val: toolsStopped},
		{Name: "guest.guestState", Val: "notRunning"}, {Name: "guest.hostName", Val: ""},
		{Name: "guest.guestOperationsReady", Val: false},
		{Name: "guest.net", Val: []types.GuestNicInfo{}}, {Name: "guest.ipStack", Val: []types.GuestStackInfo{}},
		{Name: "guest.ipAddress", Val: ""}, {Name: "summary.guest.ipAddress", Val: ""}, {Name: "summary.guest.hostName", Val: ""},
		{Name: "summary.guest.toolsRunningStatus", Val: toolsStopped},
		{Name: "summary.guest.toolsStatus", Val: types.VirtualMachineToolsStatusToolsNotRunning},
		{Name: "summary.quickStats.guestHeartbeatStatus", Val: types.ManagedEntityStatusGray},
		{Name: "guestHeartbeatStatus", Val: types.ManagedEntityStatusGray},
	}
}

// complete fills what the simulator leaves empty and clients cannot read.
func complete(vm *simulator.VirtualMachine) {
	vm.Runtime.FaultToleranceState = types.VirtualMachineFaultToleranceStateNotConfigured
	vm.Runtime.RecordReplayState = types.VirtualMachineRecordReplayStateInactive
	vm.Summary.Runtime.FaultToleranceState = vm.Runtime.FaultToleranceState
	vm.Summary.Runtime.RecordReplayState = vm.Runtime.RecordReplayState
	if vm.GuestHeartbeatStatus == "" {
		vm.GuestHeartbeatStatus = types.ManagedEntityStatusGray
	}
	if vm.Config != nil && vm.Config.SwapPlacement == "" {
		vm.Config.SwapPlacement = string(types.VirtualMachineConfigInfoSwapPlacementTypeInherit)
	}
}
