package vcenter

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/placement"
)

// behavior is how DRS treats a virtual machine of the cluster: by its override,
// else by the cluster's level; nothing where DRS is off for it.
func behavior(cfg *types.ClusterConfigInfoEx, vm types.ManagedObjectReference) types.DrsBehavior {
	if !isTrue(cfg.DrsConfig.Enabled) {
		return ""
	}
	if isTrue(cfg.DrsConfig.EnableVmBehaviorOverrides) {
		for _, v := range cfg.DrsVmConfig {
			switch {
			case v.Key != vm:
			case v.Enabled != nil && !*v.Enabled:
				return ""
			case v.Behavior != "":
				return v.Behavior
			}
		}
	}
	return cfg.DrsConfig.DefaultVmBehavior
}

func (c *Center) clusterAt(host string) *simulator.ClusterComputeResource {
	return c.cluster(c.site.clusterOf[types.ManagedObjectReference{Type: "HostSystem", Value: host}])
}

// drsPass looks at each cluster once: which rules are kept, and what would mend
// those that are not. It does, by the level of automation, what would, or
// recommends it.
func (c *Center) drsPass() {
	c.mu.Lock()
	defer c.mu.Unlock()
	site := c.picture()
	moves, stuck := site.Corrections()
	violations := site.Violations()
	for _, cluster := range c.clusters() {
		c.drsIn(cluster, site, moves, stuck)
		c.compliance(cluster, violations)
	}
}

func (c *Center) drsIn(cluster *simulator.ClusterComputeResource, site placement.Site, moves []placement.Move, stuck []placement.Violation) {
	cfg, here := c.configuration(cluster), func(host string) bool {
		h, _ := site.Host(host)
		return h.Cluster == cluster.Self.Value
	}
	var advised []types.ClusterRecommendation
	for _, m := range moves {
		vm := c.vm(types.ManagedObjectReference{Type: "VirtualMachine", Value: m.VM})
		if !here(m.From) || c.comingUp(vm.Self) {
			continue
		}
		switch behavior(cfg, vm.Self) {
		case types.DrsBehaviorFullyAutomated:
			c.move(c.ctx(), vm, hostRef(m.To), true)
		case types.DrsBehaviorPartiallyAutomated, types.DrsBehaviorManual:
			advised = append(advised, c.advice(cluster, vm, m.From, m.To, reasonOf(m.Rule), m.Rule.Name))
		}
	}
	for host := range c.entering {
		if cfg := c.configuration(cluster); c.site.clusterOf[host] == cluster.Self {
			advised = append(advised, c.evacuationAdvice(cluster, cfg, site, host)...)
		}
	}
	var faults []types.BaseClusterDrsFaultsFaultsByVm
	for _, v := range stuck {
		if here(v.VM.Host) {
			h, _ := site.Host(v.VM.Host)
			why := configFault(fmt.Sprintf("The rule '%s' is violated by '%s' on host '%s', and no other host can take it.", v.Rule.Name, v.VM.Name, h.Name))
			ref := types.ManagedObjectReference{Type: "VirtualMachine", Value: v.VM.ID}
			faults = append(faults, &types.ClusterDrsFaultsFaultsByVm{Vm: &ref, Fault: []types.LocalizedMethodFault{localized(why)}})
		}
	}
	c.advise(cluster, advised, faults)
}

func hostRef(id string) types.ManagedObjectReference {
	return types.ManagedObjectReference{Type: "HostSystem", Value: id}
}

func reasonOf(r placement.Rule) types.RecommendationReasonCode {
	switch r.Kind {
	case placement.Together:
		return types.RecommendationReasonCodeJointAffin
	case placement.OnHosts, placement.OffHosts:
		if r.Mandatory {
			return types.RecommendationReasonCodeVmHostHardAffinity
		}
		return types.RecommendationReasonCodeVmHostSoftAffinity
	}
	return types.RecommendationReasonCodeAntiAffin
}

// evacuationAdvice is what DRS recommends for a host on its way into maintenance
// mode, where it may not do it itself.
func (c *Center) evacuationAdvice(cluster *simulator.ClusterComputeResource, cfg *types.ClusterConfigInfoEx, site placement.Site, host types.ManagedObjectReference) []types.ClusterRecommendation {
	var out []types.ClusterRecommendation
	for _, v := range site.VMs {
		vm := types.ManagedObjectReference{Type: "VirtualMachine", Value: v.ID}
		level := behavior(cfg, vm)
		if v.Host != host.Value || !v.Active || v.Tied() || level == "" || level == types.DrsBehaviorFullyAutomated {
			continue
		}
		if to, ok := site.Choose(v, cluster.Self.Value, host.Value); ok {
			out = append(out, c.advice(cluster, c.vm(vm), v.Host, to, types.RecommendationReasonCodeHostMaint, "the host enters maintenance mode"))
		}
	}
	return out
}

