package vcenter_test

import (
	"testing"
	"time"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/config"
)

func (s *site) hostOf(vm *object.VirtualMachine) string { return s.read(vm).Runtime.Host.Value }

// groups makes a group of virtual machines, one of hosts, and a rule on them.
func (s *site) bind(name string, mandatory, affine bool, host *object.HostSystem, vms ...*object.VirtualMachine) error {
	group := &types.ClusterVmGroup{ClusterGroupInfo: types.ClusterGroupInfo{Name: name + "-vms"}}
	for _, vm := range vms {
		group.Vm = append(group.Vm, vm.Reference())
	}
	rule := &types.ClusterVmHostRuleInfo{VmGroupName: name + "-vms", ClusterRuleInfo: types.ClusterRuleInfo{
		Name: name, Enabled: types.NewBool(true), Mandatory: types.NewBool(mandatory)}}
	if rule.AffineHostGroupName = name + "-hosts"; !affine {
		rule.AffineHostGroupName, rule.AntiAffineHostGroupName = "", name+"-hosts"
	}
	add := types.ArrayUpdateSpec{Operation: types.ArrayUpdateOperationAdd}
	return s.reconfigure(types.ClusterConfigSpecEx{
		GroupSpec: []types.ClusterGroupSpec{{ArrayUpdateSpec: add, Info: group}, {ArrayUpdateSpec: add, Info: &types.ClusterHostGroup{
			ClusterGroupInfo: types.ClusterGroupInfo{Name: name + "-hosts"}, Host: []types.ManagedObjectReference{host.Reference()}}}},
		RulesSpec: []types.ClusterRuleSpec{{ArrayUpdateSpec: add, Info: rule}},
	})
}

func (s *site) advice() []types.ClusterRecommendation {
	s.t.Helper()
	var c mo.ClusterComputeResource
	s.must(s.cluster.Properties(ctx, s.cluster.Reference(), []string{"recommendation", "drsFault"}, &c))
	return c.Recommendation
}

func TestRulesOfHostsAtPowerOnAndVMotion(t *testing.T) {
	s := newSite(t)
	must, mustNot, gpu := s.clone("must", 1, ""), s.clone("must-not", 2, ""), s.clone("gpu", 1, gpuA)
	s.must(s.bind("must", true, true, s.hosts[1], must, gpu))
	s.must(s.bind("must-not", true, false, s.hosts[1], mustNot))
	s.must(s.powerOn(must))
	if got := s.hostOf(must); got != s.hosts[1].Reference().Value {
		t.Errorf("it was started on %s", got)
	}
	s.must(s.powerOn(mustNot))
	if got := s.hostOf(mustNot); got == s.hosts[1].Reference().Value {
		t.Error("it was started where it must not run")
	}
	refusedAs[*types.VmHostAffinityRuleViolation](t, s.powerOn(gpu))
	first := s.hosts[0].Reference()
	refusedAs[*types.VmHostAffinityRuleViolation](t, wait(must.Relocate(ctx, types.VirtualMachineRelocateSpec{Host: &first}, "")))
	refusedAs[*types.Timedout](t, wait(s.hosts[1].EnterMaintenanceMode(ctx, 1, false, nil))) // it may go nowhere else
}

func TestPreferencesAreKeptWhereTheyCanBe(t *testing.T) {
	s := newSite(t)
	vm := s.clone("m", 1, "")
	s.must(s.bind("should", false, true, s.hosts[2], vm))
	s.must(s.powerOn(vm))
	if got := s.hostOf(vm); got != s.hosts[2].Reference().Value {
		t.Errorf("it was started on %s", got)
	}
	s.must(wait(s.hosts[2].EnterMaintenanceMode(ctx, 5, false, nil)))
	if got := s.hostOf(vm); got == s.hosts[2].Reference().Value || !s.isOn(vm) {
		t.Error("a preference kept it on a host in maintenance mode")
	}
	s.until("the violation is told", func() bool { return s.posted("DrsSoftRuleViolationEvent") == 1 })
	s.must(wait(s.hosts[2].ExitMaintenanceMode(ctx, 0)))
	s.until("DRS brings it back", func() bool { return s.hostOf(vm) == s.hosts[2].Reference().Value })
	s.until("and tells", func() bool { return s.posted("DrsRuleComplianceEvent") == 1 })
}

