package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	"github.com/pulumi/pulumi/sdk/v3/go/common/version"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"github.com/pulumi/pulumi/sdk/v3/python/toolchain"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// host implements the LanguageRuntime protocol for Python.
type host struct {
	pulumirpc.UnimplementedLanguageRuntimeServer
	engine string
}

func (h *host) Handshake(
	_ context.Context, request *pulumirpc.LanguageHandshakeRequest,
) (*pulumirpc.LanguageHandshakeResponse, error) {
	h.engine = request.GetEngineAddress()
	return &pulumirpc.LanguageHandshakeResponse{}, nil
}

func (h *host) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: strings.TrimPrefix(version.Version, "v")}, nil
}

func (h *host) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// toolchainOptions reads runtime.options of Pulumi.yaml.
func toolchainOptions(root, program string, settings *structpb.Struct) (toolchain.PythonOptions, error) {
	options := toolchain.PythonOptions{Root: root, ProgramDir: program}
	values := settings.AsMap()
	if virtualenv, ok := values["virtualenv"].(string); ok {
		options.Virtualenv = virtualenv
	}
	switch name, _ := values["toolchain"].(string); name {
	case "", "auto":
	case "pip":
		options.Toolchain = toolchain.Pip
	case "poetry":
		options.Toolchain = toolchain.Poetry
	case "uv":
		options.Toolchain = toolchain.Uv
	default:
		return options, fmt.Errorf("unsupported toolchain option: %q", name)
	}
	return options, nil
}

// resolve returns the toolchain that runs a program: its virtual environment, or the Python on PATH.
func resolve(info *pulumirpc.ProgramInfo) (toolchain.Toolchain, error) {
	options, err := toolchainOptions(info.GetRootDirectory(), info.GetProgramDirectory(), info.GetOptions())
	if err != nil {
		return nil, err
	}
	return toolchain.ResolveToolchain(options)
}

// listPlugins prints the pulumi-plugin.json of every installed package that has one.
const listPlugins = `
import glob, json, os, sys
found, seen = [], set()
for folder in filter(None, sys.path):
    for path in sorted(glob.glob(os.path.join(folder, "*", "pulumi-plugin.json"))):
        if path in seen:
            continue
        seen.add(path)
        try:
            with open(path) as file:
                plugin = json.load(file)
        except ValueError:
            continue
        if plugin.get("resource"):
            found.append(plugin)
print(json.dumps(found))
`

func (h *host) GetRequiredPackages(
	ctx context.Context, request *pulumirpc.GetRequiredPackagesRequest,
) (*pulumirpc.GetRequiredPackagesResponse, error) {
	python, err := resolve(request.GetInfo())
	if err != nil {
		return nil, err
	}
	if err := python.ValidateVenv(ctx); err != nil {
		return nil, err
	}
	command, err := python.Command(ctx, "-c", listPlugins)
	if err != nil {
		return nil, err
	}
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("list pulumi packages: %w: %s", err, stderr.String())
	}
	var plugins []struct{ Name, Version, Server string }
	if err := json.Unmarshal(output, &plugins); err != nil {
		return nil, fmt.Errorf("list pulumi packages: %w", err)
	}
	response := &pulumirpc.GetRequiredPackagesResponse{}
	for _, plugin := range plugins {
		pluginVersion := plugin.Version
		if pluginVersion != "" && !strings.HasPrefix(pluginVersion, "v") {
			pluginVersion = "v" + pluginVersion
		}
		response.Packages = append(response.Packages, &pulumirpc.PackageDependency{
			Name: plugin.Name, Kind: "resource", Version: pluginVersion, Server: plugin.Server,
		})
	}
	return response, nil
}

func (h *host) InstallDependencies(
	request *pulumirpc.InstallDependenciesRequest,
	server grpc.ServerStreamingServer[pulumirpc.InstallDependenciesResponse],
) error {
	python, err := resolve(request.GetInfo())
	if err != nil {
		return err
	}
	closer, stdout, stderr, err := rpcutil.MakeInstallDependenciesStreams(server, request.GetIsTerminal())
	if err != nil {
		return err
	}
	defer closer.Close()
	const useLanguageVersionTools, showOutput = false, true
	return python.InstallDependencies(
		server.Context(), request.GetInfo().GetProgramDirectory(), useLanguageVersionTools, showOutput, stdout, stderr)
}

func (h *host) About(ctx context.Context, request *pulumirpc.AboutRequest) (*pulumirpc.AboutResponse, error) {
	python, err := resolve(request.GetInfo())
	if err != nil {
		return nil, err
	}
	info, err := python.About(ctx)
	if err != nil {
		return nil, err
	}
	return &pulumirpc.AboutResponse{Executable: info.PythonExecutable, Version: info.PythonVersion.String()}, nil
}

func (h *host) GetProgramDependencies(
	ctx context.Context, request *pulumirpc.GetProgramDependenciesRequest,
) (*pulumirpc.GetProgramDependenciesResponse, error) {
	python, err := resolve(request.GetInfo())
	if err != nil {
		return nil, err
	}
	packages, err := python.ListPackages(ctx, request.GetTransitiveDependencies())
	if err != nil {
		return nil, err
	}
	response := &pulumirpc.GetProgramDependenciesResponse{}
	for _, each := range packages {
		response.Dependencies = append(response.Dependencies,
			&pulumirpc.DependencyInfo{Name: each.Name, Version: each.Version})
	}
	return response, nil
}
