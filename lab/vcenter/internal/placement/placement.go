// Package placement decides where virtual machines may run. It is pure: it
// takes a picture of the clusters and returns a decision.
//
// Invariants: no two active members of a mandatory anti-affinity rule share a
// host, no member of a mandatory VM-host rule is active where the rule forbids
// it, no two active virtual machines hold the same device of a host, and no
// host promises more memory or CPU than it has.
package placement

import (
	"slices"
)

// Host is an ESXi host as placement sees it.
type Host struct {
	ID, Name  string
	Cluster   string
	Connected bool
	Closed    bool // in maintenance mode, or entering it
	Devices   []string
	Cards     []Card
	MemoryMiB int64 // 0: not known, without limit
	CPUMHz    int64 // 0: not known, without limit
}

// Open says that the host takes virtual machines.
func (h Host) Open() bool { return h.Connected && !h.Closed }

// VM is a virtual machine as placement sees it.
type VM struct {
	ID, Name, Host string
	Active         bool // powered on, or being powered on
	Template       bool
	Devices        []string // PCI addresses that it holds while active
	VGPUs          []string // profiles of its vGPUs
	MemoryMiB      int64
	ReservedMiB    int64
	ReservedMHz    int64
}

// Tied says that a device keeps it on its host while it is active.
func (v VM) Tied() bool { return len(v.Devices) > 0 }

// Kind is what a rule asks for.
type Kind int

// The kinds of rules.
const (
	Apart    Kind = iota // members on different hosts
	Together             // members on one host
	OnHosts              // members on one of the hosts
	OffHosts             // members on none of the hosts
)

// Rule is a rule of DRS. Groups are resolved to their members.
type Rule struct {
	Key       int32
	Name      string
	Kind      Kind
	Mandatory bool
	Enabled   bool
	Members   []string
	Hosts     []string // of OnHosts and OffHosts
}

// Site is one picture of the clusters.
type Site struct {
	Hosts []Host
	VMs   []VM
	Rules []Rule
}

// VM finds a virtual machine.
func (s Site) VM(id string) (VM, bool) {
	i := slices.IndexFunc(s.VMs, func(v VM) bool { return v.ID == id })
	if i < 0 {
		return VM{}, false
	}
	return s.VMs[i], true
}

// Host finds a host.
func (s Site) Host(id string) (Host, bool) {
	i := slices.IndexFunc(s.Hosts, func(h Host) bool { return h.ID == id })
	if i < 0 {
		return Host{}, false
	}
	return s.Hosts[i], true
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
	h, ok := s.Host(hostID)
	switch {
	case !ok:
		return &Refusal{Reason: NoHost, Message: "The host does not exist in the cluster."}
	case !h.Connected:
		return refuse(HostDown, "The host '%s' is not connected.", h.Name)
	case h.Closed:
		return refuse(HostClosed, "The host '%s' is in maintenance mode or entering it.", h.Name)
	}
	if r := s.broken(vm, h, true); r != nil {
		return r
	}
	for _, d := range vm.Devices {
		if !slices.Contains(h.Devices, d) {
			return refuse(DeviceMissing, "The host '%s' has no passthrough device '%s'.", h.Name, d)
		}
		if other, taken := s.Holder(hostID, d, vm.ID); taken {
			r := refuse(DeviceTaken, "Module 'DevicePowerOn' power on failed. The device '%s' is already in use by '%s'.", d, other.Name)
			r.Other = other.ID
			return r
		}
	}
	if r := s.shares(vm, h); r != nil {
		return r
	}
	if (vm.Tied() || len(vm.VGPUs) > 0) && vm.ReservedMiB < vm.MemoryMiB {
		return refuse(MemoryNotReserved, "Invalid memory setting: memory reservation (sched.mem.min) should be equal to memsize(%d).", vm.MemoryMiB)
	}
	return s.fits(vm, h)
}

