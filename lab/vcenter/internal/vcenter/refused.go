package vcenter

import (
	"strings"

	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/placement"
)

// refused translates a refusal of the placement into the fault of a vCenter.
func (c *Center) refused(host string, r *placement.Refusal) types.BaseMethodFault {
	ref := types.ManagedObjectReference{Type: "HostSystem", Value: host}
	method := because(r.Message)
	vim := types.VimFault{MethodFault: method}
	runtime := types.RuntimeFault{MethodFault: method}
	config := types.VmConfigFault{VimFault: vim}
	switch r.Reason {
	case placement.HostDown:
		return &types.HostNotConnected{HostCommunication: types.HostCommunication{RuntimeFault: runtime}}
	case placement.HostClosed:
		return &types.InvalidHostState{InvalidState: types.InvalidState{VimFault: vim}, Host: &ref}
	case placement.RuleBroken:
		return &types.RuleViolation{VmConfigFault: config, Host: &ref, Rule: c.ruleByKey(r.Rule)}
	case placement.HostRuleBroken:
		vm, _, _ := strings.Cut(strings.TrimPrefix(r.Message, "Virtual machine '"), "'")
		return &types.VmHostAffinityRuleViolation{VmConfigFault: config, VmName: vm, HostName: c.nameOf(ref)}
	case placement.NoMemory:
		f := &types.InsufficientMemoryResourcesFault{Unreserved: r.Available, Requested: r.Requested}
		f.MethodFault = method
		return f
	case placement.NoCPU:
		f := &types.InsufficientCpuResourcesFault{Unreserved: r.Available, Requested: r.Requested}
		f.MethodFault = method
		return f
	case placement.NoHost:
		return argument("host")
	}
	return configFault(r.Message)
}

// noHost is the fault of a virtual machine that no host takes: what its only
// candidate has against it, or of DRS, what each has.
func (c *Center) noHost(all []placement.Refused) types.BaseMethodFault {
	if len(all) == 1 {
		return c.refused(all[0].Host, all[0].Why)
	}
	f := &types.NoCompatibleHost{}
	words := "No host is compatible with the virtual machine."
	for _, r := range all {
		ref := types.ManagedObjectReference{Type: "HostSystem", Value: r.Host}
		f.Host = append(f.Host, ref)
		f.Error = append(f.Error, localized(c.refused(r.Host, r.Why)))
		words += " " + c.nameOf(ref) + ": " + r.Why.Message
	}
	f.MethodFault = because(words)
	return f
}
