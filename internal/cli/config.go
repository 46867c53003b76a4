package cli

import (
	"github.com/spf13/cobra"

	"postern.dev/postern/internal/config"
)

func newConfig(std Stdio) *cobra.Command {
	var asJSON bool
	show := &cobra.Command{
		Use:   "show",
		Short: "Print every setting and where it came from",
		Long:  "Print every setting, its value and where it came from. Secrets are redacted.",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := settings(cmd)
			if err != nil {
				return err
			}
			return showConfig(newPrinter(std.Out), cfg, asJSON)
		},
	}
	settingFlags(show, config.Serving, config.Calling)
	show.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return group("config", "Look at the settings", show)
}

func showConfig(out printer, cfg *config.Config, asJSON bool) error {
	if asJSON {
		return out.json(cfg.Settings())
	}
	var rows [][]string
	for _, s := range cfg.Settings() {
		value := s.Value
		if value == "" {
			value = "-"
		}
		rows = append(rows, []string{s.Key, value, s.Origin})
	}
	out.table([]string{"SETTING", "VALUE", "ORIGIN"}, rows)
	return nil
}
