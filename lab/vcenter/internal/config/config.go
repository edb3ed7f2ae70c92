// Package config reads what site the lab's vCenter has to show.
package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// GPU is one passthrough device of a host.
type GPU struct {
	ID     string `json:"id"`     // PCI address, 0000:3b:00.0
	Vendor string `json:"vendor"` // four hex digits, 10de
	Device string `json:"device"` // four hex digits, 2330
	Class  string `json:"class"`  // four hex digits, 0302
	Name   string `json:"name"`
}

// Host is one ESXi host of the cluster.
type Host struct {
	Name      string `json:"name"`
	CPUs      int    `json:"cpus"`
	MemoryGiB int    `json:"memory_gib"`
	GPUs      []GPU  `json:"gpus"`
}

// Template is the one virtual machine that exists from the beginning.
type Template struct {
	Name            string `json:"name"`
	DiskGiB         int    `json:"disk_gib"`
	GuestID         string `json:"guest_id"`
	HardwareVersion string `json:"hardware_version"`
	Firmware        string `json:"firmware"`
}

// Config is the whole configuration file.
type Config struct {
	Listen       string   `json:"listen"`
	User         string   `json:"user"`
	PasswordFile string   `json:"password_file"`
	CertFile     string   `json:"cert_file"`
	KeyFile      string   `json:"key_file"`
	StateDir     string   `json:"state_dir"`
	Hook         []string `json:"hook"`
	CgroupRoot   string   `json:"cgroup_root"`
	Datacenter   string   `json:"datacenter"`
	Cluster      string   `json:"cluster"`
	Datastore    string   `json:"datastore"`
	Network      string   `json:"network"`
	Hosts        []Host   `json:"hosts"`
	Template     Template `json:"template"`

	// Password is the content of PasswordFile.
	Password string `json:"-"`
}

var (
	hex4    = regexp.MustCompile(`^[0-9a-fA-F]{4}$`)
	address = regexp.MustCompile(`^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$`)
	version = regexp.MustCompile(`^vmx-[0-9]{2}$`)
)

// Load reads, completes and checks the file.
func Load(path string) (*Config, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c := &Config{}
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(c); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c.complete()
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	password, err := os.ReadFile(c.PasswordFile)
	if err != nil {
		return nil, err
	}
	c.Password = strings.TrimRight(string(password), "\r\n")
	if c.Password == "" {
		return nil, fmt.Errorf("%s is empty", c.PasswordFile)
	}
	return c, nil
}

func (c *Config) complete() {
	def := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	def(&c.User, "administrator@vsphere.local")
	def(&c.Template.GuestID, "debian12_64Guest")
	def(&c.Template.HardwareVersion, "vmx-21")
	def(&c.Template.Firmware, "efi")
	if c.Template.DiskGiB == 0 {
		c.Template.DiskGiB = 20
	}
	for i := range c.Hosts {
		h := &c.Hosts[i]
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
	if len(c.Hosts) == 0 {
		bad = append(bad, errors.New("hosts is empty"))
	}
	seen := map[string]bool{}
	for _, h := range c.Hosts {
		if h.Name == "" || seen[h.Name] {
			bad = append(bad, fmt.Errorf("host name %q is empty or given twice", h.Name))
		}
		seen[h.Name] = true
		bad = append(bad, h.check()...)
	}
	if !version.MatchString(c.Template.HardwareVersion) {
		bad = append(bad, fmt.Errorf("template.hardware_version %q is not of the form vmx-21", c.Template.HardwareVersion))
	}
	return errors.Join(bad...)
}

func (h Host) check() []error {
	var bad []error
	seen := map[string]bool{}
	for _, g := range h.GPUs {
		if !address.MatchString(g.ID) || seen[g.ID] {
			bad = append(bad, fmt.Errorf("host %s: gpu id %q is no PCI address or given twice", h.Name, g.ID))
		}
		seen[g.ID] = true
		for _, v := range []string{g.Vendor, g.Device, g.Class} {
			if !hex4.MatchString(v) {
				bad = append(bad, fmt.Errorf("host %s: gpu %s: %q is not four hex digits", h.Name, g.ID, v))
			}
		}
	}
	return bad
}
