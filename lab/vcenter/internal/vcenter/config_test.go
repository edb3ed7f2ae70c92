package vcenter_test

import (
	"slices"
	"testing"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

func TestAWrongPasswordIsRefused(t *testing.T) {
	s := newSite(t)
	for _, pass := range []string{"wrong", "", "right horse "} {
		if _, err := govmomi.NewClient(ctx, s.url(pass), true); err == nil {
			t.Errorf("%q let in", pass)
		}
	}
	anonymous, err := vim25.NewClient(ctx, soap.NewClient(s.url(""), true))
	s.must(err)
	var vm mo.VirtualMachine
	if err := property.DefaultCollector(anonymous).RetrieveOne(ctx, s.vm("debian-13").Reference(), []string{"name"}, &vm); err == nil {
		t.Errorf("read without a login: %q", vm.Name)
	}
}

func TestSearchesMeetNothingStrange(t *testing.T) {
	s := newSite(t)
	dc, err := s.finder.DefaultDatacenter(ctx)
	s.must(err)
	index, template := object.NewSearchIndex(s.client.Client), s.read(s.vm("debian-13"))
	for _, instance := range []bool{false, true} {
		id := template.Config.Uuid
		if instance {
			id = template.Config.InstanceUuid
		}
		if found, err := index.FindByUuid(ctx, dc, id, true, &instance); err != nil || found == nil || found.Reference() != template.Self {
			t.Errorf("by its id (of the instance: %v): %v, %v", instance, found, err)
		}
	}
	if found, err := index.FindByUuid(ctx, dc, "00000000-0000-0000-0000-000000000000", true, nil); err != nil || found != nil {
		t.Errorf("one that is not there: %v, %v", found, err)
	}
	if found, err := index.FindByInventoryPath(ctx, "/dc1/vm/debian-13"); err != nil || found == nil {
		t.Errorf("by its path: %v, %v", found, err)
	}
	if _, err := index.FindAllByDnsName(ctx, dc, "nobody", true); err != nil {
		t.Error(err)
	}
	if _, err := index.FindAllByIp(ctx, dc, "10.0.0.1", true); err != nil {
		t.Error(err)
	}
}

func TestTheHostsShowTheirGPUs(t *testing.T) {
	s := newSite(t)
	var h mo.HostSystem
	s.must(s.hosts[1].Properties(ctx, s.hosts[1].Reference(), []string{"hardware", "config"}, &h))
	n := 0
	for _, d := range h.Hardware.PciDevice {
		if d.VendorId == 0x10de && d.DeviceId == 0x2330 && d.ClassId == 0x0302 {
			n++
		}
	}
	active := 0
	for _, i := range h.Config.PciPassthruInfo {
		if p := i.GetHostPciPassthruInfo(); p.PassthruActive && p.PassthruEnabled {
			active++
		}
	}
	if n != 2 || active != 2 {
		t.Errorf("%d GPUs, %d active", n, active)
	}
	cluster := mo.ClusterComputeResource{}
	s.must(s.cluster.Properties(ctx, s.cluster.Reference(), []string{"environmentBrowser"}, &cluster))
	ref := s.hosts[1].Reference()
	res, err := methods.QueryConfigTarget(ctx, s.client, &types.QueryConfigTarget{This: *cluster.EnvironmentBrowser, Host: &ref})
	s.must(err)
	if got := res.Returnval.PciPassthrough; len(got) != 2 || got[0].GetVirtualMachinePciPassthroughInfo().SystemId == "" {
		t.Errorf("the host's devices: %+v", got)
	}
}

func TestACloneHasTheSettingsOfItsSource(t *testing.T) {
	s := newSite(t)
	vm := s.clone("m", 1, gpuA)
	got, source := s.read(vm), s.read(s.vm("debian-13"))
	if got.Config.Firmware != "efi" || got.Config.Version != "vmx-21" || got.Config.GuestId != "debian12_64Guest" {
		t.Errorf("firmware %s, version %s, guest %s", got.Config.Firmware, got.Config.Version, got.Config.GuestId)
	}
	if got.Config.Uuid == source.Config.Uuid || got.Config.InstanceUuid == source.Config.InstanceUuid || got.Config.Template {
		t.Error("the clone has its source's identity")
	}
	mac := func(vm mo.VirtualMachine) string {
		for _, d := range vm.Config.Hardware.Device {
			if c, ok := d.(types.BaseVirtualEthernetCard); ok {
				return c.GetVirtualEthernetCard().MacAddress
			}
		}
		return ""
	}
	if mac(got) == "" || mac(got) == mac(source) {
		t.Errorf("MAC %s of %s", mac(got), mac(source))
	}
	if got.Config.MemoryReservationLockedToMax == nil || !*got.Config.MemoryReservationLockedToMax || *got.Config.MemoryAllocation.Reservation != 4096 {
		t.Errorf("reservation: %+v", got.Config.MemoryAllocation)
	}
	s.must(wait(vm.Destroy(ctx)))
	if again := s.read(s.clone("m", 1, "")); again.Config.Uuid == got.Config.Uuid || again.Self == got.Self {
		t.Error("a second one of the same name is the first one again")
	}
}

func TestReconfigureKeepsWhatIsNotNamed(t *testing.T) {
	s := newSite(t)
	vm := s.clone("m", 1, "")
	before := s.read(vm)
	s.must(wait(vm.Reconfigure(ctx, types.VirtualMachineConfigSpec{
		MemoryAllocation: &types.ResourceAllocationInfo{Reservation: types.NewInt64(512)}, SwapPlacement: "hostLocal",
		Flags: &types.VirtualMachineFlagInfo{EnableLogging: types.NewBool(true)}})))
	s.must(wait(vm.Reconfigure(ctx, types.VirtualMachineConfigSpec{Annotation: "a", Flags: &types.VirtualMachineFlagInfo{}})))
	got := s.read(vm)
	if a := got.Config.MemoryAllocation; *a.Reservation != 512 || a.Limit == nil || a.Shares == nil {
		t.Errorf("memory allocation: %+v", a)
	}
	if got.Config.SwapPlacement != "hostLocal" || got.Config.Flags.EnableLogging == nil {
		t.Errorf("swap placement %s, flags %+v", got.Config.SwapPlacement, got.Config.Flags)
	}
	if got.Config.ChangeVersion == before.Config.ChangeVersion {
		t.Error("the change version did not change")
	}
	refusedAs[*types.ConcurrentAccess](t, wait(vm.Reconfigure(ctx, types.VirtualMachineConfigSpec{ChangeVersion: before.Config.ChangeVersion, Annotation: "b"})))
	s.must(wait(vm.Reconfigure(ctx, types.VirtualMachineConfigSpec{MemoryMB: 8192, MemoryReservationLockedToMax: types.NewBool(true)})))
	if got := s.read(vm).Config.MemoryAllocation.Reservation; *got != 8192 {
		t.Errorf("locked reservation: %d", *got)
	}
	s.must(wait(vm.UpgradeVM(ctx, "")))
}

func TestARunningMachineRefusesWhatNeedsItOff(t *testing.T) {
	s := newSite(t)
	vm := s.clone("m", 1, "")
	s.must(s.powerOn(vm))
	refusedAs[*types.CpuHotPlugNotSupported](t, wait(vm.Reconfigure(ctx, types.VirtualMachineConfigSpec{NumCPUs: 8})))
	refusedAs[*types.MemoryHotPlugNotSupported](t, wait(vm.Reconfigure(ctx, types.VirtualMachineConfigSpec{MemoryMB: 8192})))
	refusedAs[*types.InvalidPowerState](t, wait(vm.Reconfigure(ctx, types.VirtualMachineConfigSpec{DeviceChange: []types.BaseVirtualDeviceConfigSpec{addGPU(gpuA)}})))
	s.must(wait(vm.Reconfigure(ctx, types.VirtualMachineConfigSpec{Annotation: "a"})))
}

func TestBadReferencesAreFaultsNotPanics(t *testing.T) {
	s := newSite(t)
	gone := types.ManagedObjectReference{Type: "HostSystem", Value: "host-999"}
	vm := s.clone("m", 1, "")
	refusedAs[*types.ManagedObjectNotFound](t, wait(vm.Relocate(ctx, types.VirtualMachineRelocateSpec{Host: &gone}, "defaultPriority")))
	pool := types.ManagedObjectReference{Type: "ResourcePool", Value: "resgroup-999"}
	refusedAs[*types.ManagedObjectNotFound](t, wait(vm.Clone(ctx, s.folder(), "n", types.VirtualMachineCloneSpec{Location: types.VirtualMachineRelocateSpec{Pool: &pool}})))
	refusedAs[*types.InvalidDeviceSpec](t, wait(vm.Reconfigure(ctx, types.VirtualMachineConfigSpec{DeviceChange: []types.BaseVirtualDeviceConfigSpec{
		&types.VirtualDeviceConfigSpec{Operation: "add", Device: &types.VirtualVmxnet3{VirtualVmxnet: types.VirtualVmxnet{VirtualEthernetCard: types.VirtualEthernetCard{
			VirtualDevice: types.VirtualDevice{Backing: &types.VirtualEthernetCardNetworkBackingInfo{
				VirtualDeviceDeviceBackingInfo: types.VirtualDeviceDeviceBackingInfo{DeviceName: "nonesuch"}}}}}}}}})))
	if _, err := object.NewVirtualMachine(s.client.Client, types.ManagedObjectReference{Type: "VirtualMachine", Value: "vm-999"}).PowerOn(ctx); err == nil {
		t.Error("a virtual machine that is not there was powered on")
	}
	s.must(s.powerOn(vm)) // and it all still works
}

func TestRules(t *testing.T) {
	s := newSite(t)
	a, b, c := s.clone("a", 1, ""), s.clone("b", 2, ""), s.clone("c", 3, "")
	s.must(s.keepApart("keep-apart", a, b, c))
	refusedAs[*types.DuplicateName](t, s.keepApart("keep-apart", a, b))
	refusedAs[*types.InvalidArgument](t, s.keepApart("one", a))
	rule := s.configuration().Rule[0].(*types.ClusterAntiAffinityRuleSpec)
	key, id := rule.Key, rule.RuleUuid

	rule.Name = "renamed"
	s.must(s.reconfigure(types.ClusterConfigSpecEx{RulesSpec: []types.ClusterRuleSpec{
		{ArrayUpdateSpec: types.ArrayUpdateSpec{Operation: types.ArrayUpdateOperationEdit}, Info: rule}}}))
	override := func(op types.ArrayUpdateOperation, level types.DrsBehavior) error {
		return s.reconfigure(types.ClusterConfigSpecEx{DrsVmConfigSpec: []types.ClusterDrsVmConfigSpec{{
			ArrayUpdateSpec: types.ArrayUpdateSpec{Operation: op}, Info: &types.ClusterDrsVmConfigInfo{Key: a.Reference(), Behavior: level}}}})
	}
	s.must(override("add", types.DrsBehaviorManual))
	s.must(override("add", types.DrsBehaviorPartiallyAutomated))
	refusedAs[*types.InvalidArgument](t, s.reconfigure(types.ClusterConfigSpecEx{RulesSpec: []types.ClusterRuleSpec{
		{ArrayUpdateSpec: types.ArrayUpdateSpec{Operation: types.ArrayUpdateOperationRemove, RemoveKey: int32(99)}}}}))

	s.must(wait(a.Destroy(ctx)))
	got := s.configuration()
	rule = got.Rule[0].(*types.ClusterAntiAffinityRuleSpec)
	if rule.Name != "renamed" || rule.Key != key || rule.RuleUuid != id {
		t.Errorf("the rule: %+v", rule)
	}
	if slices.Contains(rule.Vm, a.Reference()) || len(rule.Vm) != 2 || len(got.DrsVmConfig) != 0 {
		t.Errorf("a virtual machine that is gone is still named: %v, %v", rule.Vm, got.DrsVmConfig)
	}
}

func TestPoolsAndFolders(t *testing.T) {
	s := newSite(t)
	root, err := s.cluster.ResourcePool(ctx)
	s.must(err)
	spec := types.DefaultResourceConfigSpec()
	spec.ScaleDescendantsShares = "disabled"
	pool, err := root.Create(ctx, "inference", spec)
	s.must(err)
	vm := s.clone("m", 1, "")
	_, err = methods.MoveIntoResourcePool(ctx, s.client, &types.MoveIntoResourcePool{This: pool.Reference(), List: []types.ManagedObjectReference{vm.Reference()}})
	s.must(err)
	folder, err := s.folder().CreateFolder(ctx, "nodes")
	s.must(err)
	s.must(wait(folder.MoveInto(ctx, []types.ManagedObjectReference{vm.Reference()})))
	s.must(wait(folder.Rename(ctx, "renamed")))
	s.reopen()

	vm = s.vm("renamed/m")
	var p mo.ResourcePool
	s.must(s.client.RetrieveOne(ctx, pool.Reference(), nil, &p))
	if *s.read(vm).ResourcePool != pool.Reference() || !slices.Contains(p.Vm, vm.Reference()) || p.Config.ScaleDescendantsShares != "disabled" {
		t.Errorf("the pool: %+v", p)
	}
	s.must(wait(object.NewResourcePool(s.client.Client, pool.Reference()).Destroy(ctx)))
	if *s.read(vm).ResourcePool != root.Reference() {
		t.Error("what was in the pool has not moved to its parent")
	}
	s.must(wait(object.NewFolder(s.client.Client, folder.Reference()).Destroy(ctx)))
	if _, err := s.finder.VirtualMachine(ctx, "m"); err == nil {
		t.Error("the folder's virtual machine outlives it")
	}
	if s.calls() != "destroy m" {
		t.Errorf("calls: %s", s.calls())
	}
}
