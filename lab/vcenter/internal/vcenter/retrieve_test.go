package vcenter_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// retrieve asks the collector; most: 0 for everything on one page.
func (s *site) retrieve(most int32, specs ...types.PropertyFilterSpec) []types.ObjectContent {
	s.t.Helper()
	this := s.client.ServiceContent.PropertyCollector
	first, err := methods.RetrievePropertiesEx(ctx, s.client, &types.RetrievePropertiesEx{
		This: this, SpecSet: specs, Options: types.RetrieveOptions{MaxObjects: most}})
	s.must(err)
	objects, token := first.Returnval.Objects, first.Returnval.Token
	for token != "" {
		if most == 0 {
			s.t.Fatal("several pages, and nobody asked for them")
		}
		next, err := methods.ContinueRetrievePropertiesEx(ctx, s.client, &types.ContinueRetrievePropertiesEx{This: this, Token: token})
		s.must(err)
		if n := len(next.Returnval.Objects); n == 0 || n > int(most) {
			s.t.Fatalf("%d objects on a page of %d", n, most)
		}
		objects, token = append(objects, next.Returnval.Objects...), next.Returnval.Token
	}
	return objects
}

// bySimulator has the simulator itself answer, copies and all: what is addressed
// within an array is left to it.
func bySimulator(spec types.PropertyFilterSpec) types.PropertyFilterSpec {
	spec.PropSet = append(slices.Clone(spec.PropSet), types.PropertySpec{Type: "NoObject", PathSet: []string{"array[1]"}})
	return spec
}

// inView is a filter on everything in the inventory.
func (s *site) inView(props ...types.PropertySpec) types.PropertyFilterSpec {
	s.t.Helper()
	v, err := view.NewManager(s.client.Client).CreateContainerView(ctx, s.client.ServiceContent.RootFolder, nil, true)
	s.must(err)
	through := &types.TraversalSpec{Type: "ContainerView", Path: "view", Skip: types.NewBool(false)}
	return types.PropertyFilterSpec{PropSet: props, ObjectSet: []types.ObjectSpec{
		{Obj: v.Reference(), Skip: types.NewBool(true), SelectSet: []types.BaseSelectionSpec{through}}}}
}

func everything(kind string) types.PropertySpec {
	return types.PropertySpec{Type: kind, All: types.NewBool(true)}
}

// The simulator's answers are what clients have always seen; ours are the same.
func TestAnswersAreTheSimulators(t *testing.T) {
	s := newSite(t)
	vm := s.clone("vm-1", 1, gpuA)
	s.must(s.keepApart("apart", vm, s.clone("vm-2", 2, gpuA)))
	s.must(s.powerOn(vm))
	service := types.PropertyFilterSpec{}
	// Not what says when it was last asked, nor what the simulator shares with the sites of other tests.
	left := []string{"SessionManager", "OptionManager"}
	for i, managers := 0, reflect.ValueOf(s.client.ServiceContent); i < managers.NumField(); i++ {
		if ref, ok := managers.Field(i).Interface().(*types.ManagedObjectReference); ok && ref != nil && !slices.Contains(left, ref.Type) {
			service.ObjectSet = append(service.ObjectSet, types.ObjectSpec{Obj: *ref})
			service.PropSet = append(service.PropSet, everything(ref.Type))
		}
	}
	tree := types.PropertyFilterSpec{
		PropSet: []types.PropertySpec{{Type: "ManagedEntity", PathSet: []string{"name", "parent"}}},
		ObjectSet: []types.ObjectSpec{{Obj: s.client.ServiceContent.RootFolder, SelectSet: []types.BaseSelectionSpec{
			&types.TraversalSpec{SelectionSpec: types.SelectionSpec{Name: "down"}, Type: "Folder", Path: "childEntity",
				SelectSet: []types.BaseSelectionSpec{&types.SelectionSpec{Name: "down"},
					&types.TraversalSpec{Type: "Datacenter", Path: "vmFolder", SelectSet: []types.BaseSelectionSpec{&types.SelectionSpec{Name: "down"}}}}}}}},
	}
	for name, spec := range map[string]types.PropertyFilterSpec{
		"all of all": s.inView(everything("ManagedEntity")),
		"service":    service,
		"tree":       tree,
		"paths": s.inView(types.PropertySpec{Type: "VirtualMachine", PathSet: []string{
			"name", "name", "config.uuid", "config.hardware.device", "config.template", "guest.ipAddress", "runtime.host",
			"config.memoryAllocation.reservation", "config.hardware.device.key", "config.nothing", "nothing", "", "config.",
			"snapshot.currentSnapshot", "config.vAppConfig.property", "datastore", "config.extraConfig", "summary", "customValue"}},
			types.PropertySpec{Type: "HostSystem", PathSet: []string{
				"hardware.pciDevice", "config.product.version", "runtime.inMaintenanceMode", "summary.hardware.uuid"}}),
	} {
		ours, theirs := s.retrieve(0, spec), s.retrieve(0, bySimulator(spec))
		if len(ours) < 4 {
			t.Errorf("%s: %d objects", name, len(ours))
		}
		if !reflect.DeepEqual(ours, theirs) {
			t.Errorf("%s: %s", name, firstDifference(ours, theirs))
		}
		if paged := s.retrieve(3, spec); !reflect.DeepEqual(paged, ours) {
			t.Errorf("%s: %d objects page by page, of %d", name, len(paged), len(ours))
		}
		old, err := methods.RetrieveProperties(ctx, s.client, &types.RetrieveProperties{
			This: s.client.ServiceContent.PropertyCollector, SpecSet: []types.PropertyFilterSpec{spec}})
		s.must(err)
		if !reflect.DeepEqual(old.Returnval, ours) {
			t.Errorf("%s: RetrieveProperties: %s", name, firstDifference(old.Returnval, ours))
		}
	}
}

