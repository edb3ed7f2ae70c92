package vcenter

import (
	"reflect"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// fields remembers where the properties of a type lie: an answer asks the same
// of thousands of objects.
type fields map[fieldName]*reflect.StructField

type fieldName struct {
	of   reflect.Type
	name string
}

// find returns the field of a Go name, or nil.
func (f fields) find(of reflect.Type, name string) *reflect.StructField {
	key := fieldName{of, name}
	field, known := f[key]
	if !known {
		if found, ok := of.FieldByName(name); ok {
			field = &found
		}
		f[key] = field
	}
	return field
}

// at follows a path of property names from an object: nil where a property on
// the way is not set. It says too whether there is such a path.
func (f fields) at(from reflect.Value, path string) (any, bool) {
	for more := true; ; {
		for from.Kind() == reflect.Interface || from.Kind() == reflect.Pointer {
			if from.IsNil() {
				return nil, true
			}
			from = from.Elem()
		}
		if from.Kind() != reflect.Struct {
			return nil, false // what is in an array is not asked for by a path
		}
		var name string
		name, path, more = strings.Cut(path, ".")
		if name == "" {
			return nil, false
		}
		field := f.find(from.Type(), strings.ToUpper(name[:1])+name[1:])
		if field == nil {
			return nil, false
		}
		from = from.FieldByIndex(field.Index)
		if isUnset(from) {
			return nil, true
		}
		if !more {
			return boxed(from), true
		}
	}
}

// all yields each property of an object that is set.
func all(object reflect.Value, yield func(name string, value any)) {
	for i := range object.NumField() {
		field, value := object.Type().Field(i), object.Field(i)
		switch {
		case isUnset(value) || field.Name == "Self":
		case field.Anonymous:
			all(value, yield)
		default:
			yield(strings.ToLower(field.Name[:1])+field.Name[1:], boxed(value))
		}
	}
}

// isUnset: the simulator keeps what is not set as nothing or as an empty text.
func isUnset(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer:
		return v.IsNil()
	case reflect.String:
		return v.Len() == 0
	}
	return false
}

var basic = map[string]string{"string": "String", "uint8": "Byte", "int16": "Short", "int32": "Int", "int64": "Long"}

// boxed is a value as an answer carries it: of an array, vSphere's type for it.
func boxed(v reflect.Value) any {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() != reflect.Slice {
		return v.Interface()
	}
	item := strings.TrimPrefix(v.Type().Elem().Name(), "Base")
	if b, ok := basic[item]; ok {
		item = b
	}
	kind, _ := types.TypeFunc()("ArrayOf" + item)
	box := reflect.New(kind)
	box.Elem().FieldByName(item).Set(v)
	return box.Interface()
}

// managed is an object's part with vSphere's properties, as the session sees it.
func managed(ctx *simulator.Context, ref types.ManagedObjectReference) (reflect.Value, bool) {
	object := ctx.Session.Get(ref)
	if object == nil {
		return reflect.Value{}, false
	}
	if shown, ok := object.(interface{ Get() mo.Reference }); ok {
		object = shown.Get()
	}
	v := reflect.ValueOf(object).Elem()
	// The simulator's types, and ours, hold vSphere's as their first field.
	for v.Type().PkgPath() != modelled {
		if v = v.Field(0); v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
	}
	return v, true
}

var modelled = reflect.TypeFor[mo.Folder]().PkgPath()
