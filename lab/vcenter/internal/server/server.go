// Package server listens: TLS for vSphere's clients, a UNIX socket for the
// lab's own command.
package server

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"permafrost.dev/lab/vcenter/internal/config"
	"permafrost.dev/lab/vcenter/internal/vcenter"
)

const (
	adminSocket = "admin.sock"
	// An end has to come soon: clients that wait for a change are cut off.
	grace = 500 * time.Millisecond
)

// ErrBroken says that the vCenter has to start again from what it has saved.
var ErrBroken = errors.New("the simulator broke down")

// ErrRestart says that the lab's operator wants it to start again.
var ErrRestart = errors.New("asked to start again")

// Run serves until the context ends.
func Run(ctx context.Context, cfg *config.Config, c *vcenter.Center) error {
	cert, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
	if err != nil {
		return err
	}
	door, err := openDoor(cfg.Listen)
	if err != nil {
		return err
	}
	admin, err := listenUnix(filepath.Join(cfg.StateDir, adminSocket))
	if err != nil {
		_ = door.Close()
		return err
	}
	restart := make(chan struct{}, 1)
	servers := []*http.Server{
		{Handler: door.guard(c.Handler()), ReadHeaderTimeout: 10 * time.Second, TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}},
		{Handler: adminHandler(c, door, restart), ReadHeaderTimeout: 10 * time.Second},
	}
	ended := make(chan error, len(servers))
	go func() { ended <- servers[0].ServeTLS(door, "", "") }()
	go func() { ended <- servers[1].Serve(admin) }()
	select {
	case err = <-ended:
	case <-ctx.Done():
	case <-restart:
		err = ErrRestart
	case <-c.Broken():
		// Time for the task that failed to say so.
		time.Sleep(grace)
		err = ErrBroken
	}
	c.Stop()
	door.set(doorState{})
	limit, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	for _, s := range servers {
		if s.Shutdown(limit) != nil {
			_ = s.Close()
		}
	}
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

// listenUnix takes the place of a socket that a killed process left behind; the
// state folder's lock says that nobody listens there any more.
func listenUnix(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(path, 0o600)
}

func adminHandler(c *vcenter.Center, door *door, restart chan<- struct{}) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, c.Status())
	})
	mux.HandleFunc("POST /host/{name}/{what}", func(w http.ResponseWriter, r *http.Request) {
		if err := c.SetHost(r.PathValue("name"), r.PathValue("what")); err != nil {
			answer(w, http.StatusBadRequest, map[string]string{"message": err.Error()})
			return
		}
		answer(w, http.StatusOK, c.Status())
	})
	mux.HandleFunc("POST /service/restart", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{})
		restart <- struct{}{}
	})
	mux.HandleFunc("POST /service/refuse", func(w http.ResponseWriter, r *http.Request) {
		times, err := strconv.Atoi(r.URL.Query().Get("times"))
		method := r.URL.Query().Get("method")
		if err != nil || times < 0 || method == "" {
			answer(w, http.StatusBadRequest, map[string]string{"message": "refuse wants method=NAME&times=N&words=TEXT"})
			return
		}
		c.Refuse(method, times, r.URL.Query().Get("words"))
		answer(w, http.StatusOK, map[string]string{})
	})
	mux.HandleFunc("POST /service/{state}", func(w http.ResponseWriter, r *http.Request) {
		state, err := parseDoor(r.PathValue("state"), r.URL.Query().Get("seconds"))
		if err == nil {
			err = door.set(state)
		}
		if err != nil {
			answer(w, http.StatusBadRequest, map[string]string{"message": err.Error()})
			return
		}
		answer(w, http.StatusOK, map[string]string{})
	})
	return mux
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
