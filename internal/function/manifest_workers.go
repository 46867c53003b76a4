package function

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// Workers are how a function's processes are run. Zero fields mean the
// server's settings.
type Workers struct {
	// Max is the most that run at a time; the server's own setting bounds it.
	Max int `json:"max,omitempty"`
	// Spare is how many without a call are kept ready, within Max; with one or
	// more the last worker is never stopped for idleness.
	Spare int `json:"spare,omitempty"`
	// Memory is what one may use, in bytes.
	Memory int64 `json:"memory,omitempty"`
}

// Bounds of Workers. Node itself needs some 50 MiB.
const (
	maxWorkers = 1024
	MinMemory  = 96 << 20
	MaxMemory  = 64 << 30
)

var workerFields = []string{"max", "spare", "memory"}

func (w Workers) check() error {
	switch {
	case w.Max < 0 || w.Max > maxWorkers:
		return fmt.Errorf("workers.max must be a whole number from 1 to %d", maxWorkers)
	case w.Spare < 0 || w.Spare > maxWorkers:
		return fmt.Errorf("workers.spare must be a whole number from 0 to %d", maxWorkers)
	case w.Memory != 0 && (w.Memory < MinMemory || w.Memory > MaxMemory):
		return fmt.Errorf("workers.memory must be from %d MiB to %d GiB", MinMemory>>20, MaxMemory>>30)
	case w.Max > 0 && w.Spare > w.Max:
		return errors.New("workers.spare is more than workers.max")
	}
	return nil
}

const workersExample = `write: "workers": { "max": 2, "spare": 1, "memory": "512MiB" }`

// workers reads how a function's processes are run.
func (p *parser) workers(f member) error {
	if !f.value.isObject {
		return p.fail(f.value.offset, workersExample, "workers must be an object")
	}
	for _, o := range f.value.object {
		switch o.key {
		case "max", "spare":
			num, _ := o.value.value.(json.Number)
			n, err := num.Int64()
			if err != nil || n < 0 || n > math.MaxInt32 || n == 0 && o.key == "max" {
				return p.fail(o.value.offset, workersExample, "workers.%s is no number of workers", o.key)
			}
			if o.key == "max" {
				p.m.Workers.Max = int(n)
			} else {
				p.m.Workers.Spare = int(n)
			}
		case "memory":
			if err := p.size(o, &p.m.Workers.Memory, "workers"); err != nil {
				return err
			}
		default:
			return p.unknownOption(o, workerFields, "workers")
		}
	}
	if err := p.m.Workers.check(); err != nil {
		return p.fail(f.value.offset, workersExample, "%s", err)
	}
	return nil
}