func (c *Center) advice(cluster *simulator.ClusterComputeResource, vm *simulator.VirtualMachine, from, to string, reason types.RecommendationReasonCode, text string) types.ClusterRecommendation {
	ref := vm.Self
	return types.ClusterRecommendation{
		Type: string(types.RecommendationTypeV1), Rating: 5, Reason: string(reason), ReasonText: text, Target: &cluster.Self,
		Action: []types.BaseClusterAction{&types.ClusterMigrationAction{
			ClusterAction: types.ClusterAction{Type: string(types.ActionTypeMigrationV1), Target: &ref},
			DrsMigration:  &types.ClusterDrsMigration{Key: ref.Value, Vm: ref, Source: hostRef(from), Destination: hostRef(to)},
		}},
	}
}

// advise shows recommendations and faults; one that stays keeps its key.
func (c *Center) advise(cluster *simulator.ClusterComputeResource, advised []types.ClusterRecommendation, faults []types.BaseClusterDrsFaultsFaultsByVm) {
	c.locked(cluster, func(ctx *simulator.Context) {
		var changes []types.PropertyChange
		for i := range advised {
			a := &advised[i]
			j := slices.IndexFunc(cluster.Recommendation, func(old types.ClusterRecommendation) bool { return sameAdvice(old, *a) })
			if j >= 0 {
				a.Key, a.Time = cluster.Recommendation[j].Key, cluster.Recommendation[j].Time
				continue
			}
			a.Key, a.Time = strconv.Itoa(int(c.advices.Add(1))), time.Now()
		}
		if !slices.EqualFunc(cluster.Recommendation, advised, sameAdvice) {
			changes = append(changes, types.PropertyChange{Name: "recommendation", Val: advised})
		}
		if len(cluster.DrsFault) > 0 || len(faults) > 0 {
			fresh := []types.ClusterDrsFaults{}
			if len(faults) > 0 {
				fresh = append(fresh, types.ClusterDrsFaults{Reason: string(types.RecommendationReasonCodeAntiAffin), FaultsByVm: faults})
			}
			if !sameFaults(cluster.DrsFault, fresh) {
				changes = append(changes, types.PropertyChange{Name: "drsFault", Val: fresh})
			}
		}
		if len(changes) > 0 {
			c.reg.Update(ctx, cluster, changes)
		}
	})
}

func migrationOf(r types.ClusterRecommendation) *types.ClusterDrsMigration {
	if len(r.Action) == 1 {
		if m, ok := r.Action[0].(*types.ClusterMigrationAction); ok {
			return m.DrsMigration
		}
	}
	return nil
}

func sameAdvice(a, b types.ClusterRecommendation) bool {
	x, y := migrationOf(a), migrationOf(b)
	return x != nil && y != nil && a.Reason == b.Reason && x.Vm == y.Vm && x.Destination == y.Destination && x.Source == y.Source
}

func sameFaults(a, b []types.ClusterDrsFaults) bool {
	key := func(list []types.ClusterDrsFaults) (out []string) {
		for _, f := range list {
			for _, v := range f.FaultsByVm {
				by := v.GetClusterDrsFaultsFaultsByVm()
				out = append(out, by.Vm.Value+by.Fault[0].LocalizedMessage)
			}
		}
		return out
	}
	return slices.Equal(key(a), key(b))
}

// ApplyRecommendation makes the migration that was recommended.
func (r *clusterCalls) ApplyRecommendation(ctx *simulator.Context, req *types.ApplyRecommendation) soap.HasFault {
	c, cluster := r.c, r.c.cluster(req.This)
	var migration *types.ClusterDrsMigration
	c.locked(cluster, func(*simulator.Context) {
		for _, a := range cluster.Recommendation {
			if a.Key == req.Key {
				migration = migrationOf(a)
			}
		}
	})
	if migration == nil {
		return refuse[methods.ApplyRecommendationBody](argument("key"))
	}
	vm := c.vm(migration.Vm)
	c.task(ctx, vm, "ApplyRecommendation", "Drm.ExecuteVMotionLRO", func(ctx *simulator.Context, _ *simulator.Task) (types.AnyType, types.BaseMethodFault) {
		defer c.ops.lock(vm.Self)()
		return nil, c.migrate(ctx, vm, migration.Destination)
	})
	return done[methods.ApplyRecommendationBody]()
}

// RefreshRecommendation lets DRS look at once.
func (r *clusterCalls) RefreshRecommendation(*simulator.Context, *types.RefreshRecommendation) soap.HasFault {
	r.c.drsPass()
	return r.c.saved(done[methods.RefreshRecommendationBody]())
}
