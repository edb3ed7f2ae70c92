// Package vcenter makes a vCenter of govmomi's simulator: what a vCenter
// enforces, waits for and remembers, and the simulator leaves out.
//
// Locks, in the order in which they may be taken: a virtual machine's operation
// lock (ops), the cluster lock (mu) or that of the tree (tree), an object's lock
// of the simulator. Nobody waits for the hypervisor or the disk with an object's
// lock held.
package vcenter

import (
	"context"
	"crypto/tls"
	"log"
	"net/http"
	"net/url"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	_ "github.com/vmware/govmomi/pbm/simulator" // storage policies
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/simulator/vpx"
	_ "github.com/vmware/govmomi/vapi/simulator" // tags over REST
	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/config"
	"permafrost.dev/lab/vcenter/internal/hook"
	"permafrost.dev/lab/vcenter/internal/placement"
	"permafrost.dev/lab/vcenter/internal/store"
)

// Center is one vCenter with its inventory.
type Center struct {
	cfg  *config.Config
	hook hook.Hook

	svc  *simulator.Service
	reg  *simulator.Registry
	base *simulator.Context
	site layout

	// mu guards every decision on who may run where, and what follows.
	mu       sync.Mutex
	starting map[types.ManagedObjectReference]bool             // being powered on: counts as running
	entering map[types.ManagedObjectReference]bool             // hosts on their way into maintenance mode
	coming   []types.ManagedObjectReference                    // hosts of virtual machines that are being made
	lost     map[types.ManagedObjectReference]time.Time        // dead hosts, since when
	cards    map[types.ManagedObjectReference][]placement.Card // of hosts that share some out; never changed
	ha       restarts

	violators map[types.ManagedObjectReference]map[violator]bool // of rules, by cluster
	advices   atomic.Int32                                       // highest key of a recommendation so far

	// tree guards what the simulator does to several folders and pools at once: it
	// takes their locks in an order that differs from call to call.
	tree sync.Mutex

	ops        keyedLocks // one operation at a time on a virtual machine
	boots      tally      // how often it came on, whoever started its machine
	rebooting  tally      // guests that were asked to reboot and are not back
	pulse      broadcast
	collectors sync.Mutex // while a session gets its collector
	routes     routes
	refusals   refusals
	last       atomic.Int64 // highest number in a managed object's id so far
	rules      atomic.Int32 // highest key of a rule so far
	dirty      dirtySet
	store      *store.Store
	eventLog   *store.Log
	taskLog    *store.Log
	flushing   sync.Mutex
	flushed    int32 // key of the last event that is written down
	saving     sync.Mutex
	state      saved
	tags       http.Handler
	names      machineNames
	fixed      map[types.ManagedObjectReference]bool // what the configuration has made
	ground     string                                // its fingerprint
	stop       chan struct{}
	broken     chan struct{}
	stopped    sync.Once
	running    sync.WaitGroup
}

// layout are the objects that the configuration makes and nothing removes.
type layout struct {
	datacenter, vmFolder types.ManagedObjectReference
	clusters             []types.ManagedObjectReference
	rootPools            []types.ManagedObjectReference // of the clusters
	hosts                []types.ManagedObjectReference // of all clusters
	clusterOf            map[types.ManagedObjectReference]types.ManagedObjectReference
}

// Open builds the inventory, brings back what a former run has saved, and makes
// it agree with the machines that are alive.
func Open(cfg *config.Config) (*Center, error) {
	c := &Center{
		cfg: cfg, hook: hook.Hook{Argv: cfg.Hook},
		starting: map[types.ManagedObjectReference]bool{},
		entering: map[types.ManagedObjectReference]bool{},
		lost:     map[types.ManagedObjectReference]time.Time{},
		cards:    map[types.ManagedObjectReference][]placement.Card{},
		ha: restarts{map[types.ManagedObjectReference]types.ManagedObjectReference{},
			map[types.ManagedObjectReference]int{}, map[types.ManagedObjectReference]bool{}},
		violators: map[types.ManagedObjectReference]map[violator]bool{},
		stop:      make(chan struct{}),
		broken:    make(chan struct{}, 1),
	}
	var err error
	if c.store, err = store.Open(cfg.StateDir); err != nil {
		return nil, err
	}
	if err := c.open(); err != nil {
		_ = c.store.Close()
		return nil, err
	}
	return c, nil
}

