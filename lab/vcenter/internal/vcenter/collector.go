package vcenter

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// collector replaces the PropertyCollector of each session. Clients wait for all
// their tasks on that one object from many threads; the simulator's own keeps
// its filters unguarded and loses waits. This one compares the state of its
// filters with what a version has been told, whenever something has changed.
type collector struct {
	simulator.PropertyCollector

	guard   sync.Mutex
	filters []*simulator.PropertyFilter
	told    map[string]map[string]told
	rests   map[string]rest // of answers, by token
	version int
	cancels int
	kick    broadcast
}

// told is what a version knows of an object in a filter.
type told struct {
	filter, object types.ManagedObjectReference
	digest         [sha256.Size]byte
}

// Some properties are set without telling the listeners; so even without a
// change the filters are looked at this often.
const lookAnyway = time.Second

var pulseRef = types.ManagedObjectReference{Type: "LabPulse", Value: "lab"}

// pulseHolder is how a session's collector, made by the simulator from its type
// alone, finds the vCenter.
type pulseHolder struct{ receiver }

func (c *Center) replaceCollector() {
	holder := &pulseHolder{}
	holder.bind(c, pulseRef.Type)
	c.reg.Put(holder)
	for _, o := range c.reg.AllReference("PropertyCollector") {
		pc := &collector{}
		pc.Self = o.Reference()
		c.reg.Put(pc)
	}
}

// sessionCollector makes a session's collector before two calls at once can
// make one each, of which one would be lost.
func (c *Center) sessionCollector(ctx *simulator.Context) {
	ref := c.svcContent().PropertyCollector
	c.collectors.Lock()
	defer c.collectors.Unlock()
	if ctx.Session.Registry.Get(ref) == nil {
		ctx.Session.Get(ref)
	}
}

func (c *Center) svcContent() types.ServiceContent {
	return c.reg.Get(types.ManagedObjectReference{Type: "ServiceInstance", Value: "ServiceInstance"}).(*simulator.ServiceInstance).Content
}

// CreatePropertyCollector makes another of our kind.
func (p *collector) CreatePropertyCollector(ctx *simulator.Context, _ *types.CreatePropertyCollector) soap.HasFault {
	made := &collector{}
	made.Self.Type = "PropertyCollector"
	return reply[methods.CreatePropertyCollectorBody](ctx.Session.Put(made).Reference())
}

// DestroyPropertyCollector takes its filters along.
func (p *collector) DestroyPropertyCollector(ctx *simulator.Context, req *types.DestroyPropertyCollector) soap.HasFault {
	for _, f := range p.live(ctx) {
		ctx.Session.Registry.Remove(ctx, f.Self)
	}
	ctx.Session.Registry.Remove(ctx, req.This)
	p.cancel()
	return done[methods.DestroyPropertyCollectorBody]()
}

// CreateFilter remembers the filter under the collector's own guard.
func (p *collector) CreateFilter(ctx *simulator.Context, req *types.CreateFilter) soap.HasFault {
	own := &simulator.PropertyCollector{} // for this one filter, so that nothing is shared
	own.Self.Type = "PropertyCollector"
	body := own.CreateFilter(ctx, req).(*methods.CreateFilterBody)
	if body.Res != nil {
		f := ctx.Session.Get(body.Res.Returnval).(*simulator.PropertyFilter)
		ctx.Map.RemoveHandler(f)
		p.guard.Lock()
		p.filters = append(p.filters, f)
		p.guard.Unlock()
		p.kick.send()
	}
	return body
}

// live are the filters that have not been destroyed.
func (p *collector) live(ctx *simulator.Context) []*simulator.PropertyFilter {
	p.guard.Lock()
	defer p.guard.Unlock()
	out := make([]*simulator.PropertyFilter, 0, len(p.filters))
	for _, f := range p.filters {
		if ctx.Session.Registry.Get(f.Self) != nil {
			out = append(out, f)
		}
	}
	p.filters = append(p.filters[:0:0], out...)
	return out
}

// WaitForUpdatesEx answers when something differs from what the version knows.
func (p *collector) WaitForUpdatesEx(ctx *simulator.Context, req *types.WaitForUpdatesEx) soap.HasFault {
	end := time.Now().Add(5 * time.Minute)
	if o := req.Options; o != nil && o.MaxWaitSeconds != nil {
		end = time.Now().Add(time.Duration(*o.MaxWaitSeconds) * time.Second)
	}
	set, fault := p.updates(ctx, req.Version, end)
	if fault != nil {
		return refuse[methods.WaitForUpdatesExBody](fault)
	}
	return &methods.WaitForUpdatesExBody{Res: &types.WaitForUpdatesExResponse{Returnval: set}}
}

