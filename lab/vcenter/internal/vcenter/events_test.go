package vcenter_test

import (
	"slices"
	"testing"
	"time"

	"github.com/vmware/govmomi/event"
	"github.com/vmware/govmomi/task"
	"github.com/vmware/govmomi/vim25/types"
)

// events of the type so far; without one, all.
func (s *site) events(kind ...string) []types.BaseEvent {
	s.t.Helper()
	got, err := event.NewManager(s.client.Client).QueryEvents(ctx, types.EventFilterSpec{EventTypeId: kind})
	s.must(err)
	return got
}

func (s *site) posted(kind string) int { return len(s.events(kind)) }

func TestEventsTellWhatHappened(t *testing.T) {
	s := newSite(t)
	plain, gpu := s.clone("plain", 1, ""), s.clone("gpu", 1, gpuA)
	s.must(s.powerOn(plain))
	s.must(s.powerOn(gpu))
	entering, err := s.hosts[0].EnterMaintenanceMode(ctx, 0, false, nil)
	s.must(err)
	s.until("the one that may move has moved", func() bool { return s.posted("DrsVmMigratedEvent") == 1 })
	s.must(gpu.ShutdownGuest(ctx))
	s.must(wait(entering, nil))
	s.must(wait(s.hosts[0].ExitMaintenanceMode(ctx, 0)))
	s.must(wait(plain.PowerOff(ctx)))
	entering, err = s.hosts[0].EnterMaintenanceMode(ctx, 0, false, nil)
	s.must(wait(entering, err))
	refusedAs[*types.InvalidHostState](t, s.powerOn(gpu))

	for kind, want := range map[string]int{
		"VmStartingEvent": 2, "VmPoweredOnEvent": 2, "DrsVmPoweredOnEvent": 2, "VmGuestShutdownEvent": 1, "VmPoweredOffEvent": 2,
		"VmStoppingEvent": 1, "EnteringMaintenanceModeEvent": 2, "EnteredMaintenanceModeEvent": 2, "ExitMaintenanceModeEvent": 1,
		"VmBeingHotMigratedEvent": 1, "VmMigratedEvent": 1, "VmFailedToPowerOnEvent": 1,
	} {
		if got := s.posted(kind); got != want {
			t.Errorf("%d of %s, want %d", got, kind, want)
		}
	}
	moved := s.events("DrsVmMigratedEvent")[0].(*types.DrsVmMigratedEvent)
	if moved.SourceHost.Name != "esx-01" || moved.Host.Name == "esx-01" || moved.Vm.Name != "plain" || moved.ComputeResource.Name != "gpu-cluster" ||
		moved.FullFormattedMessage == "" || moved.UserName != "" {
		t.Errorf("the migration: %+v", moved)
	}
	if off := s.events("VmStoppingEvent")[0].GetEvent(); off.UserName != user {
		t.Errorf("by %q", off.UserName)
	}
	s.must(s.keepApart("keep-apart", plain, gpu))
	if got := s.events("ClusterReconfiguredEvent"); len(got) != 1 || got[0].GetEvent().ComputeResource.Name != "gpu-cluster" {
		t.Errorf("the cluster's change: %+v", got)
	}
	failed := s.events("VmFailedToPowerOnEvent")[0].(*types.VmFailedToPowerOnEvent)
	if _, ok := failed.Reason.Fault.(*types.InvalidHostState); !ok || failed.FullFormattedMessage == "" {
		t.Errorf("the failure: %+v", failed)
	}
}

func TestEventsOutliveARestart(t *testing.T) {
	s := newSite(t)
	vm := s.clone("m", 1, "")
	s.must(s.powerOn(vm))
	keys := func() (out []int32) {
		for _, e := range s.events("VmEvent") {
			out = append(out, e.GetEvent().Key)
		}
		slices.Sort(out)
		return out
	}
	before, created := keys(), s.events("VmPoweredOnEvent")[0].GetEvent().CreatedTime
	s.reopen()
	after := keys()
	if !slices.Equal(before, after) {
		t.Errorf("keys before %v, after %v", before, after)
	}
	if got := s.events("VmPoweredOnEvent")[0].GetEvent(); !got.CreatedTime.Equal(created) || got.Vm.Name != "m" {
		t.Errorf("the event: %+v", got)
	}
	if n := s.posted("DatacenterCreatedEvent"); n != 1 {
		t.Errorf("the datacenter was made %d times", n)
	}
	s.must(wait(s.vm("m").PowerOff(ctx)))
	fresh := s.events("VmPoweredOffEvent")[0].GetEvent().Key
	if fresh <= before[len(before)-1] {
		t.Errorf("key %d was given twice", fresh)
	}
}

