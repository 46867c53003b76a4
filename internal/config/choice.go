package config

import (
	"log/slog"
	"slices"
	"strings"
)

// errText is a reason that names neither key nor origin; Load adds both.
type errText string

func (e errText) Error() string { return string(e) }

type choice struct {
	to  *string
	all []string
}

func (c choice) Set(s string) error {
	if !slices.Contains(c.all, s) {
		return errText("must be one of " + strings.Join(c.all, ", "))
	}
	*c.to = s
	return nil
}

func (c choice) String() string { return *c.to }

type level slog.Level

func (l *level) Set(s string) error {
	v, ok := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}[s]
	if !ok {
		return errText("must be one of debug, info, warn, error")
	}
	*l = level(v)
	return nil
}

func (l *level) String() string { return strings.ToLower(slog.Level(*l).String()) }
