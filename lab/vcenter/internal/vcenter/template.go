package vcenter

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/config"
)

// makeTemplates makes the virtual machines that exist from the beginning.
func (c *Center) makeTemplates() error {
	// A first start that was killed may have left files, but no inventory.
	for i := range c.cfg.Datastores() {
		if err := clearDir(c.datastoreDir(i)); err != nil {
			return err
		}
	}
	for _, t := range c.cfg.Templates() {
		if err := c.makeTemplate(t); err != nil {
			return err
		}
	}
	return nil
}

// makeTemplate makes one: a disk on a paravirtual controller, a vmxnet3 card on
// the site's first network.
func (c *Center) makeTemplate(t config.Template) error {
	folder := c.reg.Get(c.site.vmFolder).(*simulator.Folder)
	spec := types.VirtualMachineConfigSpec{
		Name: t.Name, GuestId: t.GuestID, Version: t.HardwareVersion, Firmware: t.Firmware,
		Uuid: uuid.NewString(), InstanceUuid: uuid.NewString(), NumCPUs: 2, MemoryMB: 2048,
		Files:        &types.VirtualMachineFileInfo{VmPathName: "[" + c.cfg.Datastore + "]"},
		DeviceChange: c.templateDevices(t),
	}
	ctx := c.ctx()
	res, fault := c.stock(ctx, folder, func() soap.HasFault {
		return folder.CreateVMTask(ctx, &types.CreateVM_Task{This: folder.Self, Config: spec, Pool: c.site.rootPools[0], Host: &c.site.hosts[0]})
	})
	if fault != nil {
		return soap.WrapVimFault(fault)
	}
	vm := c.vm(res.(types.ManagedObjectReference))
	rest := spec
	rest.DeviceChange, rest.Files = nil, nil
	if fault := c.reconfigure(ctx, vm, rest); fault != nil {
		return soap.WrapVimFault(fault)
	}
	c.locked(vm, func(*simulator.Context) { vm.MarkAsTemplate(&types.MarkAsTemplate{This: vm.Self}) })
	return nil
}

func clearDir(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

func (c *Center) templateDevices(t config.Template) []types.BaseVirtualDeviceConfigSpec {
	var devices object.VirtualDeviceList
	scsi, _ := devices.CreateSCSIController("pvscsi")
	devices = append(devices, scsi)
	unit := int32(0)
	disk := &types.VirtualDisk{
		VirtualDevice: types.VirtualDevice{
			Key: -200, ControllerKey: scsi.GetVirtualDevice().Key, UnitNumber: &unit,
			Backing: &types.VirtualDiskFlatVer2BackingInfo{
				DiskMode: string(types.VirtualDiskModePersistent), ThinProvisioned: types.NewBool(true),
				VirtualDeviceFileBackingInfo: types.VirtualDeviceFileBackingInfo{
					FileName: "[" + c.cfg.Datastore + "] " + t.Name + "/" + t.Name + ".vmdk"},
			},
		},
		CapacityInKB: int64(t.DiskGiB) << 20, CapacityInBytes: int64(t.DiskGiB) << 30,
	}
	pg := c.networkNamed(c.cfg.Network).(*simulator.DistributedVirtualPortgroup)
	dvs := c.reg.Get(*pg.Config.DistributedVirtualSwitch).(*simulator.DistributedVirtualSwitch)
	card := &types.VirtualVmxnet3{VirtualVmxnet: types.VirtualVmxnet{VirtualEthernetCard: types.VirtualEthernetCard{
		AddressType: string(types.VirtualEthernetCardMacTypeGenerated),
		VirtualDevice: types.VirtualDevice{Key: -300, Backing: &types.VirtualEthernetCardDistributedVirtualPortBackingInfo{
			Port: types.DistributedVirtualSwitchPortConnection{PortgroupKey: pg.Key, SwitchUuid: dvs.Uuid}}},
	}}}
	devices = append(devices, disk, card)
	changes, _ := devices.ConfigSpec(types.VirtualDeviceConfigSpecOperationAdd)
	return changes
}

// cloneDevices is a deep copy.
func cloneDevices(devices []types.BaseVirtualDevice) []types.BaseVirtualDevice {
	out, err := types.DeepCopy(types.ArrayOfVirtualDevice{VirtualDevice: devices})
	if err != nil {
		return devices
	}
	return out.VirtualDevice
}
