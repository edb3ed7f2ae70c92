package placement

import "slices"

// broken finds an enabled rule that vm would break by running on the host.
func (s Site) broken(vm VM, h Host, mandatory bool) *Refusal {
	for _, r := range s.Rules {
		if r.Enabled && r.Mandatory == mandatory && slices.Contains(r.Members, vm.ID) {
			if refusal := s.breaks(r, vm, h); refusal != nil {
				return refusal
			}
		}
	}
	return nil
}

// breaks says why vm on the host would be against the one rule.
func (s Site) breaks(r Rule, vm VM, h Host) *Refusal {
	switch r.Kind {
	case OnHosts, OffHosts:
		if slices.Contains(r.Hosts, h.ID) == (r.Kind == OnHosts) {
			return nil
		}
		f := refuse(HostRuleBroken, "Virtual machine '%s' on host '%s' would violate a virtual machine - host affinity rule ('%s').", vm.Name, h.Name, r.Name)
		f.Rule = r.Key
		return f
	}
	for _, other := range s.VMs {
		if other.ID == vm.ID || !other.Active || !slices.Contains(r.Members, other.ID) || (other.Host == h.ID) != (r.Kind == Apart) {
			continue
		}
		words := "The rule '%s' keeps it apart from '%s', which runs on the same host."
		if r.Kind == Together {
			if lies, ok := s.Host(other.Host); !ok || !lies.Open() {
				continue // it has to come away from there itself
			}
			words = "The rule '%s' keeps it together with '%s', which runs on another host."
		}
		f := refuse(RuleBroken, words, r.Name, other.Name)
		f.Rule, f.Other = r.Key, other.ID
		return f
	}
	return nil
}

// Violation is an active virtual machine that runs against a rule.
type Violation struct {
	VM   VM
	Rule Rule
}

// Violations lists who runs against an enabled rule, on hosts that answer.
func (s Site) Violations() []Violation {
	var out []Violation
	for _, r := range s.Rules {
		for _, vm := range s.VMs {
			h, ok := s.Host(vm.Host)
			if r.Enabled && vm.Active && ok && h.Connected && slices.Contains(r.Members, vm.ID) && s.breaks(r, vm, h) != nil {
				out = append(out, Violation{vm, r})
			}
		}
	}
	return out
}

// Move is a migration that DRS would make.
type Move struct {
	VM, From, To string
	Rule         Rule
}

// Corrections are migrations after which fewer rules are violated, and who
// cannot be helped. A virtual machine is moved once at most, tied ones never.
func (s Site) Corrections() (moves []Move, stuck []Violation) {
	work := s
	work.VMs = slices.Clone(s.VMs)
	moved := map[string]bool{}
	for _, v := range s.Violations() {
		i := slices.IndexFunc(work.VMs, func(x VM) bool { return x.ID == v.VM.ID })
		vm := work.VMs[i]
		h, _ := work.Host(vm.Host)
		if moved[vm.ID] || work.breaks(v.Rule, vm, h) == nil {
			continue // another's move has mended it
		}
		to, ok := "", false
		if !vm.Tied() {
			to, ok = work.better(vm, h)
		}
		if !ok {
			stuck = append(stuck, v)
			continue
		}
		moved[vm.ID] = true
		work.VMs[i].Host = to
		moves = append(moves, Move{vm.ID, vm.Host, to, v.Rule})
	}
	// Of two that exclude each other one has moved: the other is not stuck.
	return moves, slices.DeleteFunc(stuck, func(v Violation) bool {
		h, _ := work.Host(v.VM.Host)
		return work.breaks(v.Rule, v.VM, h) == nil
	})
}

// better picks a host on which vm breaks no rule at all.
func (s Site) better(vm VM, own Host) (string, bool) {
	to, ok := s.Choose(vm, own.Cluster, own.ID)
	if !ok {
		return "", false
	}
	h, _ := s.Host(to)
	if s.broken(vm, h, false) != nil && s.broken(vm, own, true) == nil {
		return "", false // from one broken preference to another
	}
	return to, true
}