func firstDifference(ours, theirs []types.ObjectContent) string {
	for i := range min(len(ours), len(theirs)) {
		a, b := asText(ours[i]), asText(theirs[i])
		if a == b {
			continue
		}
		for j, p := range ours[i].PropSet {
			if j >= len(theirs[i].PropSet) || asText(p) != asText(theirs[i].PropSet[j]) {
				return ours[i].Obj.String() + " " + asText(p)
			}
		}
		return a + " is not " + b
	}
	return "not as many objects"
}

func asText(v any) string {
	raw, _ := json.Marshal(v)
	return string(raw)
}

type fetchRequest struct {
	This types.ManagedObjectReference `xml:"_this"`
	Prop string                       `xml:"prop"`
}

type fetchResponse struct {
	Returnval types.AnyType `xml:"returnval,omitempty,typeattr"`
}

type fetchBody struct {
	Req    *fetchRequest  `xml:"urn:vim25 Fetch,omitempty"`
	Res    *fetchResponse `xml:"FetchResponse,omitempty"`
	Fault_ *soap.Fault    `xml:"http://schemas.xmlsoap.org/soap/envelope/ Fault,omitempty"`
}

func (b *fetchBody) Fault() *soap.Fault { return b.Fault_ }

// fetch reads one property as pyvmomi does.
func (s *site) fetch(of object.Reference, path string) (any, error) {
	var answer fetchBody
	if err := s.client.RoundTrip(ctx, &fetchBody{Req: &fetchRequest{of.Reference(), path}}, &answer); err != nil {
		return nil, err
	}
	if answer.Res == nil {
		s.t.Fatalf("%s: no answer", path)
	}
	return answer.Res.Returnval, nil
}

func TestOnePropertyIsFetched(t *testing.T) {
	s := newSite(t)
	vm := s.clone("vm-1", 1, gpuA)
	paths := []string{"name", "config", "config.hardware.device", "config.template", "runtime.powerState", "datastore", "summary", "resourcePool"}
	for _, p := range s.retrieve(0, types.PropertyFilterSpec{ObjectSet: []types.ObjectSpec{{Obj: vm.Reference()}},
		PropSet: []types.PropertySpec{{Type: "VirtualMachine", PathSet: paths}}})[0].PropSet {
		got, err := s.fetch(vm, p.Name)
		s.must(err)
		if !reflect.DeepEqual(got, p.Val) {
			t.Errorf("%s: %s", p.Name, asText(got))
		}
		paths = slices.DeleteFunc(paths, func(path string) bool { return path == p.Name })
	}
	if len(paths) > 0 {
		t.Errorf("not there: %s", paths)
	}
	if got, err := s.fetch(vm, "snapshot"); err != nil || got != nil {
		t.Errorf("what is not set: %v, %v", got, err)
	}
	if got, err := s.fetch(vm, "nothing"); err == nil {
		t.Errorf("what does not exist: %v", got)
	}
	gone := types.ManagedObjectReference{Type: "VirtualMachine", Value: "vm-0"}
	if got, err := s.fetch(gone, "name"); err == nil || !strings.Contains(err.Error(), "deleted") {
		t.Errorf("of nothing: %v, %v", got, err)
	}
}

// What is read is of one moment: it is written before anyone changes the object.
func TestReadWhileItChanges(t *testing.T) {
	s := newSite(t)
	vm := s.clone("vm-1", 1, gpuA)
	spec := s.inView(everything("VirtualMachine"))
	ended := make(chan error, 1)
	go func() {
		for i := range 15 {
			change := types.VirtualMachineConfigSpec{NumCPUs: int32(1 + i%2), Annotation: strings.Repeat("x", i+1),
				ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: "guestinfo.metadata", Value: strings.Repeat("y", i+1)}}}
			task, err := vm.Reconfigure(ctx, change)
			if err = wait(task, err); err != nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	for reads := 0; ; reads++ {
		select {
		case err := <-ended:
			s.must(err)
			if reads == 0 {
				t.Error("nothing was read meanwhile")
			}
			return
		default:
			if n := len(s.retrieve(0, spec)); n != 2 {
				t.Fatalf("%d machines, want the template and one more", n)
			}
		}
	}
}
