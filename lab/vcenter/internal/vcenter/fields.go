package vcenter

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

func (c *Center) fields() *simulator.CustomFieldsManager { return c.reg.CustomFieldsManager() }

// onFields runs one of the simulator's calls on custom attributes and saves.
func (c *Center) onFields(ctx *simulator.Context, touched []types.ManagedObjectReference, call func(*simulator.Context, *simulator.CustomFieldsManager) soap.HasFault) (body soap.HasFault) {
	own, m := of(ctx), c.fields()
	c.reg.WithLock(own, m, func() { body = call(own, m) })
	c.dirty.add(touched...)
	c.pulse.send()
	return c.saved(body)
}

// entities are all objects that can carry custom attributes.
func (c *Center) entities() []types.ManagedObjectReference {
	var out []types.ManagedObjectReference
	for _, e := range c.reg.All("") {
		out = append(out, e.Reference())
	}
	return out
}

// AddCustomFieldDef defines an attribute.
func (r *fieldCalls) AddCustomFieldDef(ctx *simulator.Context, req *types.AddCustomFieldDef) soap.HasFault {
	return r.c.onFields(ctx, r.c.entities(), func(ctx *simulator.Context, m *simulator.CustomFieldsManager) soap.HasFault {
		return m.AddCustomFieldDef(ctx, req)
	})
}

// RemoveCustomFieldDef removes an attribute and its values.
func (r *fieldCalls) RemoveCustomFieldDef(ctx *simulator.Context, req *types.RemoveCustomFieldDef) soap.HasFault {
	return r.c.onFields(ctx, r.c.entities(), func(ctx *simulator.Context, m *simulator.CustomFieldsManager) soap.HasFault {
		return m.RemoveCustomFieldDef(ctx, req)
	})
}

// RenameCustomFieldDef renames an attribute.
func (r *fieldCalls) RenameCustomFieldDef(ctx *simulator.Context, req *types.RenameCustomFieldDef) soap.HasFault {
	return r.c.onFields(ctx, r.c.entities(), func(ctx *simulator.Context, m *simulator.CustomFieldsManager) soap.HasFault {
		return m.RenameCustomFieldDef(ctx, req)
	})
}

// SetField sets an attribute of one object.
func (r *fieldCalls) SetField(ctx *simulator.Context, req *types.SetField) soap.HasFault {
	if _, ok := r.c.reg.Get(req.Entity).(mo.Entity); !ok {
		return refuse[methods.SetFieldBody](&types.ManagedObjectNotFound{Obj: req.Entity})
	}
	return r.c.onFields(ctx, []types.ManagedObjectReference{req.Entity}, func(ctx *simulator.Context, m *simulator.CustomFieldsManager) soap.HasFault {
		return m.SetField(ctx, req)
	})
}

// SetCustomValue sets an attribute by its name.
func (r *vmCalls) SetCustomValue(ctx *simulator.Context, req *types.SetCustomValue) soap.HasFault {
	return r.c.onFields(ctx, []types.ManagedObjectReference{req.This}, func(ctx *simulator.Context, _ *simulator.CustomFieldsManager) soap.HasFault {
		return simulator.SetCustomValue(ctx, req)
	})
}

// SetCustomValue sets an attribute by its name.
func (r *folderCalls) SetCustomValue(ctx *simulator.Context, req *types.SetCustomValue) soap.HasFault {
	return r.c.onFields(ctx, []types.ManagedObjectReference{req.This}, func(ctx *simulator.Context, _ *simulator.CustomFieldsManager) soap.HasFault {
		return simulator.SetCustomValue(ctx, req)
	})
}
