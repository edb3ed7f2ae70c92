package store

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Log is a file of lines beside the document, of which the latest are kept. A
// line is there when Append returns, whatever becomes of this process.
type Log struct {
	mu   sync.Mutex
	file *os.File
}

// OpenLog reads the lines of a log, the latest keep of them, and opens it.
func (s *Store) OpenLog(name string, keep int) (*Log, []string, error) {
	path := filepath.Join(s.dir, name)
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	// A last line without an end is of a writer that was killed.
	lines := bytes.Split(raw, []byte("\n"))
	lines = lines[:len(lines)-1]
	if n := len(lines) - keep; n > 0 {
		lines = lines[n:]
	}
	var kept bytes.Buffer
	out := make([]string, 0, len(lines))
	for _, line := range lines {
		out = append(out, string(line))
		kept.Write(line)
		kept.WriteByte('\n')
	}
	if err := write(path+".new", kept.Bytes()); err != nil {
		return nil, nil, err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	return &Log{file: f}, out, nil
}

// Append adds lines. A line has no end of line in it.
func (l *Log) Append(lines ...string) error {
	var buf bytes.Buffer
	for _, line := range lines {
		buf.WriteString(line)
		buf.WriteByte('\n')
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return ErrClosed
	}
	_, err := l.file.Write(buf.Bytes())
	return err
}

// Close ends writing.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	file := l.file
	l.file = nil
	return file.Close()
}
