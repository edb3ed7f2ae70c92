package vcenter

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// heartbeat is the pulse of VMware Tools: a guest that hangs is on and still
// has its address, and its heartbeat is red until it goes on.
func (c *Center) heartbeat(vm *simulator.VirtualMachine) {
	var name string
	var now types.ManagedEntityStatus
	c.locked(vm, func(*simulator.Context) {
		name, now = vm.Name, vm.GuestHeartbeatStatus
		if !isOn(vm) {
			now = types.ManagedEntityStatusGray
		}
	})
	if now == types.ManagedEntityStatusGray { // no Tools, no pulse
		return
	}
	want := types.ManagedEntityStatusGreen
	if c.frozen(c.machineName(vm.Self, name)) {
		want = types.ManagedEntityStatusRed
	}
	if want != now {
		c.logf("%s: its guest's heartbeat is %s", name, want)
		c.update(vm, types.PropertyChange{Name: "guestHeartbeatStatus", Val: want},
			types.PropertyChange{Name: "summary.quickStats.guestHeartbeatStatus", Val: want})
	}
}

// frozen says whether every process of a machine stands still.
func (c *Center) frozen(name string) bool {
	events, err := os.ReadFile(filepath.Join(c.cfg.CgroupRoot, name, "cgroup.events"))
	return err == nil && slices.Contains(strings.Split(string(events), "\n"), "frozen 1")
}
