package main

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"
)

// answers asks the vCenter who it is, for at most so long.
func (b *bench) answers(limit time.Duration) (time.Duration, bool) {
	client := &http.Client{Timeout: limit, Transport: &http.Transport{DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // a test's own certificate
	begin := time.Now()
	res, err := client.Get("https://" + b.listen + "/about")
	if err != nil {
		return time.Since(begin), false
	}
	_ = res.Body.Close()
	return time.Since(begin), true
}

func TestSlowAndAway(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	client, _ := b.login()
	if _, ok := b.answers(10 * time.Second); !ok {
		t.Fatal("to begin with it does not answer")
	}
	b.admin("/service/slow?seconds=1.5")
	if took, ok := b.answers(20 * time.Second); !ok || took < 1500*time.Millisecond {
		t.Errorf("slow: %v after %v", ok, took)
	}
	b.admin("/service/silent")
	if _, ok := b.answers(time.Second); ok {
		t.Error("silent, it answers a new connection")
	}
	if conn, err := net.Dial("tcp", b.listen); err != nil {
		t.Errorf("silent, it does not even accept: %v", err)
	} else {
		_ = conn.Close()
	}
	limited, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, err := client.SessionManager.UserSession(limited); err == nil {
		t.Error("silent, it answers an old connection")
	}
	b.admin("/service/normal")
	if _, ok := b.answers(10 * time.Second); !ok {
		t.Error("it does not answer again")
	}
	if s, err := client.SessionManager.UserSession(context.Background()); err != nil || s == nil {
		t.Errorf("the session did not outlive the silence: %v, %v", s, err)
	}
	b.admin("/service/refused")
	if _, err := net.Dial("tcp", b.listen); err == nil {
		t.Error("refused, it accepts")
	}
	b.admin("/service/normal")
	if _, ok := b.answers(10 * time.Second); !ok {
		t.Error("it does not listen again")
	}
	before := b.look()
	b.admin("/service/restart")
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if s, err := client.SessionManager.UserSession(context.Background()); err != nil || s == nil {
			break // another run knows no session of the one before
		}
	}
	b.await()
	after := b.look()
	for name, vm := range before.vms {
		if after.vms[name].Self != vm.Self || after.vms[name].Runtime.PowerState != vm.Runtime.PowerState {
			t.Errorf("%s: before %+v, after %+v", name, vm.Runtime, after.vms[name].Runtime)
		}
	}
}

func TestSilentItStillEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, state := range []string{"silent", "refused"} {
		b.admin("/service/" + state)
		if took := b.stop(syscall.SIGTERM); took > 5*time.Second {
			t.Errorf("%s, it took %v to end", state, took)
		}
		b.start()
	}
}

// While nobody reaches the vCenter, HA goes on: it is the hosts' own.
func TestHAGoesOnWhileTheVCenterIsAway(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.admin("/service/refused")
	b.die("plain-1")
	b.die("gpu-1")
	b.admin("/host/esx-01/lose")
	for end := time.Now().Add(10 * time.Second); !b.running("plain-1") && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		continue
	}
	b.admin("/service/normal")
	if !b.running("plain-1") || b.running("gpu-1") {
		t.Errorf("plain-1 runs: %v, gpu-1 runs: %v", b.running("plain-1"), b.running("gpu-1"))
	}
}
