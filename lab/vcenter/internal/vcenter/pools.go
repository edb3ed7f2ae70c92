package vcenter

import (
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

func (c *Center) pool(ref types.ManagedObjectReference) *simulator.ResourcePool {
	p, _ := c.reg.Get(ref).(*simulator.ResourcePool)
	return p
}

// CreateResourcePool makes a pool that outlives a restart.
func (r *poolCalls) CreateResourcePool(ctx *simulator.Context, req *types.CreateResourcePool) (body soap.HasFault) {
	c, own, p := r.c, of(ctx), r.c.pool(req.This)
	c.tree.Lock()
	c.reg.WithLock(own, p, func() { body = p.CreateResourcePool(own, req) })
	c.tree.Unlock()
	if b := body.(*methods.CreateResourcePoolBody); b.Res != nil {
		made := c.pool(b.Res.Returnval)
		c.locked(made, func(*simulator.Context) {
			// The simulator's pools share what their summary points to.
			summary := *made.Summary.GetResourcePoolSummary()
			summary.Name = req.Name
			made.Summary = &summary
			made.Config.Entity = &made.Self
			made.Config.ScaleDescendantsShares = req.Spec.ScaleDescendantsShares
		})
		c.dirty.add(made.Self)
	}
	return c.saved(body)
}

// UpdateConfig changes a pool, with the settings that the simulator leaves out.
func (r *poolCalls) UpdateConfig(ctx *simulator.Context, req *types.UpdateConfig) (body soap.HasFault) {
	c, own, p := r.c, of(ctx), r.c.pool(req.This)
	if req.Name != "" {
		if fault := c.freePoolName(p, req.Name); fault != nil {
			return refuse[methods.UpdateConfigBody](fault)
		}
	}
	c.reg.WithLock(own, p, func() {
		body = p.UpdateConfig(own, req)
		if body.Fault() != nil {
			return
		}
		if req.Name != "" {
			summary := *p.Summary.GetResourcePoolSummary()
			summary.Name = req.Name
			c.reg.Update(own, p, []types.PropertyChange{{Name: "name", Val: req.Name}, {Name: "summary", Val: &summary}})
		}
		if spec := req.Config; spec != nil {
			if spec.ScaleDescendantsShares != "" {
				p.Config.ScaleDescendantsShares = spec.ScaleDescendantsShares
			}
			if e := spec.CpuAllocation.ExpandableReservation; e != nil {
				p.Config.CpuAllocation.ExpandableReservation = e
			}
			if e := spec.MemoryAllocation.ExpandableReservation; e != nil {
				p.Config.MemoryAllocation.ExpandableReservation = e
			}
		}
	})
	c.dirty.add(p.Self)
	c.pulse.send()
	return c.saved(body)
}

func (c *Center) freePoolName(p *simulator.ResourcePool, name string) types.BaseMethodFault {
	parent := c.pool(*p.Parent)
	if parent == nil {
		return nil
	}
	var siblings []types.ManagedObjectReference
	c.locked(parent, func(*simulator.Context) { siblings = slices.Clone(parent.ResourcePool.ResourcePool) })
	for _, ref := range siblings {
		if ref != p.Self && c.nameOf(ref) == name {
			return &types.DuplicateName{Name: name, Object: ref}
		}
	}
	return nil
}

// DestroyTask removes a pool; what was in it moves to its parent.
func (r *poolCalls) DestroyTask(ctx *simulator.Context, req *types.Destroy_Task) soap.HasFault {
	c, p := r.c, r.c.pool(req.This)
	return reply[methods.Destroy_TaskBody](c.task(ctx, p, "Destroy_Task", "ResourcePool.destroy",
		func(ctx *simulator.Context, _ *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			var inside []types.ManagedObjectReference
			c.locked(p, func(*simulator.Context) {
				inside = append(slices.Clone(p.Vm), p.ResourcePool.ResourcePool...)
			})
			_, fault := c.stockTree(ctx, p, func() soap.HasFault { return p.DestroyTask(ctx, req) })
			c.dirty.add(append(inside, p.Self)...)
			return nil, fault
		}))
}

// MoveIntoResourcePool moves virtual machines and pools into this one.
func (r *poolCalls) MoveIntoResourcePool(_ *simulator.Context, req *types.MoveIntoResourcePool) soap.HasFault {
	c, to := r.c, r.c.pool(req.This)
	for _, ref := range req.List {
		switch obj := c.reg.Get(ref).(type) {
		case *simulator.VirtualMachine:
			c.setPool(obj, to.Self)
		case *simulator.ResourcePool:
			from := c.pool(*obj.Parent)
			if from == nil || obj == to {
				return refuse[methods.MoveIntoResourcePoolBody](argument("list"))
			}
			c.relist(from, &from.ResourcePool.ResourcePool, to, &to.ResourcePool.ResourcePool, ref)
			c.update(obj, types.PropertyChange{Name: "parent", Val: &to.Self})
		default:
			return refuse[methods.MoveIntoResourcePoolBody](&types.ManagedObjectNotFound{Obj: ref})
		}
	}
	return c.saved(done[methods.MoveIntoResourcePoolBody]())
}
