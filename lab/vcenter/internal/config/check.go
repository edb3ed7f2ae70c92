package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// restartDelay is how long HA takes until it acts: on ESXi a host is declared dead
// after some 15 s of silence, and what ran there is restarted soon after.
const restartDelay = 20.0

func (c *Config) complete() {
	def := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	def(&c.User, "administrator@vsphere.local")
	def(&c.DRS.Level, "fullyAutomated")
	if c.HA.DelaySeconds == nil {
		delay := restartDelay
		c.HA.DelaySeconds = &delay
	}
	templates := []*Template{&c.Template}
	for i := range c.MoreTemplates {
		templates = append(templates, &c.MoreTemplates[i])
	}
	for _, t := range templates {
		def(&t.GuestID, "debian12_64Guest")
		def(&t.HardwareVersion, "vmx-21")
		def(&t.Firmware, "efi")
		if t.DiskGiB == 0 {
			t.DiskGiB = 20
		}
	}
	hosts := [][]Host{c.Hosts}
	for _, more := range c.MoreClusters {
		hosts = append(hosts, more.Hosts)
	}
	for _, h := range slices.Concat(pointers(hosts)...) {
		h.complete()
	}
}

func pointers(lists [][]Host) [][]*Host {
	out := make([][]*Host, len(lists))
	for i, list := range lists {
		for j := range list {
			out[i] = append(out[i], &list[j])
		}
	}
	return out
}

func (h *Host) complete() {
	if h.CPUs == 0 {
		h.CPUs = 64
	}
	if h.MemoryGiB == 0 {
		h.MemoryGiB = 512
	}
	for j := range h.GPUs {
		h.GPUs[j].ID = strings.ToLower(h.GPUs[j].ID)
	}
}

// check names every problem at once.
func (c *Config) check() error {
	var bad []error
	need := func(name, value string) {
		if value == "" {
			bad = append(bad, fmt.Errorf("%s is missing", name))
		}
	}
	need("listen", c.Listen)
	need("password_file", c.PasswordFile)
	need("cert_file", c.CertFile)
	need("key_file", c.KeyFile)
	need("state_dir", c.StateDir)
	need("datacenter", c.Datacenter)
	need("cluster", c.Cluster)
	need("datastore", c.Datastore)
	need("network", c.Network)
	need("template.name", c.Template.Name)
	if c.StateDir != "" && !filepath.IsAbs(c.StateDir) {
		bad = append(bad, fmt.Errorf("state_dir %q is not an absolute path", c.StateDir))
	}
	if !slices.Contains([]string{"fullyAutomated", "partiallyAutomated", "manual", "off"}, c.DRS.Level) {
		bad = append(bad, fmt.Errorf("drs.level %q is none of fullyAutomated, partiallyAutomated, manual, off", c.DRS.Level))
	}
	if *c.HA.DelaySeconds < 0 {
		bad = append(bad, fmt.Errorf("ha.delay_seconds %v is negative", *c.HA.DelaySeconds))
	}
	bad = append(bad, c.checkHosts()...)
	bad = append(bad, unique("datastore", c.Datastores())...)
	bad = append(bad, unique("network", c.Networks())...)
	var names []string
	for _, t := range c.Templates() {
		names = append(names, t.Name)
		if !version.MatchString(t.HardwareVersion) {
			bad = append(bad, fmt.Errorf("template.hardware_version %q is not of the form vmx-21", t.HardwareVersion))
		}
	}
	return errors.Join(append(bad, unique("template", names)...)...)
}

func (c *Config) checkHosts() []error {
	var bad []error
	var clusters, hosts []string
	for _, cluster := range c.Clusters() {
		clusters = append(clusters, cluster.Name)
		if len(cluster.Hosts) == 0 {
			bad = append(bad, fmt.Errorf("cluster %s: hosts is empty", cluster.Name))
		}
		for _, h := range cluster.Hosts {
			hosts = append(hosts, h.Name)
			bad = append(bad, h.check()...)
		}
	}
	return slices.Concat(bad, unique("cluster", clusters), unique("host", hosts))
}

// unique refuses names of one kind that are empty or given twice; of the first,
// need has said so already.
func unique(kind string, names []string) []error {
	var bad []error
	for i, name := range names {
		if slices.Contains(names[:i], name) || (name == "" && (i > 0 || kind == "host")) {
			bad = append(bad, fmt.Errorf("%s name %q is empty or given twice", kind, name))
		}
	}
	return bad
}

func (h Host) check() []error {
	var bad []error
	seen := map[string]bool{}
	for _, g := range h.GPUs {
		if !address.MatchString(g.ID) || seen[g.ID] {
			bad = append(bad, fmt.Errorf("host %s: gpu id %q is no PCI address or given twice", h.Name, g.ID))
		}
		seen[g.ID] = true
		for profile, most := range g.VGPUs {
			if profile == "" || most < 1 {
				bad = append(bad, fmt.Errorf("host %s: gpu %s: %d of vGPU profile %q", h.Name, g.ID, most, profile))
			}
		}
		for _, v := range []string{g.Vendor, g.Device, g.Class} {
			if !hex4.MatchString(v) {
				bad = append(bad, fmt.Errorf("host %s: gpu %s: %q is not four hex digits", h.Name, g.ID, v))
			}
		}
	}
	return bad
}
