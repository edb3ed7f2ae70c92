package vcenter

import (
	"cmp"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// storageMove is where the files of one virtual machine go. Datastores go by their names.
type storageMove struct {
	c      *Center
	stores map[string]types.ManagedObjectReference
	home   string            // where its own files go, and every disk not named apart; may be empty
	apart  map[int32]string  // where a disk goes, by its key
	dirs   map[string]string // the machine's folder in each
	grown  map[string]int64  // the bytes that come to each
}

// storageMoveOf reads a specification; it refuses datastores and disks that are not there.
func (c *Center) storageMoveOf(vm *simulator.VirtualMachine, spec types.VirtualMachineRelocateSpec) (*storageMove, types.BaseMethodFault) {
	m := &storageMove{c: c, stores: map[string]types.ManagedObjectReference{},
		apart: map[int32]string{}, dirs: map[string]string{}, grown: map[string]int64{}}
	for _, e := range c.reg.All("Datastore") {
		m.stores[c.nameOf(e.Reference())] = e.Reference()
	}
	if spec.Datastore != nil {
		m.home = c.nameOf(*spec.Datastore)
	}
	disks := map[int32]bool{}
	c.locked(vm, func(*simulator.Context) {
		for _, disk := range disksOf(vm) {
			disks[disk.Key] = true
		}
	})
	for _, l := range spec.Disk {
		if _, ok := c.reg.Get(l.Datastore).(*simulator.Datastore); !ok {
			return nil, &types.ManagedObjectNotFound{Obj: l.Datastore}
		}
		if !disks[l.DiskId] {
			return nil, argument("spec.disk.diskId")
		}
		m.apart[l.DiskId] = c.nameOf(l.Datastore)
	}
	return m, nil
}

func disksOf(vm *simulator.VirtualMachine) (disks []*types.VirtualDisk) {
	for _, d := range vm.Config.Hardware.Device {
		if disk, ok := d.(*types.VirtualDisk); ok {
			disks = append(disks, disk)
		}
	}
	return disks
}

// setStorage moves a virtual machine's files, on disk and in what it says of them; it may run
// meanwhile.
func (c *Center) setStorage(ctx *simulator.Context, vm *simulator.VirtualMachine, m *storageMove) types.BaseMethodFault {
	if m.home == "" && len(m.apart) == 0 {
		return nil
	}
	said := c.vmEvent(vm)
	before, after, err := m.carried(vm)
	if err != nil {
		return systemError(err.Error())
	}
	if len(m.grown) == 0 {
		return nil
	}
	c.dirty.add(vm.Self)
	m.account(vm.Self, before, after)
	moved := &types.VmRelocatedEvent{SourceHost: *said.Host, SourceDatastore: said.Ds, SourceDatacenter: said.Datacenter}
	moved.VmEvent = c.vmEvent(vm)
	c.post(ctx, moved)
	c.pulse.send()
	return nil
}

// carried moves the files; it returns the machine's datastores as they were and as they are then.
func (m *storageMove) carried(vm *simulator.VirtualMachine) (before, after []types.ManagedObjectReference, err error) {
	m.c.tree.Lock() // the simulator reads datastores without their locks
	defer m.c.tree.Unlock()
	m.c.locked(vm, func(own *simulator.Context) {
		before = vm.Datastore
		var changes []types.PropertyChange
		if changes, err = m.carry(vm); err != nil {
			return
		}
		m.c.reg.Update(own, vm, changes)
		vm.RefreshStorageInfo(own, nil)
		after = vm.Datastore
	})
	return before, after, err
}

// carry moves the files and returns what the virtual machine says of them then. The caller holds
// its lock.
func (m *storageMove) carry(vm *simulator.VirtualMachine) ([]types.PropertyChange, error) {
	files := vm.Config.Files
	home := placeOf(files.VmPathName)
	folder, to := path.Dir(home.Path), home.Datastore
	if m.home != "" {
		to = m.home
	}
	for _, disk := range disksOf(vm) {
		backing, ok := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo)
		if !ok {
			return nil, fmt.Errorf("disk %d has no flat backing", disk.Key)
		}
		m.dirs[placeOf(backing.FileName).Datastore] = path.Dir(placeOf(backing.FileName).Path)
	}
	m.dirs[home.Datastore] = folder
	devices, used, err := m.carryDisks(vm, folder)
	if err != nil {
		return nil, err
	}
	if to != home.Datastore {
		dir, err := m.carryHome(home.Datastore, folder, to)
		if err != nil {
			return nil, err
		}
		files.VmPathName = onStore(to, dir, path.Base(home.Path))
		files.SnapshotDirectory, files.SuspendDirectory, files.LogDirectory = onStore(to, dir), onStore(to, dir), onStore(to, dir)
	}
	refs := []types.ManagedObjectReference{m.stores[to]}
	for _, name := range used {
		if !slices.Contains(refs, m.stores[name]) {
			refs = append(refs, m.stores[name])
		}
	}
	return []types.PropertyChange{
		{Name: "config.files", Val: files},
		{Name: "config.hardware.device", Val: devices},
		{Name: "datastore", Val: refs},
		{Name: "summary.config.vmPathName", Val: files.VmPathName},
	}, nil
}

