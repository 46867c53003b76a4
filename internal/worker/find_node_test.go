package worker_test

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/worker"
)

func TestFindNode(t *testing.T) {
	t.Parallel()
	path, err := worker.FindNode(t.Context(), "node")
	if err != nil || !filepath.IsAbs(path) {
		t.Errorf("FindNode = %q, %v", path, err)
	}
}

func TestFindNode_Refuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, script, want string }{
		{"too old", "#!/bin/sh\necho v18.19.0\n", "is Node v18.19.0, and functions need 20 or newer"},
		{"something else", "#!/bin/sh\necho 20\n", "is no Node"},
		{"silent", "#!/bin/sh\nexit 3\n", "does not tell its version"},
		{"escape sequences", "#!/bin/sh\nprintf '\\033[2J'\n", `is no Node: it gives its version as "\x1b[2J"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "node")
			// Written by another process: a descriptor of ours could be inherited by
			// a child of another test, and the kernel runs no file that is open for writing.
			if err := exec.Command("sh", "-c", `printf %s "$1" >"$2" && chmod 700 "$2"`, "sh", tt.script, path).Run(); err != nil {
				t.Fatal(err)
			}
			_, err := worker.FindNode(t.Context(), path)
			f, ok := errors.AsType[*fault.Error](err)
			if !ok || f.Code != "node_missing" || f.Hint == "" || !strings.Contains(f.Text, tt.want) || !strings.Contains(f.Text, path) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		t.Parallel()
		if _, err := worker.FindNode(t.Context(), "/nowhere/node"); fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "/nowhere/node") {
			t.Errorf("got %v", err)
		}
	})
}
