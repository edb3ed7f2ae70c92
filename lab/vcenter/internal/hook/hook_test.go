package hook_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"permafrost.dev/lab/vcenter/internal/hook"
)

func script(t *testing.T, body string) hook.Hook {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o700); err != nil {
		t.Fatal(err)
	}
	return hook.Hook{Argv: []string{path, "first"}}
}

func TestOnTellsTheMachineAndHearsTheGuest(t *testing.T) {
	h := script(t, `test "$*" = "first on lab-chat-01" || exit 9
in=$(cat); case $in in *'"guestinfo.x":"y"'*) ;; *) exit 8;; esac
echo '{"address":"10.0.0.21","prefix":24,"gateway":"10.0.0.1","hostname":"lab-chat-01","addresses":["10.0.0.21","10.0.0.22"]}'`)
	g, err := h.On("lab-chat-01", hook.Machine{ExtraConfig: map[string]string{"guestinfo.x": "y"}})
	if err != nil || !reflect.DeepEqual(g, hook.Guest{Address: "10.0.0.21", Prefix: 24, Gateway: "10.0.0.1", Hostname: "lab-chat-01", Addresses: []string{"10.0.0.21", "10.0.0.22"}}) {
		t.Fatalf("got %+v, %v", g, err)
	}
}

func TestFailureSpeaksTheHypervisorsWords(t *testing.T) {
	err := script(t, "echo no bridge >&2; exit 1").Do("off", "m", hook.Machine{})
	if err == nil || !strings.Contains(err.Error(), "no bridge") {
		t.Fatalf("got %v", err)
	}
}

func TestAGuestThatDoesNotStopIsToldApart(t *testing.T) {
	h := script(t, "exit 3")
	if err := h.Do("shutdown", "m", hook.Machine{}); !errors.Is(err, hook.ErrStillOn) {
		t.Fatalf("shutdown: got %v", err)
	}
	if err := h.Do("off", "m", hook.Machine{}); err == nil || errors.Is(err, hook.ErrStillOn) {
		t.Fatalf("off: got %v", err)
	}
}

func TestAProcessThatStaysDoesNotHoldTheCall(t *testing.T) {
	h := script(t, `echo '{"address":"10.0.0.21"}'; sleep 20 &`)
	if g, err := h.On("m", hook.Machine{}); err != nil || g.Address != "10.0.0.21" {
		t.Fatalf("got %+v, %v", g, err)
	}
}

func TestList(t *testing.T) {
	on, err := script(t, `echo '[{"name":"a","power":"on"},{"name":"b","power":"off"}]'`).List()
	if err != nil || !on["a"] || on["b"] || len(on) != 2 {
		t.Fatalf("got %v, %v", on, err)
	}
}
