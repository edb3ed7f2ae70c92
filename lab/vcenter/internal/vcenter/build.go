package vcenter

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/types"

	"permafrost.dev/lab/vcenter/internal/config"
)

const (
	productVersion = "8.0.2"
	productBuild   = "22380479"
)

// build makes the datacenter, always in the same order: the managed objects'
// ids follow from it, and have to be the same after a restart.
func (c *Center) build() error {
	ctx := context.Background()
	client, err := vim25.NewClient(ctx, c.svc)
	if err != nil {
		return err
	}
	dc, err := object.NewRootFolder(client).CreateDatacenter(ctx, c.cfg.Datacenter)
	if err != nil {
		return err
	}
	folders, err := dc.Folders(ctx)
	if err != nil {
		return err
	}
	c.site.datacenter, c.site.vmFolder = dc.Reference(), folders.VmFolder.Reference()
	dvs, err := c.buildSwitch(ctx, folders)
	if err != nil {
		return err
	}
	c.site.clusterOf = map[types.ManagedObjectReference]types.ManagedObjectReference{}
	for _, want := range c.cfg.Clusters() {
		if err := c.buildCluster(ctx, folders, dvs, want); err != nil {
			return fmt.Errorf("cluster %s: %w", want.Name, err)
		}
	}
	c.tidyNetworks()
	for _, cluster := range c.clusters() {
		c.setUpCluster(cluster)
		c.setUpBrowser(cluster)
	}
	return nil
}

func (c *Center) buildCluster(ctx context.Context, folders *object.DatacenterFolders, dvs *object.DistributedVirtualSwitch, want config.Cluster) error {
	cluster, err := folders.HostFolder.CreateCluster(ctx, want.Name, types.ClusterConfigSpecEx{})
	if err != nil {
		return err
	}
	pool, err := cluster.ResourcePool(ctx)
	if err != nil {
		return err
	}
	c.site.clusters = append(c.site.clusters, cluster.Reference())
	c.site.rootPools = append(c.site.rootPools, pool.Reference())
	for _, h := range want.Hosts {
		if err := c.buildHost(ctx, cluster, dvs, h); err != nil {
			return fmt.Errorf("host %s: %w", h.Name, err)
		}
	}
	return nil
}

// result waits for a task of the building time.
func result(ctx context.Context, t *object.Task, err error) (types.AnyType, error) {
	if err != nil {
		return nil, err
	}
	info, err := t.WaitForResult(ctx, nil)
	if err != nil {
		return nil, err
	}
	return info.Result, nil
}

func (c *Center) buildSwitch(ctx context.Context, folders *object.DatacenterFolders) (*object.DistributedVirtualSwitch, error) {
	spec := types.DVSCreateSpec{ConfigSpec: &types.VMwareDVSConfigSpec{DVSConfigSpec: types.DVSConfigSpec{Name: "site-switch"}}}
	t, err := folders.NetworkFolder.CreateDVS(ctx, spec)
	r, err := result(ctx, t, err)
	if err != nil {
		return nil, err
	}
	ref := r.(types.ManagedObjectReference)
	dvs := object.NewDistributedVirtualSwitch(folders.NetworkFolder.Client(), ref)
	for _, name := range c.cfg.Networks() {
		t, err = dvs.AddPortgroup(ctx, []types.DVPortgroupConfigSpec{{
			Name: name, Type: string(types.DistributedVirtualPortgroupPortgroupTypeEarlyBinding), NumPorts: 128,
		}})
		if _, err = result(ctx, t, err); err != nil {
			return nil, err
		}
	}
	return dvs, nil
}

func (c *Center) buildHost(ctx context.Context, cluster *object.ClusterComputeResource, dvs *object.DistributedVirtualSwitch, h config.Host) error {
	t, err := cluster.AddHost(ctx, types.HostConnectSpec{HostName: h.Name}, true, nil, nil)
	r, err := result(ctx, t, err)
	if err != nil {
		return err
	}
	// The task works under the cluster's lock: once that was had, nothing of it still runs.
	c.base.WithLock(cluster.Reference(), func() {})
	host := object.NewHostSystem(cluster.Client(), r.(types.ManagedObjectReference))
	c.site.hosts = append(c.site.hosts, host.Reference())
	c.site.clusterOf[host.Reference()] = cluster.Reference()
	t, err = dvs.Reconfigure(ctx, &types.DVSConfigSpec{Host: []types.DistributedVirtualSwitchHostMemberConfigSpec{{
		Operation: string(types.ConfigSpecOperationAdd), Host: host.Reference(),
	}}})
	if _, err = result(ctx, t, err); err != nil {
		return err
	}
	dss, err := host.ConfigManager().DatastoreSystem(ctx)
	if err != nil {
		return err
	}
	for i, name := range c.cfg.Datastores() {
		dir := c.datastoreDir(i)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if _, err := dss.CreateLocalDatastore(ctx, name, dir); err != nil {
			return err
		}
	}
	c.equip(c.reg.Get(host.Reference()).(*simulator.HostSystem), h)
	return nil
}

