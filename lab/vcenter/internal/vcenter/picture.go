package vcenter

import (
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/placement"
)

// picture is the site as DRS sees it: rules count where DRS is on. The caller
// holds mu.
func (c *Center) picture() placement.Site {
	return c.pictureWith(func(cfg *types.ClusterConfigInfoEx) bool { return isTrue(cfg.DrsConfig.Enabled) })
}

// pictureWith has the rules of those clusters that counts says. The caller holds mu.
func (c *Center) pictureWith(counts func(*types.ClusterConfigInfoEx) bool) placement.Site {
	s := placement.Site{}
	for _, ref := range c.site.hosts {
		s.Hosts = append(s.Hosts, c.hostFacts(ref))
	}
	for _, vm := range c.vms() {
		s.VMs = append(s.VMs, c.facts(vm))
	}
	for _, cluster := range c.clusters() {
		cfg := c.configuration(cluster)
		if !counts(cfg) {
			continue
		}
		for _, r := range cfg.Rule {
			if rule, ok := ruleFacts(cfg, r); ok {
				s.Rules = append(s.Rules, rule)
			}
		}
	}
	return s
}

func (c *Center) hostFacts(ref types.ManagedObjectReference) placement.Host {
	h := c.host(ref)
	p := placement.Host{ID: ref.Value, Cluster: c.site.clusterOf[ref].Value}
	c.locked(h, func(*simulator.Context) {
		p.Name = h.Name
		p.Connected = h.Runtime.ConnectionState == types.HostSystemConnectionStateConnected
		p.Closed = h.Runtime.InMaintenanceMode || c.entering[ref]
		p.MemoryMiB = h.Hardware.MemorySize >> 20
		p.CPUMHz = h.Hardware.CpuInfo.Hz / 1_000_000 * int64(h.Hardware.CpuInfo.NumCpuCores)
		for _, i := range h.Config.PciPassthruInfo {
			if d := i.GetHostPciPassthruInfo(); d.PassthruActive {
				p.Devices = append(p.Devices, d.Id)
			}
		}
		p.Cards = c.cards[ref]
	})
	return p
}

// configuration is the cluster's as it stands. Whoever changes it puts a changed
// copy in its place.
func (c *Center) configuration(cluster *simulator.ClusterComputeResource) *types.ClusterConfigInfoEx {
	var cfg *types.ClusterConfigInfoEx
	c.locked(cluster, func(*simulator.Context) { cfg = cluster.ConfigurationEx.(*types.ClusterConfigInfoEx) })
	return cfg
}

// ruleFacts resolves the groups of a rule; rules of other kinds place nothing.
func ruleFacts(cfg *types.ClusterConfigInfoEx, info types.BaseClusterRuleInfo) (placement.Rule, bool) {
	base := info.GetClusterRuleInfo()
	rule := placement.Rule{Key: base.Key, Name: base.Name, Enabled: isTrue(base.Enabled), Mandatory: isTrue(base.Mandatory)}
	switch r := info.(type) {
	case *types.ClusterAntiAffinityRuleSpec:
		rule.Kind, rule.Members = placement.Apart, values(r.Vm)
	case *types.ClusterAffinityRuleSpec:
		rule.Kind, rule.Members = placement.Together, values(r.Vm)
	case *types.ClusterVmHostRuleInfo:
		rule.Members = vmGroup(cfg, r.VmGroupName)
		rule.Kind, rule.Hosts = placement.OnHosts, hostGroup(cfg, r.AffineHostGroupName)
		if r.AffineHostGroupName == "" {
			rule.Kind, rule.Hosts = placement.OffHosts, hostGroup(cfg, r.AntiAffineHostGroupName)
		}
	default:
		return rule, false
	}
	return rule, true
}

func values(refs []types.ManagedObjectReference) []string {
	out := make([]string, 0, len(refs))
	for _, r := range refs {
		out = append(out, r.Value)
	}
	return out
}

func vmGroup(cfg *types.ClusterConfigInfoEx, name string) []string {
	if i := groupIndex(cfg, name); i >= 0 {
		if g, ok := cfg.Group[i].(*types.ClusterVmGroup); ok {
			return values(g.Vm)
		}
	}
	return nil
}

func hostGroup(cfg *types.ClusterConfigInfoEx, name string) []string {
	if i := groupIndex(cfg, name); i >= 0 {
		if g, ok := cfg.Group[i].(*types.ClusterHostGroup); ok {
			return values(g.Host)
		}
	}
	return nil
}

// ruleByKey finds a rule of any cluster.
func (c *Center) ruleByKey(key int32) types.BaseClusterRuleInfo {
	for _, cluster := range c.clusters() {
		rules := c.configuration(cluster).Rule
		i := slices.IndexFunc(rules, func(r types.BaseClusterRuleInfo) bool { return r.GetClusterRuleInfo().Key == key })
		if i >= 0 {
			return rules[i]
		}
	}
	return nil
}