// fits asks whether the host can still promise what the virtual machine reserves.
func (s Site) fits(vm VM, h Host) *Refusal {
	memory, cpu := s.reserved(h.ID, vm.ID)
	if free := h.MemoryMiB - memory; h.MemoryMiB > 0 && vm.ReservedMiB > free {
		r := refuse(NoMemory, "The host '%s' has %d MiB of memory left to reserve, and %d are asked for.", h.Name, free, vm.ReservedMiB)
		r.Available, r.Requested = free, vm.ReservedMiB
		return r
	}
	if free := h.CPUMHz - cpu; h.CPUMHz > 0 && vm.ReservedMHz > free {
		r := refuse(NoCPU, "The host '%s' has %d MHz of CPU left to reserve, and %d are asked for.", h.Name, free, vm.ReservedMHz)
		r.Available, r.Requested = free, vm.ReservedMHz
		return r
	}
	return nil
}

// reserved sums what the host has promised to others than vm.
func (s Site) reserved(host, vm string) (memoryMiB, cpuMHz int64) {
	for _, v := range s.VMs {
		if v.Active && v.Host == host && v.ID != vm {
			memoryMiB += v.ReservedMiB
			cpuMHz += v.ReservedMHz
		}
	}
	return memoryMiB, cpuMHz
}

// Choose picks the host of the cluster with the fewest virtual machines on which
// vm may run; one that also keeps the rules that are only preferences comes
// first. Hosts in without are left out.
func (s Site) Choose(vm VM, cluster string, without ...string) (string, bool) {
	best, bestCost := "", 0
	for _, h := range s.Hosts {
		if h.Cluster != cluster || slices.Contains(without, h.ID) || s.MayRun(vm, h.ID) != nil {
			continue
		}
		cost := s.crowd(h.ID, vm.ID)
		if s.broken(vm, h, false) != nil {
			cost += 1 << 16
		}
		if best == "" || cost < bestCost {
			best, bestCost = h.ID, cost
		}
	}
	return best, best != ""
}

// crowd counts the virtual machines of a host, others than vm.
func (s Site) crowd(host, vm string) int {
	n := 0
	for _, v := range s.VMs {
		if v.Host == host && !v.Template && v.ID != vm {
			n++
		}
	}
	return n
}

// PowerOn decides the host on which vm starts: its own, else, where DRS may
// place it and nothing ties it to its host, another on which it may run. With
// no host for it, it says of each why not, its own first.
func (s Site) PowerOn(vm VM, placed bool) (string, []Refused) {
	own := s.MayRun(vm, vm.Host)
	if own == nil && (!placed || vm.Tied()) {
		return vm.Host, nil
	}
	cluster := s.clusterOf(vm.Host)
	if own == nil {
		h, _ := s.Host(vm.Host)
		if s.broken(vm, h, false) == nil {
			return vm.Host, nil
		}
		// A preference is not kept here: perhaps it is elsewhere.
		if to, ok := s.Choose(vm, cluster); ok {
			return to, nil
		}
		return vm.Host, nil
	}
	all := []Refused{{vm.Host, own}}
	if vm.Tied() || !placed {
		return "", all
	}
	if host, ok := s.Choose(vm, cluster, vm.Host); ok {
		return host, nil
	}
	for _, h := range s.Hosts {
		if h.ID != vm.Host && h.Cluster == cluster {
			all = append(all, Refused{h.ID, s.MayRun(vm, h.ID)})
		}
	}
	return "", all
}

func (s Site) clusterOf(host string) string {
	h, _ := s.Host(host)
	return h.Cluster
}

// Migrate says why a virtual machine may not be moved to the host, or nil.
// A powered-off one may go to any host that is connected.
func (s Site) Migrate(vm VM, hostID string) *Refusal {
	if vm.Active {
		return s.MayRun(vm, hostID)
	}
	h, ok := s.Host(hostID)
	switch {
	case !ok:
		return &Refusal{Reason: NoHost, Message: "The host does not exist in the cluster."}
	case !h.Connected:
		return refuse(HostDown, "The host '%s' is not connected.", h.Name)
	}
	return nil
}
