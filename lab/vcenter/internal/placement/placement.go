// Package placement decides where virtual machines may run. It is pure: it
// takes a picture of the cluster and returns a decision.
//
// Invariants: no two active members of a mandatory anti-affinity rule share a
// host, and no two active virtual machines hold the same device of a host.
package placement

import (
	"fmt"
	"slices"
)

// Host is an ESXi host as placement sees it.
type Host struct {
	ID, Name  string
	Connected bool
	Closed    bool // in maintenance mode, or entering it
	Devices   []string
}

// VM is a virtual machine as placement sees it.
type VM struct {
	ID, Name, Host string
	Active         bool // powered on, or being powered on
	Template       bool
	Devices        []string // PCI addresses that it holds while active
	MemoryMiB      int64
	ReservedMiB    int64
}

// Rule is a VM-VM anti-affinity rule.
type Rule struct {
	Key       int32
	Name      string
	Mandatory bool
	Enabled   bool
	Members   []string
}

// Site is one picture of the cluster.
type Site struct {
	Hosts []Host
	VMs   []VM
	Rules []Rule
}

// Reason says which law refused a placement.
type Reason int

// The laws, in the order in which they are asked.
const (
	NoHost Reason = iota
	HostDown
	HostClosed
	RuleBroken
	DeviceMissing
	DeviceTaken
	MemoryNotReserved
)

// Refusal is a placement that may not be.
type Refusal struct {
	Reason  Reason
	Message string
	Rule    int32  // of RuleBroken
	Other   string // id of the virtual machine in the way
}

func (r *Refusal) Error() string { return r.Message }

// VM finds a virtual machine.
func (s Site) VM(id string) (VM, bool) {
	i := slices.IndexFunc(s.VMs, func(v VM) bool { return v.ID == id })
	if i < 0 {
		return VM{}, false
	}
	return s.VMs[i], true
}

func (s Site) host(id string) (Host, bool) {
	i := slices.IndexFunc(s.Hosts, func(h Host) bool { return h.ID == id })
	if i < 0 {
		return Host{}, false
	}
	return s.Hosts[i], true
}

// broken finds an enabled rule that vm on host would break.
func (s Site) broken(vm, host string, mandatory bool) *Refusal {
	for _, r := range s.Rules {
		if !r.Enabled || r.Mandatory != mandatory || !slices.Contains(r.Members, vm) {
			continue
		}
		for _, other := range s.VMs {
			if other.ID != vm && other.Active && other.Host == host && slices.Contains(r.Members, other.ID) {
				return &Refusal{Reason: RuleBroken, Rule: r.Key, Other: other.ID, Message: fmt.Sprintf(
					"The rule '%s' keeps it apart from '%s', which runs on the same host.", r.Name, other.Name)}
			}
		}
	}
	return nil
}

// Holder finds the active virtual machine other than vm that holds the device.
func (s Site) Holder(host, device, vm string) (VM, bool) {
	i := slices.IndexFunc(s.VMs, func(v VM) bool {
		return v.ID != vm && v.Active && v.Host == host && slices.Contains(v.Devices, device)
	})
	if i < 0 {
		return VM{}, false
	}
	return s.VMs[i], true
}

// MayRun says why the virtual machine may not run on the host, or nil.
func (s Site) MayRun(vm VM, hostID string) *Refusal {
	h, ok := s.host(hostID)
	switch {
	case !ok:
		return &Refusal{Reason: NoHost, Message: "The host does not exist in the cluster."}
	case !h.Connected:
		return &Refusal{Reason: HostDown, Message: fmt.Sprintf("The host '%s' is not connected.", h.Name)}
	case h.Closed:
		return &Refusal{Reason: HostClosed, Message: fmt.Sprintf("The host '%s' is in maintenance mode or entering it.", h.Name)}
	}
	if r := s.broken(vm.ID, hostID, true); r != nil {
		return r
	}
	for _, d := range vm.Devices {
		if !slices.Contains(h.Devices, d) {
			return &Refusal{Reason: DeviceMissing, Message: fmt.Sprintf("The host '%s' has no passthrough device '%s'.", h.Name, d)}
		}
		if other, taken := s.Holder(hostID, d, vm.ID); taken {
			return &Refusal{Reason: DeviceTaken, Other: other.ID, Message: fmt.Sprintf(
				"Module 'DevicePowerOn' power on failed. The device '%s' is already in use by '%s'.", d, other.Name)}
		}
	}
	if len(vm.Devices) > 0 && vm.ReservedMiB < vm.MemoryMiB {
		return &Refusal{Reason: MemoryNotReserved, Message: fmt.Sprintf(
			"Invalid memory setting: memory reservation (sched.mem.min) should be equal to memsize(%d).", vm.MemoryMiB)}
	}
	return nil
}

// Choose picks the host with the fewest virtual machines on which vm may run;
// one that also keeps the rules that are only preferences comes first. Hosts in
// without are left out.
func (s Site) Choose(vm VM, without ...string) (string, bool) {
	best, bestCost := "", 0
	for _, h := range s.Hosts {
		if slices.Contains(without, h.ID) || s.MayRun(vm, h.ID) != nil {
			continue
		}
		cost := 0
		for _, v := range s.VMs {
			if v.Host == h.ID && !v.Template && v.ID != vm.ID {
				cost++
			}
		}
		if s.broken(vm.ID, h.ID, false) != nil {
			cost += 1 << 16
		}
		if best == "" || cost < bestCost {
			best, bestCost = h.ID, cost
		}
	}
	return best, best != ""
}

// PowerOn decides the host on which vm starts: its own, else, where nothing
// binds it to its host, another on which it may run.
func (s Site) PowerOn(vm VM) (string, *Refusal) {
	refusal := s.MayRun(vm, vm.Host)
	if refusal == nil {
		return vm.Host, nil
	}
	if len(vm.Devices) > 0 {
		return "", refusal
	}
	if host, ok := s.Choose(vm, vm.Host); ok {
		return host, nil
	}
	return "", refusal
}

// Migrate says why a virtual machine may not be moved to the host, or nil.
// A powered-off one may go to any host that is connected.
func (s Site) Migrate(vm VM, hostID string) *Refusal {
	if vm.Active {
		return s.MayRun(vm, hostID)
	}
	h, ok := s.host(hostID)
	switch {
	case !ok:
		return &Refusal{Reason: NoHost, Message: "The host does not exist in the cluster."}
	case !h.Connected:
		return &Refusal{Reason: HostDown, Message: fmt.Sprintf("The host '%s' is not connected.", h.Name)}
	}
	return nil
}
