// Package storetest is the conformance suite of the store and the private
// PostgreSQL server that tests run it on. Production code does not import it.
package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a PostgreSQL server for tests: one of this test process's own, on
// a unix socket in a temporary directory, or one that runs already.
type Server struct {
	admin string // URL of a database to make others from
	dir   string // empty: not ours
	cmd   *exec.Cmd
	exit  chan struct{} // closed when cmd has ended

	mu   sync.Mutex
	made []string // databases to drop; guarded by mu
}

// StartPostgres starts a server, or uses the one at the URL external if that is
// not empty. The caller stops it with Stop; there should be one for a test
// process, started in TestMain.
func StartPostgres(ctx context.Context, external string) (*Server, error) {
	if external != "" {
		return &Server{admin: external}, nil
	}
	bin, err := findPostgres()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "postern-pg-")
	if err != nil {
		return nil, err
	}
	s, err := start(ctx, bin, dir)
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return s, nil
}

func start(ctx context.Context, bin, dir string) (*Server, error) {
	admin := url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/postgres", RawQuery: url.Values{"host": {dir}}.Encode()}
	s := &Server{admin: admin.String(), dir: dir, exit: make(chan struct{})}
	attr, err := postgresUser(dir)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
	initdb.SysProcAttr, initdb.Dir = attr, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	s.cmd = exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", dir, "-c", "listen_addresses=", "-F",
		"-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "max_connections=200")
	s.cmd.SysProcAttr, s.cmd.Dir = attr, dir
	s.cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	var log strings.Builder // read only after the process has ended
	s.cmd.Stderr = &log
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	go func() { s.cmd.Wait(); close(s.exit) }()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.admin)
		if err == nil {
			return s, conn.Close(ctx)
		}
		select {
		case <-s.exit:
			return nil, fmt.Errorf("postgres ended while it started: %s", log.String())
		case <-ctx.Done():
			s.Stop()
			return nil, fmt.Errorf("postgres does not answer: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// NewDatabase makes an empty database and returns its DSN.
func (s *Server) NewDatabase(ctx context.Context) (string, error) {
	name := "postern_test_" + strings.ToLower(rand.Text())
	u, err := url.Parse(s.admin)
	if err != nil {
		return "", errors.New("the address of the test server is no URL")
	}
	u.Path = "/" + name
	if err := s.exec(ctx, "CREATE DATABASE "+name); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made = append(s.made, name)
	return u.String(), nil
}

func (s *Server) exec(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, s.admin)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

// Stop ends a server of our own by its process and removes its files; from
// another it drops the databases that were made there.
func (s *Server) Stop() {
	if s.dir == "" {
		for _, name := range s.made {
			s.exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)")
		}
		return
	}
	s.cmd.Process.Signal(syscall.SIGQUIT) // immediate shutdown: nothing here is worth a checkpoint
	<-s.exit
	os.RemoveAll(s.dir)
}

func findPostgres() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) > 0 {
		slices.Sort(found)
		return filepath.Dir(found[len(found)-1]), nil
	}
	if p, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(p), nil
	}
	return "", errors.New("PostgreSQL is not installed; run `make test` as root, or: apt-get install postgresql")
}

// postgresUser makes dir usable by the user that the server runs as:
// PostgreSQL refuses to run as root.
func postgresUser(dir string) (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return &syscall.SysProcAttr{}, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root, and there is no user postgres: %w", err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}
