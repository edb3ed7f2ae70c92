// Command labvcenter is the lab's vCenter: govmomi's simulator with what a
// vCenter enforces and remembers, and machines behind its virtual machines.
package main

import (
	"context"
	"errors"
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
	pipe := flag.Int("watch", -1, "end when this `DESCRIPTOR`, a pipe's reading end, is closed at the other end")
	flag.Parse()
	if *pipe >= 0 {
		go endWith(*pipe)
	}
	if *file == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	err := run(*file)
	if errors.Is(err, server.ErrBroken) || errors.Is(err, server.ErrRestart) {
		log.Print("starting again")
		err = again()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "labvcenter:", err)
		os.Exit(1)
	}
}

// endWith ends the process with the one that holds the other end of the pipe.
func endWith(descriptor int) {
	f := os.NewFile(uintptr(descriptor), "watched pipe")
	if f == nil {
		return
	}
	for buf := make([]byte, 1); ; {
		if _, err := f.Read(buf); err != nil {
			os.Exit(3)
		}
	}
}

// again puts a fresh program in the place of this one.
func again() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(self, os.Args, os.Environ())
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
	if errors.Is(err, server.ErrBroken) {
		return err // all that was answered is saved, and a lock may be held for ever
	}
	if e := c.Close(); err == nil {
		err = e
	}
	return err
}
