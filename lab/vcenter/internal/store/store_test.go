package store_test

import (
	"os"
	"path/filepath"
	"testing"

	"permafrost.dev/lab/vcenter/internal/store"
)

func TestWhatIsSavedIsLoaded(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]int
	if known, err := s.Load(&got); known || err != nil {
		t.Fatalf("an empty folder: %v, %v", known, err)
	}
	if err := s.Save(map[string]int{"a": 1}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	if known, err := again.Load(&got); !known || err != nil || got["a"] != 1 {
		t.Fatalf("got %v, %v, %v", known, err, got)
	}
}

func TestOneAtATime(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(dir); err == nil {
		t.Fatal("a second one took the folder")
	}
	_ = s.Close()
	if s, err = store.Open(dir); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	if s.Save(1) == nil {
		t.Fatal("saved without the folder")
	}
}

func TestADamagedDocumentIsNotTakenForAnEmptyOne(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "inventory.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	var v any
	if _, err := s.Load(&v); err == nil {
		t.Fatal("loaded")
	}
}
