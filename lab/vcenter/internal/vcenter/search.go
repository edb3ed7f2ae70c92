package vcenter

import (
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// FindByUuid looks at each object under its lock. The simulator's own reads
// them unlocked, while it keeps everybody from the registry.
func (r *searchCalls) FindByUuid(_ *simulator.Context, req *types.FindByUuid) soap.HasFault {
	c := r.c
	body := &methods.FindByUuidBody{Res: &types.FindByUuidResponse{}}
	if req.VmSearch {
		for _, vm := range c.vms() {
			id := ""
			c.locked(vm, func(*simulator.Context) {
				id = vm.Config.Uuid
				if isTrue(req.InstanceUuid) {
					id = vm.Config.InstanceUuid
				}
			})
			if strings.EqualFold(id, req.Uuid) {
				body.Res.Returnval = &vm.Self
				break
			}
		}
		return body
	}
	for _, ref := range c.site.hosts {
		if strings.EqualFold(c.host(ref).Hardware.SystemInfo.Uuid, req.Uuid) {
			body.Res.Returnval = &ref
		}
	}
	return body
}
