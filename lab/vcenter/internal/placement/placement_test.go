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
	if got, ok := s.Choose(placement.VM{}, ""); !ok || got != "h3" {
		t.Errorf("new one: got %q, want h3, which has none", got)
	}
	s.Hosts[2].Closed = true
	if got, ok := s.Choose(placement.VM{}, ""); !ok || got != "h2" {
		t.Errorf("h3 closed: got %q, want h2, which has one", got)
	}
	c, _ := s.VM("c")
	if got, ok := s.Choose(c, ""); ok {
		t.Errorf("both open hosts have a member of its rule, but got %q", got)
	}
}

func TestChoosePrefersToKeepAPreference(t *testing.T) {
	s := site()
	s.Rules[0].Mandatory = false
	s.VMs = append(s.VMs, placement.VM{ID: "x", Host: "h3"}, placement.VM{ID: "y", Host: "h3"}, placement.VM{ID: "z", Host: "h3"})
	c, _ := s.VM("c")
	if got, _ := s.Choose(c, ""); got != "h3" {
		t.Errorf("got %q, want the crowded h3, which breaks nothing", got)
	}
	s.Hosts[2].Closed = true
	if _, ok := s.Choose(c, ""); !ok {
		t.Error("a preference must not keep it from running")
	}
}

func TestPowerOnMovesWhatMayMove(t *testing.T) {
	s := site()
	c, _ := s.VM("c")
	if got, refusal := s.PowerOn(c, true); refusal != nil || got != "h3" {
		t.Errorf("got %q, %v, want h3", got, refusal)
	}
	c.Devices, c.MemoryMiB, c.ReservedMiB = []string{gpu}, 1, 1
	if _, refusal := s.PowerOn(c, true); len(refusal) != 1 || refusal[0].Why.Reason != placement.RuleBroken {
		t.Errorf("with a device it is bound to its host: got %v", refusal)
	}
}

func TestResourcesThatAreReserved(t *testing.T) {
	s := site()
	s.Hosts[2].MemoryMiB, s.Hosts[2].CPUMHz = 1000, 2000
	s.VMs = append(s.VMs, placement.VM{ID: "x", Host: "h3", Active: true, ReservedMiB: 600, ReservedMHz: 1500})
	for _, c := range []struct {
		name string
		vm   placement.VM
		want placement.Reason
	}{
		{"memory", placement.VM{ID: "d", ReservedMiB: 500}, placement.NoMemory},
		{"CPU", placement.VM{ID: "d", ReservedMHz: 600}, placement.NoCPU},
	} {
		if r := s.MayRun(c.vm, "h3"); r == nil || r.Reason != c.want || r.Requested <= r.Available {
			t.Errorf("%s: got %+v", c.name, r)
		}
	}
	if r := s.MayRun(placement.VM{ID: "d", ReservedMiB: 400, ReservedMHz: 500}, "h3"); r != nil {
		t.Errorf("what fits exactly: %v", r)
	}
	s.VMs[len(s.VMs)-1].Active = false
	if r := s.MayRun(placement.VM{ID: "d", ReservedMiB: 1000}, "h3"); r != nil {
		t.Errorf("one that is off reserves nothing: %v", r)
	}
}

func TestRulesOfHosts(t *testing.T) {
	for _, c := range []struct {
		kind      placement.Kind
		mandatory bool
		h1, h2    bool // may c run there
	}{
		{placement.OnHosts, true, true, false},
		{placement.OffHosts, true, false, true},
		{placement.OnHosts, false, true, true},
	} {
		s := site()
		s.Rules = []placement.Rule{{Key: 7, Kind: c.kind, Enabled: true, Mandatory: c.mandatory, Members: []string{"c"}, Hosts: []string{"h1"}}}
		for host, want := range map[string]bool{"h1": c.h1, "h2": c.h2} {
			r := s.MayRun(placement.VM{ID: "c"}, host)
			if (r == nil) != want || (r != nil && (r.Reason != placement.HostRuleBroken || r.Rule != 7)) {
				t.Errorf("kind %d, mandatory %v, on %s: %+v", c.kind, c.mandatory, host, r)
			}
		}
		if got, _ := s.Choose(placement.VM{ID: "c"}, ""); c.kind == placement.OnHosts && got != "h1" {
			t.Errorf("kind %d, mandatory %v: chose %s, want h1", c.kind, c.mandatory, got)
		}
	}
}

func TestTogether(t *testing.T) {
	s := site()
	s.Rules = []placement.Rule{{Kind: placement.Together, Enabled: true, Mandatory: true, Members: []string{"a", "c"}}}
	if s.MayRun(placement.VM{ID: "c"}, "h1") != nil || s.MayRun(placement.VM{ID: "c"}, "h3") == nil {
		t.Error("it belongs beside the other member and nowhere else")
	}
	s.Hosts[0].Closed = true
	if r := s.MayRun(placement.VM{ID: "c"}, "h3"); r != nil {
		t.Errorf("the other member has to come away itself: %v", r)
	}
}

