package vcenter

import (
	"bytes"
	"reflect"
	"slices"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"
)

// retrieval collects objects' properties and writes each as XML while the object
// is locked. The simulator copies an object by way of XML instead, and writes the
// copy when the lock is gone: three times the work.
type retrieval struct {
	ctx     *simulator.Context
	specs   []types.PropertyFilterSpec
	fields  fields
	named   map[string]*types.TraversalSpec
	met     map[types.ManagedObjectReference]bool
	element xml.StartElement // around each object
	text    bytes.Buffer
	encoder *xml.Encoder
	found   [][]byte
	failed  bool
}

func newRetrieval(ctx *simulator.Context) *retrieval {
	r := &retrieval{ctx: ctx, fields: fields{}, named: map[string]*types.TraversalSpec{},
		met: map[types.ManagedObjectReference]bool{}}
	r.encoder = xml.NewEncoder(&r.text)
	// Within an element that has a type, the encoder needs not declare its prefix
	// for each. No answer holds this one.
	typed := xml.Attr{Name: xml.Name{Space: "http://www.w3.org/2001/XMLSchema-instance", Local: "type"}}
	r.failed = r.encoder.EncodeToken(xml.StartElement{Name: xml.Name{Local: "answer"}, Attr: []xml.Attr{typed}}) != nil ||
		r.encoder.Flush() != nil
	return r
}

// retrieve returns the objects that filters are about, each as an element of a
// name. It leaves to the simulator whom it does not know, what is addressed by a
// key within an array, and what has to be refused.
func retrieve(ctx *simulator.Context, specs []types.PropertyFilterSpec, element string) ([][]byte, bool) {
	if !isClient(ctx) || keyed(specs) {
		return nil, false
	}
	r := newRetrieval(ctx)
	r.specs, r.element.Name.Local = specs, element
	var selected []types.ManagedObjectReference
	for _, spec := range specs {
		for _, o := range spec.ObjectSet {
			if _, there := managed(ctx, o.Obj); !there {
				return nil, false
			}
			if o.SelectSet == nil || !isTrue(o.Skip) {
				r.collect(o.Obj)
			}
			if !r.follow(o.Obj, o.SelectSet, &selected) {
				return nil, false
			}
		}
	}
	for _, ref := range selected {
		r.collect(ref)
	}
	return r.found, !r.failed
}

// isClient: the simulator calls itself too, without a user, and wants values.
func isClient(ctx *simulator.Context) bool { return ctx.Session != nil && ctx.Session.UserName != "" }

func keyed(specs []types.PropertyFilterSpec) bool {
	return slices.ContainsFunc(specs, func(s types.PropertyFilterSpec) bool {
		return slices.ContainsFunc(s.PropSet, func(p types.PropertySpec) bool {
			return slices.ContainsFunc(p.PathSet, func(path string) bool { return strings.Contains(path, "[") })
		})
	})
}

// follow adds the objects to which traversals lead. It says whether all of them are known.
func (r *retrieval) follow(from types.ManagedObjectReference, set []types.BaseSelectionSpec, to *[]types.ManagedObjectReference) bool {
	for _, s := range set {
		if t, ok := s.(*types.TraversalSpec); ok && t.Name != "" {
			r.named[t.Name] = t
		}
	}
	for _, s := range set {
		t, ok := s.(*types.TraversalSpec)
		if !ok {
			if t = r.named[s.GetSelectionSpec().Name]; t == nil {
				return false
			}
		}
		for _, ref := range r.references(from, t.Path) {
			if !isTrue(t.Skip) {
				*to = append(*to, ref)
			}
			if len(t.SelectSet) > 0 && !r.follow(ref, t.SelectSet, to) {
				return false
			}
		}
	}
	return true
}

func (r *retrieval) references(from types.ManagedObjectReference, path string) (refs []types.ManagedObjectReference) {
	r.ctx.WithLock(from, func() {
		object, there := managed(r.ctx, from)
		if !there {
			return
		}
		switch v, _ := r.fields.at(object, path); v := v.(type) {
		case types.ManagedObjectReference:
			refs = []types.ManagedObjectReference{v}
		case *types.ArrayOfManagedObjectReference:
			refs = slices.Clone(v.ManagedObjectReference)
		}
	})
	return refs
}

// collect writes what the filters want of an object, unless it is gone.
func (r *retrieval) collect(ref types.ManagedObjectReference) {
	if r.met[ref] {
		return
	}
	r.met[ref] = true
	r.ctx.WithLock(ref, func() {
		object, there := managed(r.ctx, ref)
		if !there {
			return
		}
		content, wanted := types.ObjectContent{Obj: ref}, false
		for _, spec := range r.specs {
			for _, p := range spec.PropSet {
				if r.isOf(object.Type(), ref.Type, p.Type) {
					wanted = true
					r.pick(object, p, &content)
				}
			}
		}
		if wanted {
			r.found = append(r.found, r.write(content, r.element))
		}
	})
}

// isOf says whether a type, that of an object, is or embeds the one that a filter names.
func (r *retrieval) isOf(object reflect.Type, name, wanted string) bool {
	if wanted == name || wanted == object.Name() {
		return true
	}
	field := r.fields.find(object, wanted)
	return field != nil && field.Anonymous
}

func (r *retrieval) pick(object reflect.Value, wanted types.PropertySpec, content *types.ObjectContent) {
	add := func(name string, value any) {
		if value != nil { // a property that is not set is left out
			content.PropSet = append(content.PropSet, types.DynamicProperty{Name: name, Val: value})
		}
	}
	if isTrue(wanted.All) {
		all(object, add)
		return
	}
	for i, path := range wanted.PathSet {
		if slices.Contains(wanted.PathSet[:i], path) || slices.ContainsFunc(content.PropSet,
			func(p types.DynamicProperty) bool { return p.Name == path }) {
			continue // named twice
		}
		value, exists := r.fields.at(object, path)
		add(path, value)
		if !exists {
			content.MissingSet = append(content.MissingSet, types.MissingProperty{Path: path,
				Fault: types.LocalizedMethodFault{Fault: &types.InvalidProperty{Name: path}}})
		}
	}
}

// The encoder's name of the attribute that says an element's type.
const typeAttribute = `_XMLSchema-instance:type="`

// write returns a value as an element. Its types are named as a vCenter does it,
// with the envelope's prefix: the encoder's own is long, and costly to read. No
// text can hold it, for quotes are escaped there.
func (r *retrieval) write(value any, start xml.StartElement) []byte {
	r.text.Reset()
	if err := r.encoder.EncodeElement(value, start); err != nil {
		r.failed = true
	}
	return bytes.ReplaceAll(r.text.Bytes(), []byte(typeAttribute), []byte(`xsi:type="`))
}
