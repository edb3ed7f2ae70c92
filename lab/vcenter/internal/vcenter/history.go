package vcenter

import (
	"bytes"
	"container/list"
	"reflect"
	"slices"
	"strings"
	"text/template"
	"unsafe"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"
)

// history reaches what the event manager keeps for itself: the key of the last
// event and the list of the latest.
func (c *Center) history() (key *int32, page *list.List) {
	m := reflect.ValueOf(c.reg.EventManager()).Elem()
	key = (*int32)(unsafe.Pointer(m.FieldByName("key").UnsafeAddr()))
	kept := m.FieldByName("history").Elem().FieldByName("page")
	return key, *(**list.List)(unsafe.Pointer(kept.UnsafeAddr()))
}

// knownEvents gives the manager the words that it lacks, and sees to it that an event keeps
// what was asked as it was: the simulator puts what it was asked into the event and then uses
// and changes it as part of the machine, while the event is read.
func (c *Center) knownEvents() {
	m := c.reg.EventManager()
	m.Description.EventInfo = append(slices.Clone(m.Description.EventInfo), eventWords...)
	field := reflect.ValueOf(m).Elem().FieldByName("templates")
	templates := *(*map[string]*template.Template)(unsafe.Pointer(field.UnsafeAddr()))
	for _, info := range m.Description.EventInfo {
		if info.Key == "VmBeingCreatedEvent" || info.Key == "VmReconfiguredEvent" {
			// Words are put together before anyone sees the event, by whom it is posted.
			templates[info.Key] = template.Must(template.New(info.Key).
				Funcs(template.FuncMap{"detached": detached}).Parse("{{detached .}}" + info.FullFormat))
		}
	}
}

// detached gives an event a copy of its own of what was asked; it adds no words.
func detached(event types.BaseEvent) (string, error) {
	var err error
	switch e := event.(type) {
	case *types.VmBeingCreatedEvent:
		var own types.VirtualMachineConfigSpec
		if e.ConfigSpec != nil {
			own, err = types.DeepCopy(*e.ConfigSpec)
			e.ConfigSpec = &own
		}
	case *types.VmReconfiguredEvent:
		e.ConfigSpec, err = types.DeepCopy(e.ConfigSpec)
	}
	return "", err
}

// flushEvents writes down what has been posted since the last time, by whomever.
func (c *Center) flushEvents() error {
	if c.eventLog == nil {
		return nil
	}
	c.flushing.Lock()
	defer c.flushing.Unlock()
	var fresh []types.BaseEvent
	c.locked(c.reg.EventManager(), func(*simulator.Context) {
		_, page := c.history()
		for e := page.Back(); e != nil && e.Value.(types.BaseEvent).GetEvent().Key > c.flushed; e = e.Prev() {
			fresh = append(fresh, e.Value.(types.BaseEvent))
		}
	})
	slices.Reverse(fresh)
	var lines []string
	for _, e := range fresh {
		text, err := oneLine(eventLine{e})
		if err != nil {
			c.logf("event %d: %v", e.GetEvent().Key, err)
			continue
		}
		lines = append(lines, text)
	}
	if len(fresh) == 0 {
		return nil
	}
	c.flushed = fresh[len(fresh)-1].GetEvent().Key
	return c.eventLog.Append(lines...)
}

type eventLine struct {
	Event types.BaseEvent `xml:"event,typeattr"`
}

type taskLine struct {
	Info types.TaskInfo `xml:"task"`
}

func oneLine(v any) (string, error) {
	var buf bytes.Buffer
	if err := xml.NewEncoder(&buf).Encode(v); err != nil {
		return "", err
	}
	return strings.ReplaceAll(buf.String(), "\n", " "), nil
}

func fromLine(text string, into any) error {
	dec := xml.NewDecoder(strings.NewReader(text))
	dec.TypeFunc = types.TypeFunc()
	return dec.Decode(into)
}

// restoreHistory opens the logs of events and tasks and puts those of former
// runs in the place of those that building the inventory has left.
func (c *Center) restoreHistory() error {
	log, lines, err := c.store.OpenLog("events.xml", eventsKept)
	if err != nil {
		return err
	}
	if len(lines) > 0 {
		c.restoreEvents(lines)
	}
	c.eventLog = log
	if c.taskLog, lines, err = c.store.OpenLog("tasks.xml", tasksKept); err != nil {
		return err
	}
	for _, text := range lines {
		var line taskLine
		if err := fromLine(text, &line); err != nil || line.Info.Entity == nil {
			c.logf("a task that cannot be read: %v", err)
			continue
		}
		t := &simulator.Task{}
		t.Self, t.Info = line.Info.Task, line.Info
		c.reg.Put(t)
	}
	return nil
}

func (c *Center) restoreEvents(lines []string) {
	var events []types.BaseEvent
	for _, text := range lines {
		var line eventLine
		if err := fromLine(text, &line); err != nil || line.Event == nil {
			c.logf("an event that cannot be read: %v", err)
			continue
		}
		events = append(events, line.Event)
	}
	c.locked(c.reg.EventManager(), func(*simulator.Context) {
		key, page := c.history()
		page.Init()
		for _, e := range events {
			page.PushBack(e)
			*key = max(*key, e.GetEvent().Key)
		}
		c.flushed = *key
	})
}

// QueryEvents answers as many as a vCenter does where no count is asked for.
func (r *eventCalls) QueryEvents(ctx *simulator.Context, req *types.QueryEvents) (body soap.HasFault) {
	if req.Filter.MaxCount == 0 {
		req.Filter.MaxCount = eventsKept
	}
	m, own := r.c.reg.EventManager(), of(ctx)
	r.c.reg.WithLock(own, m, func() { body = m.QueryEvents(own, req) })
	b, ok := body.(*methods.QueryEventsBody)
	if !ok || b.Res == nil || req.Filter.UserName == nil {
		return body
	}
	b.Res.Returnval = slices.DeleteFunc(slices.Clone(b.Res.Returnval), func(e types.BaseEvent) bool {
		return !byUser(req.Filter.UserName, e.GetEvent().UserName)
	})
	return b
}

func byUser(want *types.EventFilterSpecByUsername, user string) bool {
	return (user == "" && want.SystemUser) || (user != "" && slices.Contains(want.UserList, user))
}
