// Package config reads what site the lab's vCenter has to show.
package config

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// GPU is one device of a host: to be passed through, or, with VGPUs, shared out.
type GPU struct {
	ID     string `json:"id"`     // PCI address, 0000:3b:00.0
	Vendor string `json:"vendor"` // four hex digits, 10de
	Device string `json:"device"` // four hex digits, 2330
	Class  string `json:"class"`  // four hex digits, 0302
	Name   string `json:"name"`

	// VGPUs says how many of each profile an empty card takes. With one, the
	// card is set to Shared Direct, and nothing of it is passed through.
	VGPUs     map[string]int `json:"vgpus"`
	MemoryGiB int            `json:"memory_gib"`
}

// Host is one ESXi host of a cluster.
type Host struct {
	Name      string `json:"name"`
	Rack      string `json:"rack"` // shown as a tag of the category "rack"
	CPUs      int    `json:"cpus"`
	MemoryGiB int    `json:"memory_gib"`
	GPUs      []GPU  `json:"gpus"`
}

// Cluster is a cluster beside the first one.
type Cluster struct {
	Name  string `json:"name"`
	Hosts []Host `json:"hosts"`
}

// Template is a virtual machine that exists from the beginning.
type Template struct {
	Name            string `json:"name"`
	DiskGiB         int    `json:"disk_gib"`
	GuestID         string `json:"guest_id"`
	HardwareVersion string `json:"hardware_version"`
	Firmware        string `json:"firmware"`
}

// DRS is how the clusters begin; a client may change it.
type DRS struct {
	Level string `json:"level"` // fullyAutomated, partiallyAutomated, manual, off
}

// HA is how vSphere HA acts in the lab.
type HA struct {
	// DelaySeconds is how long a host is dead before its virtual machines are
	// restarted: what detection and election take.
	DelaySeconds *float64 `json:"delay_seconds"`
}

// Config is the whole configuration file. What is called more stands beside
// the first of its kind.
type Config struct {
	Listen         string     `json:"listen"`
	User           string     `json:"user"`
	PasswordFile   string     `json:"password_file"`
	CertFile       string     `json:"cert_file"`
	KeyFile        string     `json:"key_file"`
	StateDir       string     `json:"state_dir"`
	Hook           []string   `json:"hook"`
	CgroupRoot     string     `json:"cgroup_root"`
	Datacenter     string     `json:"datacenter"`
	Cluster        string     `json:"cluster"`
	MoreClusters   []Cluster  `json:"more_clusters"`
	Datastore      string     `json:"datastore"`
	MoreDatastores []string   `json:"more_datastores"`
	Network        string     `json:"network"`
	MoreNetworks   []string   `json:"more_networks"`
	Hosts          []Host     `json:"hosts"`
	Template       Template   `json:"template"`
	MoreTemplates  []Template `json:"more_templates"`
	DRS            DRS        `json:"drs"`
	HA             HA         `json:"ha"`

	// Password is the content of PasswordFile.
	Password string `json:"-"`
}

// Clusters are all clusters, the first one first.
func (c *Config) Clusters() []Cluster {
	return append([]Cluster{{c.Cluster, c.Hosts}}, c.MoreClusters...)
}

// Datastores are the names of all datastores, the first one first.
func (c *Config) Datastores() []string { return append([]string{c.Datastore}, c.MoreDatastores...) }

// Networks are the names of all port groups, the first one first.
func (c *Config) Networks() []string { return append([]string{c.Network}, c.MoreNetworks...) }

// Templates are all templates, the first one first.
func (c *Config) Templates() []Template { return append([]Template{c.Template}, c.MoreTemplates...) }

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
