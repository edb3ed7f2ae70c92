package placement_test

import (
	"testing"

	"permafrost.dev/lab/vcenter/internal/placement"
)

const gpu = "0000:3b:00.0"

// three hosts with a GPU each; a and b run on h1 and h2, held apart from c.
func site() placement.Site {
	host := func(id string) placement.Host {
		return placement.Host{ID: id, Name: id, Connected: true, Devices: []string{gpu}}
	}
	return placement.Site{
		Hosts: []placement.Host{host("h1"), host("h2"), host("h3")},
		VMs: []placement.VM{
			{ID: "a", Name: "a", Host: "h1", Active: true},
			{ID: "b", Name: "b", Host: "h2", Active: true, Devices: []string{gpu}, MemoryMiB: 1, ReservedMiB: 1},
			{ID: "c", Name: "c", Host: "h1"},
		},
		Rules: []placement.Rule{{Key: 1, Name: "keep-apart", Enabled: true, Mandatory: true, Members: []string{"a", "b", "c"}}},
	}
}

func TestMayRun(t *testing.T) {
	taking := placement.VM{ID: "d", Devices: []string{gpu}, MemoryMiB: 4096, ReservedMiB: 4096}
	unreserved, missing := taking, taking
	unreserved.ReservedMiB = 2048
	missing.Devices = []string{"0000:99:00.0"}
	free := func(*placement.Site) {}
	for _, c := range []struct {
		name   string
		vm     placement.VM
		host   string
		change func(*placement.Site)
		want   placement.Reason // -1: it may
	}{
		{"a free host", placement.VM{ID: "c"}, "h3", free, -1},
		{"a host of a rule's other member", placement.VM{ID: "c"}, "h1", free, placement.RuleBroken},
		{"the member there is off", placement.VM{ID: "c"}, "h1", func(s *placement.Site) { s.VMs[0].Active = false }, -1},
		{"the rule is disabled", placement.VM{ID: "c"}, "h1", func(s *placement.Site) { s.Rules[0].Enabled = false }, -1},
		{"the rule is a preference", placement.VM{ID: "c"}, "h1", func(s *placement.Site) { s.Rules[0].Mandatory = false }, -1},
		{"one that no rule names", placement.VM{ID: "d"}, "h1", free, -1},
		{"a device that nobody has", taking, "h1", free, -1},
		{"a device that another has", taking, "h2", free, placement.DeviceTaken},
		{"a device whose owner is off", taking, "h2", func(s *placement.Site) { s.VMs[1].Active = false }, -1},
		{"a device that is not there", missing, "h1", free, placement.DeviceMissing},
		{"a device without all memory", unreserved, "h1", free, placement.MemoryNotReserved},
		{"a closed host", placement.VM{ID: "d"}, "h3", func(s *placement.Site) { s.Hosts[2].Closed = true }, placement.HostClosed},
		{"a host that is down", placement.VM{ID: "d"}, "h3", func(s *placement.Site) { s.Hosts[2].Connected = false }, placement.HostDown},
		{"no such host", placement.VM{ID: "d"}, "h9", free, placement.NoHost},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := site()
			c.change(&s)
			got := s.MayRun(c.vm, c.host)
			switch {
			case got == nil && c.want != -1:
				t.Fatalf("allowed, want refusal %d", c.want)
			case got != nil && got.Reason != c.want:
				t.Fatalf("refused for %d (%s), want %d", got.Reason, got.Message, c.want)
			}
		})
	}
}

func TestChooseTakesTheEmptiestHostThatIsAllowed(t *testing.T) {
	s := site()
	if got, ok := s.Choose(placement.VM{}); !ok || got != "h3" {
		t.Errorf("new one: got %q, want h3, which has none", got)
	}
	s.Hosts[2].Closed = true
	if got, ok := s.Choose(placement.VM{}); !ok || got != "h2" {
		t.Errorf("h3 closed: got %q, want h2, which has one", got)
	}
	c, _ := s.VM("c")
	if got, ok := s.Choose(c); ok {
		t.Errorf("both open hosts have a member of its rule, but got %q", got)
	}
}

func TestChoosePrefersToKeepAPreference(t *testing.T) {
	s := site()
	s.Rules[0].Mandatory = false
	s.VMs = append(s.VMs, placement.VM{ID: "x", Host: "h3"}, placement.VM{ID: "y", Host: "h3"}, placement.VM{ID: "z", Host: "h3"})
	c, _ := s.VM("c")
	if got, _ := s.Choose(c); got != "h3" {
		t.Errorf("got %q, want the crowded h3, which breaks nothing", got)
	}
	s.Hosts[2].Closed = true
	if _, ok := s.Choose(c); !ok {
		t.Error("a preference must not keep it from running")
	}
}

func TestPowerOnMovesWhatMayMove(t *testing.T) {
	s := site()
	c, _ := s.VM("c")
	if got, refusal := s.PowerOn(c); refusal != nil || got != "h3" {
		t.Errorf("got %q, %v, want h3", got, refusal)
	}
	c.Devices, c.MemoryMiB, c.ReservedMiB = []string{gpu}, 1, 1
	if _, refusal := s.PowerOn(c); refusal == nil || refusal.Reason != placement.RuleBroken {
		t.Errorf("with a device it is bound to its host: got %v", refusal)
	}
}
