package vcenter

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/store"
)

// machineNames remembers under which name each virtual machine's machine was
// made: the virtual machine may be renamed, its machine is not.
type machineNames struct {
	mu sync.Mutex
	of map[string]string
}

// machineName is the name of the virtual machine's machine. Where another has
// that name already, it is the virtual machine's id.
func (c *Center) machineName(ref types.ManagedObjectReference, name string) string {
	c.names.mu.Lock()
	defer c.names.mu.Unlock()
	if known, ok := c.names.of[ref.Value]; ok {
		return known
	}
	for _, other := range c.names.of {
		if other == name {
			return ref.Value
		}
	}
	return name
}

// nameMachine holds the name fast at the first start.
func (c *Center) nameMachine(ref types.ManagedObjectReference, name string) {
	c.names.mu.Lock()
	defer c.names.mu.Unlock()
	if c.names.of == nil {
		c.names.of = map[string]string{}
	}
	c.names.of[ref.Value] = name
}

func (c *Center) forgetMachine(ref types.ManagedObjectReference) {
	c.names.mu.Lock()
	defer c.names.mu.Unlock()
	delete(c.names.of, ref.Value)
}

// populated reads from the machine's cgroup whether anything runs in it.
func (c *Center) populated(name string) bool {
	f, err := os.Open(filepath.Join(c.cfg.CgroupRoot, name, "cgroup.events"))
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "populated "); ok {
			return value == "1"
		}
	}
	return false
}

// live says which machines run, by the hypervisor's list and by the cgroups.
func (c *Center) live() (func(name string) bool, bool) {
	if c.hook.Empty() {
		return nil, false
	}
	list, err := c.hook.List()
	if err != nil {
		c.logf("%v", err)
	}
	if err != nil && c.cfg.CgroupRoot == "" {
		return nil, false
	}
	return func(name string) bool {
		if c.cfg.CgroupRoot != "" {
			return c.populated(name)
		}
		return list[name]
	}, true
}

// reconcile makes the power states agree with the machines after a restart.
func (c *Center) reconcile() error {
	runs, ok := c.live()
	if !ok {
		return nil
	}
	for _, vm := range c.vms() {
		c.agree(vm, runs)
	}
	return nil
}

// answers says whether the vCenter hears of what runs on the host.
func (c *Center) answers(host types.ManagedObjectReference) bool {
	return c.mustAnswer(c.host(host)) == nil
}

// agree sets the power state of one virtual machine to what its machine does.
func (c *Center) agree(vm *simulator.VirtualMachine, runs func(string) bool) {
	var name string
	var on, template, known bool
	var host types.ManagedObjectReference
	c.locked(vm, func(*simulator.Context) {
		name, on, template, host = vm.Name, isOn(vm), vm.Config.Template, *vm.Runtime.Host
		known = vm.Guest != nil && vm.Guest.IpAddress != ""
	})
	if template || !c.answers(host) {
		return
	}
	name = c.machineName(vm.Self, name)
	switch alive := runs(name); {
	case alive && !on:
		c.logf("%s: its machine runs: powered on", name)
		c.setPower(vm, poweredOn)
		c.post(c.ctx(), &types.VmPoweredOnEvent{VmEvent: c.vmEvent(vm)})
		known = false
	case !alive && on:
		c.logf("%s: its machine does not run: powered off", name)
		c.setPower(vm, poweredOff)
		c.post(c.ctx(), &types.VmPoweredOffEvent{VmEvent: c.vmEvent(vm)})
		return
	case !alive:
		return
	}
	if !known {
		c.running.Add(1)
		go func() { defer c.running.Done(); c.hear(vm) }()
	}
}

// hear asks a running machine for its address.
func (c *Center) hear(vm *simulator.VirtualMachine) {
	unlock, ok := c.ops.try(vm.Self)
	if !ok {
		return // whoever has it reports the guest
	}
	defer unlock()
	name, m := c.machine(vm)
	guest, err := c.hook.On(name, m)
	if err != nil {
		c.logf("%v", err)
		return
	}
	if c.mustBeOn(vm) == nil {
		c.reportGuest(vm, guest)
		c.commitLater()
	}
}

// commitLater saves what nobody waits for.
func (c *Center) commitLater() {
	if err := c.commit(); err != nil && !errors.Is(err, store.ErrClosed) {
		c.logf("%v", err)
	}
}

// watch looks after the machines' cgroups: a machine that died or powered
// itself off is off, one that came back is on.
func (c *Center) watch() {
	if c.cfg.CgroupRoot == "" || c.hook.Empty() {
		return
	}
	c.again(400*time.Millisecond, func() {
		changed := false
		for _, vm := range c.vms() {
			if c.watched(vm) {
				changed = true
			}
		}
		if changed {
			c.commitLater()
		}
	})
}

// watched compares one virtual machine with its cgroup, unless an operation on
// it is in progress.
func (c *Center) watched(vm *simulator.VirtualMachine) bool {
	unlock, ok := c.ops.try(vm.Self)
	if !ok {
		return false
	}
	defer unlock()
	if c.reg.Get(vm.Self) == nil {
		return false
	}
	before := c.mustBeOn(vm) == nil
	if before && c.rebooting.of(vm.Self) > 0 {
		return false // off for a moment; whoever reboots it reports its end
	}
	c.agree(vm, c.populated)
	c.heartbeat(vm)
	return before != (c.mustBeOn(vm) == nil)
}
