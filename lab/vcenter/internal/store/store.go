// Package store keeps one JSON document on disk: whole or not at all, and on
// the disk before Save returns.
package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

const document = "inventory.json"

// ErrClosed says that the folder has been given free.
var ErrClosed = errors.New("the state folder is closed")

// Store is a state folder that this process alone may write.
type Store struct {
	dir  string
	lock *os.File
	last []byte
}

// Open takes the folder, making it where needed; a second taker is refused.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("%s is in use by another vCenter", dir)
	}
	return &Store{dir: dir, lock: lock}, nil
}

// Load reads the document into v and says whether there was one.
func (s *Store) Load(v any) (bool, error) {
	raw, err := os.ReadFile(filepath.Join(s.dir, document))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return false, fmt.Errorf("%s: %w", filepath.Join(s.dir, document), err)
	}
	return true, nil
}

// Save replaces the document. What is already there is not written again.
func (s *Store) Save(v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if s.lock == nil {
		return ErrClosed
	}
	if bytes.Equal(raw, s.last) {
		return nil
	}
	path := filepath.Join(s.dir, document)
	if err := write(path+".new", raw); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	if err := syncDir(s.dir); err != nil {
		return err
	}
	s.last = raw
	return nil
}

// Close gives the folder free.
func (s *Store) Close() error {
	if s.lock == nil {
		return nil
	}
	lock := s.lock
	s.lock = nil
	return lock.Close()
}

func write(path string, raw []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
