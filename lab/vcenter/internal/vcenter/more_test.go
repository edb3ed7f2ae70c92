package vcenter_test

import (
	"strings"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/task"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vapi/tags"
	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/config"
)

func faultOf(err error) types.BaseMethodFault {
	e, _ := err.(task.Error)
	return e.Fault()
}

// removeGPU is the change that takes the virtual machine's first device away.
func (s *site) removeGPU(vm *object.VirtualMachine) types.BaseVirtualDeviceConfigSpec {
	s.t.Helper()
	for _, d := range s.read(vm).Config.Hardware.Device {
		if _, ok := d.(*types.VirtualPCIPassthrough); ok {
			return &types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationRemove, Device: d}
		}
	}
	s.t.Fatal("it has none")
	return nil
}

func TestMoreOfEachKindByConfiguration(t *testing.T) {
	s := newSite(t, func(c *config.Config) {
		c.Hosts[0].Rack, c.Hosts[1].Rack, c.Hosts[2].Rack = "r1", "r1", "r2"
		c.MoreClusters = []config.Cluster{{Name: "edge-cluster", Hosts: []config.Host{{Name: "edge-01", Rack: "r2", CPUs: 8, MemoryGiB: 32}}}}
		c.MoreDatastores, c.MoreNetworks = []string{"datastore2"}, []string{"storage-network"}
		c.MoreTemplates = []config.Template{{Name: "rocky-9", DiskGiB: 4, GuestID: "rockylinux_64Guest", HardwareVersion: "vmx-19", Firmware: "bios"}}
	})
	for _, path := range []string{"/dc1/host/edge-cluster/edge-01", "/dc1/datastore/datastore2", "/dc1/network/storage-network", "/dc1/vm/rocky-9"} {
		if found, err := object.NewSearchIndex(s.client.Client).FindByInventoryPath(ctx, path); err != nil || found == nil {
			t.Errorf("%s: %v, %v", path, found, err)
		}
	}
	if got := s.read(s.vm("rocky-9")).Config; got.Firmware != "bios" || got.Version != "vmx-19" || got.GuestId != "rockylinux_64Guest" {
		t.Errorf("the second template: %+v", got)
	}
	r := rest.NewClient(s.client.Client)
	s.must(r.Login(ctx, s.url(password).User))
	racks := func() map[string]string {
		out := map[string]string{}
		m := tags.NewManager(r)
		for _, name := range []string{"r1", "r2"} {
			tag, err := m.GetTagForCategory(ctx, name, "rack")
			s.must(err)
			refs, err := m.ListAttachedObjects(ctx, tag.ID)
			s.must(err)
			for _, ref := range refs {
				host, err := object.NewHostSystem(s.client.Client, ref.Reference()).ObjectName(ctx)
				s.must(err)
				out[host] = name
			}
		}
		return out
	}
	if got := racks(); len(got) != 4 || got["esx-01"] != "r1" || got["edge-01"] != "r2" {
		t.Errorf("racks: %v", got)
	}

	// What is placed in one cluster stays there.
	second, err := s.finder.ClusterComputeResource(ctx, "edge-cluster")
	s.must(err)
	pool, err := second.ResourcePool(ctx)
	s.must(err)
	ref := pool.Reference()
	for _, name := range []string{"x", "y"} {
		task, err := s.vm("debian-13").Clone(ctx, s.folder(), name, types.VirtualMachineCloneSpec{PowerOn: true, Location: types.VirtualMachineRelocateSpec{Pool: &ref}})
		s.must(wait(task, err))
		host, err := s.vm(name).HostSystem(ctx)
		s.must(err)
		if at, _ := host.ObjectName(ctx); at != "edge-01" {
			t.Errorf("%s is on %s", name, at)
		}
	}
	hosts, err := second.Hosts(ctx)
	s.must(err)
	refusedAs[*types.Timedout](t, wait(hosts[0].EnterMaintenanceMode(ctx, 1, false, nil)))
	s.reopen()
	r = rest.NewClient(s.client.Client)
	s.must(r.Login(ctx, s.url(password).User))
	if got := racks(); len(got) != 4 || !s.isOn(s.vm("x")) {
		t.Errorf("after a restart: %v", got)
	}
}

func TestMaintenanceTakesWhatIsOffWhereAsked(t *testing.T) {
	s := newSite(t)
	off, gpu := s.clone("off", 1, ""), s.clone("gpu", 1, gpuA)
	s.must(wait(s.hosts[0].EnterMaintenanceMode(ctx, 5, false, nil)))
	if s.hostOf(off) != s.hosts[0].Reference().Value {
		t.Error("what is off was moved unasked")
	}
	s.must(wait(s.hosts[0].ExitMaintenanceMode(ctx, 0)))
	s.must(wait(s.hosts[0].EnterMaintenanceMode(ctx, 5, true, nil)))
	if s.hostOf(off) == s.hosts[0].Reference().Value || s.hostOf(gpu) == s.hosts[0].Reference().Value {
		t.Error("what is off was left")
	}
	refusedAs[*types.InvalidState](t, wait(s.hosts[0].EnterMaintenanceMode(ctx, 5, true, nil)))
	refusedAs[*types.InvalidState](t, wait(s.hosts[1].ExitMaintenanceMode(ctx, 0)))
}

func TestAHostThatDiesOnItsWayIntoMaintenance(t *testing.T) {
	s := newSite(t)
	gpu := s.clone("gpu", 1, gpuA)
	s.must(s.powerOn(gpu))
	entering, err := s.hosts[0].EnterMaintenanceMode(ctx, 0, false, nil)
	s.must(err)
	s.until("it is on its way", func() bool { return s.posted("EnteringMaintenanceModeEvent") == 1 })
	s.kill("esx-01", "gpu")
	refusedAs[*types.HostNotConnected](t, wait(entering, nil))
}

func TestACallIsRefusedAsOftenAsAsked(t *testing.T) {
	s := newSite(t)
	vm := s.clone("m", 1, "")
	s.c.Refuse("PowerOnVM_Task", 1, "not now")
	if _, err := vm.PowerOn(ctx); err == nil || !strings.Contains(err.Error(), "not now") {
		t.Errorf("got %v", err)
	}
	s.c.Refuse("RelocateVM_Task", 1, "")
	if _, err := vm.Relocate(ctx, types.VirtualMachineRelocateSpec{}, ""); err == nil {
		t.Error("it was allowed")
	}
	s.must(s.powerOn(vm))
}
