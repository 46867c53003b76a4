package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
)

// takeSlug gives an address to a new function or upstream: its name where that
// is free on the installation, else with a short suffix. Writers queue, so what
// is free stays so until the commit.
func takeSlug(ctx context.Context, t *tx, name, owner string) (slug string, err error) {
	for slug = name; ; slug = name + "-" + strings.ToLower(rand.Text()[:4]) {
		done, err := t.ExecContext(ctx, `INSERT INTO slugs (slug, owner_id) VALUES ($1, $2) ON CONFLICT (slug) DO NOTHING`, slug, owner)
		if err != nil {
			return "", fmt.Errorf("take the address %s: %w", slug, err)
		}
		if n, err := done.RowsAffected(); err != nil || n == 1 {
			return slug, err
		}
	}
}

func freeSlug(ctx context.Context, t *tx, owner string) error {
	if _, err := t.ExecContext(ctx, `DELETE FROM slugs WHERE owner_id = $1`, owner); err != nil {
		return fmt.Errorf("free the address of %s: %w", owner, err)
	}
	return nil
}
