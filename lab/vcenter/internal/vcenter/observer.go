package vcenter

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// observer hears of every object put, changed or removed, whichever method did
// it. It must never wait: the object's lock is held.
type observer struct{ c *Center }

func (*observer) Reference() types.ManagedObjectReference {
	return types.ManagedObjectReference{Type: "LabObserver", Value: "lab"}
}

// PutObject notes the id, and completes what clients could not read.
func (o *observer) PutObject(_ *simulator.Context, obj mo.Reference) {
	switch v := obj.(type) {
	case *simulator.VirtualMachine:
		complete(v)
	case *simulator.Task:
		// The simulator's own names are no methods, and clients look them up as such.
		if v.Info.State == types.TaskInfoStateQueued {
			v.Info.Name = ""
		}
	}
	o.c.seen(obj.Reference())
	o.changed(obj.Reference())
}

// UpdateObject notes what has to be saved, and wakes the waiting clients.
func (o *observer) UpdateObject(_ *simulator.Context, obj mo.Reference, _ []types.PropertyChange) {
	o.changed(obj.Reference())
}

// RemoveObject does the same.
func (o *observer) RemoveObject(_ *simulator.Context, ref types.ManagedObjectReference) {
	o.changed(ref)
}

func (o *observer) changed(ref types.ManagedObjectReference) {
	if _, kept := keptProperties[ref.Type]; kept {
		o.c.dirty.add(ref)
	}
	o.c.pulse.send()
}

// seen keeps the highest number ever given to an object.
func (c *Center) seen(ref types.ManagedObjectReference) {
	n := number(ref)
	for {
		last := c.last.Load()
		if n <= last || n > 1<<40 || c.last.CompareAndSwap(last, n) {
			return
		}
	}
}