func TestCorrections(t *testing.T) {
	s := site()
	s.VMs[2].Active = true // c beside a on h1; b, which is tied, on h2
	moves, stuck := s.Corrections()
	if len(moves) != 1 || moves[0].To != "h3" || len(stuck) != 0 {
		t.Errorf("moves %+v, stuck %+v: want one of a and c on h3, and nobody stuck", moves, stuck)
	}
	s.Hosts[2].Closed = true
	if moves, stuck = s.Corrections(); len(moves) != 0 || len(stuck) != 2 {
		t.Errorf("with h3 closed: moves %+v, stuck %+v", moves, stuck)
	}
	s = site()
	s.VMs[1].Host, s.VMs[1].Devices = "h1", []string{gpu}
	s.VMs[0].Devices = []string{gpu}
	if moves, stuck = s.Corrections(); len(moves) != 0 || len(stuck) != 2 {
		t.Errorf("tied ones stay: moves %+v, stuck %+v", moves, stuck)
	}
}

func TestAdmission(t *testing.T) {
	s := site()
	for i := range s.Hosts {
		s.Hosts[i].MemoryMiB, s.Hosts[i].CPUMHz = 1000, 10000
	}
	big := placement.VM{ID: "d", Host: "h3", ReservedMiB: 600} // one slot a host
	for _, c := range []struct {
		name   string
		policy placement.Failover
		want   bool
	}{
		{"none", placement.Failover{}, true},
		{"one failure: three run on two slots", placement.Failover{Hosts: 1}, false},
		{"half of the memory", placement.Failover{MemPercent: 50, CPUPercent: 10}, true},
		{"nine tenths of the memory", placement.Failover{MemPercent: 90, CPUPercent: 10}, false},
	} {
		if got := s.Admits(big, "", c.policy); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if !s.Admits(placement.VM{ID: "d", ReservedMiB: 300}, "", placement.Failover{Hosts: 1}) {
		t.Error("three slots a host bear one failure")
	}
	s.Hosts[0].Closed, s.Hosts[1].Connected = true, false
	if s.Admits(placement.VM{ID: "d"}, "", placement.Failover{Hosts: 1}) {
		t.Error("the only open host cannot fail")
	}
}

func TestForRestart(t *testing.T) {
	s := site()
	s.Rules[0].Mandatory = false
	if got := s.ForRestart(true).Rules; len(got) != 1 || !got[0].Mandatory {
		t.Errorf("respected, a rule is mandatory: %+v", got)
	}
	if got := s.ForRestart(false).Rules; len(got) != 0 {
		t.Errorf("not respected, it is none: %+v", got)
	}
}

const quarter, half, other = "grid_l40s-12c", "grid_l40s-24c", "grid_a100-40c"

// sharing is a host whose card takes four vGPUs of one profile or two of another; some run on it.
func sharing(active ...string) placement.Site {
	card := placement.Card{ID: gpu, VGPUs: map[string]int{quarter: 4, "grid_l40s-12q": 4, half: 2}}
	s := placement.Site{Hosts: []placement.Host{{ID: "h1", Name: "h1", Connected: true, Cards: []placement.Card{card}}}}
	for i, profile := range active {
		s.VMs = append(s.VMs, placement.VM{ID: string(rune('a' + i)), Host: "h1", Active: true, VGPUs: []string{profile}})
	}
	return s
}

func TestACardTakesVGPUsOfOneSize(t *testing.T) {
	for _, c := range []struct {
		name   string
		active []string
		wanted []string
		want   placement.Reason // -1: it may
	}{
		{"an empty card", nil, []string{quarter}, -1},
		{"a place is left", []string{quarter, quarter, quarter}, []string{quarter}, -1},
		{"of another series, but of the same size", []string{"grid_l40s-12q"}, []string{quarter}, -1},
		{"none is left", []string{quarter, quarter, quarter, quarter}, []string{quarter}, placement.ProfileTaken},
		{"one is left, two are asked for", []string{half}, []string{half, half}, placement.ProfileTaken},
		{"another size runs there", []string{half}, []string{quarter}, placement.ProfileTaken},
		{"a profile that no card has", nil, []string{other}, placement.ProfileMissing},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := sharing(c.active...).MayRun(placement.VM{ID: "z", VGPUs: c.wanted, MemoryMiB: 1, ReservedMiB: 1}, "h1")
			switch {
			case got == nil && c.want != -1:
				t.Errorf("it may, and should not for reason %d", c.want)
			case got != nil && got.Reason != c.want:
				t.Errorf("reason %d (%s), not %d", got.Reason, got, c.want)
			}
		})
	}
	if r := sharing().MayRun(placement.VM{ID: "z", VGPUs: []string{half}, MemoryMiB: 2, ReservedMiB: 1}, "h1"); r == nil || r.Reason != placement.MemoryNotReserved {
		t.Errorf("a vGPU without all memory: %v", r)
	}
	if users := sharing(half, half).Users("h1"); len(users[gpu]) != 2 {
		t.Errorf("users: %v", users)
	}
}
