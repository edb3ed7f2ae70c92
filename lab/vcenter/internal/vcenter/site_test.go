package vcenter_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/task"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/config"
	"permafrost.dev/lab/vcenter/internal/vcenter"
)

const (
	gpuA, gpuB = "0000:3b:00.0", "0000:d8:00.0"
	user       = "administrator@vsphere.local"
	password   = "right horse"
)

// hookScript keeps each machine as a file, writes down how it was called, and
// does what a file beside it asks for: wait, fail, or not stop.
const hookScript = `#!/bin/sh
D=$(dirname "$0"); cat > "$D/stdin.$1.$2"
while [ -e "$D/wait.$1" ]; do sleep 0.02; done
if [ -e "$D/fail.$1" ]; then echo "the hypervisor says no" >&2; exit 1; fi
if [ -e "$D/stuck.$1" ]; then exit 3; fi
[ "$1" = list ] || echo "$1 $2" >> "$D/calls"
case $1 in
on|reset) echo on > "$D/m.$2"; [ "$1" = reset ] || echo "{\"address\":\"10.7.0.21\",\"prefix\":24,\"gateway\":\"10.7.0.1\",\"hostname\":\"$2\",\"addresses\":[\"10.7.0.21\",\"10.7.0.100\"]}";;
off|shutdown) echo off > "$D/m.$2";;
destroy) rm -f "$D/m.$2";;
list) s=; printf '['; for f in "$D"/m.*; do [ -e "$f" ] || continue
  printf '%s{"name":"%s","power":"%s"}' "$s" "${f##*/m.}" "$(cat "$f")"; s=,; done; printf ']';;
esac
`

// site is a vCenter under test and a client of it.
type site struct {
	t       *testing.T
	cfg     *config.Config
	dir     string // the hook's folder
	c       *vcenter.Center
	srv     *httptest.Server
	client  *govmomi.Client
	finder  *find.Finder
	cluster *object.ClusterComputeResource
	hosts   []*object.HostSystem
}

var ctx = context.Background()

// opening: the simulator's inventories share what they are built from.
var opening sync.Mutex

func newSite(t *testing.T, change ...func(*config.Config)) *site {
	t.Helper()
	t.Parallel()
	dir := memory(t)
	s := &site{t: t, dir: dir}
	s.must(os.WriteFile(filepath.Join(dir, "hook"), []byte(hookScript), 0o700))
	cert, key := certificate(t, dir)
	s.cfg = &config.Config{
		Listen: "127.0.0.1:0", User: user, Password: password, CertFile: cert, KeyFile: key,
		StateDir: filepath.Join(dir, "state"), Hook: []string{filepath.Join(dir, "hook")},
		Datacenter: "dc1", Cluster: "gpu-cluster", Datastore: "datastore1", Network: "site-network",
		Template: config.Template{Name: "debian-13", DiskGiB: 8, GuestID: "debian12_64Guest", HardwareVersion: "vmx-21", Firmware: "efi"},
	}
	now := 0.0
	s.cfg.HA.DelaySeconds = &now
	for _, name := range []string{"esx-01", "esx-02", "esx-03"} {
		h := config.Host{Name: name, CPUs: 16, MemoryGiB: 64}
		for _, id := range []string{gpuA, gpuB} {
			h.GPUs = append(h.GPUs, config.GPU{ID: id, Vendor: "10de", Device: "2330", Class: "0302", Name: "H100"})
		}
		s.cfg.Hosts = append(s.cfg.Hosts, h)
	}
	for _, f := range change {
		f(s.cfg)
	}
	s.open()
	t.Cleanup(s.close)
	return s
}

// memory is a folder that no disk slows down: the tests save hundreds of times.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "labvcenter-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func certificate(t *testing.T, dir string) (string, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, keyFile
}

func (s *site) open() {
	s.t.Helper()
	var err error
	opening.Lock()
	s.c, err = vcenter.Open(s.cfg)
	opening.Unlock()
	s.must(err)
	s.srv = httptest.NewServer(s.c.Handler())
	s.client = s.login(password)
	s.finder = find.NewFinder(s.client.Client)
	dc, err := s.finder.DefaultDatacenter(ctx)
	s.must(err)
	s.finder.SetDatacenter(dc)
	s.cluster, err = s.finder.ClusterComputeResource(ctx, "gpu-cluster")
	s.must(err)
	s.hosts, err = s.cluster.Hosts(ctx)
	s.must(err)
}

// close ends the vCenter as SIGTERM does.
func (s *site) close() {
	s.srv.CloseClientConnections()
	s.srv.Close()
	_ = s.c.Close()
}

// reopen is a restart.
func (s *site) reopen() {
	s.t.Helper()
	s.close()
	s.open()
}

func (s *site) url(pass string) *url.URL {
	u, err := url.Parse(s.srv.URL + "/sdk")
	s.must(err)
	u.User = url.UserPassword(user, pass)
	return u
}

