package main

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/protobuf/types/known/structpb"
)

func TestRunnerArguments(t *testing.T) {
	request := &pulumirpc.RunRequest{
		Project: "permafrost", Stack: "lab", MonitorAddress: "127.0.0.1:1", DryRun: true, Parallel: 4,
		Info: &pulumirpc.ProgramInfo{ProgramDirectory: "/site/infra", EntryPoint: "."},
		Args: []string{"--last"},
	}
	got := runnerArguments("/bin/runner", "127.0.0.1:2", request)
	want := []string{
		"-u", "/bin/runner", "--monitor", "127.0.0.1:1", "--engine", "127.0.0.1:2",
		"--project", "permafrost", "--stack", "lab", "--dry_run", "true", "--parallel", "4",
		"/site/infra", "--last",
	}
	if !slices.Equal(got, want) {
		t.Fatalf("arguments\n got %q\nwant %q", got, want)
	}
}

func TestConfigEnvironmentIsNeverNull(t *testing.T) {
	got, err := configEnvironment(&pulumirpc.RunRequest{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"PULUMI_CONFIG={}", "PULUMI_CONFIG_SECRET_KEYS=[]"}
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestRunResponse(t *testing.T) {
	status := func(code string) error { return exec.Command("sh", "-c", "exit "+code).Run() }
	if r := runResponse(nil); r.GetError() != "" || r.GetBail() {
		t.Errorf("a program that ended well: %v", r)
	}
	if r := runResponse(status("32")); r.GetError() != "" || !r.GetBail() {
		t.Errorf("a program that told its error: %v", r)
	}
	if r := runResponse(status("3")); !strings.Contains(r.GetError(), "status 3") || r.GetBail() {
		t.Errorf("a program that crashed: %v", r)
	}
	if r := runResponse(errors.New("no such file")); !strings.Contains(r.GetError(), "no such file") {
		t.Errorf("a program that could not start: %v", r)
	}
}

func TestToolchainOptions(t *testing.T) {
	settings, err := structpb.NewStruct(map[string]any{"virtualenv": "../.venv", "toolchain": "pip"})
	if err != nil {
		t.Fatal(err)
	}
	options, err := toolchainOptions("/site", "/site/infra", settings)
	if err != nil || options.Virtualenv != "../.venv" || options.ProgramDir != "/site/infra" {
		t.Fatalf("options %+v, error %v", options, err)
	}
	settings, err = structpb.NewStruct(map[string]any{"toolchain": "conda"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := toolchainOptions("/site", "/site/infra", settings); err == nil {
		t.Fatal("an unknown toolchain was accepted")
	}
}