func (c *Center) open() error {
	known, err := c.store.Load(&c.state)
	if err != nil {
		return err
	}
	if !known {
		c.state.Instance = uuid.NewString()
	}
	content := vpx.ServiceContent
	content.About = about(c.state.Instance)
	ctx, instance := simulator.NewServiceInstance(simulator.NewContext(), content, vpx.RootFolder)
	c.base, c.reg = ctx, ctx.Map
	c.svc = simulator.New(ctx, instance)
	if err := c.build(); err != nil {
		return err
	}
	c.survey()
	c.reg.AddHandler(&observer{c})
	c.replaceCollector()
	c.connect()
	if err := c.listen(); err != nil {
		return err
	}
	c.knownEvents()
	if known {
		if err := c.restore(); err != nil {
			return err
		}
		if err := c.restoreHistory(); err != nil {
			return err
		}
	} else if err := c.restoreHistory(); err != nil {
		return err
	} else if err := c.makeTemplates(); err != nil {
		return err
	}
	c.tagRacks()
	c.reg.Handler = c.dispatch
	if err := c.reconcile(); err != nil {
		return err
	}
	c.dirty.all()
	if err := c.commit(); err != nil {
		return err
	}
	c.watch()
	c.govern()
	return nil
}

// listen lets the simulator register its endpoints. The server that it insists
// on starting for that is closed at once: ours has the site's certificate,
// limits, and an end.
func (c *Center) listen() error {
	c.svc.RegisterEndpoints = true
	c.svc.Listen = &url.URL{User: url.UserPassword(c.cfg.User, c.cfg.Password)}
	c.svc.NewServer().Close()
	c.svc.Listen.Scheme, c.svc.Listen.Host = "https", c.cfg.Listen
	c.reg.SessionManager().ServiceHostName = c.cfg.Listen
	c.reg.SessionManager().ValidLogin = c.validLogin
	cert, err := tls.LoadX509KeyPair(c.cfg.CertFile, c.cfg.KeyFile)
	if err != nil {
		return err
	}
	c.reg.SessionManager().TLS = func() *tls.Config { return &tls.Config{Certificates: []tls.Certificate{cert}} }
	return c.findTags()
}

// breakDown reports a panic. Whoever panicked may have left an object locked, at
// which others would wait for ever: better to start again from what is saved.
func (c *Center) breakDown(p any) {
	c.logf("panic: %v\n%s", p, debug.Stack())
	select {
	case c.broken <- struct{}{}:
	default:
	}
}

// Broken says when to start again.
func (c *Center) Broken() <-chan struct{} { return c.broken }

// Stop ends what waits: clients for a change, hosts for maintenance mode.
func (c *Center) Stop() { c.stopped.Do(func() { close(c.stop) }) }

// Close saves what is not yet saved and gives the state folder free.
func (c *Center) Close() error {
	c.Stop()
	err := c.commit()
	c.saving.Lock() // tasks that are still at work may be saving
	defer c.saving.Unlock()
	for _, log := range []*store.Log{c.eventLog, c.taskLog} {
		if e := log.Close(); err == nil {
			err = e
		}
	}
	if e := c.store.Close(); err == nil {
		err = e
	}
	return err
}

// ctx returns a fresh owner of locks with the rights of the vCenter itself.
func (c *Center) ctx() *simulator.Context {
	own := *c.base
	own.Context = context.Background()
	return &own
}

// of returns a fresh owner of locks that acts for the caller's session.
func of(ctx *simulator.Context) *simulator.Context {
	own := *ctx
	own.Context = context.Background()
	return &own
}

// again runs f every so often until the vCenter closes.
func (c *Center) again(every time.Duration, f func()) {
	c.running.Add(1)
	go func() {
		defer c.running.Done()
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-c.stop:
				return
			case <-tick.C:
				f()
			}
		}
	}()
}

func (c *Center) logf(format string, args ...any) { log.Printf(format, args...) }

func about(instance string) types.AboutInfo {
	a := vpx.ServiceContent.About
	a.Version, a.ApiVersion, a.Build = productVersion, productVersion+".0", productBuild
	a.FullName = "VMware vCenter Server " + productVersion + " (lab simulator, govmomi)"
	a.InstanceUuid = instance
	return a
}