func (s *site) login(pass string) *govmomi.Client {
	s.t.Helper()
	c, err := govmomi.NewClient(ctx, s.url(pass), true)
	s.must(err)
	return c
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// wait ends with the task's error.
func wait(t *object.Task, err error) error {
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return t.Wait(limited)
}

// refusedAs checks that the error carries a fault of the wanted type.
func refusedAs[F types.BaseMethodFault](t *testing.T, err error) {
	t.Helper()
	var e task.Error
	if err == nil {
		t.Fatalf("was allowed, want %T", *new(F))
	}
	if ok := asTask(err, &e); !ok {
		t.Fatalf("got %v (%T), want a task's error", err, err)
	}
	if _, ok := e.Fault().(F); !ok {
		t.Fatalf("got %T: %v, want %T", e.Fault(), err, *new(F))
	}
}

func asTask(err error, e *task.Error) bool {
	t, ok := err.(task.Error)
	*e = t
	return ok
}

// clone makes a virtual machine on host n (0: none named), with the GPU if one is given.
func (s *site) clone(name string, n int, gpu string) *object.VirtualMachine {
	s.t.Helper()
	spec := types.VirtualMachineCloneSpec{Config: &types.VirtualMachineConfigSpec{
		NumCPUs: 2, MemoryMB: 4096, ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: "guestinfo.metadata", Value: "of " + name}}}}
	pool, err := s.cluster.ResourcePool(ctx)
	s.must(err)
	ref := pool.Reference()
	spec.Location.Pool = &ref
	if n > 0 {
		host := s.hosts[n-1].Reference()
		spec.Location.Host = &host
	}
	if gpu != "" {
		spec.Config.MemoryReservationLockedToMax = types.NewBool(true)
		spec.Config.DeviceChange = []types.BaseVirtualDeviceConfigSpec{addGPU(gpu)}
	}
	t, err := s.vm("debian-13").Clone(ctx, s.folder(), name, spec)
	s.must(wait(t, err))
	return s.vm(name)
}

func addGPU(id string) *types.VirtualDeviceConfigSpec {
	return &types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationAdd, Device: &types.VirtualPCIPassthrough{
		VirtualDevice: types.VirtualDevice{Key: -1, Backing: &types.VirtualPCIPassthroughDeviceBackingInfo{Id: id, DeviceId: "2330", VendorId: 0x10de, SystemId: "s"}}}}
}

func (s *site) folder() *object.Folder {
	s.t.Helper()
	dc, err := s.finder.DefaultDatacenter(ctx)
	s.must(err)
	folders, err := dc.Folders(ctx)
	s.must(err)
	return folders.VmFolder
}

func (s *site) vm(name string) *object.VirtualMachine {
	s.t.Helper()
	vm, err := s.finder.VirtualMachine(ctx, "/dc1/vm/"+name)
	s.must(err)
	return vm
}

// read is the virtual machine as a client sees it.
func (s *site) read(vm *object.VirtualMachine) mo.VirtualMachine {
	s.t.Helper()
	var got mo.VirtualMachine
	s.must(vm.Properties(ctx, vm.Reference(), nil, &got))
	return got
}

func (s *site) powerOn(vm *object.VirtualMachine) error { return wait(vm.PowerOn(ctx)) }

// keepApart makes a mandatory rule.
func (s *site) keepApart(name string, vms ...*object.VirtualMachine) error {
	rule := &types.ClusterAntiAffinityRuleSpec{ClusterRuleInfo: types.ClusterRuleInfo{
		Name: name, Enabled: types.NewBool(true), Mandatory: types.NewBool(true)}}
	for _, vm := range vms {
		rule.Vm = append(rule.Vm, vm.Reference())
	}
	return s.reconfigure(types.ClusterConfigSpecEx{RulesSpec: []types.ClusterRuleSpec{
		{ArrayUpdateSpec: types.ArrayUpdateSpec{Operation: types.ArrayUpdateOperationAdd}, Info: rule}}})
}

func (s *site) reconfigure(spec types.ClusterConfigSpecEx) error {
	return wait(s.cluster.Reconfigure(ctx, &spec, true))
}

func (s *site) configuration() *types.ClusterConfigInfoEx {
	s.t.Helper()
	cfg, err := s.cluster.Configuration(ctx)
	s.must(err)
	return cfg
}

// calls are the hook's calls so far.
func (s *site) calls() string {
	raw, _ := os.ReadFile(filepath.Join(s.dir, "calls"))
	return strings.TrimSpace(string(raw))
}

// order tells the hook to wait, fail or be stuck at a verb; the function it
// returns takes that back.
func (s *site) order(what, verb string) func() {
	s.t.Helper()
	path := filepath.Join(s.dir, what+"."+verb)
	s.must(os.WriteFile(path, nil, 0o600))
	return func() { _ = os.Remove(path) }
}

// until waits for a condition, at most a minute.
func (s *site) until(what string, done func() bool) {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if done() {
			return
		}
	}
	s.t.Fatalf("not within a minute: %s", what)
}

func (s *site) isOn(vm *object.VirtualMachine) bool {
	return s.read(vm).Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn
}
