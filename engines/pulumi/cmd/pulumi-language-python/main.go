// Command pulumi-language-python is a small language host for Python programs, written against
// the public LanguageRuntime protocol of pulumi/sdk/v3. It does what up, preview, refresh,
// destroy, install, about and plugins that are Python programs need, and refuses to generate code.
//
// It stands in for Pulumi's own language host where no official Pulumi is installed. It expects
// the script pulumi-language-python-exec, which sdk/v3 carries, beside its binary or on PATH.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
)

// healthInterval is how often the host asks whether the engine that started it still lives:
// with an engine that was killed it ends within a second.
const healthInterval = 500 * time.Millisecond

func main() {
	// The engine passes these to every language host; this one has no use for them.
	for _, name := range []string{"tracing", "root", "build-target"} {
		flag.String(name, "", "accepted and ignored")
	}
	flag.Parse()
	if err := serve(flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-language-python:", err)
		os.Exit(1)
	}
}

// serve answers the engine at the given address until it goes away.
func serve(engine string) error {
	gone := make(chan bool)
	if engine != "" {
		err := rpcutil.Healthcheck(context.Background(), engine, healthInterval, func() { close(gone) })
		if err != nil {
			return fmt.Errorf("start the engine's health check: %w", err)
		}
	}
	handle, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{
		Cancel: gone,
		Init: func(server *grpc.Server) error {
			pulumirpc.RegisterLanguageRuntimeServer(server, &host{engine: engine})
			return nil
		},
		Options: rpcutil.OpenTracingServerInterceptorOptions(nil),
	})
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	// The engine reads the port from the first line of standard output.
	fmt.Printf("%d\n", handle.Port)
	return <-handle.Done
}
