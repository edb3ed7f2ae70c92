package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"permafrost.dev/lab/vcenter/internal/config"
)

const good = `{"listen":"127.0.0.1:0","password_file":"PW","cert_file":"c","key_file":"k","state_dir":"/s","datacenter":"d","cluster":"c",
"datastore":"s","network":"n","hosts":[{"name":"h","gpus":[{"id":"0000:3B:00.0","vendor":"10de","device":"2330","class":"0302","name":"g"}]}],"template":{"name":"t"}}`

func load(t *testing.T, text string) (*config.Config, error) {
	t.Helper()
	dir := t.TempDir()
	pw := filepath.Join(dir, "pw")
	if err := os.WriteFile(pw, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "config.json")
	if err := os.WriteFile(file, []byte(strings.Replace(text, "PW", pw, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Load(file)
}

func TestDefaults(t *testing.T) {
	c, err := load(t, good)
	if err != nil {
		t.Fatal(err)
	}
	if c.Password != "secret" || c.User != "administrator@vsphere.local" || c.Template.Firmware != "efi" || c.Hosts[0].GPUs[0].ID != "0000:3b:00.0" {
		t.Errorf("got %+v", c)
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	text := strings.NewReplacer(`"cluster":"c",`, "", `"10de"`, `"nvidia"`, `/s`, `s`).Replace(good)
	_, err := load(t, text)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"cluster is missing", `"nvidia" is not four hex digits`, "not an absolute path"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

func TestUnknownKeysAreRefused(t *testing.T) {
	if _, err := load(t, strings.Replace(good, `"listen"`, `"lissen":"x","listen"`, 1)); err == nil {
		t.Fatal("accepted")
	}
}

func TestMoreOfEachKind(t *testing.T) {
	more := `"more_clusters":[{"name":"edge","hosts":[{"name":"h2","rack":"r1"}]}],"more_datastores":["s2"],"more_networks":["n2"],` +
		`"more_templates":[{"name":"t2","disk_gib":5}],"drs":{"level":"manual"},"ha":{"delay_seconds":0},`
	c, err := load(t, strings.Replace(good, `"listen"`, more+`"listen"`, 1))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Clusters()) != 2 || c.Clusters()[1].Hosts[0].MemoryGiB != 512 || c.Clusters()[1].Hosts[0].Rack != "r1" {
		t.Errorf("clusters: %+v", c.Clusters())
	}
	if len(c.Datastores()) != 2 || len(c.Networks()) != 2 || c.Templates()[1].Firmware != "efi" || c.Templates()[1].DiskGiB != 5 {
		t.Errorf("got %+v", c)
	}
	if *c.HA.DelaySeconds != 0 || c.DRS.Level != "manual" {
		t.Errorf("HA %v, DRS %v", *c.HA.DelaySeconds, c.DRS.Level)
	}
}

func TestNamesGivenTwiceAreRefused(t *testing.T) {
	more := `"more_clusters":[{"name":"c","hosts":[{"name":"h"}]},{"name":"e","hosts":[]}],"more_datastores":["s"],"more_networks":[""],` +
		`"more_templates":[{"name":"t","hardware_version":"21"}],"drs":{"level":"half"},"ha":{"delay_seconds":-1},`
	_, err := load(t, strings.Replace(good, `"listen"`, more+`"listen"`, 1))
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{`cluster name "c"`, `host name "h"`, `cluster e: hosts is empty`, `datastore name "s"`, `network name ""`,
		`template name "t"`, `hardware_version "21"`, `drs.level "half"`, "delay_seconds -1"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}
