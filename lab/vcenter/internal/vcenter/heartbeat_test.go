package vcenter_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/config"
)

func TestAGuestThatHangsHasNoHeartbeatUntilItGoesOn(t *testing.T) {
	root := t.TempDir()
	s := newSite(t, func(c *config.Config) { c.CgroupRoot = root })
	set := func(frozen string) {
		s.must(os.MkdirAll(filepath.Join(root, "m"), 0o700))
		s.must(os.WriteFile(filepath.Join(root, "m", "cgroup.events"), []byte("populated 1\nfrozen "+frozen+"\n"), 0o600))
	}
	is := func(want types.ManagedEntityStatus) func() bool {
		return func() bool {
			got := s.read(s.vm("m"))
			return got.GuestHeartbeatStatus == want && got.Summary.QuickStats.GuestHeartbeatStatus == want
		}
	}
	vm := s.clone("m", 1, "")
	if !is(types.ManagedEntityStatusGray)() {
		t.Error("a machine that is off has a heartbeat")
	}
	set("0")
	s.must(s.powerOn(vm))
	s.until("it beats", is(types.ManagedEntityStatusGreen))
	set("1")
	s.until("it does not beat", is(types.ManagedEntityStatusRed))
	if got := s.read(vm); !s.isOn(vm) || got.Guest.IpAddress == "" {
		t.Error("a guest that hangs is on, and its address is what was last heard")
	}
	set("0")
	s.until("it beats again", is(types.ManagedEntityStatusGreen))
	s.must(wait(vm.PowerOff(ctx)))
	s.until("it is off", is(types.ManagedEntityStatusGray))
}
