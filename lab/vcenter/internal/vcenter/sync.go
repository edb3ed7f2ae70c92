package vcenter

import (
	"sync"

	"github.com/vmware/govmomi/vim25/types"
)

// keyedLocks is a mutex for each managed object.
type keyedLocks struct {
	guard sync.Mutex
	locks map[types.ManagedObjectReference]*sync.Mutex
}

func (k *keyedLocks) get(ref types.ManagedObjectReference) *sync.Mutex {
	k.guard.Lock()
	defer k.guard.Unlock()
	if k.locks == nil {
		k.locks = map[types.ManagedObjectReference]*sync.Mutex{}
	}
	if k.locks[ref] == nil {
		k.locks[ref] = &sync.Mutex{}
	}
	return k.locks[ref]
}

// lock returns the function that gives the lock back.
func (k *keyedLocks) lock(ref types.ManagedObjectReference) func() {
	m := k.get(ref)
	m.Lock()
	return m.Unlock
}

// try is lock for those who rather come again.
func (k *keyedLocks) try(ref types.ManagedObjectReference) (func(), bool) {
	m := k.get(ref)
	if !m.TryLock() {
		return nil, false
	}
	return m.Unlock, true
}

func (k *keyedLocks) forget(ref types.ManagedObjectReference) {
	k.guard.Lock()
	defer k.guard.Unlock()
	delete(k.locks, ref)
}

// broadcast wakes all who wait for a change.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{}
}

func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *broadcast) send() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

// dirtySet holds the objects that changed since they were saved.
type dirtySet struct {
	mu         sync.Mutex
	refs       map[types.ManagedObjectReference]bool
	everything bool
}

func (d *dirtySet) add(refs ...types.ManagedObjectReference) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refs == nil {
		d.refs = map[types.ManagedObjectReference]bool{}
	}
	for _, r := range refs {
		d.refs[r] = true
	}
}

func (d *dirtySet) all() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.everything = true
}

func (d *dirtySet) any() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.refs) > 0 || d.everything
}

func (d *dirtySet) take() (map[types.ManagedObjectReference]bool, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	refs, all := d.refs, d.everything
	d.refs, d.everything = nil, false
	return refs, all
}
