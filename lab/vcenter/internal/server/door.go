package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// doorState is how the vCenter is to be met from outside.
type doorState struct {
	delay   time.Duration // before each call is looked at
	silent  bool          // connections are accepted, and nothing is ever answered
	refused bool          // nobody listens
}

func parseDoor(name, seconds string) (doorState, error) {
	switch name {
	case "normal":
		return doorState{}, nil
	case "silent":
		return doorState{silent: true}, nil
	case "refused":
		return doorState{refused: true}, nil
	case "slow":
		s, err := strconv.ParseFloat(seconds, 64)
		if err != nil || s < 0 || s > 3600 {
			return doorState{}, fmt.Errorf("slow wants seconds=N from 0 to 3600, not %q", seconds)
		}
		return doorState{delay: time.Duration(s * float64(time.Second))}, nil
	}
	return doorState{}, fmt.Errorf("the service can be normal, slow, silent, refused or restarted, not %q", name)
}

// door is the listener of the public address, which the lab can make slow,
// silent, or take away. What is behind it goes on working.
type door struct {
	address string

	mu       sync.Mutex
	state    doorState
	changed  chan struct{} // closed at each change
	listener net.Listener
	conns    map[net.Conn]bool
	closed   bool
}

func openDoor(address string) (*door, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return &door{address: l.Addr().String(), listener: l, changed: make(chan struct{}), conns: map[net.Conn]bool{}}, nil
}

// set changes how the door is; away, it cuts what is connected.
func (d *door) set(state doorState) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
	case state.refused && d.listener != nil:
		_ = d.listener.Close()
		d.listener = nil
		for c := range d.conns {
			_ = c.Close()
		}
	case !state.refused && d.listener == nil:
		l, err := net.Listen("tcp", d.address)
		if err != nil {
			return err
		}
		d.listener = l
	}
	d.state = state
	close(d.changed)
	d.changed = make(chan struct{})
	return nil
}

func (d *door) now() (doorState, net.Listener, <-chan struct{}, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state, d.listener, d.changed, d.closed
}

// Accept waits until there is a listener, and with a connection until it is
// wanted: a silent vCenter does not even greet.
func (d *door) Accept() (net.Conn, error) {
	for {
		_, l, changed, closed := d.now()
		switch {
		case closed:
			return nil, net.ErrClosed
		case l == nil:
			<-changed
			continue
		}
		conn, err := l.Accept()
		if err != nil {
			if _, now, _, closed := d.now(); !closed && now != l && errors.Is(err, net.ErrClosed) {
				continue
			}
			return nil, err
		}
		d.mu.Lock()
		d.conns[conn] = true
		d.mu.Unlock()
		kept := &keptConn{conn, d}
		d.untilHeard(context.Background())
		return kept, nil
	}
}

// untilHeard waits as long as the door is silent and somebody waits for an answer.
func (d *door) untilHeard(ctx context.Context) {
	for {
		state, _, changed, closed := d.now()
		switch {
		case closed, !state.silent:
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// guard lets calls wait as the door's state has it.
func (d *door) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		state, _, changed, _ := d.now()
		if state.delay > 0 {
			timer := time.NewTimer(state.delay)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-changed:
			case <-r.Context().Done():
			}
		}
		d.untilHeard(r.Context())
		next.ServeHTTP(&mutedWriter{w, d, r.Context()}, r)
	})
}

// mutedWriter holds an answer back that was being made when the door fell silent.
type mutedWriter struct {
	http.ResponseWriter
	d   *door
	ctx context.Context
}

func (m *mutedWriter) WriteHeader(status int) {
	m.d.untilHeard(m.ctx)
	m.ResponseWriter.WriteHeader(status)
}

func (m *mutedWriter) Write(p []byte) (int, error) {
	m.d.untilHeard(m.ctx)
	return m.ResponseWriter.Write(p)
}

// Close ends listening.
func (d *door) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	close(d.changed)
	d.changed = make(chan struct{})
	if d.listener == nil {
		return nil
	}
	return d.listener.Close()
}

// Addr is the address, whether somebody listens there or not.
func (d *door) Addr() net.Addr {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listener != nil {
		return d.listener.Addr()
	}
	addr, _ := net.ResolveTCPAddr("tcp", d.address)
	return addr
}

// keptConn is forgotten when it is closed.
type keptConn struct {
	net.Conn
	d *door
}

func (k *keptConn) Close() error {
	k.d.mu.Lock()
	delete(k.d.conns, k.Conn)
	k.d.mu.Unlock()
	return k.Conn.Close()
}