// WaitForUpdates is WaitForUpdatesEx without options.
func (p *collector) WaitForUpdates(ctx *simulator.Context, req *types.WaitForUpdates) soap.HasFault {
	for {
		set, fault := p.updates(ctx, req.Version, time.Now().Add(5*time.Minute))
		if fault != nil {
			return refuse[methods.WaitForUpdatesBody](fault)
		}
		if set != nil {
			return &methods.WaitForUpdatesBody{Res: &types.WaitForUpdatesResponse{Returnval: *set}}
		}
	}
}

// CheckForUpdates looks once.
func (p *collector) CheckForUpdates(ctx *simulator.Context, req *types.CheckForUpdates) soap.HasFault {
	set, fault := p.updates(ctx, req.Version, time.Now())
	if fault != nil {
		return refuse[methods.CheckForUpdatesBody](fault)
	}
	return &methods.CheckForUpdatesBody{Res: &types.CheckForUpdatesResponse{Returnval: set}}
}

// CancelWaitForUpdates ends the waits in progress.
func (p *collector) CancelWaitForUpdates(*simulator.Context, *types.CancelWaitForUpdates) soap.HasFault {
	p.cancel()
	return done[methods.CancelWaitForUpdatesBody]()
}

func (p *collector) cancel() {
	p.guard.Lock()
	p.cancels++
	p.guard.Unlock()
	p.kick.send()
}

func (p *collector) updates(ctx *simulator.Context, version string, end time.Time) (*types.UpdateSet, types.BaseMethodFault) {
	c := ctx.Map.Get(pulseRef).(*pulseHolder).c
	p.guard.Lock()
	known, cancels := p.told[version], p.cancels
	p.guard.Unlock()
	for {
		changed, kicked := c.pulse.wait(), p.kick.wait()
		set, now := p.compare(ctx, known)
		if len(set.FilterSet) > 0 || version == "" {
			p.remember(version, set, now)
			return set, nil
		}
		left := min(time.Until(end), lookAnyway)
		if left <= 0 {
			return nil, nil
		}
		timer := time.NewTimer(left)
		select {
		case <-changed:
		case <-kicked:
		case <-timer.C:
		case <-c.stop:
			timer.Stop()
			return nil, &types.RequestCanceled{}
		}
		timer.Stop()
		p.guard.Lock()
		over := p.cancels != cancels
		p.guard.Unlock()
		if over {
			return nil, &types.RequestCanceled{}
		}
	}
}

// compare collects the filters' present state and what of it is news.
func (p *collector) compare(ctx *simulator.Context, known map[string]told) (*types.UpdateSet, map[string]told) {
	set, now := &types.UpdateSet{}, map[string]told{}
	for _, f := range p.live(ctx) {
		// A context of its own: it must share no lock with the waiting call.
		own := of(ctx)
		// Values are wanted here, which the simulator's own method returns.
		body, ok := p.PropertyCollector.RetrievePropertiesEx(own, &types.RetrievePropertiesEx{
			This: p.Self, SpecSet: []types.PropertyFilterSpec{f.Spec}}).(*methods.RetrievePropertiesExBody)
		var objects []types.ObjectContent
		if ok && body.Res != nil && body.Res.Returnval != nil {
			objects = body.Res.Returnval.Objects
		}
		update := types.PropertyFilterUpdate{Filter: f.Self}
		for _, o := range objects {
			key := f.Self.Value + " " + o.Obj.String()
			state := told{f.Self, o.Obj, digest(o)}
			now[key] = state
			before, met := known[key]
			if met && before == state {
				continue
			}
			u := types.ObjectUpdate{Kind: types.ObjectUpdateKindModify, Obj: o.Obj, MissingSet: o.MissingSet}
			if !met {
				u.Kind = types.ObjectUpdateKindEnter
			}
			for _, d := range o.PropSet {
				u.ChangeSet = append(u.ChangeSet, types.PropertyChange{Name: d.Name, Op: types.PropertyChangeOpAssign, Val: d.Val})
			}
			update.ObjectSet = append(update.ObjectSet, u)
		}
		for key, before := range known {
			if _, still := now[key]; !still && before.filter == f.Self {
				update.ObjectSet = append(update.ObjectSet, types.ObjectUpdate{Kind: types.ObjectUpdateKindLeave, Obj: before.object})
			}
		}
		if len(update.ObjectSet) > 0 {
			set.FilterSet = append(set.FilterSet, update)
		}
	}
	return set, now
}

func (p *collector) remember(old string, set *types.UpdateSet, now map[string]told) {
	p.guard.Lock()
	defer p.guard.Unlock()
	p.version++
	set.Version = strconv.Itoa(p.version)
	if p.told == nil {
		p.told = map[string]map[string]told{}
	}
	p.told[set.Version] = now
	delete(p.told, old)
}

func digest(o types.ObjectContent) [sha256.Size]byte {
	raw, err := json.Marshal(o)
	if err != nil {
		raw = fmt.Appendf(nil, "%+v", o)
	}
	return sha256.Sum256(raw)
}
