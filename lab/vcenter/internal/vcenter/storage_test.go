package vcenter_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/config"
)

// twoStores is a site with a second datastore.
func twoStores(t *testing.T) (s *site, first, second types.ManagedObjectReference) {
	s = newSite(t, func(c *config.Config) { c.MoreDatastores = []string{"datastore2"} })
	for name, ref := range map[string]*types.ManagedObjectReference{"datastore1": &first, "datastore2": &second} {
		ds, err := s.finder.Datastore(ctx, name)
		s.must(err)
		*ref = ds.Reference()
	}
	return s, first, second
}

// files are what a virtual machine says of where it lies: its own file, then each disk's.
func (s *site) files(vm *object.VirtualMachine) string {
	got := s.read(vm)
	out := []string{got.Config.Files.VmPathName}
	for _, d := range got.Config.Hardware.Device {
		if disk, ok := d.(*types.VirtualDisk); ok {
			out = append(out, disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo).FileName)
		}
	}
	return strings.Join(out, ", ")
}

// holds are the virtual machines of a datastore, and the bytes left in it.
func (s *site) holds(ref types.ManagedObjectReference) (n int, free int64) {
	var got mo.Datastore
	s.must(object.NewDatastore(s.client.Client, ref).Properties(ctx, ref, nil, &got))
	return len(got.Vm), got.Summary.FreeSpace
}

func TestStorageVMotion(t *testing.T) {
	s, first, second := twoStores(t)
	vm := s.clone("m", 1, gpuA)
	s.must(s.powerOn(vm))
	calls := s.calls()
	holds, free := s.holds(first)
	_, freeThere := s.holds(second)

	s.must(wait(vm.Relocate(ctx, types.VirtualMachineRelocateSpec{Datastore: &second}, "")))
	want := "[datastore2] m/m.vmx, [datastore2] m/m.vmdk"
	if got := s.files(vm); got != want {
		t.Errorf("files %s", got)
	}
	if got := s.read(vm); len(got.Datastore) != 1 || got.Datastore[0] != second || got.Summary.Config.VmPathName != got.Config.Files.VmPathName {
		t.Errorf("datastores %v, %s", got.Datastore, got.Summary.Config.VmPathName)
	}
	if !s.isOn(vm) || s.calls() != calls {
		t.Errorf("it did not go on running: %s", s.calls())
	}
	if n, left := s.holds(first); n != holds-1 || left-free != 8<<30 {
		t.Errorf("the first holds %d, %d came free", n, left-free)
	}
	if n, left := s.holds(second); n != 1 || freeThere-left != 8<<30 {
		t.Errorf("the second holds %d, %d were taken", n, freeThere-left)
	}
	if s.posted("VmRelocatedEvent") != 1 {
		t.Error("no event says so")
	}
	s.reopen()
	if got := s.files(s.vm("m")); got != want {
		t.Errorf("after a restart %s", got)
	}

	// Its files are there, so that it can go on as any other: a disk more, and its end.
	vm = s.vm("m")
	devices, err := vm.Device(ctx)
	s.must(err)
	scsi, err := devices.FindDiskController("scsi")
	s.must(err)
	more := devices.CreateDisk(scsi, second, "")
	more.CapacityInKB = 1 << 20
	s.must(vm.AddDevice(ctx, more))
	if got := s.files(vm); got != want+", [datastore2] m/m_1.vmdk" {
		t.Errorf("with another disk %s", got)
	}
	s.must(wait(vm.PowerOff(ctx)))
	s.must(wait(vm.Destroy(ctx)))
	for _, store := range []string{"datastore", "datastore1"} {
		if _, err := os.Stat(filepath.Join(s.cfg.StateDir, store, "m")); !os.IsNotExist(err) {
			t.Errorf("its folder is left in %s: %v", store, err)
		}
	}
}

func TestADiskMovesApart(t *testing.T) {
	s, first, second := twoStores(t)
	vm := s.clone("m", 1, "")
	devices, err := vm.Device(ctx)
	s.must(err)
	disk := devices.SelectByType((*types.VirtualDisk)(nil))[0].GetVirtualDevice().Key
	to := func(home *types.ManagedObjectReference, id int32, ds types.ManagedObjectReference) error {
		return wait(vm.Relocate(ctx, types.VirtualMachineRelocateSpec{Datastore: home,
			Disk: []types.VirtualMachineRelocateSpecDiskLocator{{DiskId: id, Datastore: ds}}}, ""))
	}
	s.must(to(nil, disk, second))
	if got := s.files(vm); got != "[datastore1] m/m.vmx, [datastore2] m/m.vmdk" {
		t.Errorf("files %s", got)
	}
	if got := s.read(vm).Datastore; len(got) != 2 {
		t.Errorf("datastores %v", got)
	}
	s.must(to(&second, disk, first))
	if got := s.files(vm); got != "[datastore2] m/m.vmx, [datastore1] m/m.vmdk" {
		t.Errorf("files %s", got)
	}
	refusedAs[*types.InvalidArgument](t, to(nil, 4711, second))
	refusedAs[*types.ManagedObjectNotFound](t, to(nil, disk, types.ManagedObjectReference{Type: "Datastore", Value: "datastore-9999"}))
}
