package vcenter

import (
	"slices"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// ReconfigureComputeResourceTask changes rules, groups, overrides and the
// settings of DRS and HA. All of a specification is done, or nothing of it.
func (r *clusterCalls) ReconfigureComputeResourceTask(ctx *simulator.Context, req *types.ReconfigureComputeResource_Task) soap.HasFault {
	c := r.c
	cluster := c.reg.Get(req.This).(*simulator.ClusterComputeResource)
	return reply[methods.ReconfigureComputeResource_TaskBody](c.task(ctx, cluster, "ReconfigureComputeResource_Task", "ComputeResource.reconfigureEx",
		func(ctx *simulator.Context, _ *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			spec, ok := req.Spec.(*types.ClusterConfigSpecEx)
			if !ok {
				return nil, argument("spec")
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			fault := c.reconfigureCluster(cluster, spec)
			if fault == nil {
				c.post(ctx, &types.ClusterReconfiguredEvent{ClusterEvent: c.clusterEvent(cluster.Self)})
			}
			return nil, fault
		}))
}

func (c *Center) reconfigureCluster(cluster *simulator.ClusterComputeResource, spec *types.ClusterConfigSpecEx) (fault types.BaseMethodFault) {
	c.locked(cluster, func(ctx *simulator.Context) {
		cfg := *cluster.ConfigurationEx.(*types.ClusterConfigInfoEx)
		for _, step := range []func(*types.ClusterConfigInfoEx, *types.ClusterConfigSpecEx) types.BaseMethodFault{
			services, c.changeGroups, c.changeRules, c.changeHAOverrides, c.changeDRSOverrides, c.changeOrchestration,
		} {
			if fault = step(&cfg, spec); fault != nil {
				return
			}
		}
		c.reg.Update(ctx, cluster, []types.PropertyChange{{Name: "configurationEx", Val: &cfg}})
	})
	return fault
}

// services changes what is given of the settings of HA and DRS.
func services(cfg *types.ClusterConfigInfoEx, spec *types.ClusterConfigSpecEx) types.BaseMethodFault {
	if spec.DasConfig != nil {
		options := cfg.DasConfig.Option
		cfg.DasConfig = *merged(spec.DasConfig, &cfg.DasConfig)
		cfg.DasConfig.Option = slices.Clone(options)
		for _, o := range spec.DasConfig.Option {
			v := o.GetOptionValue()
			cfg.DasConfig.Option = slices.DeleteFunc(cfg.DasConfig.Option, func(old types.BaseOptionValue) bool {
				return old.GetOptionValue().Key == v.Key
			})
			if v.Value != nil && v.Value != "" {
				cfg.DasConfig.Option = append(cfg.DasConfig.Option, v)
			}
		}
	}
	if spec.DrsConfig != nil {
		cfg.DrsConfig = *merged(spec.DrsConfig, &cfg.DrsConfig)
	}
	return nil
}

// changeRules adds, edits and removes rules. A rule is known by its key; its
// name may change.
func (c *Center) changeRules(cfg *types.ClusterConfigInfoEx, spec *types.ClusterConfigSpecEx) types.BaseMethodFault {
	cfg.Rule = slices.Clone(cfg.Rule)
	for _, s := range spec.RulesSpec {
		if s.Operation == types.ArrayUpdateOperationRemove {
			i := slices.IndexFunc(cfg.Rule, func(r types.BaseClusterRuleInfo) bool { return r.GetClusterRuleInfo().Key == s.RemoveKey })
			if i < 0 {
				return argument("spec.rulesSpec.removeKey")
			}
			cfg.Rule = slices.Delete(cfg.Rule, i, i+1)
			continue
		}
		if fault := c.checkRule(cfg, s.Info); fault != nil {
			return fault
		}
		info := s.Info.GetClusterRuleInfo()
		info.UserCreated, info.Status, info.InCompliance = types.NewBool(true), types.ManagedEntityStatusGreen, types.NewBool(true)
		if info.Enabled == nil {
			info.Enabled = types.NewBool(false)
		}
		if info.Mandatory == nil {
			info.Mandatory = types.NewBool(false)
		}
		if s.Operation == types.ArrayUpdateOperationAdd {
			info.Key, info.RuleUuid = c.rules.Add(1), uuid.NewString()
			cfg.Rule = append(cfg.Rule, s.Info)
			continue
		}
		i := slices.IndexFunc(cfg.Rule, func(r types.BaseClusterRuleInfo) bool { return r.GetClusterRuleInfo().Key == info.Key })
		if i < 0 {
			return argument("spec.rulesSpec.info.key")
		}
		info.RuleUuid = cfg.Rule[i].GetClusterRuleInfo().RuleUuid
		cfg.Rule[i] = s.Info
	}
	return nil
}

// checkRule refuses a rule that a vCenter would refuse.
func (c *Center) checkRule(cfg *types.ClusterConfigInfoEx, rule types.BaseClusterRuleInfo) types.BaseMethodFault {
	if rule == nil {
		return argument("spec.rulesSpec.info")
	}
	var members []types.ManagedObjectReference
	switch r := rule.(type) {
	case *types.ClusterAntiAffinityRuleSpec:
		members = r.Vm
	case *types.ClusterAffinityRuleSpec:
		members = r.Vm
	default:
		return c.checkGroups(cfg, rule)
	}
	distinct := map[types.ManagedObjectReference]bool{}
	for _, m := range members {
		if c.vm(m) == nil {
			return &types.ManagedObjectNotFound{Obj: m}
		}
		distinct[m] = true
	}
	if len(distinct) < 2 {
		return argument("spec.rulesSpec.info.vm")
	}
	return c.checkName(cfg, rule.GetClusterRuleInfo())
}

func (c *Center) checkName(cfg *types.ClusterConfigInfoEx, info *types.ClusterRuleInfo) types.BaseMethodFault {
	if info.Name == "" {
		return argument("spec.rulesSpec.info.name")
	}
	for _, r := range cfg.Rule {
		if other := r.GetClusterRuleInfo(); other.Name == info.Name && other.Key != info.Key {
			return &types.DuplicateName{Name: info.Name, Object: c.site.clusters[0]}
		}
	}
	return nil
}

// checkGroups refuses rules on groups that do not exist.
func (c *Center) checkGroups(cfg *types.ClusterConfigInfoEx, rule types.BaseClusterRuleInfo) types.BaseMethodFault {
	var names []string
	switch r := rule.(type) {
	case *types.ClusterVmHostRuleInfo:
		names = []string{r.VmGroupName, r.AffineHostGroupName, r.AntiAffineHostGroupName}
	case *types.ClusterDependencyRuleInfo:
		names = []string{r.VmGroup, r.DependsOnVmGroup}
	}
	for _, name := range names {
		if name != "" && groupIndex(cfg, name) < 0 {
			return argument("spec.rulesSpec.info.vmGroupName")
		}
	}
	return c.checkName(cfg, rule.GetClusterRuleInfo())
}

func groupIndex(cfg *types.ClusterConfigInfoEx, name any) int {
	return slices.IndexFunc(cfg.Group, func(g types.BaseClusterGroupInfo) bool { return g.GetClusterGroupInfo().Name == name })
}

func (c *Center) changeGroups(cfg *types.ClusterConfigInfoEx, spec *types.ClusterConfigSpecEx) types.BaseMethodFault {
	cfg.Group = slices.Clone(cfg.Group)
	for _, s := range spec.GroupSpec {
		if s.Operation == types.ArrayUpdateOperationRemove {
			i := groupIndex(cfg, s.RemoveKey)
			if i < 0 {
				return argument("spec.groupSpec.removeKey")
			}
			cfg.Group = slices.Delete(cfg.Group, i, i+1)
			continue
		}
		if s.Info == nil {
			return argument("spec.groupSpec.info")
		}
		if g, ok := s.Info.(*types.ClusterHostGroup); ok {
			for _, h := range g.Host {
				if c.host(h) == nil {
					return &types.ManagedObjectNotFound{Obj: h}
				}
			}
		}
		info := s.Info.GetClusterGroupInfo()
		info.UserCreated = types.NewBool(true)
		i := groupIndex(cfg, info.Name)
		switch {
		case s.Operation == types.ArrayUpdateOperationAdd && i >= 0:
			return &types.DuplicateName{Name: info.Name, Object: c.site.clusters[0]}
		case s.Operation == types.ArrayUpdateOperationAdd:
			info.UniqueID = uuid.NewString()
			cfg.Group = append(cfg.Group, s.Info)
		case i < 0:
			return argument("spec.groupSpec.info.name")
		default:
			info.UniqueID = cfg.Group[i].GetClusterGroupInfo().UniqueID
			cfg.Group[i] = s.Info
		}
	}
	return nil
}
