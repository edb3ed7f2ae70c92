package vcenter

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/store"
)

// work is what a task does. It starts without any lock.
type work func(ctx *simulator.Context, t *simulator.Task) (types.AnyType, types.BaseMethodFault)

// task starts a task on the object and answers its reference. Not the
// simulator's Task.Run: that keeps the object's lock until the end, and readers
// would hang. The result is on disk before the task says success.
func (c *Center) task(ctx *simulator.Context, on mo.Reference, name, description string, run work) types.ManagedObjectReference {
	return c.start(ctx, on, name, description, false, run).Self
}

func (c *Center) start(ctx *simulator.Context, on mo.Reference, name, description string, cancelable bool, run work) *simulator.Task {
	ref := on.Reference()
	t := simulator.CreateTask(ref, name, nil)
	now := time.Now()
	t.Info.Name, t.Info.DescriptionId = name, description
	t.Info.State, t.Info.StartTime, t.Info.Cancelable = types.TaskInfoStateRunning, &now, cancelable
	t.Info.EntityName = c.nameOf(ref)
	if ctx.Session != nil && ctx.Session.UserName != "" {
		t.Info.Reason = &types.TaskReasonUser{UserName: ctx.Session.UserName}
	}
	// The simulator adds it to the object's recent tasks.
	c.reg.WithLock(c.ctx(), on, func() { c.reg.Put(t) })
	c.reg.AtomicUpdate(c.ctx(), t, []types.PropertyChange{
		{Name: "info.key", Val: t.Self.Value}, {Name: "info.task", Val: t.Self}})
	c.announce(ctx, t)

	own := of(ctx)
	c.running.Add(1)
	go func() {
		defer c.running.Done()
		res, fault := c.guarded(own, t, run)
		if err := c.commit(); err != nil && fault == nil {
			fault = systemError("The inventory could not be saved: " + err.Error())
		}
		c.end(t, res, fault)
	}()
	return t
}

// guarded turns a panic of the simulator, which asserts much, into a fault.
func (c *Center) guarded(ctx *simulator.Context, t *simulator.Task, run work) (res types.AnyType, fault types.BaseMethodFault) {
	defer func() {
		if p := recover(); p != nil {
			res, fault = nil, systemError(fmt.Sprintf("%s: %v", t.Info.Name, p))
			c.breakDown(p)
		}
	}()
	return run(ctx, t)
}

func (c *Center) end(t *simulator.Task, res types.AnyType, fault types.BaseMethodFault) {
	ctx := c.ctx()
	c.reg.WithLock(ctx, t, func() {
		if t.Info.State != types.TaskInfoStateRunning {
			return // cancelled meanwhile
		}
		changes := []types.PropertyChange{{Name: "info.completeTime", Val: time.Now()}}
		if fault != nil {
			changes = append(changes, types.PropertyChange{Name: "info.error", Val: localized(fault)},
				types.PropertyChange{Name: "info.state", Val: types.TaskInfoStateError})
		} else {
			changes = append(changes, types.PropertyChange{Name: "info.result", Val: res},
				types.PropertyChange{Name: "info.state", Val: types.TaskInfoStateSuccess})
		}
		c.reg.Update(ctx, t, changes)
	})
	c.noteTask(t)
}

// announce posts the event that every task begins with.
func (c *Center) announce(ctx *simulator.Context, t *simulator.Task) {
	info := types.TaskInfo{}
	c.locked(t, func(*simulator.Context) { info = t.Info })
	vm, _ := c.reg.Get(*info.Entity).(*simulator.VirtualMachine)
	host, _ := c.reg.Get(*info.Entity).(*simulator.HostSystem)
	e := &types.TaskEvent{Event: c.event(vm, host), Info: info}
	c.post(ctx, e)
	c.update(t, types.PropertyChange{Name: "info.eventChainId", Val: e.Key})
}

