package vcenter

import (
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/simulator/esx"
	"github.com/vmware/govmomi/vim25/types"
)

// drsOff in the configuration switches DRS off.
const drsOff = "off"

// tidyNetworks takes out the port group's second mention, at which clients that
// look it up by name would find it ambiguous.
func (c *Center) tidyNetworks() {
	once := func(refs []types.ManagedObjectReference) []types.ManagedObjectReference {
		var out []types.ManagedObjectReference
		for _, r := range refs {
			if !slices.Contains(out, r) {
				out = append(out, r)
			}
		}
		return out
	}
	dc := c.reg.Get(c.site.datacenter).(*simulator.Datacenter)
	dc.Network = once(dc.Network)
	for _, cluster := range c.clusters() {
		cluster.Network = once(cluster.Network)
	}
	for _, ref := range c.site.hosts {
		c.host(ref).Network = once(c.host(ref).Network)
	}
}

// setUpCluster gives DRS and HA the settings that an operator of such a cluster has.
func (c *Center) setUpCluster(cluster *simulator.ClusterComputeResource) {
	level := types.DrsBehavior(c.cfg.DRS.Level)
	if level == "" || level == drsOff {
		level = types.DrsBehaviorFullyAutomated
	}
	cfg := cluster.ConfigurationEx.(*types.ClusterConfigInfoEx)
	cfg.DrsConfig = types.ClusterDrsConfigInfo{
		Enabled: types.NewBool(c.cfg.DRS.Level != drsOff), EnableVmBehaviorOverrides: types.NewBool(true),
		DefaultVmBehavior: level, VmotionRate: 3,
	}
	cfg.DasConfig = types.ClusterDasConfigInfo{
		Enabled: types.NewBool(true), FailoverLevel: 1,
		AdmissionControlEnabled: types.NewBool(len(c.hostsOf(cluster.Self)) > 1), // one host cannot stand in for itself

		HostMonitoring: string(types.ClusterDasConfigInfoServiceStateEnabled),
		DefaultVmSettings: &types.ClusterDasVmSettings{
			RestartPriority: string(types.DasVmPriorityMedium), IsolationResponse: string(types.ClusterDasVmSettingsIsolationResponseNone),
		},
		Option: []types.BaseOptionValue{&types.OptionValue{Key: "das.respectVmVmAntiAffinityRules", Value: "true"}},
	}
}

// setUpBrowser makes every answer on hardware versions agree with the template's.
func (c *Center) setUpBrowser(cluster *simulator.ClusterComputeResource) {
	eb := c.reg.Get(*cluster.EnvironmentBrowser).(*simulator.EnvironmentBrowser)
	newest := c.newest()
	eb.QueryConfigOptionDescriptorResponse.Returnval = nil
	for _, v := range types.GetHardwareVersions() {
		if v > newest {
			break
		}
		eb.QueryConfigOptionDescriptorResponse.Returnval = append(eb.QueryConfigOptionDescriptorResponse.Returnval,
			types.VirtualMachineConfigOptionDescriptor{
				Key: v.String(), Description: v.String(), Host: c.hostsOf(cluster.Self), DefaultConfigOption: v == newest,
				CreateSupported: true, RunSupported: true, UpgradeSupported: true,
			})
	}
	eb.QueryConfigOptionResponse.Returnval = &types.VirtualMachineConfigOption{
		Version: newest.String(), DefaultDevice: esx.VirtualDevice,
	}
}

// newest is the highest hardware version that the hosts know.
func (c *Center) newest() types.HardwareVersion {
	var top types.HardwareVersion
	for _, t := range c.cfg.Templates() {
		if v, err := types.ParseHardwareVersion(t.HardwareVersion); err == nil {
			top = max(top, v)
		}
	}
	return top
}
