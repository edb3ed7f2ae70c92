package vcenter

import (
	"reflect"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
)

// FetchResponse is the answer for a property that is not set.
type FetchResponse struct{}

type unsetBody struct {
	Res    *FetchResponse
	Fault_ *soap.Fault
}

// Fault says that there is none.
func (b *unsetBody) Fault() *soap.Fault { return b.Fault_ }

// Fetch reads one property. Where it is not set, the simulator answers with the
// response of another method, at which pyvmomi raises; a vCenter says nothing.
// The request's type is internal to govmomi, hence the detour.
func (p *collector) Fetch(ctx *simulator.Context, req any) soap.HasFault {
	fetch := reflect.ValueOf(&p.PropertyCollector).MethodByName("Fetch")
	body := fetch.Call([]reflect.Value{reflect.ValueOf(ctx), reflect.ValueOf(req)})[0].Interface().(soap.HasFault)
	if _, other := body.(*methods.RetrievePropertiesExBody); other && body.Fault() == nil {
		return &unsetBody{Res: &FetchResponse{}}
	}
	return body
}
