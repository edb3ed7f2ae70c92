package vcenter_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/config"
)

// kill takes a host with its machines.
func (s *site) kill(host string, machines ...string) {
	s.t.Helper()
	for _, m := range machines {
		s.must(os.WriteFile(filepath.Join(s.dir, "m."+m), []byte("off"), 0o600))
	}
	s.must(s.c.SetHost(host, "lose"))
}

func (s *site) option(key, value string) error {
	return s.reconfigure(types.ClusterConfigSpecEx{DasConfig: &types.ClusterDasConfigInfo{
		Option: []types.BaseOptionValue{&types.OptionValue{Key: key, Value: value}}}})
}

func (s *site) admission(on bool) error {
	return s.reconfigure(types.ClusterConfigSpecEx{DasConfig: &types.ClusterDasConfigInfo{AdmissionControlEnabled: types.NewBool(on)}})
}

func (s *site) restarted(vm *object.VirtualMachine, from string) bool {
	got := s.read(vm)
	return s.isOn(vm) && got.Runtime.Host.Value != from && got.Guest.IpAddress != "" &&
		got.Runtime.ConnectionState == types.VirtualMachineConnectionStateConnected
}

func TestHARestartsWhatMayMove(t *testing.T) {
	s := newSite(t)
	plain, gpu, off := s.clone("plain", 1, ""), s.clone("gpu", 1, gpuA), s.clone("off", 1, "")
	s.must(s.powerOn(plain))
	s.must(s.powerOn(gpu))
	dead := s.hosts[0].Reference().Value
	s.kill("esx-01", "plain", "gpu")
	s.until("it runs on another host", func() bool { return s.restarted(plain, dead) })
	if s.hostOf(gpu) != dead || s.hostOf(off) != dead || strings.Count(s.calls(), "on gpu") != 1 {
		t.Errorf("what has a device or was off stays: calls %s", s.calls())
	}
	s.until("it is told", func() bool {
		return s.posted("com.vmware.vc.HA.DasHostFailedEvent") == 1 && s.posted("com.vmware.vc.ha.VmRestartedByHAEvent") == 1 && s.posted("HostConnectionLostEvent") == 1
	})
	s.must(s.c.SetHost("esx-01", "return"))
	if !s.restarted(plain, dead) || s.isOn(gpu) {
		t.Error("after the return: what was restarted stays where it is, and what died with the host is off")
	}
	s.must(s.powerOn(gpu))
}

func TestHARespectsRulesUnlessToldOtherwise(t *testing.T) {
	s := newSite(t)
	var vms []*object.VirtualMachine
	for i, name := range []string{"a", "b", "c"} {
		vms = append(vms, s.clone(name, i+1, ""))
		s.must(s.powerOn(vms[i]))
	}
	s.must(s.keepApart("keep-apart", vms...))
	dead := s.hosts[0].Reference().Value
	s.kill("esx-01", "a")
	s.until("it is told that there is no place", func() bool { return s.posted("NotEnoughResourcesToStartVmEvent") == 1 })
	if s.hostOf(vms[0]) != dead || strings.Count(s.calls(), "on a") != 1 {
		t.Fatal("restarted against the rule")
	}
	s.must(s.option("das.respectVmVmAntiAffinityRules", "false"))
	s.until("it is restarted against the rule, as told", func() bool { return s.restarted(vms[0], dead) })
}

func TestHAAlwaysKeepsMandatoryRulesOfHosts(t *testing.T) {
	s := newSite(t)
	vm, free := s.clone("m", 1, ""), s.clone("free", 1, "")
	s.must(s.bind("here", true, true, s.hosts[0], vm))
	s.must(s.powerOn(vm))
	s.must(s.powerOn(free))
	dead := s.hosts[0].Reference().Value
	s.kill("esx-01", "m", "free")
	s.until("the free one is restarted", func() bool { return s.restarted(free, dead) })
	if s.hostOf(vm) != dead {
		t.Error("restarted where it must not run")
	}
}

