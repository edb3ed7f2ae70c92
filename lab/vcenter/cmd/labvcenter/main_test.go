package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// TestMain lets the test's own program be the vCenter, when it is told to.
func TestMain(m *testing.M) {
	if os.Getenv("LABVCENTER_UNDER_TEST") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// process is a vCenter in a process of its own.
type process struct {
	t      *testing.T
	dir    string
	listen string
	cmd    *exec.Cmd
}

func newProcess(t *testing.T) *process {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, dir: t.TempDir(), listen: l.Addr().String()}
	_ = l.Close()
	p.write("password", "right horse\n")
	p.certificate()
	raw, err := json.Marshal(map[string]any{
		"listen": p.listen, "password_file": p.path("password"), "cert_file": p.path("cert.pem"), "key_file": p.path("key.pem"),
		"state_dir": p.path("state"), "datacenter": "dc1", "cluster": "gpu-cluster", "datastore": "datastore1", "network": "site-network",
		"hosts": []map[string]any{{"name": "esx-01"}, {"name": "esx-02"}}, "template": map[string]any{"name": "debian-13"},
	})
	p.must(err)
	p.write("config.json", string(raw))
	p.start()
	t.Cleanup(func() { p.stop(syscall.SIGKILL) })
	return p
}

func (p *process) path(name string) string { return filepath.Join(p.dir, name) }

func (p *process) write(name, text string) {
	p.t.Helper()
	p.must(os.WriteFile(p.path(name), []byte(text), 0o600))
}

func (p *process) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) certificate() {
	p.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p.must(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	p.must(err)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	p.must(err)
	p.write("cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	p.write("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})))
}

func (p *process) start() {
	p.t.Helper()
	self, err := os.Executable()
	p.must(err)
	p.cmd = exec.Command(self, "-config", p.path("config.json"))
	p.cmd.Env = append(os.Environ(), "LABVCENTER_UNDER_TEST=1")
	p.cmd.Stderr = os.Stderr
	p.must(p.cmd.Start())
	p.await()
}

// await waits until it listens.
func (p *process) await() {
	p.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", p.listen); err == nil {
			_ = c.Close()
			return
		}
	}
	p.t.Fatal("nobody listens")
}

func (p *process) stop(signal syscall.Signal) time.Duration {
	begin := time.Now()
	_ = p.cmd.Process.Signal(signal)
	_ = p.cmd.Wait()
	return time.Since(begin)
}

func (p *process) login() (*govmomi.Client, *find.Finder) {
	p.t.Helper()
	u := &url.URL{Scheme: "https", Host: p.listen, Path: "/sdk", User: url.UserPassword("administrator@vsphere.local", "right horse")}
	c, err := govmomi.NewClient(context.Background(), u, true)
	p.must(err)
	f := find.NewFinder(c.Client)
	dc, err := f.DefaultDatacenter(context.Background())
	p.must(err)
	return c, f.SetDatacenter(dc)
}

func (p *process) read(name string) mo.VirtualMachine {
	p.t.Helper()
	_, f := p.login()
	vm, err := f.VirtualMachine(context.Background(), name)
	p.must(err)
	var got mo.VirtualMachine
	p.must(vm.Properties(context.Background(), vm.Reference(), nil, &got))
	return got
}

func (p *process) clone(name string) {
	p.t.Helper()
	ctx := context.Background()
	_, f := p.login()
	template, err := f.VirtualMachine(ctx, "debian-13")
	p.must(err)
	pool, err := f.DefaultResourcePool(ctx)
	p.must(err)
	folder, err := f.DefaultFolder(ctx)
	p.must(err)
	ref := pool.Reference()
	t, err := template.Clone(ctx, folder, name, types.VirtualMachineCloneSpec{
		Location: types.VirtualMachineRelocateSpec{Pool: &ref}, PowerOn: true})
	p.must(err)
	p.must(t.Wait(ctx))
}

func TestKilledAtOnceAfterAnAnswerNothingIsLost(t *testing.T) {
	p := newProcess(t)
	p.clone("m")
	before := p.read("m")
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		p.stop(signal)
		p.start()
		got := p.read("m")
		if got.Self != before.Self || got.Config.Uuid != before.Config.Uuid || got.Config.InstanceUuid != before.Config.InstanceUuid ||
			got.Runtime.PowerState != before.Runtime.PowerState || *got.Runtime.Host != *before.Runtime.Host {
			t.Fatalf("after %v: %+v, was %+v", signal, got.Config, before.Config)
		}
	}
}

// The simulator asserts much of what it is asked, and panics with a lock held.
func TestItStartsAgainWhenTheSimulatorBreaksDown(t *testing.T) {
	p := newProcess(t)
	p.clone("m")
	before := p.read("m")
	c, f := p.login()
	cluster, err := f.DefaultClusterComputeResource(context.Background())
	p.must(err)
	gone := types.ManagedObjectReference{Type: "VirtualMachine", Value: "vm-999"}
	_, err = methods.PlaceVm(context.Background(), c, &types.PlaceVm{This: cluster.Reference(), PlacementSpec: types.PlacementSpec{
		PlacementType: string(types.PlacementSpecPlacementTypeReconfigure), Vm: &gone, ConfigSpec: &types.VirtualMachineConfigSpec{}}})
	if err == nil {
		t.Fatal("the simulator has been mended: find another call that breaks it")
	}
	time.Sleep(time.Second)
	p.await()
	if after := p.read("m"); after.Self != before.Self || after.Runtime.PowerState != before.Runtime.PowerState {
		t.Errorf("before: %v, after: %v", before.Self, after.Self)
	}
}

func TestItEndsWithinTwoSecondsWhileClientsWait(t *testing.T) {
	p := newProcess(t)
	c, f := p.login()
	vm, err := f.VirtualMachine(context.Background(), "debian-13")
	p.must(err)
	waiting := make(chan error, 1)
	go func() {
		waiting <- object.NewVirtualMachine(c.Client, vm.Reference()).WaitForPowerState(context.Background(), types.VirtualMachinePowerStatePoweredOn)
	}()
	time.Sleep(300 * time.Millisecond)
	if took := p.stop(syscall.SIGTERM); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	if <-waiting == nil {
		t.Error("the wait ended as if the machine had come on")
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

func TestTheAdminSocketTellsTheStatus(t *testing.T) {
	p := newProcess(t)
	p.clone("m")
	client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", p.path("state/admin.sock"))
	}}}
	res, err := client.Get("http://vcenter/status")
	p.must(err)
	var status struct {
		Hosts []struct{ Name, Connection string }
		VMs   []struct{ Name, Power, Host, Connection string }
	}
	p.must(json.NewDecoder(res.Body).Decode(&status))
	if len(status.Hosts) != 2 || len(status.VMs) != 2 || status.VMs[1].Power != "on" {
		t.Errorf("status: %+v", status)
	}
	res, err = client.Post("http://vcenter/host/"+status.VMs[1].Host+"/lose", "", nil)
	p.must(err)
	p.must(json.NewDecoder(res.Body).Decode(&status))
	if status.VMs[1].Connection != "disconnected" {
		t.Errorf("on a lost host: %+v", status.VMs[1])
	}
	if res, err = client.Post("http://vcenter/host/nonesuch/lose", "", nil); err != nil || res.StatusCode != http.StatusBadRequest {
		t.Errorf("a host that is not there: %v, %v", res, err)
	}
}