// datastoreDir is where the simulator keeps the files that it makes in the
// datastore of that number.
func (c *Center) datastoreDir(i int) string {
	name := "datastore"
	if i > 0 {
		name += strconv.Itoa(i)
	}
	return filepath.Join(c.cfg.StateDir, name)
}

// equip gives a host its size and its GPUs. The simulator's hosts share what
// they point to, so whatever is changed is copied first.
func (c *Center) equip(host *simulator.HostSystem, h config.Host) {
	hw, cfg, sum := *host.Hardware, *host.Config, *host.Summary.Hardware
	hw.SystemInfo.Uuid = uuid.NewSHA1(uuid.NameSpaceURL, []byte("esx:"+c.cfg.Datacenter+"/"+h.Name)).String()
	sum.Uuid = hw.SystemInfo.Uuid
	hw.MemorySize = int64(h.MemoryGiB) << 30
	sum.MemorySize = hw.MemorySize
	hw.CpuInfo.NumCpuPackages, hw.CpuInfo.NumCpuCores, hw.CpuInfo.NumCpuThreads = 2, int16(h.CPUs), int16(h.CPUs)
	sum.NumCpuPkgs, sum.NumCpuCores, sum.NumCpuThreads = 2, int16(h.CPUs), int16(h.CPUs)
	hw.PciDevice = slices.Clone(hw.PciDevice)
	cfg.PciPassthruInfo = nil
	for _, d := range hw.PciDevice {
		cfg.PciPassthruInfo = append(cfg.PciPassthruInfo, &types.HostPciPassthruInfo{Id: d.Id, DependentDevice: d.Id})
	}
	for _, g := range h.GPUs {
		hw.PciDevice = append(hw.PciDevice, pciDevice(g))
		if len(g.VGPUs) > 0 {
			cfg.PciPassthruInfo = append(cfg.PciPassthruInfo, &types.HostPciPassthruInfo{
				Id: g.ID, DependentDevice: g.ID, PassthruCapable: true,
			})
			continue
		}
		cfg.PciPassthruInfo = append(cfg.PciPassthruInfo, &types.HostPciPassthruInfo{
			Id: g.ID, DependentDevice: g.ID, PassthruEnabled: true, PassthruCapable: true, PassthruActive: true,
		})
	}
	c.equipGraphics(host.Self, &cfg, h)
	product := cfg.Product
	product.Version, product.Build, product.ApiVersion = productVersion, productBuild, productVersion+".0"
	product.FullName = "VMware ESXi " + productVersion + " build-" + productBuild
	cfg.Product, host.Summary.Config.Product = product, &product
	host.Hardware, host.Config, host.Summary.Hardware = &hw, &cfg, &sum
}

func pciDevice(g config.GPU) types.HostPciDevice {
	part := func(from, to int) byte {
		n, _ := strconv.ParseUint(g.ID[from:to], 16, 8)
		return byte(n)
	}
	// vSphere's ids are signed 16 bit numbers: above 7fff they come out negative.
	return types.HostPciDevice{
		Id: g.ID, Bus: part(5, 7), Slot: part(8, 10), Function: part(11, 12),
		ClassId: hex(g.Class), VendorId: hex(g.Vendor), DeviceId: hex(g.Device),
		VendorName: vendorName(g.Vendor), DeviceName: g.Name,
	}
}

func hex(s string) int16 {
	n, _ := strconv.ParseUint(s, 16, 16)
	return int16(uint16(n))
}

func vendorName(id string) string {
	switch id {
	case "10de":
		return "NVIDIA Corporation"
	case "1002":
		return "Advanced Micro Devices, Inc. [AMD/ATI]"
	case "8086":
		return "Intel Corporation"
	}
	return "Vendor " + id
}
