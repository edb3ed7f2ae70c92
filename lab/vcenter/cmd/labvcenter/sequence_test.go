package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// A hypervisor of files: a machine is a folder with what a cgroup says of itself.
const hypervisor = `#!/bin/sh
D=$(dirname "$0")/machines; cat > /dev/null
say() { mkdir -p "$D/$2"; printf 'populated %s\nfrozen 0\n' "$1" > "$D/$2/.new"; mv "$D/$2/.new" "$D/$2/cgroup.events"; }
case $1 in
on) sleep 0.05; say 1 "$2"; echo "{\"address\":\"10.7.0.21\",\"prefix\":24,\"gateway\":\"10.7.0.1\",\"hostname\":\"$2\"}";;
reset) say 1 "$2";;
off|shutdown) sleep 0.02; say 0 "$2";;
destroy) rm -rf "$D/$2";;
list) s=; printf '['; for f in "$D"/*/cgroup.events; do [ -e "$f" ] || continue; n=${f%/*}
  if grep -q 'populated 1' "$f"; then p=on; else p=off; fi
  printf '%s{"name":"%s","power":"%s"}' "$s" "${n##*/}" "$p"; s=,; done; printf ']';;
esac
`

// bench is a vCenter in a process of its own, three hosts, and five machines:
// three with a GPU that a mandatory rule keeps apart, two that may move.
type bench struct {
	*process
	hosts []string
	vms   []string
	refs  map[string]types.ManagedObjectReference
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{process: &process{t: t, dir: t.TempDir()}, refs: map[string]types.ManagedObjectReference{},
		hosts: []string{"esx-01", "esx-02", "esx-03"}, vms: []string{"gpu-1", "gpu-2", "gpu-3", "plain-1", "plain-2"}}
	b.listen = freeAddress(t)
	b.write("password", "right horse\n")
	b.certificate()
	b.must(os.WriteFile(b.path("hook"), []byte(hypervisor), 0o700))
	b.must(os.Mkdir(b.path("machines"), 0o700))
	gpu := map[string]string{"id": "0000:3b:00.0", "vendor": "10de", "device": "2330", "class": "0302", "name": "H100"}
	var hosts []map[string]any
	for _, name := range b.hosts {
		hosts = append(hosts, map[string]any{"name": name, "gpus": []any{gpu}})
	}
	raw, err := json.Marshal(map[string]any{
		"listen": b.listen, "password_file": b.path("password"), "cert_file": b.path("cert.pem"), "key_file": b.path("key.pem"),
		"state_dir": b.path("state"), "datacenter": "dc1", "cluster": "gpu-cluster", "datastore": "datastore1", "network": "site-network",
		"hosts": hosts, "template": map[string]any{"name": "debian-13"}, "hook": []string{b.path("hook")}, "cgroup_root": b.path("machines"),
		"ha": map[string]any{"delay_seconds": 0.1},
	})
	b.must(err)
	b.write("config.json", string(raw))
	b.start()
	t.Cleanup(func() { b.stop(syscall.SIGKILL) })
	b.populate()
	return b
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func (b *bench) populate() {
	b.t.Helper()
	ctx := context.Background()
	_, f := b.login()
	template, err := f.VirtualMachine(ctx, "debian-13")
	b.must(err)
	cluster, err := f.DefaultClusterComputeResource(ctx)
	b.must(err)
	pool, err := cluster.ResourcePool(ctx)
	b.must(err)
	folder, err := f.DefaultFolder(ctx)
	b.must(err)
	hosts, err := cluster.Hosts(ctx)
	b.must(err)
	rule := &types.ClusterAntiAffinityRuleSpec{ClusterRuleInfo: types.ClusterRuleInfo{
		Name: "keep-apart", Enabled: types.NewBool(true), Mandatory: types.NewBool(true)}}
	for i, name := range b.vms {
		ref, host := pool.Reference(), hosts[i%3].Reference()
		spec := types.VirtualMachineCloneSpec{PowerOn: true, Location: types.VirtualMachineRelocateSpec{Pool: &ref, Host: &host}}
		if strings.HasPrefix(name, "gpu") {
			spec.Config = &types.VirtualMachineConfigSpec{MemoryReservationLockedToMax: types.NewBool(true),
				DeviceChange: []types.BaseVirtualDeviceConfigSpec{&types.VirtualDeviceConfigSpec{Operation: "add", Device: &types.VirtualPCIPassthrough{
					VirtualDevice: types.VirtualDevice{Key: -1, Backing: &types.VirtualPCIPassthroughDeviceBackingInfo{
						Id: "0000:3b:00.0", DeviceId: "2330", VendorId: 0x10de, SystemId: "s"}}}}}}
		}
		task, err := template.Clone(ctx, folder, name, spec)
		b.must(err)
		b.must(task.Wait(ctx))
		vm, err := f.VirtualMachine(ctx, name)
		b.must(err)
		b.refs[name] = vm.Reference()
		if spec.Config != nil {
			rule.Vm = append(rule.Vm, vm.Reference())
		}
	}
	task, err := cluster.Reconfigure(ctx, &types.ClusterConfigSpecEx{RulesSpec: []types.ClusterRuleSpec{
		{ArrayUpdateSpec: types.ArrayUpdateSpec{Operation: types.ArrayUpdateOperationAdd}, Info: rule}}}, true)
	b.must(err)
	b.must(task.Wait(ctx))
}

func (b *bench) admin(path string) {
	b.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", b.path("state/admin.sock"))
	}}}
	res, err := client.Post("http://vcenter"+path, "", nil)
	b.must(err)
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		b.t.Fatalf("%s: %s", path, res.Status)
	}
}

