package vcenter

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// CloneVMTask copies a virtual machine or template, with all its settings, to
// the named host or to the one that DRS would choose.
func (r *vmCalls) CloneVMTask(ctx *simulator.Context, req *types.CloneVM_Task) soap.HasFault {
	vm := r.c.vm(req.This)
	return reply[methods.CloneVM_TaskBody](r.c.task(ctx, vm, "CloneVM_Task", "VirtualMachine.clone",
		func(ctx *simulator.Context, _ *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			return r.c.clone(ctx, vm, req)
		}))
}

func (c *Center) clone(ctx *simulator.Context, vm *simulator.VirtualMachine, req *types.CloneVM_Task) (types.AnyType, types.BaseMethodFault) {
	loc := &req.Spec.Location
	if loc.Pool == nil {
		return nil, argument("spec.location.pool")
	}
	if fault := c.knownPlace(req.Folder, loc.Pool, loc.Host, loc.Datastore); fault != nil {
		return nil, fault
	}
	if other, ok := c.childNamed(req.Folder, req.Name); ok {
		return nil, &types.DuplicateName{Name: req.Name, Object: other}
	}
	own := types.VirtualMachineConfigSpec{}
	if req.Spec.Config != nil {
		own = *req.Spec.Config
	}
	for _, changes := range [][]types.BaseVirtualDeviceConfigSpec{own.DeviceChange, loc.DeviceChange} {
		if fault := c.knownBackings(changes); fault != nil {
			return nil, fault
		}
	}
	// The simulator derives ids from the path; a second machine of the same name
	// would come back under the id of the first.
	if own.Uuid == "" {
		own.Uuid = uuid.NewString()
	}
	if own.InstanceUuid == "" {
		own.InstanceUuid = uuid.NewString()
	}
	powerOn, spec := req.Spec.PowerOn && !req.Spec.Template, req.Spec
	spec.PowerOn, spec.Config, spec.Customization = false, &own, nil

	release, fault := c.placeNew(&spec.Location.Host, *loc.Pool)
	if fault != nil {
		return nil, fault
	}
	defer release()
	res, fault := c.stockTree(ctx, vm, func() soap.HasFault {
		return vm.CloneVMTask(ctx, &types.CloneVM_Task{This: vm.Self, Folder: req.Folder, Name: req.Name, Spec: spec})
	})
	if fault != nil {
		return nil, fault
	}
	ref := res.(types.ManagedObjectReference)
	c.dirty.add(ref)
	made := c.vm(ref)
	if fault := c.inherit(ctx, vm, made, own); fault != nil {
		return nil, fault
	}
	if powerOn {
		if fault := c.powerOn(ctx, made, nil); fault != nil {
			return nil, fault
		}
	}
	return ref, nil
}

// inherit gives the clone what the simulator does not copy: the settings of its
// source, and above them those asked for.
func (c *Center) inherit(ctx *simulator.Context, from, made *simulator.VirtualMachine, own types.VirtualMachineConfigSpec) types.BaseMethodFault {
	defer c.ops.lock(made.Self)()
	var base types.VirtualMachineConfigSpec
	c.locked(from, func(*simulator.Context) { base = settings(from) })
	var template bool
	c.locked(made, func(own *simulator.Context) {
		template = made.Config.Template
		made.Config.Template = false // a template takes no settings
		c.freshMACs(own, made)
	})
	own.DeviceChange = nil // the clone made them
	given := map[string]bool{}
	for _, o := range own.ExtraConfig {
		given[o.GetOptionValue().Key] = true
	}
	var extra []types.BaseOptionValue
	for _, o := range base.ExtraConfig {
		if !given[o.GetOptionValue().Key] {
			extra = append(extra, o)
		}
	}
	base.ExtraConfig = extra
	fault := c.reconfigure(ctx, made, base)
	if fault == nil {
		fault = c.reconfigure(ctx, made, own)
	}
	c.locked(made, func(*simulator.Context) { made.Config.Template = template })
	return fault
}

