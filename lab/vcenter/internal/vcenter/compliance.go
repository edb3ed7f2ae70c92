package vcenter

import (
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/placement"
)

// compliance marks the rules that are violated and posts who has begun or
// ceased to violate one. The caller holds mu.
func (c *Center) compliance(cluster *simulator.ClusterComputeResource, violations []placement.Violation) {
	broken := map[int32][]placement.Violation{}
	for _, v := range violations {
		broken[v.Rule.Key] = append(broken[v.Rule.Key], v)
	}
	c.locked(cluster, func(ctx *simulator.Context) {
		cfg := *cluster.ConfigurationEx.(*types.ClusterConfigInfoEx)
		rules, changed := slices.Clone(cfg.Rule), false
		for i, r := range rules {
			info := r.GetClusterRuleInfo()
			keeps := len(broken[info.Key]) == 0
			if isTrue(info.InCompliance) != keeps {
				rules[i], changed = marked(r, keeps), true
			}
		}
		if changed {
			cfg.Rule = rules
			c.reg.Update(ctx, cluster, []types.PropertyChange{{Name: "configurationEx", Val: &cfg}})
		}
	})
	now := map[violator]bool{}
	for _, v := range violations {
		if h, ok := c.hostOfVM(v.VM.ID); ok && c.site.clusterOf[h] == cluster.Self {
			now[violator{v.VM.ID, v.Rule.Key}] = v.Rule.Mandatory
		}
	}
	before := c.violators[cluster.Self]
	for who, mandatory := range now {
		if _, known := before[who]; !known {
			c.postViolation(who, mandatory)
		}
	}
	for who := range before {
		if _, still := now[who]; !still {
			if vm := c.vm(types.ManagedObjectReference{Type: "VirtualMachine", Value: who.vm}); vm != nil {
				c.post(c.ctx(), &types.DrsRuleComplianceEvent{VmEvent: c.vmEvent(vm)})
			}
		}
	}
	c.violators[cluster.Self] = now
}

type violator struct {
	vm   string
	rule int32
}

func (c *Center) hostOfVM(id string) (ref types.ManagedObjectReference, ok bool) {
	vm := c.vm(types.ManagedObjectReference{Type: "VirtualMachine", Value: id})
	if vm == nil {
		return ref, false
	}
	c.locked(vm, func(*simulator.Context) { ref = *vm.Runtime.Host })
	return ref, true
}

func (c *Center) postViolation(who violator, mandatory bool) {
	vm := c.vm(types.ManagedObjectReference{Type: "VirtualMachine", Value: who.vm})
	switch {
	case vm == nil:
	case mandatory:
		c.post(c.ctx(), &types.DrsRuleViolationEvent{VmEvent: c.vmEvent(vm)})
	default:
		c.post(c.ctx(), &types.DrsSoftRuleViolationEvent{VmEvent: c.vmEvent(vm)})
	}
}

// marked is a copy of the rule that says whether it is kept.
func marked(r types.BaseClusterRuleInfo, keeps bool) types.BaseClusterRuleInfo {
	var out types.BaseClusterRuleInfo
	switch r := r.(type) {
	case *types.ClusterAntiAffinityRuleSpec:
		copied := *r
		out = &copied
	case *types.ClusterAffinityRuleSpec:
		copied := *r
		out = &copied
	case *types.ClusterVmHostRuleInfo:
		copied := *r
		out = &copied
	default:
		return r
	}
	info := out.GetClusterRuleInfo()
	info.InCompliance, info.Status = types.NewBool(keeps), types.ManagedEntityStatusGreen
	if !keeps {
		info.Status = types.ManagedEntityStatusRed
	}
	return out
}