// running is the hypervisor's view.
func (b *bench) running(vm string) bool {
	raw, _ := os.ReadFile(filepath.Join(b.dir, "machines", vm, "cgroup.events"))
	return strings.Contains(string(raw), "populated 1")
}

// die ends a machine as its host's death does.
func (b *bench) die(vm string) {
	if b.running(vm) {
		b.must(os.WriteFile(filepath.Join(b.dir, "machines", vm, "cgroup.events"), []byte("populated 0\nfrozen 0\n"), 0o600))
	}
}

type view struct {
	vms  map[string]mo.VirtualMachine
	host map[types.ManagedObjectReference]mo.HostSystem
}

func (b *bench) look() view {
	b.t.Helper()
	ctx := context.Background()
	c, f := b.login()
	defer func() { _ = c.Logout(ctx) }()
	v := view{map[string]mo.VirtualMachine{}, map[types.ManagedObjectReference]mo.HostSystem{}}
	for _, name := range b.vms {
		vm, err := f.VirtualMachine(ctx, name)
		b.must(err)
		var got mo.VirtualMachine
		b.must(vm.Properties(ctx, vm.Reference(), []string{"runtime", "config.uuid"}, &got))
		v.vms[name] = got
	}
	hosts, err := f.HostSystemList(ctx, "*/*")
	b.must(err)
	for _, h := range hosts {
		var got mo.HostSystem
		b.must(h.Properties(ctx, h.Reference(), []string{"name", "runtime"}, &got))
		v.host[h.Reference()] = got
	}
	return v
}

// broken lists the laws that the view breaks, at any moment.
func (b *bench) broken(v view) (out []string) {
	holder := map[types.ManagedObjectReference]string{}
	for _, name := range b.vms {
		vm := v.vms[name]
		if vm.Self != b.refs[name] {
			out = append(out, fmt.Sprintf("%s was %s and is %s", name, b.refs[name], vm.Self))
		}
		on := vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn
		if other, taken := holder[*vm.Runtime.Host]; on && taken && strings.HasPrefix(name, "gpu") {
			out = append(out, fmt.Sprintf("%s and %s hold one GPU of one host", other, name))
		}
		if on && strings.HasPrefix(name, "gpu") {
			holder[*vm.Runtime.Host] = name
		}
		if v.host[*vm.Runtime.Host].Runtime.InMaintenanceMode && on {
			out = append(out, fmt.Sprintf("%s runs on a host in maintenance mode", name))
		}
	}
	return out
}

// disagreements lists where vCenter and hypervisor see things differently.
func (b *bench) disagreements(v view) (out []string) {
	for _, name := range b.vms {
		r := v.vms[name].Runtime
		on := r.PowerState == types.VirtualMachinePowerStatePoweredOn
		if on != b.running(name) || r.ConnectionState != types.VirtualMachineConnectionStateConnected {
			out = append(out, fmt.Sprintf("%s is %s, %s, and its machine runs: %v", name, r.PowerState, r.ConnectionState, b.running(name)))
		}
	}
	return out
}

