package vcenter

import (
	"slices"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/placement"
)

// restarts is what vSphere HA remembers. It is guarded by mu.
type restarts struct {
	to       map[types.ManagedObjectReference]types.ManagedObjectReference // under way to a host
	attempts map[types.ManagedObjectReference]int                          // that failed
	told     map[types.ManagedObjectReference]bool                         // hosts and virtual machines
}

// attemptsAtMost is das.maxvmrestartcount.
const attemptsAtMost = 5

func enabled(state string) bool {
	return state == "" || state == string(types.ClusterDasConfigInfoServiceStateEnabled)
}

// failoverPolicy is the cluster's admission control, where it is on.
func failoverPolicy(cfg *types.ClusterConfigInfoEx) (placement.Failover, bool) {
	das := cfg.DasConfig
	if !isTrue(das.Enabled) || !isTrue(das.AdmissionControlEnabled) {
		return placement.Failover{}, false
	}
	switch p := das.AdmissionControlPolicy.(type) {
	case *types.ClusterFailoverResourcesAdmissionControlPolicy:
		return placement.Failover{CPUPercent: int64(p.CpuFailoverResourcesPercent), MemPercent: int64(p.MemoryFailoverResourcesPercent)}, true
	case *types.ClusterFailoverHostAdmissionControlPolicy:
		return placement.Failover{Dedicated: values(p.FailoverHosts)}, true
	case *types.ClusterFailoverLevelAdmissionControlPolicy:
		return placement.Failover{Hosts: int(p.FailoverLevel)}, true
	}
	return placement.Failover{Hosts: int(das.FailoverLevel)}, true
}

var priorities = []string{"highest", "high", "medium", "low", "lowest"}

// priority is the rank at which HA restarts a virtual machine; none, where it
// does not: by its override, else by the cluster's setting.
func priority(cfg *types.ClusterConfigInfoEx, vm types.ManagedObjectReference) (int, bool) {
	name := "medium"
	if s := cfg.DasConfig.DefaultVmSettings; s != nil && s.RestartPriority != "" {
		name = s.RestartPriority
	}
	for _, v := range cfg.DasVmConfig {
		if v.Key != vm {
			continue
		}
		for _, given := range []string{string(v.RestartPriority), settingsOf(v)} {
			if given != "" && given != string(types.DasVmPriorityDisabled) && !slices.Contains(priorities, given) {
				continue // the cluster's
			}
			if given != "" {
				name = given
			}
		}
	}
	rank := slices.Index(priorities, name)
	return rank, rank >= 0
}

func settingsOf(v types.ClusterDasVmConfigInfo) string {
	if v.DasSettings == nil {
		return ""
	}
	return v.DasSettings.RestartPriority
}

// respects reads an advanced option of HA that is on unless it says "false".
func respects(cfg *types.ClusterConfigInfoEx, key string) bool {
	for _, o := range cfg.DasConfig.Option {
		if v := o.GetOptionValue(); v.Key == key {
			text, _ := v.Value.(string)
			return text != "false"
		}
	}
	return true
}

// comingUp says that a virtual machine is being started. The caller holds mu.
func (c *Center) comingUp(vm types.ManagedObjectReference) bool {
	_, restarting := c.ha.to[vm]
	return restarting || c.starting[vm]
}

type candidate struct {
	vm   *simulator.VirtualMachine
	rank int
}

// haPass restarts what ran on dead hosts, in the order of priority. It says
// whether some still wait.
func (c *Center) haPass() bool {
	waiting := false
	for _, next := range c.candidates(&waiting) {
		c.restartByHA(next.vm)
	}
	return waiting
}

func (c *Center) candidates(waiting *bool) []candidate {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []candidate
	for host, since := range c.lost {
		cfg := c.configuration(c.clusterAt(host.Value))
		if !isTrue(cfg.DasConfig.Enabled) || !enabled(cfg.DasConfig.HostMonitoring) {
			continue
		}
		if time.Since(since) < c.haDelay() {
			*waiting = true
			continue
		}
		if !c.ha.told[host] {
			c.ha.told[host] = true
			c.post(c.ctx(), &types.EventEx{Event: c.event(nil, c.host(host)), EventTypeId: eventHostFailed, Severity: "error",
				ObjectId: host.Value, ObjectType: host.Type, ObjectName: c.nameOf(host), Message: "vSphere HA detected a possible host failure"})
		}
		for _, vm := range c.vms() {
			facts := c.facts(vm)
			rank, restarts := priority(cfg, vm.Self)
			// A virtual machine with a device of classic DirectPath is not protected.
			if facts.Host == host.Value && facts.Active && !facts.Template && !facts.Tied() && restarts && c.ha.attempts[vm.Self] < attemptsAtMost {
				out, *waiting = append(out, candidate{vm, rank}), true
			}
		}
	}
	slices.SortStableFunc(out, func(a, b candidate) int {
		if a.rank != b.rank {
			return a.rank - b.rank
		}
		return int(number(a.vm.Self) - number(b.vm.Self))
	})
	return out
}

