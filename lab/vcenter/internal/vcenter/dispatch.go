package vcenter

import (
	"crypto/subtle"
	"reflect"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// Some clients send a reference in a field of any type as the base type, which
// the simulator does not know: it would decode it to nothing.
func init() { types.Add("ManagedObject", reflect.TypeFor[types.ManagedObjectReference]()) }

// receiver takes calls in place of every object of a kind. It is registered
// under a reference of its own, and dispatch points calls there. Its locker does
// nothing, so that its methods start without any object's lock: they may wait.
type receiver struct {
	// The simulator looks through all its objects, and stumbles over one that is
	// none of vSphere's types underneath.
	mo.ExtensibleManagedObject
	c *Center
}

// Lock and Unlock opt out of the simulator's lock around each call.
func (r *receiver) Lock() {}

// Unlock does nothing, see Lock.
func (r *receiver) Unlock() {}

type (
	vmCalls      struct{ receiver }
	hostCalls    struct{ receiver }
	clusterCalls struct{ receiver }
	poolCalls    struct{ receiver }
	folderCalls  struct{ receiver }
	fieldCalls   struct{ receiver }
	browserCalls struct{ receiver }
	taskCalls    struct{ receiver }
	searchCalls  struct{ receiver }
	centerCalls  struct{ receiver }

	eventCalls          struct{ receiver }
	eventCollectorCalls struct{ receiver }
	taskCollectorCalls  struct{ receiver }
)

// routes says for the type of an object and the name of a method who takes the call.
type routes map[string]map[string]types.ManagedObjectReference

func (r *receiver) bind(c *Center, kind string) {
	r.c, r.Self = c, types.ManagedObjectReference{Type: kind, Value: "lab"}
}

// connect registers the receivers and derives the routes from their methods:
// the request's type has the method's name.
func (c *Center) connect() {
	c.routes = routes{}
	for kind, r := range map[string]interface {
		mo.Reference
		bind(c *Center, kind string)
	}{
		"VirtualMachine": &vmCalls{}, "HostSystem": &hostCalls{}, "ClusterComputeResource": &clusterCalls{},
		"ResourcePool": &poolCalls{}, "Folder": &folderCalls{}, "CustomFieldsManager": &fieldCalls{},
		"EnvironmentBrowser": &browserCalls{}, "Task": &taskCalls{}, "SearchIndex": &searchCalls{},
		"Datacenter": &centerCalls{}, "EventManager": &eventCalls{},
		"EventHistoryCollector": &eventCollectorCalls{}, "TaskHistoryCollector": &taskCollectorCalls{},
	} {
		r.bind(c, "Lab"+kind)
		c.reg.Put(r)
		c.routes[kind] = map[string]types.ManagedObjectReference{}
		t := reflect.TypeOf(r)
		for i := range t.NumMethod() {
			if m := t.Method(i).Type; m.NumIn() == 3 && m.In(1) == reflect.TypeFor[*simulator.Context]() {
				c.routes[kind][m.In(2).Elem().Name()] = r.Reference()
			}
		}
	}
}

// dispatch is asked before every call. What it returns as a receiver counts
// only without a session, so it changes the call instead.
func (c *Center) dispatch(ctx *simulator.Context, m *simulator.Method) (mo.Reference, types.BaseMethodFault) {
	switch m.Name {
	case "LoginByToken", "LoginExtensionByCertificate", "ImpersonateUser":
		return nil, &types.InvalidLogin{} // the simulator asks no proof of these
	}
	sameValue(c.reg, m)
	if ctx.Session == nil {
		return nil, anonymous(m)
	}
	c.sessionCollector(ctx)
	if !spoken[m.Name] {
		if fault := c.refusals.take(m.Name); fault != nil {
			return nil, fault
		}
	}
	if to, ok := c.routes[m.This.Type][m.Name]; ok {
		if c.reg.Get(m.This) == nil && ctx.Session.Registry.Get(m.This) == nil {
			return nil, &types.ManagedObjectNotFound{Obj: m.This}
		}
		m.This = to
	}
	return nil, nil
}

// anonymous refuses to read the inventory without a login; a client may look at
// the service itself before it logs in.
func anonymous(m *simulator.Method) types.BaseMethodFault {
	for _, spec := range filterSpecs(m) {
		for _, o := range spec.ObjectSet {
			if o.Obj.Type != "ServiceInstance" && o.Obj.Type != "SessionManager" {
				return &types.NotAuthenticated{NoPermission: types.NoPermission{Object: &o.Obj, PrivilegeId: "System.View"}}
			}
		}
	}
	return nil
}

func filterSpecs(m *simulator.Method) []types.PropertyFilterSpec {
	switch b := m.Body.(type) {
	case *types.RetrieveProperties:
		return b.SpecSet
	case *types.RetrievePropertiesEx:
		return b.SpecSet
	case *types.CreateFilter:
		return []types.PropertyFilterSpec{b.Spec}
	}
	return nil
}

// sameValue lets a reference of the wrong type pass, as a vCenter does: it knows
// objects by value alone, and clients ask for a cluster as ComputeResource.
func sameValue(reg *simulator.Registry, m *simulator.Method) {
	for _, spec := range filterSpecs(m) {
		for i := range spec.ObjectSet {
			o := &spec.ObjectSet[i].Obj
			cluster := types.ManagedObjectReference{Type: "ClusterComputeResource", Value: o.Value}
			if o.Type == "ComputeResource" && reg.Get(cluster) != nil {
				*o = cluster
			}
		}
	}
}

func (c *Center) validLogin(req *types.Login) bool {
	right := subtle.ConstantTimeCompare([]byte(req.Password), []byte(c.cfg.Password)) == 1
	return strings.EqualFold(req.UserName, c.cfg.User) && right
}
