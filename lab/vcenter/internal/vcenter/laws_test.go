package vcenter_test

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vmware/govmomi/vim25/types"
)

func TestARuleKeepsMembersApartAtPowerOn(t *testing.T) {
	s := newSite(t)
	a, b := s.clone("a", 1, gpuA), s.clone("b", 1, gpuB)
	s.must(s.keepApart("keep-apart", a, b))
	s.must(s.powerOn(a))
	refusedAs[*types.RuleViolation](t, s.powerOn(b))
	if s.calls() != "on a" {
		t.Errorf("the hypervisor was called: %s", s.calls())
	}
	s.must(wait(a.PowerOff(ctx)))
	s.must(s.powerOn(b))
}

func TestDRSMovesWhatMayMoveAtPowerOn(t *testing.T) {
	s := newSite(t)
	a, b := s.clone("a", 1, ""), s.clone("b", 1, "")
	s.must(s.keepApart("keep-apart", a, b))
	s.must(s.powerOn(a))
	s.must(s.powerOn(b))
	if x, y := s.read(a).Runtime.Host, s.read(b).Runtime.Host; *x == *y {
		t.Errorf("both run on %s", x)
	}
}

func TestADeviceHasOneOwner(t *testing.T) {
	s := newSite(t)
	a, b, c := s.clone("a", 1, gpuA), s.clone("b", 1, gpuA), s.clone("c", 2, gpuA)
	s.must(s.powerOn(a))
	refusedAs[*types.GenericVmConfigFault](t, s.powerOn(b))
	s.must(s.powerOn(c)) // the same address on another host is another device
	s.must(wait(a.PowerOff(ctx)))
	s.must(s.powerOn(b))
}

func TestOfManyThatWantOneDeviceOneGetsIt(t *testing.T) {
	s := newSite(t)
	var won atomic.Int32
	var group sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d"} {
		vm := s.clone(name, 1, gpuA)
		group.Go(func() {
			if s.powerOn(vm) == nil {
				won.Add(1)
			}
		})
	}
	group.Wait()
	if won.Load() != 1 {
		t.Errorf("%d run with the same device", won.Load())
	}
}

func TestPassthroughWantsAllMemoryReserved(t *testing.T) {
	s := newSite(t)
	vm := s.clone("m", 1, gpuA)
	s.must(wait(vm.Reconfigure(ctx, types.VirtualMachineConfigSpec{
		MemoryReservationLockedToMax: types.NewBool(false), MemoryAllocation: &types.ResourceAllocationInfo{Reservation: types.NewInt64(1024)}})))
	refusedAs[*types.GenericVmConfigFault](t, s.powerOn(vm))
	s.must(wait(vm.Reconfigure(ctx, types.VirtualMachineConfigSpec{MemoryReservationLockedToMax: types.NewBool(true)})))
	s.must(s.powerOn(vm))
}

func TestAnUnknownDeviceIsRefused(t *testing.T) {
	s := newSite(t)
	refusedAs[*types.GenericVmConfigFault](t, s.powerOn(s.clone("m", 1, "0000:99:00.0")))
}

func TestVMotion(t *testing.T) {
	s := newSite(t)
	plain, gpu, other := s.clone("plain", 1, ""), s.clone("gpu", 1, gpuA), s.clone("other", 3, "")
	s.must(s.powerOn(plain))
	s.must(s.powerOn(gpu))
	s.must(s.powerOn(other))
	to := func(n int) types.VirtualMachineRelocateSpec {
		ref := s.hosts[n-1].Reference()
		return types.VirtualMachineRelocateSpec{Host: &ref}
	}
	relocate := func(name string, n int) error {
		return wait(s.vm(name).Relocate(ctx, to(n), types.VirtualMachineMovePriorityDefaultPriority))
	}
	calls := s.calls()
	s.must(relocate("plain", 2))
	if got := s.read(plain).Runtime.Host.Value; got != s.hosts[1].Reference().Value || !s.isOn(plain) || s.calls() != calls {
		t.Errorf("on %s, calls %s", got, s.calls())
	}
	refusedAs[*types.DeviceNotSupported](t, relocate("gpu", 2))
	s.must(s.keepApart("keep-apart", plain, other))
	refusedAs[*types.RuleViolation](t, relocate("plain", 3))
	s.must(wait(gpu.PowerOff(ctx)))
	s.must(relocate("gpu", 2))
	s.must(s.powerOn(gpu))
}