// settings is the part of a configuration that a clone takes over. The caller
// holds the lock.
func settings(vm *simulator.VirtualMachine) types.VirtualMachineConfigSpec {
	cfg := vm.Config
	flags := cfg.Flags
	spec := types.VirtualMachineConfigSpec{
		Firmware: cfg.Firmware, Annotation: cfg.Annotation, AlternateGuestName: cfg.AlternateGuestName, Flags: &flags,
		NestedHVEnabled: cfg.NestedHVEnabled, CpuHotAddEnabled: cfg.CpuHotAddEnabled, CpuHotRemoveEnabled: cfg.CpuHotRemoveEnabled,
		MemoryHotAddEnabled: cfg.MemoryHotAddEnabled, MemoryReservationLockedToMax: cfg.MemoryReservationLockedToMax,
		SwapPlacement: cfg.SwapPlacement, LatencySensitivity: cfg.LatencySensitivity,
	}
	if cfg.MemoryAllocation != nil {
		spec.MemoryAllocation = merged(cfg.MemoryAllocation, nil)
	}
	if cfg.CpuAllocation != nil {
		spec.CpuAllocation = merged(cfg.CpuAllocation, nil)
	}
	if cfg.BootOptions != nil {
		spec.BootOptions = merged(cfg.BootOptions, nil)
	}
	if cfg.Tools != nil {
		tools := *cfg.Tools
		tools.PendingCustomization = ""
		spec.Tools = &tools
	}
	for _, o := range cfg.ExtraConfig {
		v := *o.GetOptionValue()
		if !strings.HasPrefix(v.Key, "govcsim") && v.Value != "" {
			spec.ExtraConfig = append(spec.ExtraConfig, &v)
		}
	}
	return spec
}

// freshMACs gives the clone's cards addresses of their own. The caller holds the lock.
func (c *Center) freshMACs(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	devices := cloneDevices(vm.Config.Hardware.Device)
	for _, d := range devices {
		if card, ok := d.(types.BaseVirtualEthernetCard); ok {
			e := card.GetVirtualEthernetCard()
			if e.AddressType != string(types.VirtualEthernetCardMacTypeManual) {
				e.AddressType, e.MacAddress = string(types.VirtualEthernetCardMacTypeAssigned), newMAC()
			}
		}
	}
	c.reg.Update(ctx, vm, []types.PropertyChange{{Name: "config.hardware.device", Val: devices}, {Name: "guest.net", Val: []types.GuestNicInfo{}}})
}

// newMAC is out of the range from which a vCenter assigns.
func newMAC() string {
	n := rand.Uint32()
	return fmt.Sprintf("00:50:56:%02x:%02x:%02x", 0x80|(n>>16)&0x3f, (n>>8)&0xff, n&0xff)
}

// CreateVMTask makes a virtual machine from nothing.
func (r *folderCalls) CreateVMTask(ctx *simulator.Context, req *types.CreateVM_Task) soap.HasFault {
	c := r.c
	folder := c.reg.Get(req.This).(*simulator.Folder)
	return reply[methods.CreateVM_TaskBody](c.task(ctx, folder, "CreateVM_Task", "Folder.createVm",
		func(ctx *simulator.Context, _ *simulator.Task) (types.AnyType, types.BaseMethodFault) {
			if fault := c.knownPlace(req.This, &req.Pool, req.Host, nil); fault != nil {
				return nil, fault
			}
			if other, ok := c.childNamed(req.This, req.Config.Name); ok {
				return nil, &types.DuplicateName{Name: req.Config.Name, Object: other}
			}
			if fault := c.knownBackings(req.Config.DeviceChange); fault != nil {
				return nil, fault
			}
			return c.create(ctx, folder, req)
		}))
}

func (c *Center) create(ctx *simulator.Context, folder *simulator.Folder, req *types.CreateVM_Task) (types.AnyType, types.BaseMethodFault) {
	spec := req.Config
	if spec.Uuid == "" {
		spec.Uuid = uuid.NewString()
	}
	if spec.InstanceUuid == "" {
		spec.InstanceUuid = uuid.NewString()
	}
	if spec.Version == "" {
		spec.Version = c.newest().String()
	}
	if spec.Files == nil || !c.onKnownDatastore(spec.Files.VmPathName) {
		return nil, &types.InvalidVmConfig{Property: "configSpec.files.vmPathName"}
	}
	host := req.Host
	release, fault := c.placeNew(&host, req.Pool)
	if fault != nil {
		return nil, fault
	}
	defer release()
	res, fault := c.stockTree(ctx, folder, func() soap.HasFault {
		return folder.CreateVMTask(ctx, &types.CreateVM_Task{This: folder.Self, Config: spec, Pool: req.Pool, Host: host})
	})
	if fault != nil {
		return nil, fault
	}
	ref := res.(types.ManagedObjectReference)
	c.dirty.add(ref)
	rest := spec
	rest.DeviceChange, rest.Files, rest.ExtraConfig = nil, nil, nil
	return ref, c.reconfigure(ctx, c.vm(ref), rest)
}
