package vcenter

import (
	"sync"

	"github.com/vmware/govmomi/vim25/types"
)

// refusals are calls that the lab has asked to be refused: how a client bears
// a vCenter that says no in the middle of its work.
type refusals struct {
	mu    sync.Mutex
	times map[string]int
	words map[string]string
}

// spoken are the methods that refuse by themselves, and so with words.
var spoken = map[string]bool{"PowerOnVM_Task": true, "ReconfigVM_Task": true}

// Refuse lets the next calls of a method fail; 0 takes that back.
func (c *Center) Refuse(method string, times int, words string) {
	c.refusals.mu.Lock()
	defer c.refusals.mu.Unlock()
	if c.refusals.times == nil {
		c.refusals.times, c.refusals.words = map[string]int{}, map[string]string{}
	}
	c.refusals.words[method] = words
	c.refusals.times[method] = times
}

func (r *refusals) take(method string) types.BaseMethodFault {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.times[method] == 0 {
		return nil
	}
	r.times[method]--
	return systemError(r.words[method])
}
