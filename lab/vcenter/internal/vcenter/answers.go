package vcenter

import (
	"bytes"
	"reflect"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"
)

// written is an answer that is XML already.
type written struct {
	Content []byte `xml:",innerxml"`
}

type granted struct{}

// Fault says that there is none.
func (granted) Fault() *soap.Fault { return nil }

type (
	retrievedBody struct {
		granted
		Res *written `xml:"RetrievePropertiesResponse"`
	}
	retrievedExBody struct {
		granted
		Res *written `xml:"RetrievePropertiesExResponse"`
	}
	continuedExBody struct {
		granted
		Res *written `xml:"ContinueRetrievePropertiesExResponse"`
	}
	fetchedBody struct {
		granted
		Res *written `xml:"FetchResponse"`
	}
)

// rest is what of an answer has not been asked for yet.
type rest struct {
	objects [][]byte
	most    int32 // a page
}

// RetrieveProperties answers with all objects at once.
func (p *collector) RetrieveProperties(ctx *simulator.Context, req *types.RetrieveProperties) soap.HasFault {
	objects, ok := retrieve(ctx, req.SpecSet, "returnval")
	if !ok {
		return p.PropertyCollector.RetrieveProperties(ctx, req)
	}
	return &retrievedBody{Res: &written{bytes.Join(objects, nil)}}
}

// RetrievePropertiesEx answers with the first page.
func (p *collector) RetrievePropertiesEx(ctx *simulator.Context, req *types.RetrievePropertiesEx) soap.HasFault {
	objects, ok := retrieve(ctx, req.SpecSet, "objects")
	if !ok {
		return p.PropertyCollector.RetrievePropertiesEx(ctx, req)
	}
	return &retrievedExBody{Res: p.page(rest{objects, req.Options.MaxObjects})}
}

// ContinueRetrievePropertiesEx answers with the next page.
func (p *collector) ContinueRetrievePropertiesEx(ctx *simulator.Context, req *types.ContinueRetrievePropertiesEx) soap.HasFault {
	p.guard.Lock()
	left, ok := p.rests[req.Token]
	delete(p.rests, req.Token)
	p.guard.Unlock()
	if !ok {
		return p.PropertyCollector.ContinueRetrievePropertiesEx(ctx, req)
	}
	return &continuedExBody{Res: p.page(left)}
}

// page writes what fits on a page and keeps the rest under a token.
func (p *collector) page(left rest) *written {
	var out bytes.Buffer
	out.WriteString("<returnval>")
	objects := left.objects
	if most := int(left.most); most > 0 && most < len(objects) {
		objects = objects[:most]
		token := uuid.NewString()
		out.WriteString("<token>" + token + "</token>")
		p.guard.Lock()
		if p.rests == nil {
			p.rests = map[string]rest{}
		}
		p.rests[token] = rest{left.objects[most:], left.most}
		p.guard.Unlock()
	}
	for _, o := range objects {
		out.Write(o)
	}
	out.WriteString("</returnval>")
	return &written{out.Bytes()}
}

// Fetch reads one property; where it is not set, the answer is empty. The
// request's type is internal to govmomi, hence the detour.
func (p *collector) Fetch(ctx *simulator.Context, req any) soap.HasFault {
	call := reflect.ValueOf(req).Elem()
	this := call.FieldByName("This").Interface().(types.ManagedObjectReference)
	if text, ok := fetch(ctx, this, call.FieldByName("Prop").String()); ok {
		return &fetchedBody{Res: &written{text}}
	}
	fetch := reflect.ValueOf(&p.PropertyCollector).MethodByName("Fetch")
	return fetch.Call([]reflect.Value{reflect.ValueOf(ctx), reflect.ValueOf(req)})[0].Interface().(soap.HasFault)
}

// fetch leaves to the simulator what retrieve leaves to it, and the service
// itself, of which it shows less here.
func fetch(ctx *simulator.Context, this types.ManagedObjectReference, path string) (text []byte, ok bool) {
	if !isClient(ctx) || this.Type == "ServiceInstance" {
		return nil, false
	}
	r := newRetrieval(ctx)
	ctx.WithLock(this, func() {
		object, there := managed(ctx, this)
		if !there {
			return
		}
		var value any
		if value, ok = r.fields.at(object, path); ok && value != nil {
			text = r.write(struct {
				Returnval any `xml:"returnval,typeattr"`
			}{value}, xml.StartElement{Name: xml.Name{Local: "r"}})
			text = text[len("<r>") : len(text)-len("</r>")]
		}
	})
	return text, ok && !r.failed
}
