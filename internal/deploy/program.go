package deploy

import (
	"path/filepath"

	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/worker"
)

// program makes a worker of a program that serves HTTP out of one of a module.
// Its lines come as it writes them, and its runtime leaves nothing beside its
// files: they are those of all its workers.
func (d *Deployer) program(spec *worker.Spec, m function.Manifest) {
	spec.Argv = m.Program.Command
	spec.Dir = filepath.Join(spec.Dir, bundle.ProgramDir)
	spec.Env = append(spec.Env, "ASPNETCORE_ENVIRONMENT=Production", "PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1")
	spec.Program = &worker.Program{Name: m.Name, TCP: m.Program.Port == function.PortTCP, Ready: m.Program.Ready,
		Dir: filepath.Join(d.o.RunDir, "programs"), Declares: function.ProgramDeclaration()}
}
