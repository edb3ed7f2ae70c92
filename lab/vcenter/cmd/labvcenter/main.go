// Command labvcenter is the lab's vCenter: govmomi's simulator with what a
// vCenter enforces and remembers, and machines behind its virtual machines.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"permafrost.dev/lab/vcenter/internal/config"
	"permafrost.dev/lab/vcenter/internal/server"
	"permafrost.dev/lab/vcenter/internal/vcenter"
)

func main() {
	file := flag.String("config", "", "the configuration `FILE` (JSON)")
	flag.Parse()
	if *file == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*file); err != nil {
		fmt.Fprintln(os.Stderr, "labvcenter:", err)
		os.Exit(1)
	}
}

func run(file string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	cfg, err := config.Load(file)
	if err != nil {
		return err
	}
	c, err := vcenter.Open(cfg)
	if err != nil {
		return err
	}
	log.Printf("vCenter https://%s/sdk", cfg.Listen)
	err = server.Run(ctx, cfg, c)
	if e := c.Close(); err == nil {
		err = e
	}
	return err
}