func TestARuleMadeLaterIsActedOn(t *testing.T) {
	s := newSite(t)
	a, b := s.clone("a", 1, ""), s.clone("b", 1, "")
	s.must(s.powerOn(a))
	s.must(s.powerOn(b))
	s.must(s.keepApart("keep-apart", a, b))
	s.until("they are apart", func() bool { return s.hostOf(a) != s.hostOf(b) })
	if !s.isOn(a) || !s.isOn(b) || s.calls() != "on a\non b" {
		t.Errorf("calls: %s", s.calls())
	}
	s.until("the rule is kept", func() bool { return *s.configuration().Rule[0].GetClusterRuleInfo().InCompliance })
}

func TestWhatIsTiedIsLeftInViolation(t *testing.T) {
	s := newSite(t)
	a, b := s.clone("a", 1, gpuA), s.clone("b", 1, gpuB)
	s.must(s.powerOn(a))
	s.must(s.powerOn(b))
	s.must(s.keepApart("keep-apart", a, b))
	s.until("the violation is told", func() bool { return s.posted("DrsRuleViolationEvent") == 2 })
	var c mo.ClusterComputeResource
	s.must(s.cluster.Properties(ctx, s.cluster.Reference(), []string{"drsFault"}, &c))
	if *s.configuration().Rule[0].GetClusterRuleInfo().InCompliance || len(c.DrsFault) != 1 || len(c.DrsFault[0].FaultsByVm) != 2 {
		t.Errorf("faults: %+v", c.DrsFault)
	}
	if s.hostOf(a) != s.hostOf(b) {
		t.Error("one was moved")
	}
}

func TestAManualClusterRecommends(t *testing.T) {
	s := newSite(t, func(c *config.Config) { c.DRS.Level = "manual" })
	a, b, c := s.clone("a", 1, ""), s.clone("b", 1, ""), s.clone("c", 2, "")
	s.must(s.powerOn(a))
	s.must(s.powerOn(b))
	s.must(s.keepApart("keep-apart", a, b, c))
	if s.apply("nonsense") == nil {
		t.Error("what was not recommended was done")
	}
	s.until("it is recommended", func() bool { return len(s.advice()) == 1 })
	time.Sleep(300 * time.Millisecond) // and not done
	advice := s.advice()
	if s.hostOf(a) != s.hostOf(b) || len(advice) != 1 || advice[0].Reason != string(types.RecommendationReasonCodeAntiAffin) {
		t.Fatalf("recommendations: %+v", advice)
	}
	s.must(s.apply(advice[0].Key))
	s.until("it is done", func() bool { return s.hostOf(a) != s.hostOf(b) && len(s.advice()) == 0 })

	// A host is not evacuated either, and a machine starts where it is or not at all.
	target := s.clone("target", 1, "")
	s.must(s.bind("elsewhere", true, true, s.hosts[2], target))
	refusedAs[*types.VmHostAffinityRuleViolation](t, s.powerOn(target))
	entering, err := s.hosts[0].EnterMaintenanceMode(ctx, 0, false, nil)
	s.must(err)
	s.until("evacuation is recommended", func() bool {
		got := s.advice()
		return len(got) == 1 && got[0].Reason == string(types.RecommendationReasonCodeHostMaint)
	})
	s.must(s.apply(s.advice()[0].Key))
	s.must(wait(entering, nil))
}

func (s *site) apply(key string) error {
	_, err := methods.ApplyRecommendation(ctx, s.client, &types.ApplyRecommendation{This: s.cluster.Reference(), Key: key})
	return err
}

func TestAnOverrideChangesTheLevelOfOne(t *testing.T) {
	s := newSite(t)
	a, b := s.clone("a", 1, ""), s.clone("b", 1, "")
	override := func(vm *object.VirtualMachine, level types.DrsBehavior) types.ClusterDrsVmConfigSpec {
		return types.ClusterDrsVmConfigSpec{ArrayUpdateSpec: types.ArrayUpdateSpec{Operation: types.ArrayUpdateOperationAdd},
			Info: &types.ClusterDrsVmConfigInfo{Key: vm.Reference(), Behavior: level}}
	}
	s.must(s.reconfigure(types.ClusterConfigSpecEx{DrsVmConfigSpec: []types.ClusterDrsVmConfigSpec{
		override(a, types.DrsBehaviorManual), override(b, types.DrsBehaviorPartiallyAutomated)}}))
	s.must(s.powerOn(a))
	s.must(s.powerOn(b))
	refusedAs[*types.Timedout](t, wait(s.hosts[0].EnterMaintenanceMode(ctx, 1, false, nil)))
	s.must(s.reconfigure(types.ClusterConfigSpecEx{DrsVmConfigSpec: []types.ClusterDrsVmConfigSpec{
		override(a, types.DrsBehaviorFullyAutomated), override(b, types.DrsBehaviorFullyAutomated)}}))
	s.must(wait(s.hosts[0].EnterMaintenanceMode(ctx, 5, false, nil)))
}

