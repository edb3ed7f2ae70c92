package placement

import "fmt"

// Reason says which law refused a placement.
type Reason int

// The laws, in the order in which they are asked.
const (
	NoHost Reason = iota
	HostDown
	HostClosed
	RuleBroken
	HostRuleBroken
	DeviceMissing
	DeviceTaken
	ProfileMissing
	ProfileTaken
	MemoryNotReserved
	NoMemory
	NoCPU
)

// Refusal is a placement that may not be.
type Refusal struct {
	Reason               Reason
	Message              string
	Rule                 int32  // of RuleBroken and HostRuleBroken
	Other                string // id of the virtual machine in the way
	Available, Requested int64  // of NoMemory in MiB, of NoCPU in MHz
}

func (r *Refusal) Error() string { return r.Message }

// Refused is a host with what it has against a virtual machine.
type Refused struct {
	Host string
	Why  *Refusal
}

func refuse(reason Reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Message: fmt.Sprintf(format, args...)}
}