// noteTask writes a task that has ended into the history.
func (c *Center) noteTask(t *simulator.Task) {
	info := types.TaskInfo{}
	c.locked(t, func(*simulator.Context) { info = t.Info })
	text, err := oneLine(taskLine{info})
	if err == nil {
		err = c.taskLog.Append(text)
	}
	if err != nil && !errors.Is(err, store.ErrClosed) {
		c.logf("task %s: %v", info.Key, err)
	}
}

// canceled tells a long task that its caller gave it up.
func (c *Center) canceled(t *simulator.Task) bool {
	gone := false
	c.reg.WithLock(c.ctx(), t, func() { gone = t.Info.State != types.TaskInfoStateRunning })
	return gone
}

// CancelTask refuses where a vCenter's task cannot be cancelled either.
func (r *taskCalls) CancelTask(ctx *simulator.Context, req *types.CancelTask) soap.HasFault {
	t := r.c.reg.Get(req.This).(*simulator.Task)
	var body soap.HasFault
	r.c.reg.WithLock(ctx, t, func() {
		if t.Info.Cancelable || t.Info.State != types.TaskInfoStateRunning {
			body = t.CancelTask(ctx, req)
			return
		}
		body = refuse[methods.CancelTaskBody](&types.NotSupported{})
	})
	return body
}

// stock runs one of the simulator's own tasks to its end, under the object's
// lock as the simulator wants it, and gives its result.
func (c *Center) stock(ctx *simulator.Context, on mo.Reference, call func() soap.HasFault) (types.AnyType, types.BaseMethodFault) {
	var body soap.HasFault
	c.reg.WithLock(ctx, on, func() { body = call() })
	if f := body.Fault(); f != nil {
		return nil, faultOf(f)
	}
	ref := reflect.ValueOf(body).Elem().FieldByName("Res").Elem().FieldByName("Returnval").Interface().(types.ManagedObjectReference)
	t := c.reg.Get(ref).(*simulator.Task)
	t.Wait()
	var res types.AnyType
	var fault types.BaseMethodFault
	c.reg.WithLock(c.ctx(), t, func() {
		res = t.Info.Result
		if t.Info.Error != nil {
			fault = t.Info.Error.Fault
		}
	})
	return res, fault
}

// stockTree is stock for what changes folders, pools or disks: the simulator reads folders and
// datastores without their locks.
func (c *Center) stockTree(ctx *simulator.Context, on mo.Reference, call func() soap.HasFault) (types.AnyType, types.BaseMethodFault) {
	c.tree.Lock()
	defer c.tree.Unlock()
	return c.stock(ctx, on, call)
}

// reply answers a call with a managed object, mostly the task that it started.
func reply[Body any](ref types.ManagedObjectReference) soap.HasFault {
	body := new(Body)
	res := reflect.ValueOf(body).Elem().FieldByName("Res")
	val := reflect.New(res.Type().Elem())
	if field := val.Elem().FieldByName("Returnval"); field.IsValid() {
		field.Set(reflect.ValueOf(ref))
	}
	res.Set(val)
	return any(body).(soap.HasFault)
}

// done answers a call that returns nothing.
func done[Body any]() soap.HasFault {
	body := new(Body)
	res := reflect.ValueOf(body).Elem().FieldByName("Res")
	res.Set(reflect.New(res.Type().Elem()))
	return any(body).(soap.HasFault)
}

// refuse answers a call that fails at once.
func refuse[Body any](fault types.BaseMethodFault) soap.HasFault {
	body := new(Body)
	f := simulator.Fault(localized(fault).LocalizedMessage, fault)
	reflect.ValueOf(body).Elem().FieldByName("Fault_").Set(reflect.ValueOf(f))
	return any(body).(soap.HasFault)
}

// number is the counting part of a managed object's id.
func number(ref types.ManagedObjectReference) int64 {
	i := strings.LastIndexFunc(ref.Value, func(r rune) bool { return r < '0' || r > '9' })
	n, err := strconv.ParseInt(ref.Value[i+1:], 10, 64)
	if err != nil {
		return 0
	}
	return n
}