func TestWithoutDRSARuleIsStoredAndNotActedOn(t *testing.T) {
	s := newSite(t, func(c *config.Config) { c.DRS.Level = "off" })
	a, b := s.clone("a", 1, ""), s.clone("b", 1, "")
	s.must(s.keepApart("keep-apart", a, b))
	s.must(s.powerOn(a))
	s.must(s.powerOn(b))
	refusedAs[*types.Timedout](t, wait(s.hosts[0].EnterMaintenanceMode(ctx, 1, false, nil)))
	if s.hostOf(a) != s.hostOf(b) || len(s.advice()) != 0 {
		t.Error("DRS is off, and acted")
	}
}

func TestFaultsAtPowerOn(t *testing.T) {
	s := newSite(t, func(c *config.Config) {
		for i := range c.Hosts {
			c.Hosts[i].MemoryGiB, c.Hosts[i].GPUs = 8, c.Hosts[i].GPUs[:1]
		}
	})
	s.must(s.admission(false))
	reserved := func(name string, n int, mib int64, gpu string) *object.VirtualMachine {
		vm := s.clone(name, n, gpu)
		s.must(wait(vm.Reconfigure(ctx, types.VirtualMachineConfigSpec{MemoryMB: mib, MemoryAllocation: &types.ResourceAllocationInfo{Reservation: types.NewInt64(mib)}})))
		return vm
	}
	a, b := reserved("a", 1, 6000, gpuA), reserved("b", 1, 4000, gpuB)
	s.must(s.powerOn(a))
	refusedAs[*types.GenericVmConfigFault](t, s.powerOn(b)) // no such device
	s.must(wait(b.Reconfigure(ctx, types.VirtualMachineConfigSpec{DeviceChange: []types.BaseVirtualDeviceConfigSpec{s.removeGPU(b)}})))
	s.must(s.powerOn(b)) // DRS finds another host
	if s.hostOf(b) == s.hostOf(a) {
		t.Error("more is promised than there is")
	}
	tied := reserved("tied", 1, 4000, gpuA)
	refusedAs[*types.GenericVmConfigFault](t, s.powerOn(tied)) // the device has an owner
	s.must(wait(a.PowerOff(ctx)))
	big := reserved("big", 2, 9000, "")
	err := s.powerOn(big)
	refusedAs[*types.NoCompatibleHost](t, err)
	fault := faultOf(err).(*types.NoCompatibleHost)
	if len(fault.Host) != 3 || len(fault.Error) != 3 {
		t.Fatalf("hosts %v, errors %+v", fault.Host, fault.Error)
	}
	if _, ok := fault.Error[0].Fault.(*types.InsufficientMemoryResourcesFault); !ok {
		t.Errorf("the first host's: %T", fault.Error[0].Fault)
	}
	s.must(wait(big.Reconfigure(ctx, types.VirtualMachineConfigSpec{DeviceChange: []types.BaseVirtualDeviceConfigSpec{addGPU(gpuA)},
		MemoryReservationLockedToMax: types.NewBool(true)})))
	refusedAs[*types.InsufficientMemoryResourcesFault](t, s.powerOn(big)) // tied to its host
}

func TestNoSuspendAndNoSnapshotWithPassthrough(t *testing.T) {
	s := newSite(t)
	vm := s.clone("m", 1, gpuA)
	s.must(s.powerOn(vm))
	if _, err := vm.Suspend(ctx); err == nil {
		t.Error("it was suspended")
	}
	if _, err := vm.CreateSnapshot(ctx, "s", "", false, false); err == nil {
		t.Error("it was snapshotted")
	}
	if !s.isOn(vm) {
		t.Error("it is off")
	}
}

func TestSeveralAreStartedAtOnce(t *testing.T) {
	s := newSite(t)
	a, b := s.clone("a", 1, gpuA), s.clone("b", 1, gpuA)
	dc, err := s.finder.DefaultDatacenter(ctx)
	s.must(err)
	s.must(wait(dc.PowerOnVM(ctx, []types.ManagedObjectReference{a.Reference(), b.Reference()})))
	s.until("one of the two that want one device is on", func() bool { return s.isOn(a) != s.isOn(b) && s.posted("VmFailedToPowerOnEvent") == 1 })
}
