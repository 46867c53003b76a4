package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	_ "modernc.org/sqlite"
)

// manyKeys is what a gateway with so many keys costs.
type manyKeys struct {
	keys  int
	ready time.Duration // from the start of the process to the first answer
	rss   int           // KiB
	rates []float64
	p99s
}

// measureKeys measures the same handler behind one key and behind a million,
// in turn.
func measureKeys(ctx context.Context, rounds, connections int, d time.Duration) ([]manyKeys, error) {
	dir, err := os.MkdirTemp("", "postern-bench-")
	if err != nil {
		return nil, err
	}
	s := &starter{ctx: ctx, dir: dir}
	defer s.stop()
	list := []manyKeys{{keys: 0}, {keys: 1_000_000}}
	servers := make([]*running, len(list))
	for i := range list {
		data := filepath.Join(dir, strconv.Itoa(list[i].keys))
		p, err := s.startPostern(data, "off", "0")
		if err != nil {
			return nil, err
		}
		if err := s.deploy(p, example); err != nil {
			return nil, err
		}
		p.end()
		if err := fill(filepath.Join(data, "postern.db"), p.env["POSTERN_PROJECT_ID"], list[i].keys); err != nil {
			return nil, err
		}
		began := time.Now()
		if servers[i], err = s.startAgain(p); err != nil {
			return nil, err
		}
		list[i].ready = time.Since(began)
	}
	for round := range rounds {
		for i, p := range servers {
			srv := server{name: fmt.Sprintf("%d keys more", list[i].keys), url: p.gateway + "/fn/protect/webhook", authorization: basicOf(p.env["POSTERN_KEY_ID"], p.env["POSTERN_KEY_SECRET"])}
			rate, err := load(ctx, srv, d, connections)
			if err != nil {
				return nil, err
			}
			list[i].rates = append(list[i].rates, rate)
			fmt.Fprintf(os.Stderr, "round %d  %8.0f/s  %s\n", round+1, rate, srv.name)
		}
	}
	for i, p := range servers {
		if list[i].keys > 0 {
			if list[i].p99s, err = p.measureChanges(ctx, rounds, d); err != nil {
				return nil, err
			}
		}
		if list[i].rss, err = residentKiB(p.pid()); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// fill writes keys past the server, which would take a commit for each.
func fill(file, projectID string, n int) error {
	db, err := sql.Open("sqlite", file)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Exec(`INSERT INTO access_keys (id, project_id, display_name, search_name, secret_hash, scopes, function_id, allowed_cidrs, rate_per_second, created_at, expires_at, revoked_at)
		SELECT printf('`+keyFormat+`', i), $1, printf('key %d', i), printf('key %d', i), lower(hex(randomblob(32))), 'invoke', '', '[]', 0, 1, 0, 0
		FROM (WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $2) SELECT i FROM n WHERE $2 > 0)`, projectID, n)
	if err != nil {
		return fmt.Errorf("write %d keys: %w", n, err)
	}
	return nil
}

// residentKiB is the memory that a process has.
func residentKiB(pid int) (int, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strconv.Atoi(strings.Fields(rest)[0])
		}
	}
	return 0, fmt.Errorf("process %d tells no VmRSS", pid)
}
