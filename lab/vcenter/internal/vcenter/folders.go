package vcenter

import (
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// children of a folder, as they stand.
func (c *Center) children(folder types.ManagedObjectReference) []types.ManagedObjectReference {
	var out []types.ManagedObjectReference
	if f, ok := c.reg.Get(folder).(*simulator.Folder); ok {
		c.locked(f, func(*simulator.Context) { out = slices.Clone(f.ChildEntity) })
	}
	return out
}

func (c *Center) childNamed(folder types.ManagedObjectReference, name string) (types.ManagedObjectReference, bool) {
	for _, ref := range c.children(folder) {
		if c.nameOf(ref) == name {
			return ref, true
		}
	}
	return types.ManagedObjectReference{}, false
}

// CreateFolder makes a folder that outlives a restart.
func (r *folderCalls) CreateFolder(ctx *simulator.Context, req *types.CreateFolder) (body soap.HasFault) {
	own, f := of(ctx), r.c.reg.Get(req.This).(*simulator.Folder)
	r.c.tree.Lock()
	r.c.reg.WithLock(own, f, func() { body = f.CreateFolder(own, req) })
	r.c.tree.Unlock()
	return r.c.saved(body)
}

// MoveIntoFolderTask moves folders and virtual machines.
func (r *folderCalls) MoveIntoFolderTask(ctx *simulator.Context, req *types.MoveIntoFolder_Task) soap.HasFault {
	f := r.c.reg.Get(req.This).(*simulator.Folder)
	return reply[methods.MoveIntoFolder_TaskBody](r.c.task(ctx, f, "MoveIntoFolder_Task", "Folder.moveInto",
		func(ctx *simulator.Context, _ *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			return nil, r.c.moveIntoFolder(ctx, f.Self, req.List...)
		}))
}

func (c *Center) moveIntoFolder(ctx *simulator.Context, folder types.ManagedObjectReference, refs ...types.ManagedObjectReference) types.BaseMethodFault {
	f := c.reg.Get(folder).(*simulator.Folder)
	for _, ref := range refs {
		if _, ok := c.reg.Get(ref).(mo.Entity); !ok {
			return &types.ManagedObjectNotFound{Obj: ref}
		}
		if other, ok := c.childNamed(folder, c.nameOf(ref)); ok && other != ref {
			return &types.DuplicateName{Name: c.nameOf(ref), Object: other}
		}
	}
	_, fault := c.stockTree(ctx, f, func() soap.HasFault {
		return f.MoveIntoFolderTask(ctx, &types.MoveIntoFolder_Task{This: folder, List: refs})
	})
	c.dirty.add(refs...)
	return fault
}

// RenameTask renames a folder.
func (r *folderCalls) RenameTask(ctx *simulator.Context, req *types.Rename_Task) soap.HasFault {
	f := r.c.reg.Get(req.This).(*simulator.Folder)
	return reply[methods.Rename_TaskBody](r.c.task(ctx, f, "Rename_Task", "Folder.rename",
		func(ctx *simulator.Context, _ *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			return r.c.stockTree(ctx, f, func() soap.HasFault { return f.RenameTask(ctx, req) })
		}))
}

// DestroyTask removes a folder and, as a vCenter does, all that is in it.
func (r *folderCalls) DestroyTask(ctx *simulator.Context, req *types.Destroy_Task) soap.HasFault {
	f := r.c.reg.Get(req.This).(*simulator.Folder)
	return reply[methods.Destroy_TaskBody](r.c.task(ctx, f, "Destroy_Task", "Folder.destroy",
		func(ctx *simulator.Context, _ *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			return nil, r.c.destroyFolder(ctx, f)
		}))
}

func (c *Center) destroyFolder(ctx *simulator.Context, f *simulator.Folder) types.BaseMethodFault {
	if f.Parent == nil || f.Parent.Type == "Datacenter" || f.Self == c.site.vmFolder {
		return invalidState("This folder belongs to the datacenter.")
	}
	for _, ref := range c.children(f.Self) {
		var fault types.BaseMethodFault
		switch child := c.reg.Get(ref).(type) {
		case *simulator.VirtualMachine:
			fault = c.destroy(ctx, child)
		case *simulator.Folder:
			fault = c.destroyFolder(ctx, child)
		}
		if fault != nil {
			return fault
		}
	}
	_, fault := c.stockTree(ctx, f, func() soap.HasFault {
		return f.DestroyTask(ctx, &types.Destroy_Task{This: f.Self})
	})
	c.dirty.add(f.Self)
	return fault
}
