// Package hook calls the lab's hypervisor: one command that starts, stops and
// removes the machines behind the virtual machines.
package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Disk is a virtual disk as the hypervisor is told of it.
type Disk struct {
	Label string `json:"label"`
	Key   int32  `json:"key"`
	GiB   int64  `json:"gib"`
}

// Machine is what the hypervisor reads on its standard input.
type Machine struct {
	UUID        string            `json:"uuid"`
	ExtraConfig map[string]string `json:"extra_config"`
	MemoryMiB   int32             `json:"memory_mib"`
	NumCPUs     int32             `json:"num_cpus"`
	MAC         string            `json:"mac"`
	Host        string            `json:"host"`
	Disks       []Disk            `json:"disks"`
}

// Guest is what VMware Tools would report of a guest that is up.
type Guest struct {
	Address   string   `json:"address"`
	Prefix    int32    `json:"prefix"`
	Gateway   string   `json:"gateway"`
	Hostname  string   `json:"hostname"`
	Addresses []string `json:"addresses"` // all of its card, the first one too
}

// ErrStillOn says that a guest asked to shut down did not.
var ErrStillOn = errors.New("the guest did not shut down in time")

const exitStillOn = 3

// Hook is the command, without verb and name. An empty one has no machines:
// every call succeeds and reports nothing.
type Hook struct {
	Argv []string
}

// limits bounds each verb; a hypervisor that hangs must not hang a task for ever.
var limits = map[string]time.Duration{
	"on": 5 * time.Minute, "off": time.Minute, "shutdown": 4 * time.Minute,
	"reset": 6 * time.Minute, "destroy": 2 * time.Minute, "list": 30 * time.Second,
}

// Empty says that no machines stand behind the virtual machines.
func (h Hook) Empty() bool { return len(h.Argv) == 0 }

// On starts the machine and answers when its guest has an address.
func (h Hook) On(name string, m Machine) (Guest, error) {
	if h.Empty() {
		return Guest{}, nil
	}
	out, err := h.run("on", name, m)
	if err != nil {
		return Guest{}, err
	}
	g := Guest{}
	if err := json.Unmarshal(out, &g); err != nil {
		return Guest{}, fmt.Errorf("hypervisor on %s: answer is not JSON: %w", name, err)
	}
	return g, nil
}

// Do runs one of off, shutdown, reset, destroy.
func (h Hook) Do(verb, name string, m Machine) error {
	if h.Empty() {
		return nil
	}
	_, err := h.run(verb, name, m)
	return err
}

// List tells which machines exist and which of them are on.
func (h Hook) List() (map[string]bool, error) {
	out, err := h.run("list", "", nil)
	if err != nil {
		return nil, err
	}
	var entries []struct {
		Name  string `json:"name"`
		Power string `json:"power"`
	}
	if err := json.Unmarshal(out, &entries); err != nil {
		return nil, fmt.Errorf("hypervisor list: answer is not JSON: %w", err)
	}
	on := map[string]bool{}
	for _, e := range entries {
		on[e.Name] = e.Power == "on"
	}
	return on, nil
}

func (h Hook) run(verb, name string, input any) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limits[verb])
	defer cancel()
	argv := append(append([]string{}, h.Argv...), verb)
	if name != "" {
		argv = append(argv, name)
	}
	stdin, err := json.Marshal(input)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	// A group of its own: a signal to vCenter's group must not cut a machine's
	// start in half, and at the limit its helpers have to go with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	// A machine's own process may keep the pipe open after the hook's end.
	cmd.WaitDelay = 500 * time.Millisecond
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return stdout.Bytes(), nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("hypervisor %s %s: no answer within %s", verb, name, limits[verb])
	case errors.As(err, &exit) && verb == "shutdown" && exit.ExitCode() == exitStillOn:
		return nil, ErrStillOn
	}
	reason := strings.TrimSpace(stderr.String())
	if reason == "" {
		reason = err.Error()
	}
	return nil, fmt.Errorf("hypervisor %s %s: %s", verb, name, reason)
}
