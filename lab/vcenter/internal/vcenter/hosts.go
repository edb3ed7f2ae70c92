package vcenter

import (
	"fmt"
	"slices"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/placement"
)

func (c *Center) isLost(host types.ManagedObjectReference) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, lost := c.lost[host]
	return lost
}

func (c *Center) lostHosts() []string {
	c.mu.Lock()
	var refs []types.ManagedObjectReference
	for ref := range c.lost {
		refs = append(refs, ref)
	}
	c.mu.Unlock()
	names := []string{}
	for _, ref := range refs {
		names = append(names, c.nameOf(ref))
	}
	slices.Sort(names)
	return names
}

// SetHost changes from outside how a host is seen: disconnect, lose, return.
func (c *Center) SetHost(name, what string) error {
	var h *simulator.HostSystem
	for _, ref := range c.site.hosts {
		if c.nameOf(ref) == name {
			h = c.host(ref)
		}
	}
	if h == nil {
		return fmt.Errorf("there is no host %s", name)
	}
	switch what {
	case "disconnect":
		c.setConnection(h, types.HostSystemConnectionStateDisconnected)
	case "lose":
		c.mu.Lock()
		c.lost[h.Self] = time.Now()
		c.mu.Unlock()
		c.setConnection(h, types.HostSystemConnectionStateNotResponding)
	case "return":
		c.regain(h)
		if err := c.reconcile(); err != nil {
			return err
		}
	default:
		return fmt.Errorf("a host can be disconnected, lost and returned, not %q", what)
	}
	return c.commit()
}

// regain shows a host that answers again.
func (c *Center) regain(h *simulator.HostSystem) {
	c.mu.Lock()
	delete(c.lost, h.Self)
	delete(c.ha.told, h.Self)
	clear(c.ha.attempts)
	c.mu.Unlock()
	c.setConnection(h, types.HostSystemConnectionStateConnected)
}

// GPUStatus is a device of a host and who holds it.
type GPUStatus struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	UsedBy string `json:"used_by"`
}

// HostStatus is a host as the lab's operator sees it.
type HostStatus struct {
	Name        string      `json:"name"`
	ID          string      `json:"id"`
	Cluster     string      `json:"cluster"`
	Rack        string      `json:"rack"`
	Connection  string      `json:"connection"`
	Maintenance bool        `json:"maintenance"`
	GPUs        []GPUStatus `json:"gpus"`
}

// VMStatus is a virtual machine as the lab's operator sees it.
type VMStatus struct {
	Name       string `json:"name"`
	ID         string `json:"id"`
	UUID       string `json:"uuid"`
	Host       string `json:"host"`
	Power      string `json:"power"`
	Connection string `json:"connection"`
	Address    string `json:"address"`
	Template   bool   `json:"template"`
	Machine    string `json:"machine"`
}

// Status is the whole site.
type Status struct {
	Schema int          `json:"schema"`
	Hosts  []HostStatus `json:"hosts"`
	VMs    []VMStatus   `json:"vms"`
}

// Status tells how the site stands.
func (c *Center) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Status{Schema: 1, Hosts: []HostStatus{}, VMs: []VMStatus{}}
	site := c.picture()
	names := map[string]string{}
	for i, ref := range c.site.hosts {
		names[ref.Value] = site.Hosts[i].Name
		s.Hosts = append(s.Hosts, c.hostStatus(ref, site))
	}
	for _, vm := range c.vms() {
		v := VMStatus{ID: vm.Self.Value}
		c.locked(vm, func(*simulator.Context) {
			v.Name, v.UUID, v.Template = vm.Name, vm.Config.Uuid, vm.Config.Template
			v.Host = names[vm.Runtime.Host.Value]
			v.Power, v.Address, v.Connection = "off", vm.Guest.IpAddress, string(vm.Runtime.ConnectionState)
			if isOn(vm) {
				v.Power = "on"
			}
		})
		v.Machine = c.machineName(vm.Self, v.Name)
		s.VMs = append(s.VMs, v)
	}
	return s
}

func (c *Center) hostStatus(ref types.ManagedObjectReference, site placement.Site) HostStatus {
	h, out := c.host(ref), HostStatus{ID: ref.Value, GPUs: []GPUStatus{}, Cluster: c.nameOf(c.site.clusterOf[ref])}
	c.locked(h, func(*simulator.Context) {
		out.Name, out.Connection, out.Maintenance = h.Name, string(h.Runtime.ConnectionState), h.Runtime.InMaintenanceMode
		for _, d := range h.Hardware.PciDevice {
			for _, i := range h.Config.PciPassthruInfo {
				if p := i.GetHostPciPassthruInfo(); p.Id == d.Id && p.PassthruActive {
					out.GPUs = append(out.GPUs, GPUStatus{ID: d.Id, Name: d.DeviceName})
				}
			}
		}
	})
	out.Rack = c.rackOf(out.Name)
	for i := range out.GPUs {
		if vm, ok := site.Holder(ref.Value, out.GPUs[i].ID, ""); ok {
			out.GPUs[i].UsedBy = vm.Name
		}
	}
	return out
}
