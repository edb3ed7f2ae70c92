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