func (c *Center) haDelay() time.Duration {
	if c.cfg.HA.DelaySeconds == nil {
		return 0
	}
	return time.Duration(*c.cfg.HA.DelaySeconds * float64(time.Second))
}

// restartByHA starts the machine on another host. Only when it runs does the
// virtual machine belong there: a vCenter that is killed meanwhile begins again.
func (c *Center) restartByHA(vm *simulator.VirtualMachine) {
	unlock, ok := c.ops.try(vm.Self)
	if !ok {
		return
	}
	source, target, ok := c.claimByHA(vm)
	if !ok {
		unlock()
		return
	}
	c.running.Add(1)
	go func() {
		defer c.running.Done()
		defer unlock()
		name, m := c.machine(vm)
		m.Host = c.nameOf(target)
		guest, err := c.hook.On(name, m)
		c.mu.Lock()
		delete(c.ha.to, vm.Self)
		if err != nil {
			c.ha.attempts[vm.Self]++
			c.mu.Unlock()
			reason := localized(configFault("Power on failed: " + err.Error()))
			c.post(c.ctx(), &types.VmFailoverFailed{VmEvent: c.vmEvent(vm), Reason: &reason})
			return
		}
		delete(c.ha.attempts, vm.Self)
		c.setHost(vm, target)
		c.mu.Unlock()
		c.update(vm, types.PropertyChange{Name: "runtime.connectionState", Val: types.VirtualMachineConnectionStateConnected},
			types.PropertyChange{Name: "summary.runtime.connectionState", Val: types.VirtualMachineConnectionStateConnected})
		c.setPower(vm, poweredOn)
		c.reportGuest(vm, guest)
		e := c.vmEvent(vm)
		c.post(c.ctx(), &types.EventEx{Event: e.Event, EventTypeId: eventRestarted, Severity: "warning",
			ObjectId: vm.Self.Value, ObjectType: vm.Self.Type, ObjectName: e.Vm.Name,
			Message:   "vSphere HA restarted virtual machine " + e.Vm.Name + " on host " + e.Host.Name,
			Arguments: []types.KeyAnyValue{{Key: "sourceHost", Value: c.nameOf(source)}}})
		c.commitLater()
	}()
}

// claimByHA decides where a virtual machine of a dead host is restarted.
func (c *Center) claimByHA(vm *simulator.VirtualMachine) (source, target types.ManagedObjectReference, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	facts := c.facts(vm)
	source = hostRef(facts.Host)
	if _, dead := c.lost[source]; !dead || !facts.Active {
		return source, target, false
	}
	cluster := c.clusterAt(facts.Host)
	cfg := c.configuration(cluster)
	site := c.pictureWith(func(*types.ClusterConfigInfoEx) bool { return true }).
		ForRestart(respects(cfg, "das.respectVmVmAntiAffinityRules"))
	host, found := site.Choose(facts, cluster.Self.Value, facts.Host)
	if !found {
		if !c.ha.told[vm.Self] {
			c.ha.told[vm.Self] = true
			c.post(c.ctx(), &types.NotEnoughResourcesToStartVmEvent{VmEvent: c.vmEvent(vm), Reason: c.whyNowhere(site, facts)})
		}
		return source, target, false
	}
	delete(c.ha.told, vm.Self)
	target = hostRef(host)
	c.ha.to[vm.Self] = target
	return source, target, true
}

// whyNowhere says what each host has against a virtual machine.
func (c *Center) whyNowhere(site placement.Site, vm placement.VM) string {
	words := ""
	for _, h := range site.Hosts {
		if r := site.MayRun(vm, h.ID); r != nil && h.Cluster == c.clusterAt(vm.Host).Self.Value {
			words += h.Name + ": " + r.Message + " "
		}
	}
	return words
}

// govern lets HA and DRS look whenever something has changed.
func (c *Center) govern() {
	c.running.Add(1)
	go func() {
		defer c.running.Done()
		for {
			changed := c.pulse.wait()
			pause := 10 * time.Second
			if c.haPass() {
				pause = 250 * time.Millisecond
			}
			c.drsPass()
			if c.dirty.any() {
				c.commitLater()
			}
			timer := time.NewTimer(pause)
			select {
			case <-changed:
			case <-timer.C:
			case <-c.stop:
				timer.Stop()
				return
			}
			timer.Stop()
			// What changes at once is looked at once.
			select {
			case <-time.After(100 * time.Millisecond):
			case <-c.stop:
				return
			}
		}
	}()
}
