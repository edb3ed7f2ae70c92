package vcenter

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"
)

// survey notes what the configuration has made, before anything else is added.
func (c *Center) survey() {
	c.fixed = map[types.ManagedObjectReference]bool{}
	var lines []string
	for _, e := range c.reg.All("") {
		c.fixed[e.Reference()] = true
		lines = append(lines, e.Reference().String()+" "+c.nameOf(e.Reference()))
		c.seen(e.Reference())
	}
	slices.Sort(lines)
	c.ground = fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(lines, "\n"))))
}

// restore puts the saved objects back under their ids.
func (c *Center) restore() error {
	if c.state.Ground != c.ground {
		return errors.New("the saved inventory belongs to another configuration (hosts, names): " +
			"take the lab down, or put the former configuration back")
	}
	c.raise(c.state.Last)
	c.rules.Store(c.state.LastRule)
	c.names.of = c.state.Machines
	var made []mo.Entity
	for key, text := range c.state.Objects {
		e, err := c.revive(text)
		if err != nil {
			return fmt.Errorf("saved object %s: %w", key, err)
		}
		if e != nil {
			made = append(made, e)
		}
	}
	slices.SortFunc(made, func(a, b mo.Entity) int { return int(number(a.Reference()) - number(b.Reference())) })
	for _, e := range made {
		c.reg.Put(e)
	}
	for _, e := range made {
		if err := c.enlist(e); err != nil {
			return err
		}
	}
	for _, name := range c.state.Lost {
		for _, ref := range c.site.hosts {
			if c.nameOf(ref) == name {
				c.lost[ref] = time.Time{}
			}
		}
	}
	c.restoreTags(c.state.Tags)
	return c.restoreFields()
}

// raise lifts the simulator's counter, so that no id is ever given twice.
func (c *Center) raise(to int64) {
	c.last.Store(to)
	mark := &mo.Folder{}
	mark.Self = types.ManagedObjectReference{Type: "Folder", Value: fmt.Sprintf("group-%d", to+100)}
	c.reg.Put(mark)
	_ = c.reg.AlignCounter()
	c.reg.Remove(c.ctx(), mark.Self)
}

// revive makes an object of its XML; of one that exists it sets the properties.
func (c *Center) revive(text string) (mo.Entity, error) {
	var content types.ObjectContent
	dec := xml.NewDecoder(strings.NewReader(text))
	dec.TypeFunc = types.TypeFunc()
	if err := dec.Decode(&content); err != nil {
		return nil, err
	}
	if c.fixed[content.Obj] {
		var changes []types.PropertyChange
		for _, p := range content.PropSet {
			changes = append(changes, types.PropertyChange{Name: p.Name, Val: p.Val})
		}
		c.update(c.reg.Get(content.Obj), changes...)
		return nil, nil
	}
	list := []types.ObjectContent{content}
	switch content.Obj.Type {
	case "VirtualMachine":
		vm := &simulator.VirtualMachine{DataSets: map[string]*simulator.DataSet{}}
		err := mo.LoadObjectContent(list, &vm.VirtualMachine)
		return vm, err
	case "Folder":
		f := &simulator.Folder{}
		err := mo.LoadObjectContent(list, &f.Folder)
		return f, err
	case "ResourcePool":
		p := simulator.NewResourcePool(c.ctx())
		p.ResourcePool.ResourcePool = nil
		err := mo.LoadObjectContent(list, &p.ResourcePool)
		return p, err
	}
	return nil, fmt.Errorf("no object of the kind %s was expected", content.Obj.Type)
}

// enlist enters a revived object in the lists of those that hold it.
func (c *Center) enlist(e mo.Entity) error {
	ref, parent := e.Reference(), e.Entity().Parent
	if parent == nil {
		return fmt.Errorf("saved object %s has no parent", ref)
	}
	switch p := c.reg.Get(*parent).(type) {
	case *simulator.Folder:
		p.ChildEntity = append(p.ChildEntity, ref)
	case *simulator.ResourcePool:
		p.ResourcePool.ResourcePool = append(p.ResourcePool.ResourcePool, ref)
	default:
		return fmt.Errorf("the parent %s of saved object %s is gone", parent, ref)
	}
	vm, ok := e.(*simulator.VirtualMachine)
	if !ok {
		return nil
	}
	vm.Summary.Vm = &vm.Self
	if vm.Runtime.Host == nil || c.host(*vm.Runtime.Host) == nil {
		return fmt.Errorf("the host of saved virtual machine %s is gone", vm.Name)
	}
	h := c.host(*vm.Runtime.Host)
	h.Vm = append(h.Vm, ref)
	if vm.ResourcePool != nil {
		if p := c.pool(*vm.ResourcePool); p != nil {
			p.Vm = append(p.Vm, ref)
		}
	}
	for _, d := range vm.Datastore {
		if ds, ok := c.reg.Get(d).(*simulator.Datastore); ok {
			ds.Vm = append(ds.Vm, ref)
		}
	}
	return nil
}

// restoreFields defines the custom attributes again under their keys. The
// simulator counts its keys itself, so gaps are filled and taken away again.
func (c *Center) restoreFields() error {
	m, ctx := c.fields(), c.ctx()
	for _, def := range c.state.Fields {
		for tries := 0; ; tries++ {
			req := &types.AddCustomFieldDef{Name: def.Name, MoType: def.ManagedObjectType,
				FieldDefPolicy: def.FieldDefPrivileges, FieldPolicy: def.FieldInstancePrivileges}
			body := m.AddCustomFieldDef(ctx, req).(*methods.AddCustomFieldDefBody)
			if body.Res == nil || tries > 10000 || body.Res.Returnval.Key > def.Key {
				return fmt.Errorf("the custom attribute %s cannot be defined again", def.Name)
			}
			if body.Res.Returnval.Key == def.Key {
				break
			}
			m.RemoveCustomFieldDef(ctx, &types.RemoveCustomFieldDef{Key: body.Res.Returnval.Key})
		}
	}
	return nil
}
