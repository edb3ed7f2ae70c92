package vcenter

import (
	"fmt"
	"reflect"

	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// localized gives a fault the sentence that a vCenter says with it.
func localized(fault types.BaseMethodFault) types.LocalizedMethodFault {
	message := sentence(fault)
	// The simulator's causes are of a type that only govmomi knows.
	if f := fault.GetMethodFault(); f != nil && f.FaultCause != nil {
		if cause, ok := f.FaultCause.Fault.(*types.SystemErrorFault); ok {
			f.FaultCause.Fault = &types.SystemError{RuntimeFault: cause.RuntimeFault, Reason: cause.Reason}
		}
	}
	return types.LocalizedMethodFault{Fault: fault, LocalizedMessage: message}
}

func sentence(fault types.BaseMethodFault) string {
	if f := fault.GetMethodFault(); f != nil && f.FaultCause != nil && f.FaultCause.LocalizedMessage != "" {
		return f.FaultCause.LocalizedMessage
	}
	if f := fault.GetMethodFault(); f != nil && len(f.FaultMessage) > 0 && f.FaultMessage[0].Message != "" {
		return f.FaultMessage[0].Message
	}
	switch f := fault.(type) {
	case *types.DuplicateName:
		return fmt.Sprintf("The name '%s' already exists.", f.Name)
	case *types.InvalidArgument:
		return "A specified parameter was not correct: " + f.InvalidProperty
	case *types.InvalidPowerState:
		return fmt.Sprintf("The attempted operation cannot be performed in the current state (%s).", stateName(f.ExistingState))
	case *types.ManagedObjectNotFound:
		return "The object has already been deleted or has not been completely created"
	case *types.NoCompatibleHost:
		return "No host is compatible with the virtual machine."
	case *types.InvalidHostState:
		return "The operation is not allowed in the current state of the host."
	case *types.InsufficientFailoverResourcesFault:
		return "Insufficient resources to satisfy configured failover level for vSphere HA."
	case *types.HostNotConnected:
		return "Unable to communicate with the remote host, since it is disconnected."
	case *types.NotSupported:
		return "The operation is not supported on the object."
	case *types.InvalidState:
		return "The operation is not allowed in the current state."
	case *types.Timedout:
		return "Operation timed out."
	case *types.RequestCanceled:
		return "The task was canceled by a user."
	case *types.ToolsUnavailable:
		return "Cannot complete operation because VMware Tools is not running in this virtual machine."
	case *types.ConcurrentAccess:
		return "The virtual machine's configuration was changed by another client meanwhile."
	case *types.InvalidLogin:
		return "Cannot complete login due to an incorrect user name or password."
	case *types.CpuHotPlugNotSupported:
		return "CPU hot plug is not supported for this virtual machine."
	case *types.MemoryHotPlugNotSupported:
		return "Memory hot plug is not supported for this virtual machine."
	}
	return "Fault: " + reflect.TypeOf(fault).Elem().Name()
}

func stateName(s types.VirtualMachinePowerState) string {
	switch s {
	case types.VirtualMachinePowerStatePoweredOn:
		return "Powered on"
	case types.VirtualMachinePowerStatePoweredOff:
		return "Powered off"
	}
	return string(s)
}

// because gives a fault its reason in words.
func because(message string) types.MethodFault {
	return types.MethodFault{FaultMessage: []types.LocalizableMessage{{Key: "com.vmware.vim.vpxd.reason", Message: message}}}
}

func systemError(message string) types.BaseMethodFault {
	return &types.SystemError{RuntimeFault: types.RuntimeFault{MethodFault: because(message)}, Reason: message}
}

func configFault(message string) types.BaseMethodFault {
	return &types.GenericVmConfigFault{
		VmConfigFault: types.VmConfigFault{VimFault: types.VimFault{MethodFault: because(message)}}, Reason: message}
}

func invalidState(message string) types.BaseMethodFault {
	return &types.InvalidState{VimFault: types.VimFault{MethodFault: because(message)}}
}

func powerState(have, want types.VirtualMachinePowerState) types.BaseMethodFault {
	return &types.InvalidPowerState{RequestedState: want, ExistingState: have}
}

func argument(property string) types.BaseMethodFault {
	return &types.InvalidArgument{InvalidProperty: property}
}

func faultOf(f *soap.Fault) types.BaseMethodFault {
	if fault, ok := f.VimFault().(types.BaseMethodFault); ok {
		return fault
	}
	return systemError(f.String)
}
