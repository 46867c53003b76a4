package deploy_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postern.dev/postern/internal/deploy"
)

// How a worker is started: with the sources' lines in its stacks, a heap as
// large as it may be itself, and a place for what was compiled, of its artefact.
func TestLaunch_Node(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	done, err := w.d.Deploy(t.Context(), deploy.Request{ProjectID: w.project, Name: "f", Artefact: w.build("f", "export const a = () => 1;", `,"workers":{"memory":"96MiB","max":3,"spare":1}`)})
	if err != nil {
		t.Fatal(err)
	}
	launch, err := w.d.Launch(t.Context(), done.Deployment.ID)
	if err != nil {
		t.Fatal(err)
	}
	if argv := launch.Spec.Argv; !slices.Equal(argv[1:], []string{"--enable-source-maps", "--max-old-space-size=96", "worker.mjs"}) {
		t.Errorf("arguments %q", argv)
	}
	if launch.Spec.Memory != 96<<20 || launch.Workers != 3 || launch.Spare != 1 {
		t.Errorf("memory %d, workers %d, spare %d", launch.Spec.Memory, launch.Workers, launch.Spare)
	}
	i := slices.IndexFunc(launch.Spec.Env, func(v string) bool { return strings.HasPrefix(v, "NODE_COMPILE_CACHE=") })
	if i < 0 {
		t.Fatalf("no NODE_COMPILE_CACHE in %q", launch.Spec.Env)
	}
	cache := strings.TrimPrefix(launch.Spec.Env[i], "NODE_COMPILE_CACHE=")
	if filepath.Base(cache) != filepath.Base(launch.Spec.Dir) || !strings.HasPrefix(filepath.Base(cache), done.Deployment.Artefact) {
		t.Errorf("%s is not of the tree %s", cache, launch.Spec.Dir)
	}
}
