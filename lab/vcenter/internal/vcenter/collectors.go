package vcenter

import (
	"container/list"
	"reflect"
	"unsafe"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// DestroyCollector keeps those away who just post to all collectors: the
// simulator looks through them without a lock.
func (r *eventCollectorCalls) DestroyCollector(ctx *simulator.Context, req *types.DestroyCollector) soap.HasFault {
	return r.c.destroyCollector(ctx, r.c.reg.EventManager(), req)
}

// RewindCollector goes before the oldest; the simulator would skip it.
func (r *eventCollectorCalls) RewindCollector(ctx *simulator.Context, req *types.RewindCollector) soap.HasFault {
	return fromTheEdge[methods.RewindCollectorBody](ctx, req.This)
}

// ResetCollector goes behind the newest; the simulator would skip it.
func (r *eventCollectorCalls) ResetCollector(ctx *simulator.Context, req *types.ResetCollector) soap.HasFault {
	return fromTheEdge[methods.ResetCollectorBody](ctx, req.This)
}

// DestroyCollector is the same for tasks.
func (r *taskCollectorCalls) DestroyCollector(ctx *simulator.Context, req *types.DestroyCollector) soap.HasFault {
	return r.c.destroyCollector(ctx, r.c.reg.Get(r.c.svcContent().TaskManager.Reference()), req)
}

// RewindCollector is the same for tasks.
func (r *taskCollectorCalls) RewindCollector(ctx *simulator.Context, req *types.RewindCollector) soap.HasFault {
	return fromTheEdge[methods.RewindCollectorBody](ctx, req.This)
}

// ResetCollector is the same for tasks.
func (r *taskCollectorCalls) ResetCollector(ctx *simulator.Context, req *types.ResetCollector) soap.HasFault {
	return fromTheEdge[methods.ResetCollectorBody](ctx, req.This)
}

// fromTheEdge forgets which item was read last: the next read begins with the
// oldest, a read backwards with the newest.
func fromTheEdge[Body any](ctx *simulator.Context, ref types.ManagedObjectReference) soap.HasFault {
	var own *simulator.HistoryCollector
	obj := ctx.Session.Registry.Get(ref)
	switch c := obj.(type) {
	case *simulator.EventHistoryCollector:
		own = c.HistoryCollector
	case *simulator.TaskHistoryCollector:
		own = c.HistoryCollector
	default:
		return refuse[Body](&types.ManagedObjectNotFound{Obj: ref})
	}
	ctx.WithLock(obj, func() {
		pos := reflect.ValueOf(own).Elem().FieldByName("pos")
		*(**list.Element)(unsafe.Pointer(pos.UnsafeAddr())) = nil
	})
	return done[Body]()
}

func (c *Center) destroyCollector(ctx *simulator.Context, manager mo.Reference, req *types.DestroyCollector) (body soap.HasFault) {
	collector, ok := ctx.Session.Registry.Get(req.This).(interface {
		DestroyCollector(*simulator.Context, *types.DestroyCollector) soap.HasFault
	})
	if !ok {
		return refuse[methods.DestroyCollectorBody](&types.ManagedObjectNotFound{Obj: req.This})
	}
	own := of(ctx)
	c.reg.WithLock(own, manager, func() { body = collector.DestroyCollector(own, req) })
	return body
}
