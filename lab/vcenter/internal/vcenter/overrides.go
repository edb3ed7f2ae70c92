package vcenter

import (
	"slices"

	"github.com/vmware/govmomi/vim25/types"
)

// upsert carries out one update of an array of overrides, each known by its
// virtual machine. Clients send "add" for an override that exists, too.
func upsert[T any](have []T, op types.ArrayUpdateSpec, info *T, key func(*T) types.ManagedObjectReference, merge func(old, src *T)) ([]T, types.BaseMethodFault) {
	find := func(ref any) int {
		return slices.IndexFunc(have, func(v T) bool { return key(&v) == ref })
	}
	if op.Operation == types.ArrayUpdateOperationRemove {
		i := find(op.RemoveKey)
		if i < 0 {
			return nil, argument("removeKey")
		}
		return slices.Delete(slices.Clone(have), i, i+1), nil
	}
	if info == nil {
		return nil, argument("info")
	}
	i := find(key(info))
	if i < 0 {
		if op.Operation == types.ArrayUpdateOperationEdit {
			return nil, argument("info.key")
		}
		return append(slices.Clone(have), *info), nil
	}
	out := slices.Clone(have)
	merge(&out[i], info)
	return out, nil
}

func (c *Center) changeHAOverrides(cfg *types.ClusterConfigInfoEx, spec *types.ClusterConfigSpecEx) (fault types.BaseMethodFault) {
	for _, s := range spec.DasVmConfigSpec {
		if s.Info != nil && c.vm(s.Info.Key) == nil {
			return &types.ManagedObjectNotFound{Obj: s.Info.Key}
		}
		cfg.DasVmConfig, fault = upsert(cfg.DasVmConfig, s.ArrayUpdateSpec, s.Info,
			func(v *types.ClusterDasVmConfigInfo) types.ManagedObjectReference { return v.Key },
			func(old, src *types.ClusterDasVmConfigInfo) {
				settings := old.DasSettings
				*old = *merged(src, old)
				if src.DasSettings != nil {
					old.DasSettings = merged(src.DasSettings, settings)
				}
			})
		if fault != nil {
			return fault
		}
	}
	return nil
}

func (c *Center) changeDRSOverrides(cfg *types.ClusterConfigInfoEx, spec *types.ClusterConfigSpecEx) (fault types.BaseMethodFault) {
	for _, s := range spec.DrsVmConfigSpec {
		if s.Info != nil && c.vm(s.Info.Key) == nil {
			return &types.ManagedObjectNotFound{Obj: s.Info.Key}
		}
		cfg.DrsVmConfig, fault = upsert(cfg.DrsVmConfig, s.ArrayUpdateSpec, s.Info,
			func(v *types.ClusterDrsVmConfigInfo) types.ManagedObjectReference { return v.Key },
			func(old, src *types.ClusterDrsVmConfigInfo) { *old = *merged(src, old) })
		if fault != nil {
			return fault
		}
	}
	return nil
}

func (c *Center) changeOrchestration(cfg *types.ClusterConfigInfoEx, spec *types.ClusterConfigSpecEx) (fault types.BaseMethodFault) {
	for _, s := range spec.VmOrchestrationSpec {
		cfg.VmOrchestration, fault = upsert(cfg.VmOrchestration, s.ArrayUpdateSpec, s.Info,
			func(v *types.ClusterVmOrchestrationInfo) types.ManagedObjectReference { return v.Vm },
			func(old, src *types.ClusterVmOrchestrationInfo) { *old = *merged(src, old) })
		if fault != nil {
			return fault
		}
	}
	return nil
}
