package vcenter_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vapi/tags"
	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/config"
	"permafrost.dev/lab/vcenter/internal/vcenter"
)

// shape is what has to be the same after a restart.
func (s *site) shape() string {
	s.t.Helper()
	out := map[string]any{"configuration": s.configuration()}
	for _, name := range []string{"debian-13", "nodes/a", "b"} {
		vm := s.read(s.vm(name))
		vm.RecentTask, vm.Value, vm.AvailableField = nil, nil, nil
		out[name] = vm
	}
	for _, h := range s.hosts {
		out[h.Reference().Value], _ = h.ObjectName(ctx)
	}
	raw, err := json.Marshal(out)
	s.must(err)
	return string(raw)
}

func TestARestartChangesNothing(t *testing.T) {
	s := newSite(t)
	nodes, err := s.folder().CreateFolder(ctx, "nodes")
	s.must(err)
	a, b := s.clone("a", 1, gpuA), s.clone("b", 2, gpuB)
	s.must(wait(nodes.MoveInto(ctx, []types.ManagedObjectReference{a.Reference()})))
	s.must(s.keepApart("keep-apart", a, b))
	s.must(s.reconfigure(types.ClusterConfigSpecEx{DasVmConfigSpec: []types.ClusterDasVmConfigSpec{{
		ArrayUpdateSpec: types.ArrayUpdateSpec{Operation: "add"},
		Info:            &types.ClusterDasVmConfigInfo{Key: a.Reference(), DasSettings: &types.ClusterDasVmSettings{RestartPriority: "high"}}}}}))
	s.must(s.powerOn(a))

	fields, err := object.GetCustomFieldsManager(s.client.Client)
	s.must(err)
	gap, err := fields.Add(ctx, "gone", "VirtualMachine", nil, nil)
	s.must(err)
	s.must(fields.Remove(ctx, gap.Key))
	owner, err := fields.Add(ctx, "owner", "VirtualMachine", nil, nil)
	s.must(err)
	s.must(fields.Set(ctx, a.Reference(), owner.Key, "permafrost"))
	s.must(fields.Set(ctx, s.folder().Reference(), owner.Key, "on a folder"))

	r := rest.NewClient(s.client.Client)
	s.must(r.Login(ctx, s.url(password).User))
	category, err := tags.NewManager(r).CreateCategory(ctx, &tags.Category{Name: "role", Cardinality: "SINGLE"})
	s.must(err)
	tag, err := tags.NewManager(r).CreateTag(ctx, &tags.Tag{Name: "chat", CategoryID: category})
	s.must(err)
	s.must(tags.NewManager(r).AttachTag(ctx, tag, a.Reference()))

	before := s.shape()
	s.reopen()
	if after := s.shape(); after != before {
		t.Errorf("before and after a restart:\n%s\n%s", before, after)
	}
	vm := s.read(s.vm("nodes/a"))
	if len(vm.CustomValue) != 1 || vm.CustomValue[0].(*types.CustomFieldStringValue).Value != "permafrost" || len(vm.AvailableField) != 1 {
		t.Errorf("custom attributes: %+v of %+v", vm.CustomValue, vm.AvailableField)
	}
	fields, err = object.GetCustomFieldsManager(s.client.Client)
	s.must(err)
	if key, err := fields.FindKey(ctx, "owner"); err != nil || key != owner.Key {
		t.Errorf("the attribute's key was %d and is %d, %v", owner.Key, key, err)
	}
	r = rest.NewClient(s.client.Client)
	s.must(r.Login(ctx, s.url(password).User))
	attached, err := tags.NewManager(r).GetAttachedTags(ctx, a.Reference())
	if err != nil || len(attached) != 1 || attached[0].ID != tag || attached[0].CategoryID != category {
		t.Errorf("tags: %+v, %v", attached, err)
	}
	refusedAs[*types.InvalidPowerState](t, s.powerOn(s.vm("nodes/a")))
	if ref := s.clone("c", 0, "").Reference(); ref == a.Reference() || ref == b.Reference() {
		t.Errorf("the id %s was given twice", ref)
	}
}

