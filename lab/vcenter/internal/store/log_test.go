package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"permafrost.dev/lab/vcenter/internal/store"
)

func TestALogKeepsTheLatestWholeLines(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	log, lines, err := s.OpenLog("events", 3)
	if err != nil || len(lines) != 0 {
		t.Fatalf("a new one: %v, %v", lines, err)
	}
	for _, line := range []string{"a", "b", "c", "d"} {
		if err := log.Append(line); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if err := log.Append("e"); !errors.Is(err, store.ErrClosed) {
		t.Errorf("after its end: %v", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "events"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("half"); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	log, lines, err = s.OpenLog("events", 3)
	if err != nil || !slices.Equal(lines, []string{"b", "c", "d"}) {
		t.Fatalf("got %v, %v", lines, err)
	}
	if err := log.Append("e", "f"); err != nil {
		t.Fatal(err)
	}
	_ = log.Close()
	if _, lines, err = s.OpenLog("events", 3); err != nil || !slices.Equal(lines, []string{"d", "e", "f"}) {
		t.Fatalf("got %v, %v", lines, err)
	}
}
