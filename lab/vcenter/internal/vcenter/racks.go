package vcenter

import (
	"slices"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/vapi/tags"
	"github.com/vmware/govmomi/vim25/types"
)

// rackCategory is the category of tags by which hosts say in which rack they are.
const rackCategory = "rack"

// rackOf is the rack that the configuration gives a host.
func (c *Center) rackOf(host string) string {
	for _, cluster := range c.cfg.Clusters() {
		for _, h := range cluster.Hosts {
			if h.Name == host {
				return h.Rack
			}
		}
	}
	return ""
}

// tagRacks makes the racks of the configuration tags of the hosts: a cluster's
// hosts cannot be in folders. Ids follow from names, so that a restart finds them.
func (c *Center) tagRacks() {
	s := tagState{map[string]*tags.Category{}, map[string]*tags.Tag{}, map[string][]types.ManagedObjectReference{}}
	category := tagID("Category", rackCategory)
	for _, ref := range c.site.hosts {
		rack := c.rackOf(c.nameOf(ref))
		if rack == "" {
			continue
		}
		s.Categories[category] = &tags.Category{ID: category, Name: rackCategory, Description: "The rack that a host is in",
			Cardinality: "SINGLE", AssociableTypes: []string{"HostSystem"}}
		id := tagID("Tag", rackCategory+"/"+rack)
		s.Tags[id] = &tags.Tag{ID: id, Name: rack, CategoryID: category}
		s.Attached[id] = append(s.Attached[id], ref)
	}
	known := c.tagState()
	for id, refs := range s.Attached {
		for _, ref := range known.Attached[id] {
			if !slices.Contains(refs, ref) {
				s.Attached[id] = append(s.Attached[id], ref)
			}
		}
	}
	c.restoreTags(s)
}

func tagID(kind, name string) string {
	return "urn:vmomi:InventoryService" + kind + ":" + uuid.NewSHA1(uuid.NameSpaceURL, []byte(kind+":"+name)).String() + ":GLOBAL"
}