func TestIdsAreNotGivenAgain(t *testing.T) {
	s := newSite(t)
	vm := s.clone("m", 1, "")
	s.must(wait(vm.Destroy(ctx)))
	s.reopen()
	if again := s.clone("m", 1, ""); again.Reference() == vm.Reference() {
		t.Errorf("%s stands for another virtual machine after a restart", again.Reference())
	}
}

func TestAfterARestartThePowerStateIsWhatRuns(t *testing.T) {
	s := newSite(t)
	a, b := s.clone("a", 1, ""), s.clone("b", 1, "")
	s.must(s.powerOn(a))
	s.close()
	s.must(os.WriteFile(filepath.Join(s.dir, "m.a"), []byte("off"), 0o600))
	s.must(os.WriteFile(filepath.Join(s.dir, "m.b"), []byte("on"), 0o600))
	s.open()
	if s.isOn(s.vm("a")) || !s.isOn(s.vm("b")) {
		t.Error("the power states do not follow the machines")
	}
	s.until("the address of one that came up meanwhile", func() bool {
		return s.read(object.NewVirtualMachine(s.client.Client, b.Reference())).Guest.IpAddress != ""
	})
}

// What a client has been told was done is on disk, whatever comes after.
func TestATaskIsAnsweredOnlyWhenSaved(t *testing.T) {
	s := newSite(t)
	vm := s.clone("m", 1, "")
	state := filepath.Join(s.cfg.StateDir, "inventory.json")
	s.must(wait(vm.Reconfigure(ctx, types.VirtualMachineConfigSpec{Annotation: "kept"})))
	raw, err := os.ReadFile(state)
	s.must(err)
	if !strings.Contains(string(raw), "kept") {
		t.Error("the answer came before the disk")
	}
	s.must(os.Mkdir(state+".new", 0o700)) // nothing can be saved any more
	if err := wait(vm.Reconfigure(ctx, types.VirtualMachineConfigSpec{Annotation: "lost"})); err == nil || !strings.Contains(err.Error(), "could not be saved") {
		t.Errorf("got %v", err)
	}
	if _, err := s.folder().CreateFolder(ctx, "lost"); err == nil {
		t.Error("a folder that is on no disk was made")
	}
	s.must(os.Remove(state + ".new"))
	s.must(wait(vm.Reconfigure(ctx, types.VirtualMachineConfigSpec{Annotation: "again"})))
}

func TestAnotherConfigurationIsRefused(t *testing.T) {
	s := newSite(t)
	s.close()
	other := *s.cfg
	other.Hosts = append([]config.Host{{Name: "esx-00"}}, other.Hosts...)
	opening.Lock()
	c, err := vcenter.Open(&other)
	opening.Unlock()
	if err == nil || !strings.Contains(err.Error(), "another configuration") {
		t.Errorf("got %v", err)
		if c != nil {
			_ = c.Close()
		}
	}
	s.open()
}

func TestAFirstStartThatWasKilledLeavesNothingInTheWay(t *testing.T) {
	s := newSite(t)
	s.close()
	s.must(os.Remove(filepath.Join(s.cfg.StateDir, "inventory.json")))
	s.open()
	s.must(s.powerOn(s.clone("m", 1, gpuA)))
}

// The race detector sees whoever reads a machine that is being made.
func TestWhatIsBeingMadeIsNotWrittenDownHalf(t *testing.T) {
	s := newSite(t)
	var others []*object.VirtualMachine
	for i := range 4 {
		others = append(others, s.clone(fmt.Sprintf("other%d", i), 1, ""))
	}
	var made atomic.Bool
	var group sync.WaitGroup
	for _, vm := range others {
		group.Go(func() {
			for !made.Load() && !t.Failed() {
				if err := wait(vm.Reconfigure(ctx, types.VirtualMachineConfigSpec{Annotation: "again"})); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 15 {
		s.clone(fmt.Sprintf("m%d", i), 1, "")
	}
	made.Store(true)
	group.Wait()
}
