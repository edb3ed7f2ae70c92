package placement

import "slices"

// Failover is a cluster's policy of admission control for vSphere HA.
type Failover struct {
	Hosts      int   // host failures that the cluster must bear, by slots
	CPUPercent int64 // or shares of the resources kept free
	MemPercent int64
	Dedicated  []string // or hosts kept free
}

// minimumMHz is what a virtual machine without reservation counts for (das.vmcpuminmhz).
const minimumMHz = 32

// Admits says whether the cluster could still restart everything after the
// failures of its policy, once vm runs too. Hosts that do not answer or are in
// maintenance mode count for nothing.
func (s Site) Admits(vm VM, cluster string, f Failover) bool {
	var hosts []Host
	for _, h := range s.Hosts {
		if h.Cluster == cluster && h.Open() && !slices.Contains(f.Dedicated, h.ID) {
			hosts = append(hosts, h)
		}
	}
	running := []VM{vm}
	for _, v := range s.VMs {
		h, ok := s.Host(v.Host)
		if ok && v.Active && v.ID != vm.ID && h.Cluster == cluster && h.Connected {
			running = append(running, v)
		}
	}
	if f.CPUPercent > 0 || f.MemPercent > 0 {
		return admitsByShare(hosts, running, f)
	}
	return f.Hosts == 0 || admitsBySlots(hosts, running, f.Hosts)
}

func admitsByShare(hosts []Host, running []VM, f Failover) bool {
	var cpu, memory, usedCPU, usedMemory int64
	for _, h := range hosts {
		cpu, memory = cpu+h.CPUMHz, memory+h.MemoryMiB
	}
	for _, v := range running {
		usedCPU, usedMemory = usedCPU+max(v.ReservedMHz, minimumMHz), usedMemory+v.ReservedMiB
	}
	return usedCPU*100 <= cpu*(100-f.CPUPercent) && usedMemory*100 <= memory*(100-f.MemPercent)
}

// admitsBySlots: a slot is the largest reservation of those running; the hosts
// with the most slots are the ones that fail.
func admitsBySlots(hosts []Host, running []VM, failures int) bool {
	memory, cpu := int64(1), int64(minimumMHz)
	for _, v := range running {
		memory, cpu = max(memory, v.ReservedMiB), max(cpu, v.ReservedMHz)
	}
	var slots []int64
	for _, h := range hosts {
		n := int64(1 << 20)
		if h.MemoryMiB > 0 {
			n = min(n, h.MemoryMiB/memory)
		}
		if h.CPUMHz > 0 {
			n = min(n, h.CPUMHz/cpu)
		}
		slots = append(slots, n)
	}
	slices.Sort(slots)
	left := int64(0)
	for _, n := range slots[:max(0, len(slots)-failures)] {
		left += n
	}
	return int64(len(running)) <= left
}

// ForRestart is the picture by which vSphere HA restarts: what it respects is
// mandatory, what it does not is no rule.
func (s Site) ForRestart(respectAntiAffinity bool) Site {
	out := s
	out.Rules = nil
	for _, r := range s.Rules {
		switch r.Kind {
		case Apart:
			if !respectAntiAffinity {
				continue
			}
			r.Mandatory = true
		case Together:
			continue
		}
		out.Rules = append(out.Rules, r)
	}
	return out
}
