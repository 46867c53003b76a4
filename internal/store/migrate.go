package store

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"

	"postern.dev/postern/internal/fault"
)

//go:embed migrations/*.sql migrations/cache/*.sql
var migrations embed.FS

// migrate brings the schema up to date. Each migration is one transaction;
// several nodes that start at once are kept apart by goose's session lock on
// PostgreSQL and by the data directory's lock on SQLite.
func (db *DB) migrate(ctx context.Context) error {
	return db.migrateSet(ctx, "migrations", goose.DefaultTablename)
}

// migrateSet does so with one set of migrations, whose version is in a table of
// its own.
func (db *DB) migrateSet(ctx context.Context, dir, table string) error {
	files, err := fs.Sub(migrations, dir)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true), goose.WithTableName(table)}
	locker, err := sessionLocker(db.dialect)
	if err != nil {
		return err
	}
	if table == goose.DefaultTablename {
		options = append(options, goose.WithGoMigrations(goose.NewGoMigration(13, &goose.GoFunc{RunTx: foldNames}, nil)))
	}
	if locker != nil {
		options = append(options, goose.WithSessionLocker(locker))
	}
	p, err := goose.NewProvider(goose.Dialect(db.dialect.name()), db.write, files, options...)
	if err != nil {
		return fmt.Errorf("prepare migrations: %w", err)
	}
	have, err := p.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	sources := p.ListSources()
	if known := sources[len(sources)-1].Version; have > known {
		return fault.New(fault.Conflict, fmt.Sprintf("the database has schema %d; this version of postern knows up to %d", have, known)).
			WithCode("schema_newer").WithHint("run the newer postern that wrote it, or name another directory with --data")
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate the schema: %w", err)
	}
	return nil
}