// step does one thing at random and says what. That it is refused is no error;
// that nobody answers is.
func (b *bench) step(r *rand.Rand) string {
	ctx := context.Background()
	_, f := b.login()
	name, host := b.vms[r.IntN(len(b.vms))], b.hosts[r.IntN(len(b.hosts))]
	vm := b.find(f, name)
	wait := func(t *object.Task, err error) {
		if err == nil {
			_ = t.Wait(ctx)
		}
	}
	switch r.IntN(11) {
	case 0, 1:
		wait(vm.PowerOn(ctx))
		return "power on " + name
	case 2:
		wait(vm.PowerOff(ctx))
		return "power off " + name
	case 3:
		_ = vm.ShutdownGuest(ctx)
		return "shut down " + name
	case 4:
		wait(b.host(f, host).EnterMaintenanceMode(ctx, 1, r.IntN(2) == 0, nil))
		return "maintenance of " + host
	case 5:
		wait(b.host(f, host).ExitMaintenanceMode(ctx, 0))
		return "end of maintenance of " + host
	case 6:
		for vm, got := range b.look().vms {
			if *got.Runtime.Host == b.host(f, host).Reference() {
				b.die(vm)
			}
		}
		b.admin("/host/" + host + "/lose")
		return "loss of " + host
	case 7:
		b.admin("/host/" + host + "/return")
		return "return of " + host
	case 8:
		b.die(name)
		return "death of " + name
	case 9:
		_, _ = vm.PowerOn(ctx) // and the vCenter dies in the middle
		time.Sleep(time.Duration(r.IntN(80)) * time.Millisecond)
		b.stop(syscall.SIGKILL)
		b.start()
		return "kill while " + name + " is powered on"
	}
	_, _ = b.host(f, host).EnterMaintenanceMode(ctx, 0, false, nil)
	time.Sleep(time.Duration(r.IntN(80)) * time.Millisecond)
	b.stop(syscall.SIGKILL)
	b.start()
	return "kill while " + host + " enters maintenance"
}

func (b *bench) find(f *find.Finder, name string) *object.VirtualMachine {
	vm, err := f.VirtualMachine(context.Background(), name)
	b.must(err)
	return vm
}

func (b *bench) host(f *find.Finder, name string) *object.HostSystem {
	h, err := f.HostSystem(context.Background(), "gpu-cluster/"+name)
	b.must(err)
	return h
}

// settle heals everything and waits until both views agree.
func (b *bench) settle(story []string) {
	b.t.Helper()
	ctx := context.Background()
	for _, host := range b.hosts {
		b.admin("/host/" + host + "/return")
	}
	_, f := b.login()
	for _, host := range b.hosts {
		if t, err := b.host(f, host).ExitMaintenanceMode(ctx, 0); err == nil {
			_ = t.Wait(ctx)
		}
	}
	var left []string
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		v := b.look()
		if left = append(b.disagreements(v), b.broken(v)...); len(left) == 0 {
			return
		}
	}
	b.t.Fatalf("after\n  %s\n%s", strings.Join(story, "\n  "), strings.Join(left, "\n"))
}

// sequences says which seeds to run: a few, or those of a longer run.
func sequences() (from, to int) {
	from, to = 1, 3
	if given := os.Getenv("LABVCENTER_SEQUENCES"); given != "" {
		first, last, _ := strings.Cut(given, "-")
		from, _ = strconv.Atoi(first)
		to, _ = strconv.Atoi(last)
	}
	return from, to
}

func TestAfterAnySequenceViewAndMachinesAgree(t *testing.T) {
	from, to := sequences()
	for seed := from; seed < to; seed++ {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			r := rand.New(rand.NewPCG(uint64(seed), 4))
			var story []string
			for range 10 {
				story = append(story, b.step(r))
				if wrong := b.broken(b.look()); len(wrong) > 0 {
					t.Fatalf("after\n  %s\n%s", strings.Join(story, "\n  "), strings.Join(wrong, "\n"))
				}
			}
			b.settle(story)
		})
	}
}

// The check above finds what it is to find.
func TestADisagreementIsFound(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	v := b.look()
	if got := append(b.disagreements(v), b.broken(v)...); len(got) != 0 {
		t.Fatalf("to begin with: %v", got)
	}
	_, f := b.login()
	task, err := b.host(f, "esx-01").Disconnect(context.Background())
	b.must(err)
	b.must(task.Wait(context.Background()))
	b.die("gpu-1") // unseen by a vCenter that does not hear of the host
	if got := b.disagreements(b.look()); !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "gpu-1") }) {
		t.Errorf("got %v", got)
	}
	stolen := b.look()
	thief := stolen.vms["gpu-2"]
	thief.Runtime.Host = stolen.vms["gpu-3"].Runtime.Host
	stolen.vms["gpu-2"] = thief
	if got := b.broken(stolen); len(got) != 1 {
		t.Errorf("two owners of one GPU: %v", got)
	}
}