func placeOf(file string) (p object.DatastorePath) {
	p.FromString(file)
	return p
}

func onStore(name string, parts ...string) string {
	return (&object.DatastorePath{Datastore: name, Path: path.Join(parts...)}).String()
}

// carryDisks moves each disk that goes elsewhere; it returns all devices as they are then, and the
// datastores of all disks.
func (m *storageMove) carryDisks(vm *simulator.VirtualMachine, folder string) (devices []types.BaseVirtualDevice, used []string, err error) {
	devices = slices.Clone(vm.Config.Hardware.Device)
	for i, d := range devices {
		disk, ok := d.(*types.VirtualDisk)
		if !ok {
			continue
		}
		moved, own := *disk, *disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo)
		from := placeOf(own.FileName)
		to, ok := m.apart[disk.Key]
		if !ok {
			to = cmp.Or(m.home, from.Datastore)
		}
		used = append(used, to)
		if to == from.Datastore {
			continue
		}
		dir, err := m.folderIn(to, folder)
		if err != nil {
			return nil, nil, err
		}
		stem := strings.TrimSuffix(from.Path, ".vmdk")
		for _, file := range []string{stem + ".vmdk", stem + "-flat.vmdk"} {
			if err := rename(m.c.fileOf(from.Datastore, file), m.c.fileOf(to, path.Join(dir, path.Base(file)))); err != nil {
				return nil, nil, err
			}
		}
		ref := m.stores[to]
		own.Datastore, own.FileName = &ref, onStore(to, dir, path.Base(from.Path))
		moved.Backing = &own
		devices[i] = &moved
		m.grown[to] += disk.CapacityInBytes
		m.grown[from.Datastore] -= disk.CapacityInBytes
	}
	return devices, used, nil
}

// carryHome moves what is left in a machine's folder, and returns the folder it has then; disks
// that stay keep the old one.
func (m *storageMove) carryHome(from, folder, to string) (string, error) {
	dir, err := m.folderIn(to, folder)
	if err != nil {
		return "", err
	}
	entries, err := os.ReadDir(m.c.fileOf(from, folder))
	if err != nil && !os.IsNotExist(err) {
		return "", err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".vmdk") {
			continue
		}
		if err := rename(m.c.fileOf(from, path.Join(folder, e.Name())), m.c.fileOf(to, path.Join(dir, e.Name()))); err != nil {
			return "", err
		}
	}
	_ = os.Remove(m.c.fileOf(from, folder)) // only where it is empty
	m.grown[to] += 0                        // it holds something now, however small
	return dir, nil
}

// folderIn is the machine's folder in a datastore; it is made under a name that nobody has there.
func (m *storageMove) folderIn(name, wanted string) (string, error) {
	if dir, ok := m.dirs[name]; ok {
		return dir, nil
	}
	for n := 0; ; n++ {
		dir := wanted
		if n > 0 {
			dir = fmt.Sprintf("%s_%d", wanted, n)
		}
		err := os.Mkdir(m.c.fileOf(name, dir), 0o700)
		if err == nil {
			m.dirs[name] = dir
			return dir, nil
		}
		if !os.IsExist(err) {
			return "", err
		}
	}
}

// account enters the virtual machine and its bytes with the datastores that have them now.
func (m *storageMove) account(vm types.ManagedObjectReference, before, after []types.ManagedObjectReference) {
	c := m.c
	for _, ref := range append(slices.Clone(before), after...) {
		ds := c.reg.Get(ref).(*simulator.Datastore)
		c.locked(ds, func(*simulator.Context) {
			ds.Vm = slices.DeleteFunc(slices.Clone(ds.Vm), func(r types.ManagedObjectReference) bool { return r == vm })
			if slices.Contains(after, ref) {
				ds.Vm = append(ds.Vm, vm)
			}
		})
	}
	for name, bytes := range m.grown {
		ds := c.reg.Get(m.stores[name]).(*simulator.Datastore)
		c.locked(ds, func(*simulator.Context) {
			ds.Summary.FreeSpace -= bytes
			ds.Info.GetDatastoreInfo().FreeSpace = ds.Summary.FreeSpace
		})
	}
}

// fileOf is where a file of a datastore lies.
func (c *Center) fileOf(datastore, file string) string {
	return filepath.Join(c.datastoreDir(slices.Index(c.cfg.Datastores(), datastore)), file)
}

// rename moves a file; one that was never written needs no moving.
func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}
