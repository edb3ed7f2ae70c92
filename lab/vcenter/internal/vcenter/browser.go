package vcenter

import (
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// QueryConfigTarget adds the hosts' passthrough devices.
func (r *browserCalls) QueryConfigTarget(ctx *simulator.Context, req *types.QueryConfigTarget) (body soap.HasFault) {
	c, own := r.c, of(ctx)
	if req.Host != nil && c.host(*req.Host) == nil {
		return refuse[methods.QueryConfigTargetBody](&types.ManagedObjectNotFound{Obj: *req.Host})
	}
	eb := c.reg.Get(req.This).(*simulator.EnvironmentBrowser)
	c.reg.WithLock(own, eb, func() { body = eb.QueryConfigTarget(own, req) })
	b := body.(*methods.QueryConfigTargetBody)
	if b.Res == nil || b.Res.Returnval == nil {
		return body
	}
	target := *b.Res.Returnval
	target.PciPassthrough = nil
	for _, ref := range c.browsed(req.This) {
		if req.Host == nil || *req.Host == ref {
			target.PciPassthrough = append(target.PciPassthrough, c.devices(ref)...)
		}
	}
	return &methods.QueryConfigTargetBody{Res: &types.QueryConfigTargetResponse{Returnval: &target}}
}

// browsed are the hosts of the cluster whose browser it is.
func (c *Center) browsed(browser types.ManagedObjectReference) []types.ManagedObjectReference {
	for _, cluster := range c.clusters() {
		if cluster.EnvironmentBrowser != nil && *cluster.EnvironmentBrowser == browser {
			return c.hostsOf(cluster.Self)
		}
	}
	return c.site.hosts
}

// devices are the host's devices that a virtual machine may take.
func (c *Center) devices(ref types.ManagedObjectReference) []types.BaseVirtualMachinePciPassthroughInfo {
	var out []types.BaseVirtualMachinePciPassthroughInfo
	h := c.host(ref)
	c.locked(h, func(*simulator.Context) {
		active := map[string]bool{}
		for _, i := range h.Config.PciPassthruInfo {
			active[i.GetHostPciPassthruInfo().Id] = i.GetHostPciPassthruInfo().PassthruActive
		}
		for _, d := range h.Hardware.PciDevice {
			if active[d.Id] {
				out = append(out, &types.VirtualMachinePciPassthroughInfo{
					VirtualMachineTargetInfo: types.VirtualMachineTargetInfo{Name: d.Id},
					SystemId:                 systemID(h.Hardware.SystemInfo.Uuid), PciDevice: d,
				})
			}
		}
	})
	return out
}

// systemID names the machine that a device is in, as ESXi does.
func systemID(hardware string) string {
	u := uuid.NewSHA1(uuid.NameSpaceOID, []byte(hardware))
	return fmt.Sprintf("%x-%x-%x-%x", u[0:4], u[4:8], u[8:10], u[10:16])
}

// QueryConfigOptionEx answers from a copy: the simulator changes a shared one.
func (r *browserCalls) QueryConfigOptionEx(_ *simulator.Context, req *types.QueryConfigOptionEx) soap.HasFault {
	opt := *r.c.reg.Get(req.This).(*simulator.EnvironmentBrowser).QueryConfigOptionResponse.Returnval
	opt.GuestOSDescriptor = nil
	for _, id := range simulator.GuestID {
		if req.Spec == nil || len(req.Spec.GuestId) == 0 || slices.Contains(req.Spec.GuestId, string(id)) {
			opt.GuestOSDescriptor = append(opt.GuestOSDescriptor, types.GuestOsDescriptor{
				Id: string(id), Family: string(types.VirtualMachineGuestOsFamilyLinuxGuest), FullName: string(id),
			})
		}
	}
	return &methods.QueryConfigOptionExBody{Res: &types.QueryConfigOptionExResponse{Returnval: &opt}}
}