func TestMaintenanceEvacuatesAndWaits(t *testing.T) {
	s := newSite(t)
	plain, gpu := s.clone("plain", 1, ""), s.clone("gpu", 1, gpuA)
	s.must(s.powerOn(plain))
	s.must(s.powerOn(gpu))
	host := s.hosts[0]

	refusedAs[*types.Timedout](t, wait(host.EnterMaintenanceMode(ctx, 1, false, nil)))
	if s.read(plain).Runtime.Host.Value == host.Reference().Value || !s.isOn(plain) {
		t.Error("what may move has not been moved, or not running")
	}
	entering, err := host.EnterMaintenanceMode(ctx, 0, false, nil)
	s.must(err)
	s.until("new starts there are refused", func() bool {
		vm := s.clone("late", 1, gpuB)
		defer func() { s.must(wait(vm.Destroy(ctx))) }()
		return s.powerOn(vm) != nil
	})
	s.must(entering.Cancel(ctx))
	if err := wait(entering, nil); err == nil {
		t.Error("a cancelled task was a success")
	}
	entering, err = host.EnterMaintenanceMode(ctx, 0, false, nil)
	for err == nil && wait(gpu.PowerOff(ctx)) != nil {
		continue
	}
	s.must(wait(entering, err))
	refusedAs[*types.InvalidHostState](t, s.powerOn(gpu))
	s.reopen()
	refusedAs[*types.InvalidHostState](t, s.powerOn(s.vm("gpu")))
	for _, name := range []string{"x", "y", "z"} {
		if s.read(s.clone(name, 0, "")).Runtime.Host.Value == host.Reference().Value {
			t.Error("a host in maintenance mode was chosen")
		}
	}
	s.must(wait(s.hosts[0].ExitMaintenanceMode(ctx, 0)))
	s.must(s.powerOn(s.vm("gpu")))
}

// Of a host that does not answer a vCenter shows what it has last heard.
func TestALostHost(t *testing.T) {
	s := newSite(t)
	gpu, other, off := s.clone("gpu", 1, gpuA), s.clone("other", 2, gpuA), s.clone("off", 1, "")
	s.must(s.powerOn(gpu))
	s.must(s.powerOn(other))
	s.must(s.c.SetHost("esx-01", "lose"))
	check := func(what string) {
		t.Helper()
		got := s.read(s.vm("gpu")).Runtime
		if got.PowerState != types.VirtualMachinePowerStatePoweredOn || got.ConnectionState != types.VirtualMachineConnectionStateDisconnected {
			t.Errorf("%s: %s, %s", what, got.PowerState, got.ConnectionState)
		}
	}
	check("lost")
	if got := s.read(other).Runtime.ConnectionState; got != types.VirtualMachineConnectionStateConnected {
		t.Errorf("on another host: %s", got)
	}
	refusedAs[*types.HostNotConnected](t, s.powerOn(off))
	refusedAs[*types.HostNotConnected](t, wait(gpu.PowerOff(ctx)))
	refusedAs[*types.HostNotConnected](t, wait(gpu.Reconfigure(ctx, types.VirtualMachineConfigSpec{Annotation: "a"})))
	refusedAs[*types.HostNotConnected](t, wait(off.Destroy(ctx)))
	s.reopen()
	check("after a restart")
	if err := wait(s.hosts[0].Reconnect(ctx, nil, nil)); err == nil {
		t.Error("a dead host was reconnected")
	}
	s.must(s.c.SetHost("esx-01", "return"))
	if got := s.read(s.vm("gpu")).Runtime; !s.isOn(s.vm("gpu")) || got.ConnectionState != types.VirtualMachineConnectionStateConnected {
		t.Errorf("its machine still runs, so it is on when the host is back: %+v", got)
	}
	status := s.c.Status()
	if status.Hosts[0].GPUs[0].UsedBy != "gpu" || status.Hosts[0].Connection != "connected" || status.Hosts[0].GPUs[1].UsedBy != "" {
		t.Errorf("status: %+v", status.Hosts[0])
	}
	s.must(s.c.SetHost("esx-01", "lose"))
	s.must(os.WriteFile(filepath.Join(s.dir, "m.gpu"), []byte("off"), 0o600))
	s.must(s.c.SetHost("esx-01", "return"))
	if s.isOn(s.vm("gpu")) {
		t.Error("its machine died with the host, so it is off when the host is back")
	}
	if s.c.SetHost("esx-09", "lose") == nil || s.c.SetHost("esx-01", "paint") == nil {
		t.Error("nonsense was accepted")
	}
}

func TestADisconnectedHost(t *testing.T) {
	s := newSite(t)
	plain := s.clone("plain", 1, "")
	s.must(s.powerOn(plain))
	s.must(wait(s.hosts[0].Disconnect(ctx)))
	s.until("HA has nothing to do with it", func() bool { return s.posted("VmDisconnectedEvent") > 0 })
	s.must(os.WriteFile(filepath.Join(s.dir, "m.plain"), []byte("off"), 0o600))
	if got := s.read(plain).Runtime; got.Host.Value != s.hosts[0].Reference().Value || !s.isOn(plain) {
		t.Errorf("%+v", got)
	}
	refusedAs[*types.HostNotConnected](t, wait(s.hosts[0].EnterMaintenanceMode(ctx, 1, false, nil)))
	s.must(wait(s.hosts[0].Reconnect(ctx, nil, nil)))
	if s.isOn(plain) {
		t.Error("what happened meanwhile is not seen")
	}
}
