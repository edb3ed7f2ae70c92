package vcenter

import (
	"maps"
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/config"
	"permafrost.dev/lab/vcenter/internal/placement"
)

const sharedDirect = string(types.HostGraphicsInfoGraphicsTypeSharedDirect)

// equipGraphics states the cards that a host shares out, and the profiles that
// its vGPU software offers for them.
func (c *Center) equipGraphics(host types.ManagedObjectReference, cfg *types.HostConfigInfo, h config.Host) {
	profiles := map[string]bool{}
	for _, g := range h.GPUs {
		if len(g.VGPUs) == 0 {
			continue
		}
		cfg.GraphicsInfo = append(cfg.GraphicsInfo, types.HostGraphicsInfo{
			DeviceName: g.Name, VendorName: vendorName(g.Vendor), PciId: g.ID,
			GraphicsType: sharedDirect, MemorySizeInKB: int64(g.MemoryGiB) << 20,
		})
		c.cards[host] = append(c.cards[host], placement.Card{ID: g.ID, VGPUs: g.VGPUs})
		for profile := range g.VGPUs {
			profiles[profile] = true
		}
	}
	if len(profiles) == 0 {
		return
	}
	cfg.GraphicsConfig = &types.HostGraphicsConfig{
		HostDefaultGraphicsType:        sharedDirect,
		SharedPassthruAssignmentPolicy: string(types.HostGraphicsConfigSharedPassthruAssignmentPolicyConsolidation),
	}
	cfg.SharedPassthruGpuTypes = slices.Sorted(maps.Keys(profiles))
	for _, profile := range cfg.SharedPassthruGpuTypes {
		cfg.SharedGpuCapabilities = append(cfg.SharedGpuCapabilities, types.HostSharedGpuCapabilities{
			Vgpu: profile, DiskSnapshotSupported: true, MemorySnapshotSupported: true, SuspendSupported: true, MigrateSupported: true,
		})
	}
}

// vgpus lists the profiles of a virtual machine's vGPUs. The caller holds its lock.
func vgpus(vm *simulator.VirtualMachine) []string {
	var profiles []string
	for _, d := range vm.Config.Hardware.Device {
		if p, ok := d.(*types.VirtualPCIPassthrough); ok {
			if b, ok := p.Backing.(*types.VirtualPCIPassthroughVmiopBackingInfo); ok {
				profiles = append(profiles, b.Vgpu)
			}
		}
	}
	return profiles
}

// showUsers states on each card which virtual machines run on it now.
func (c *Center) showUsers() {
	if len(c.cards) == 0 {
		return
	}
	c.mu.Lock()
	site := c.picture()
	c.mu.Unlock()
	for ref := range c.cards {
		users, h := site.Users(ref.Value), c.host(ref)
		var shown []types.HostGraphicsInfo
		changed := false
		c.locked(h, func(*simulator.Context) {
			shown = slices.Clone(h.Config.GraphicsInfo)
			for i := range shown {
				var vms []types.ManagedObjectReference
				for _, id := range users[shown[i].PciId] {
					vms = append(vms, types.ManagedObjectReference{Type: "VirtualMachine", Value: id})
				}
				changed = changed || !slices.Equal(shown[i].Vm, vms)
				shown[i].Vm = vms
			}
		})
		if changed {
			c.update(h, types.PropertyChange{Name: "config.graphicsInfo", Val: shown})
		}
	}
}
