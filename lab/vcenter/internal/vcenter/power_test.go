package vcenter_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/config"
)

func TestPowerOnStartsTheMachineAndReportsItsGuest(t *testing.T) {
	s := newSite(t)
	vm := s.clone("lab-chat-01", 2, gpuA)
	s.must(s.powerOn(vm))

	got := s.read(vm)
	if got.Guest.IpAddress != "10.7.0.21" || got.Guest.HostName != "lab-chat-01" || len(got.Guest.Net) != 1 || len(got.Guest.IpStack) != 1 {
		t.Errorf("guest: %+v", got.Guest)
	}
	if a := got.Guest.Net[0].IpAddress; len(a) != 2 || a[0] != "10.7.0.21" || a[1] != "10.7.0.100" {
		t.Errorf("addresses of its card: %v", a)
	}
	if got.Guest.ToolsRunningStatus != string(types.VirtualMachineToolsRunningStatusGuestToolsRunning) || got.Runtime.BootTime == nil {
		t.Errorf("tools %s, boot time %v", got.Guest.ToolsRunningStatus, got.Runtime.BootTime)
	}
	raw, err := os.ReadFile(filepath.Join(s.dir, "stdin.on.lab-chat-01"))
	s.must(err)
	var told struct {
		UUID  string            `json:"uuid"`
		Extra map[string]string `json:"extra_config"`
		Host  string            `json:"host"`
		MAC   string            `json:"mac"`
		Disks []struct {
			GiB int64 `json:"gib"`
		} `json:"disks"`
	}
	s.must(json.Unmarshal(raw, &told))
	if told.UUID != got.Config.Uuid || told.Extra["guestinfo.metadata"] != "of lab-chat-01" || told.Host != "esx-02" ||
		!strings.HasPrefix(told.MAC, "00:50:56:") || len(told.Disks) != 1 || told.Disks[0].GiB != 8 {
		t.Errorf("the hypervisor was told %s", raw)
	}
}

func TestPowerLife(t *testing.T) {
	s := newSite(t)
	vm := s.clone("m", 1, "")
	s.must(s.powerOn(vm))
	refusedAs[*types.InvalidPowerState](t, s.powerOn(vm))
	s.must(wait(vm.Reset(ctx)))
	s.must(vm.RebootGuest(ctx))
	s.until("the guest is back", func() bool { return strings.HasSuffix(s.calls(), "shutdown m\non m") })
	s.until("its address is known", func() bool { return s.read(vm).Guest.IpAddress != "" })
	s.must(vm.ShutdownGuest(ctx))
	s.until("it is off", func() bool { return !s.isOn(vm) })
	if g := s.read(vm).Guest; g.IpAddress != "" || g.ToolsRunningStatus != string(types.VirtualMachineToolsRunningStatusGuestToolsNotRunning) {
		t.Errorf("a guest that is off reports %+v", g)
	}
	refusedAs[*types.InvalidPowerState](t, wait(vm.PowerOff(ctx)))
	s.must(s.powerOn(vm))
	refusedAs[*types.InvalidPowerState](t, wait(vm.Destroy(ctx)))
	s.must(wait(vm.PowerOff(ctx)))
	s.must(wait(vm.Destroy(ctx)))
	want := "on m|reset m|on m|shutdown m|on m|shutdown m|on m|off m|destroy m"
	if got := strings.ReplaceAll(s.calls(), "\n", "|"); got != want {
		t.Errorf("calls\n got %s\nwant %s", got, want)
	}
}

func TestAFailingHypervisorFailsTheTask(t *testing.T) {
	s := newSite(t)
	vm := s.clone("m", 1, gpuA)
	undo := s.order("fail", "on")
	err := s.powerOn(vm)
	if err == nil || !strings.Contains(err.Error(), "the hypervisor says no") {
		t.Fatalf("got %v", err)
	}
	if s.isOn(vm) {
		t.Error("it counts as on")
	}
	undo()
	s.must(s.powerOn(vm)) // and nothing is left claimed

	undo = s.order("fail", "off")
	if err := wait(vm.PowerOff(ctx)); err == nil || !s.isOn(vm) {
		t.Errorf("power-off that failed: %v, on: %v", err, s.isOn(vm))
	}
	undo()
	s.must(wait(vm.PowerOff(ctx)))
	s.order("fail", "destroy")
	if err := wait(vm.Destroy(ctx)); err == nil {
		t.Error("destroy that failed was a success")
	}
	s.vm("m")
}

func TestAGuestThatDoesNotShutDownStaysOn(t *testing.T) {
	s := newSite(t)
	vm := s.clone("m", 1, "")
	s.must(s.powerOn(vm))
	s.order("stuck", "shutdown")
	s.must(vm.ShutdownGuest(ctx))
	time.Sleep(200 * time.Millisecond)
	if !s.isOn(vm) {
		t.Error("it is off")
	}
	s.must(wait(vm.PowerOff(ctx)))
}

