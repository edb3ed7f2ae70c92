package vcenter

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/vmware/govmomi/vapi/tags"
	"github.com/vmware/govmomi/vim25/types"
)

// tagState is all of tagging. The simulator keeps it in the handler of its REST
// interface, in fields that are exported on a type that is not.
type tagState struct {
	Categories map[string]*tags.Category                 `json:"categories"`
	Tags       map[string]*tags.Tag                      `json:"tags"`
	Attached   map[string][]types.ManagedObjectReference `json:"attached"`
}

const tagPath = "/rest/com/vmware/cis/tagging/tag"

// findTags finds that handler by asking the multiplexer who answers for tags.
func (c *Center) findTags() error {
	h, _ := c.svc.ServeMux.Handler(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: tagPath}})
	v := reflect.ValueOf(h)
	if _, ok := h.(sync.Locker); !ok || v.Kind() != reflect.Pointer || !v.Elem().FieldByName("Association").IsValid() {
		return errors.New("the simulator's tagging is not what it was: no state to keep")
	}
	c.tags = h
	return nil
}

func (c *Center) tagFields() (map[string]*tags.Category, map[string]*tags.Tag, reflect.Value) {
	v := reflect.ValueOf(c.tags).Elem()
	return v.FieldByName("Category").Interface().(map[string]*tags.Category),
		v.FieldByName("Tag").Interface().(map[string]*tags.Tag), v.FieldByName("Association")
}

func (c *Center) tagState() tagState {
	l := c.tags.(sync.Locker)
	l.Lock()
	defer l.Unlock()
	s := tagState{map[string]*tags.Category{}, map[string]*tags.Tag{}, map[string][]types.ManagedObjectReference{}}
	categories, all, attached := c.tagFields()
	for id, v := range categories {
		copied := *v
		s.Categories[id] = &copied
	}
	for id, v := range all {
		copied := *v
		s.Tags[id] = &copied
	}
	for _, tag := range attached.MapKeys() {
		refs := []types.ManagedObjectReference{}
		for _, key := range attached.MapIndex(tag).MapKeys() {
			refs = append(refs, types.ManagedObjectReference{
				Type: key.FieldByName("Type").String(), Value: key.FieldByName("Value").String()})
		}
		slices.SortFunc(refs, func(a, b types.ManagedObjectReference) int { return strings.Compare(a.String(), b.String()) })
		s.Attached[tag.String()] = refs
	}
	return s
}

func (c *Center) restoreTags(s tagState) {
	l := c.tags.(sync.Locker)
	l.Lock()
	defer l.Unlock()
	categories, all, attached := c.tagFields()
	for id, v := range s.Categories {
		categories[id] = v
	}
	for id, v := range s.Tags {
		all[id] = v
	}
	for tag, refs := range s.Attached {
		objects := reflect.MakeMap(attached.Type().Elem())
		for _, ref := range refs {
			key := reflect.New(attached.Type().Elem().Key()).Elem()
			key.FieldByName("Type").SetString(ref.Type)
			key.FieldByName("Value").SetString(ref.Value)
			objects.SetMapIndex(key, reflect.ValueOf(true))
		}
		attached.SetMapIndex(reflect.ValueOf(tag), objects)
	}
}

// untag takes an object that is gone off its tags.
func (c *Center) untag(ref types.ManagedObjectReference) {
	l := c.tags.(sync.Locker)
	l.Lock()
	defer l.Unlock()
	_, _, attached := c.tagFields()
	for _, tag := range attached.MapKeys() {
		objects := attached.MapIndex(tag)
		for _, key := range objects.MapKeys() {
			if key.FieldByName("Type").String() == ref.Type && key.FieldByName("Value").String() == ref.Value {
				objects.SetMapIndex(key, reflect.Value{})
			}
		}
	}
}

// Handler serves the vCenter's interfaces, and nothing of what the simulator
// offers beside them without a login. A change made over REST is on disk before
// it is answered.
func (c *Center) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				c.breakDown(p)
				panic(http.ErrAbortHandler)
			}
		}()
		path := r.URL.Path
		rest := under(path, "/rest") || under(path, "/api")
		switch {
		case rest && r.Method != http.MethodGet:
			c.serveSaved(w, r)
		case rest, under(path, "/sdk"), under(path, "/pbm"), path == "/about":
			c.svc.ServeMux.ServeHTTP(w, r)
		default:
			http.NotFound(w, r)
		}
	})
}

func under(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

func (c *Center) serveSaved(w http.ResponseWriter, r *http.Request) {
	held := &heldAnswer{header: http.Header{}, status: http.StatusOK}
	c.svc.ServeMux.ServeHTTP(held, r)
	if err := c.commit(); err != nil {
		http.Error(w, "the inventory could not be saved: "+err.Error(), http.StatusInternalServerError)
		return
	}
	for k, v := range held.header {
		w.Header()[k] = v
	}
	w.WriteHeader(held.status)
	_, _ = w.Write(held.body.Bytes())
}

// heldAnswer keeps an answer back.
type heldAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (h *heldAnswer) Header() http.Header         { return h.header }
func (h *heldAnswer) WriteHeader(status int)      { h.status = status }
func (h *heldAnswer) Write(p []byte) (int, error) { return h.body.Write(p) }