func TestCollectorsFollowEventsByPage(t *testing.T) {
	s := newSite(t)
	vm := s.clone("m", 1, "")
	ref := vm.Reference()
	collector, err := event.NewManager(s.client.Client).CreateCollectorForEvents(ctx, types.EventFilterSpec{
		Entity: &types.EventFilterSpecByEntity{Entity: ref, Recursion: types.EventFilterSpecRecursionOptionSelf}, EventTypeId: []string{"VmPoweredOnEvent", "VmPoweredOffEvent"}})
	s.must(err)
	s.must(s.powerOn(vm))
	s.must(wait(vm.PowerOff(ctx)))
	s.must(collector.Rewind(ctx))
	var kinds []string
	for range 3 {
		page, err := collector.ReadNextEvents(ctx, 1)
		s.must(err)
		for _, e := range page {
			switch e.(type) {
			case *types.DrsVmPoweredOnEvent:
				kinds = append(kinds, "on")
			case *types.VmPoweredOffEvent:
				kinds = append(kinds, "off")
			}
		}
	}
	if !slices.Equal(kinds, []string{"on", "off"}) {
		t.Errorf("pages: %v", kinds)
	}
	s.must(collector.Destroy(ctx))
	// More than a vCenter keeps open at once, each destroyed while others are posted to.
	for range 40 {
		c, err := event.NewManager(s.client.Client).CreateCollectorForEvents(ctx, types.EventFilterSpec{})
		s.must(err)
		s.must(c.Destroy(ctx))
	}
}

func TestTheHistoryOfTasks(t *testing.T) {
	s := newSite(t)
	vm := s.clone("m", 1, gpuA)
	other := s.clone("n", 1, gpuA)
	s.must(s.powerOn(vm))
	refusedAs[*types.GenericVmConfigFault](t, s.powerOn(other))
	read := func(spec types.TaskFilterSpec) []types.TaskInfo {
		t.Helper()
		collector, err := task.NewManager(s.client.Client).CreateCollectorForTasks(ctx, spec)
		s.must(err)
		defer func() { s.must(collector.Destroy(ctx)) }()
		got, err := collector.ReadNextTasks(ctx, 100)
		s.must(err)
		return got
	}
	begun := time.Now().Add(-time.Hour)
	check := func(when string) {
		t.Helper()
		failed := read(types.TaskFilterSpec{State: []types.TaskInfoState{types.TaskInfoStateError},
			Time: &types.TaskFilterSpecByTime{TimeType: types.TaskFilterSpecTimeOptionStartedTime, BeginTime: &begun}})
		if len(failed) != 1 || failed[0].DescriptionId != "VirtualMachine.powerOn" || failed[0].EntityName != "n" || failed[0].Error == nil || failed[0].CompleteTime == nil {
			t.Errorf("%s, failed: %+v", when, failed)
		}
		of := read(types.TaskFilterSpec{Entity: &types.TaskFilterSpecByEntity{Entity: vm.Reference(), Recursion: types.TaskFilterSpecRecursionOptionSelf}})
		on := slices.IndexFunc(of, func(i types.TaskInfo) bool { return i.DescriptionId == "VirtualMachine.powerOn" })
		if on < 0 || of[on].State != types.TaskInfoStateSuccess || of[on].EventChainId == 0 {
			t.Errorf("%s, of the machine: %+v", when, of)
		}
		if reason, ok := of[on].Reason.(*types.TaskReasonUser); !ok || reason.UserName != user {
			t.Errorf("%s, by %+v", when, of[on].Reason)
		}
	}
	check("at once")
	s.reopen()
	check("after a restart")
}