// A guest that stands still hears nothing for minutes: its power can be pulled
// all the same, and what it does when it wakes is no news of the next boot.
func TestAGuestThatTakesItsTimeHoldsNobodyUp(t *testing.T) {
	for verb, ask := range map[string]func(*object.VirtualMachine) error{
		"shutdown": func(vm *object.VirtualMachine) error { return vm.ShutdownGuest(ctx) },
		"reboot":   func(vm *object.VirtualMachine) error { return vm.RebootGuest(ctx) },
	} {
		t.Run(verb, func(t *testing.T) {
			s := newSite(t)
			vm := s.clone("m", 1, "")
			s.must(s.powerOn(vm))
			undo := s.order("wait", "shutdown")
			s.must(ask(vm))
			refusedAs[*types.InvalidPowerState](t, s.powerOn(vm))
			s.must(wait(vm.PowerOff(ctx)))
			if s.isOn(vm) {
				t.Error("its power was pulled and it is on")
			}
			s.must(s.powerOn(vm))
			before := s.calls()
			undo()
			s.until("the guest has answered", func() bool { return s.calls() == before+"\nshutdown m" })
			s.must(wait(vm.Reset(ctx))) // one operation at a time: the answer was taken in by now
			if !s.isOn(vm) {
				t.Error("the next boot was taken for the last one")
			}
			s.must(wait(vm.PowerOff(ctx)))
		})
	}
}

func TestNobodyWaitsForTheHypervisor(t *testing.T) {
	s := newSite(t)
	vm, other := s.clone("m", 1, ""), s.clone("n", 1, "")
	undo := s.order("wait", "on")
	defer undo()
	running, err := vm.PowerOn(ctx)
	s.must(err)
	limited, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if state, err := vm.PowerState(limited); err != nil || state != types.VirtualMachinePowerStatePoweredOff {
		t.Fatalf("while it starts: %v, %v", state, err)
	}
	s.must(wait(other.Reconfigure(limited, types.VirtualMachineConfigSpec{Annotation: "a"})))
	s.must(s.keepApart("k", vm, other))
	undo()
	s.must(wait(running, nil))
}

// Many threads wait for their own tasks on the one collector of a session.
func TestParallelPowerOnsOnOneSession(t *testing.T) {
	s := newSite(t)
	var vms []*object.VirtualMachine
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		vms = append(vms, s.clone(name, 0, ""))
	}
	onHost := map[string]int{}
	for _, vm := range vms {
		onHost[s.read(vm).Runtime.Host.Value]++
	}
	if len(onHost) != 3 {
		t.Errorf("clones without a host went to %v, want two on each", onHost)
	}
	var group sync.WaitGroup
	for _, vm := range vms {
		group.Go(func() {
			if err := s.powerOn(vm); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, vm := range vms {
		if got := s.read(vm); got.Guest.IpAddress == "" {
			t.Errorf("%s has no address", got.Name)
		}
	}
}

func TestWithoutAHypervisorThereIsOnlyState(t *testing.T) {
	s := newSite(t, func(c *config.Config) { c.Hook = nil })
	vm := s.clone("m", 1, gpuA)
	s.must(s.powerOn(vm))
	if !s.isOn(vm) {
		t.Error("it is off")
	}
	s.reopen()
	if !s.isOn(s.vm("m")) {
		t.Error("it is off after a restart")
	}
	s.must(wait(s.vm("m").PowerOff(ctx)))
}

func TestTheCgroupSaysWhatRuns(t *testing.T) {
	root := t.TempDir()
	s := newSite(t, func(c *config.Config) { c.CgroupRoot = root })
	set := func(populated string) {
		s.must(os.MkdirAll(filepath.Join(root, "m"), 0o700))
		s.must(os.WriteFile(filepath.Join(root, "m", "cgroup.events"), []byte("populated "+populated+"\nfrozen 0\n"), 0o600))
	}
	vm := s.clone("m", 1, "")
	set("1")
	s.must(s.powerOn(vm))
	set("0")
	s.until("a machine that died is off", func() bool { return !s.isOn(vm) })
	if got := s.read(vm).Guest.ToolsRunningStatus; got != string(types.VirtualMachineToolsRunningStatusGuestToolsNotRunning) {
		t.Errorf("tools: %s", got)
	}
	set("1")
	s.until("a machine that came back is on, with its address", func() bool { return s.isOn(vm) && s.read(vm).Guest.IpAddress != "" })
}

func TestAMachineKeepsItsNameWhenTheVirtualMachineIsRenamed(t *testing.T) {
	s := newSite(t)
	vm, other := s.clone("m", 1, ""), s.clone("n", 1, "")
	s.must(s.powerOn(vm))
	refusedAs[*types.DuplicateName](t, wait(vm.Rename(ctx, "n")))
	s.must(wait(vm.Rename(ctx, "renamed")))
	s.must(wait(other.Rename(ctx, "m")))
	s.reopen()
	if s.isOn(s.vm("m")) {
		t.Error("it has taken over the machine of another")
	}
	vm = s.vm("renamed")
	if got := s.read(vm); got.Config.Name != "renamed" || !s.isOn(vm) {
		t.Errorf("%s is %s", got.Config.Name, got.Runtime.PowerState)
	}
	s.must(wait(vm.PowerOff(ctx)))
	s.must(wait(vm.Destroy(ctx)))
	s.must(s.powerOn(s.vm("m"))) // the name is free again
	if got := strings.ReplaceAll(s.calls(), "\n", "|"); got != "on m|off m|destroy m|on m" {
		t.Errorf("calls: %s", got)
	}
}
