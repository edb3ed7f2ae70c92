package vcenter_test

import (
	"slices"
	"testing"

	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/config"
)

const profile = "grid_l40s-24c"

func addVGPU(name string) *types.VirtualDeviceConfigSpec {
	return &types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationAdd, Device: &types.VirtualPCIPassthrough{
		VirtualDevice: types.VirtualDevice{Key: -1, Backing: &types.VirtualPCIPassthroughVmiopBackingInfo{Vgpu: name}}}}
}

func (s *site) graphics(n int) *types.HostConfigInfo {
	s.t.Helper()
	var got mo.HostSystem
	s.must(s.hosts[n-1].Properties(ctx, s.hosts[n-1].Reference(), []string{"config"}, &got))
	return got.Config
}

func TestAHostStatesItsVGPUsAndWhoUsesThem(t *testing.T) {
	s := newSite(t, func(c *config.Config) {
		for i := range c.Hosts[0].GPUs {
			c.Hosts[0].GPUs[i].VGPUs = map[string]int{profile: 2, "grid_l40s-48c": 1}
			c.Hosts[0].GPUs[i].MemoryGiB = 48
		}
	})
	if cfg := s.graphics(1); !slices.Equal(cfg.SharedPassthruGpuTypes, []string{profile, "grid_l40s-48c"}) ||
		len(cfg.SharedGpuCapabilities) != 2 || len(cfg.GraphicsInfo) != 2 || cfg.GraphicsInfo[0].MemorySizeInKB != 48<<20 {
		t.Errorf("stated: %+v", cfg.GraphicsInfo)
	}
	if cfg := s.graphics(2); len(cfg.GraphicsInfo)+len(cfg.SharedPassthruGpuTypes) != 0 {
		t.Errorf("a host without: %+v", cfg.GraphicsInfo)
	}
	vm := s.clone("v", 1, "")
	s.must(wait(vm.Reconfigure(ctx, types.VirtualMachineConfigSpec{
		MemoryReservationLockedToMax: types.NewBool(true),
		DeviceChange:                 []types.BaseVirtualDeviceConfigSpec{addVGPU(profile)},
	})))
	if got := s.graphics(1).GraphicsInfo[0].Vm; len(got) != 0 {
		t.Errorf("a VM that is off uses a card: %v", got)
	}
	s.must(s.powerOn(vm))
	if got := s.graphics(1).GraphicsInfo[0].Vm; !slices.Equal(got, []types.ManagedObjectReference{vm.Reference()}) {
		t.Errorf("on the card: %v", got)
	}
	s.must(wait(vm.PowerOff(ctx)))
	if got := s.graphics(1).GraphicsInfo[0].Vm; len(got) != 0 {
		t.Errorf("still on the card: %v", got)
	}
	taking := s.clone("p", 1, gpuA)
	if s.powerOn(taking) == nil {
		t.Error("a card that is shared out was passed through")
	}
}