func TestHAOverridesAndOrder(t *testing.T) {
	s := newSite(t)
	never, low, high := s.clone("never", 1, ""), s.clone("low", 1, ""), s.clone("high", 1, "")
	override := func(vm *object.VirtualMachine, priority string) types.ClusterDasVmConfigSpec {
		return types.ClusterDasVmConfigSpec{ArrayUpdateSpec: types.ArrayUpdateSpec{Operation: types.ArrayUpdateOperationAdd},
			Info: &types.ClusterDasVmConfigInfo{Key: vm.Reference(), DasSettings: &types.ClusterDasVmSettings{RestartPriority: priority}}}
	}
	s.must(s.reconfigure(types.ClusterConfigSpecEx{DasVmConfigSpec: []types.ClusterDasVmConfigSpec{
		override(never, "disabled"), override(low, "low"), override(high, "high")}}))
	for _, vm := range []*object.VirtualMachine{never, low, high} {
		s.must(s.powerOn(vm))
	}
	dead := s.hosts[0].Reference().Value
	s.kill("esx-01", "never", "low", "high")
	s.until("those that may are restarted", func() bool { return s.restarted(low, dead) && s.restarted(high, dead) })
	if s.hostOf(never) != dead {
		t.Error("one that HA is to leave alone was restarted")
	}
}

func TestWithoutHANothingIsRestarted(t *testing.T) {
	s := newSite(t)
	vm := s.clone("m", 1, "")
	s.must(s.powerOn(vm))
	s.must(s.reconfigure(types.ClusterConfigSpecEx{DasConfig: &types.ClusterDasConfigInfo{Enabled: types.NewBool(false)}}))
	s.kill("esx-01", "m")
	s.until("the host is lost", func() bool { return s.posted("HostConnectionLostEvent") == 1 })
	s.reopen() // and a restart of the vCenter is no reason either
	vm = s.vm("m")
	if s.hostOf(vm) != s.hosts[0].Reference().Value || s.calls() != "on m" {
		t.Errorf("calls: %s", s.calls())
	}
	s.must(s.reconfigure(types.ClusterConfigSpecEx{DasConfig: &types.ClusterDasConfigInfo{Enabled: types.NewBool(true)}}))
	s.until("switched on, it restarts what waits", func() bool { return s.restarted(vm, s.hosts[0].Reference().Value) })
}

func TestHATriesAgainAndGivesUp(t *testing.T) {
	s := newSite(t)
	vm := s.clone("m", 1, "")
	s.must(s.powerOn(vm))
	undo := s.order("fail", "on")
	s.kill("esx-01", "m")
	s.until("five attempts have failed", func() bool { return s.posted("VmFailoverFailed") == 5 })
	undo()
	s.must(s.c.SetHost("esx-02", "lose"))
	s.must(s.c.SetHost("esx-02", "return")) // a host that comes back is a new chance
	s.until("it is restarted", func() bool { return s.restarted(vm, s.hosts[0].Reference().Value) })
}

func TestAdmissionControl(t *testing.T) {
	s := newSite(t, func(c *config.Config) {
		for i := range c.Hosts {
			c.Hosts[i].MemoryGiB = 8 // one machine of 4 GiB, all reserved, is a slot: one a host
		}
	})
	var vms []*object.VirtualMachine
	for i, name := range []string{"a", "b", "c"} {
		vms = append(vms, s.clone(name, i+1, gpuA))
		s.must(wait(vms[i].Reconfigure(ctx, types.VirtualMachineConfigSpec{MemoryMB: 5000})))
	}
	s.must(s.powerOn(vms[0]))
	s.must(s.powerOn(vms[1]))
	refusedAs[*types.InsufficientFailoverResourcesFault](t, s.powerOn(vms[2]))
	s.must(s.reconfigure(types.ClusterConfigSpecEx{DasConfig: &types.ClusterDasConfigInfo{
		AdmissionControlPolicy: &types.ClusterFailoverResourcesAdmissionControlPolicy{CpuFailoverResourcesPercent: 10, MemoryFailoverResourcesPercent: 50}}}))
	refusedAs[*types.InsufficientFailoverResourcesFault](t, s.powerOn(vms[2]))
	s.must(s.admission(false))
	s.must(s.powerOn(vms[2]))
}
