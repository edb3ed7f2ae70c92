package vcenter

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"
)

// saved is the document on disk. Objects are kept as vSphere's own XML, as a
// client would read them.
type saved struct {
	Schema   int                    `json:"schema"`
	Instance string                 `json:"instance"`
	Ground   string                 `json:"ground"` // what the configuration made, see ground
	Last     int64                  `json:"last_id"`
	LastRule int32                  `json:"last_rule"`
	Objects  map[string]string      `json:"objects"`
	Fields   []types.CustomFieldDef `json:"fields"`
	Machines map[string]string      `json:"machines"`
	Lost     []string               `json:"lost_hosts"`
	Tags     tagState               `json:"tags"`
}

// keptProperties are those kept of the objects that the configuration makes;
// what came later is kept whole.
var keptProperties = map[string][]string{
	"VirtualMachine":              nil,
	"Folder":                      nil,
	"ResourcePool":                {"config"},
	"ClusterComputeResource":      {"configurationEx"},
	"HostSystem":                  {"runtime.inMaintenanceMode", "runtime.connectionState"},
	"Datacenter":                  nil,
	"Datastore":                   nil,
	"DistributedVirtualPortgroup": nil,
}

// ofAll are kept of every object.
var ofAll = []string{"name", "customValue", "value"}

// commit writes what has changed. The caller holds no object's lock.
func (c *Center) commit() error {
	c.showUsers()
	if err := c.flushEvents(); err != nil {
		return err
	}
	c.saving.Lock()
	defer c.saving.Unlock()
	refs, all := c.dirty.take()
	if all {
		refs = map[types.ManagedObjectReference]bool{}
		for kind := range keptProperties {
			for _, e := range c.reg.All(kind) {
				refs[e.Reference()] = true
			}
		}
	}
	if err := c.write(refs); err != nil {
		for ref := range refs {
			c.dirty.add(ref)
		}
		return err
	}
	return nil
}

func (c *Center) write(refs map[types.ManagedObjectReference]bool) error {
	if c.state.Objects == nil {
		c.state.Objects = map[string]string{}
	}
	if err := c.pick(refs); err != nil {
		return err
	}
	c.state.Schema, c.state.Ground = 1, c.ground
	c.state.Last, c.state.LastRule = c.last.Load(), c.rules.Load()
	m := c.fields()
	c.locked(m, func(*simulator.Context) { c.state.Fields = append([]types.CustomFieldDef{}, m.Field...) })
	c.names.mu.Lock()
	c.state.Machines = maps.Clone(c.names.of)
	c.names.mu.Unlock()
	c.state.Lost = c.lostHosts()
	c.state.Tags = c.tagState()
	return c.store.Save(&c.state)
}

// pick takes objects up as they are now. The simulator registers what it makes
// before it has given it all its settings, and without its lock: meanwhile
// nothing is read.
func (c *Center) pick(refs map[types.ManagedObjectReference]bool) error {
	c.tree.Lock()
	defer c.tree.Unlock()
	for ref := range refs {
		if _, kept := keptProperties[ref.Type]; !kept {
			continue
		}
		text, err := c.picked(ref)
		if err != nil {
			return fmt.Errorf("%s: %w", ref, err)
		}
		if text == "" {
			delete(c.state.Objects, ref.String())
		} else {
			c.state.Objects[ref.String()] = text
		}
	}
	return nil
}

// picked is an object as XML, or nothing where there is none any more.
func (c *Center) picked(ref types.ManagedObjectReference) (string, error) {
	obj, ok := c.reg.Get(ref).(mo.Entity)
	if !ok {
		return "", nil
	}
	spec := types.PropertySpec{Type: ref.Type, All: types.NewBool(true)}
	if c.fixed[ref] {
		spec = types.PropertySpec{Type: ref.Type, PathSet: append(append([]string{}, ofAll...), keptProperties[ref.Type]...)}
	}
	ctx := c.ctx()
	var out bytes.Buffer
	var err error
	c.reg.WithLock(ctx, obj, func() {
		pc := &simulator.PropertyCollector{}
		body, ok := pc.RetrievePropertiesEx(ctx, &types.RetrievePropertiesEx{SpecSet: []types.PropertyFilterSpec{{
			PropSet: []types.PropertySpec{spec}, ObjectSet: []types.ObjectSpec{{Obj: ref}},
		}}}).(*methods.RetrievePropertiesExBody)
		if !ok || body.Res == nil || len(body.Res.Returnval.Objects) != 1 {
			return // removed meanwhile
		}
		content := body.Res.Returnval.Objects[0]
		content.PropSet = withoutDerived(ref.Type, content.PropSet)
		err = xml.NewEncoder(&out).Encode(content)
	})
	return out.String(), err
}

// derived lists what is not kept: it follows from what others say of themselves.
var derived = map[string][]string{
	"VirtualMachine": {"recentTask", "availableField", "effectiveRole"},
	"Folder":         {"recentTask", "availableField", "effectiveRole", "childEntity"},
	"ResourcePool":   {"recentTask", "availableField", "effectiveRole", "resourcePool", "vm"},
}

func withoutDerived(kind string, props []types.DynamicProperty) []types.DynamicProperty {
	return slices.DeleteFunc(props, func(p types.DynamicProperty) bool { return slices.Contains(derived[kind], p.Name) })
}

// saved gives an answer only after what it says is on disk.
func (c *Center) saved(body soap.HasFault) soap.HasFault {
	if body.Fault() != nil {
		return body
	}
	if err := c.commit(); err != nil {
		return &unsaved{simulator.Fault(err.Error(), systemError("The inventory could not be saved: "+err.Error()))}
	}
	return body
}

// unsaved is the answer to any call whose result could not be kept.
type unsaved struct {
	Reason *soap.Fault `xml:"http://schemas.xmlsoap.org/soap/envelope/ Fault,omitempty"`
}

// Fault makes it an answer.
func (u *unsaved) Fault() *soap.Fault { return u.Reason }
