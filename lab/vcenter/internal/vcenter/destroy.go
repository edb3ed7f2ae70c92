package vcenter

import (
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// DestroyTask removes a virtual machine, its machine, and every mention of it.
func (r *vmCalls) DestroyTask(ctx *simulator.Context, req *types.Destroy_Task) soap.HasFault {
	vm := r.c.vm(req.This)
	return reply[methods.Destroy_TaskBody](r.c.task(ctx, vm, "Destroy_Task", "VirtualMachine.destroy",
		func(ctx *simulator.Context, _ *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			return nil, r.c.destroy(ctx, vm)
		}))
}

func (c *Center) destroy(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
	defer c.ops.lock(vm.Self)()
	if fault := c.mustReach(vm); fault != nil {
		return fault
	}
	if fault := c.mustBeOff(vm); fault != nil {
		return fault
	}
	template := false
	c.locked(vm, func(*simulator.Context) { template = vm.Config.Template })
	if !template {
		name, m := c.machine(vm)
		if err := c.hook.Do("destroy", name, m); err != nil {
			return configFault("Destroy failed: " + err.Error())
		}
	}
	_, fault := c.stockTree(ctx, vm, func() soap.HasFault {
		return vm.DestroyTask(ctx, &types.Destroy_Task{This: vm.Self})
	})
	if fault == nil {
		c.forget(vm.Self)
	}
	return fault
}

func (c *Center) mustBeOff(vm *simulator.VirtualMachine) (fault types.BaseMethodFault) {
	if c.reg.Get(vm.Self) == nil {
		return &types.ManagedObjectNotFound{Obj: vm.Self}
	}
	c.locked(vm, func(*simulator.Context) {
		if isOn(vm) {
			fault = powerState(poweredOn, poweredOff)
		}
	})
	return fault
}

// UnregisterVM takes a virtual machine out of the inventory and leaves its files.
func (r *vmCalls) UnregisterVM(ctx *simulator.Context, req *types.UnregisterVM) (body soap.HasFault) {
	c, vm := r.c, r.c.vm(req.This)
	defer c.ops.lock(vm.Self)()
	if fault := c.mustBeOff(vm); fault != nil {
		return refuse[methods.UnregisterVMBody](fault)
	}
	own := of(ctx)
	c.tree.Lock()
	c.reg.WithLock(own, vm, func() { body = vm.UnregisterVM(own, req) })
	c.tree.Unlock()
	if body.Fault() == nil {
		c.forget(vm.Self)
	}
	return c.saved(body)
}

// forget takes a virtual machine that is gone out of rules, groups, overrides
// and tags, as a vCenter does.
func (c *Center) forget(ref types.ManagedObjectReference) {
	for _, cluster := range c.clusters() {
		c.forgetIn(cluster, ref)
	}
	c.untag(ref)
	c.forgetMachine(ref)
	c.dirty.add(ref)
	c.dirty.add(c.site.clusters...)
	c.ops.forget(ref)
}

func (c *Center) forgetIn(cluster *simulator.ClusterComputeResource, ref types.ManagedObjectReference) {
	is := func(r types.ManagedObjectReference) bool { return r == ref }
	c.locked(cluster, func(ctx *simulator.Context) {
		cfg := *cluster.ConfigurationEx.(*types.ClusterConfigInfoEx)
		cfg.Rule = slices.Clone(cfg.Rule)
		for i, rule := range cfg.Rule {
			switch old := rule.(type) {
			case *types.ClusterAntiAffinityRuleSpec:
				rule := *old
				rule.Vm = slices.DeleteFunc(slices.Clone(rule.Vm), is)
				cfg.Rule[i] = &rule
			case *types.ClusterAffinityRuleSpec:
				rule := *old
				rule.Vm = slices.DeleteFunc(slices.Clone(rule.Vm), is)
				cfg.Rule[i] = &rule
			}
		}
		cfg.Group = slices.Clone(cfg.Group)
		for i, g := range cfg.Group {
			if old, ok := g.(*types.ClusterVmGroup); ok {
				group := *old
				group.Vm = slices.DeleteFunc(slices.Clone(group.Vm), is)
				cfg.Group[i] = &group
			}
		}
		cfg.DasVmConfig = slices.DeleteFunc(slices.Clone(cfg.DasVmConfig), func(v types.ClusterDasVmConfigInfo) bool { return v.Key == ref })
		cfg.DrsVmConfig = slices.DeleteFunc(slices.Clone(cfg.DrsVmConfig), func(v types.ClusterDrsVmConfigInfo) bool { return v.Key == ref })
		cfg.VmOrchestration = slices.DeleteFunc(slices.Clone(cfg.VmOrchestration), func(v types.ClusterVmOrchestrationInfo) bool { return v.Vm == ref })
		c.reg.Update(ctx, cluster, []types.PropertyChange{{Name: "configurationEx", Val: &cfg}})
	})
}
