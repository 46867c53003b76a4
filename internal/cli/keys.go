package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
)

func newKeys(std Stdio) *cobra.Command {
	return group("keys", "Make, list, change and end access keys",
		newKeysCreate(std),
		newKeysList(std),
		newKeysShow(std),
		newKeysUpdate(std),
		newKeysRotate(std),
		newKeysRevoke(std),
		newKeysProbe(std),
	)
}

// allKeys lists those of the project's keys that a query asks for, page by page.
func allKeys(ctx context.Context, client *api.Client, q api.KeyQuery) ([]api.AccessKey, error) {
	q.PageSize = 1000
	return everyPage(func(token string) ([]api.AccessKey, string, error) {
		q.PageToken = token
		page, err := client.FindKeys(ctx, q)
		return page.AccessKeys, page.NextPageToken, err
	})
}

// findKey finds a key by its ID or, where one alone has it, by its display name.
func findKey(ctx context.Context, client *api.Client, nameOrID string) (api.AccessKey, error) {
	if accesskey.ValidID(nameOrID) {
		return client.Key(ctx, nameOrID)
	}
	all, err := allKeys(ctx, client, api.KeyQuery{Query: nameOrID, Functions: strings.HasPrefix(nameOrID, "function:")})
	if err != nil {
		return api.AccessKey{}, err
	}
	all = slices.DeleteFunc(all, func(k api.AccessKey) bool { return k.DisplayName != nameOrID })
	ids := make([]string, len(all))
	for i, k := range all {
		ids[i] = k.AccessKeyID
	}
	if err := theOne("access key", nameOrID, ids, "list the keys with: postern keys list"); err != nil {
		return api.AccessKey{}, err
	}
	return all[0], nil
}

// keyID is the ID of a key that is named by it or by its display name. An ID
// is taken as it is: the key may have ended, and be asked about still.
func keyID(ctx context.Context, client *api.Client, nameOrID string) (string, error) {
	if nameOrID == "" || accesskey.ValidID(nameOrID) {
		return nameOrID, nil
	}
	k, err := findKey(ctx, client, nameOrID)
	return k.AccessKeyID, err
}

// theOne refuses a name that nothing has, or more than one thing.
func theOne(what, name string, ids []string, list string) error {
	switch len(ids) {
	case 0:
		return fault.New(fault.NotFound, fmt.Sprintf("there is no %s with the name or ID %q", what, name)).WithHint(list)
	case 1:
		return nil
	}
	return fault.New(fault.Conflict, fmt.Sprintf("%d have the name %q", len(ids), name)).WithHint("name one by its ID: " + strings.Join(ids, ", "))
}

// printKey prints all that there is to know of a key.
func printKey(out printer, k api.AccessKey) {
	rows := [][]string{{"name", k.DisplayName}, {"project", k.ProjectID}, {"scopes", strings.Join(k.Scopes, ", ")}}
	add := func(label, value string) {
		if value != "" {
			rows = append(rows, []string{label, value})
		}
	}
	add("service plan", k.ServicePlanID)
	add("function", k.FunctionID)
	add("groups", strings.Join(k.Groups, ", "))
	add("addresses", strings.Join(k.AllowedCIDRs, ", "))
	if k.RatePerSecond > 0 {
		add("rate", strconv.Itoa(k.RatePerSecond)+" a second")
	}
	if k.Quota != nil {
		used := int64(0)
		if k.Used != nil {
			used = k.Used.Count
		}
		add("quota", fmt.Sprintf("%d of %d a %s used", used, k.Quota.Limit, k.Quota.Per))
	}
	add("binding", k.Binding)
	add("certificate", k.CertThumbprint)
	for _, name := range slices.Sorted(maps.Keys(k.Metadata)) {
		add("metadata", name+" = "+k.Metadata[name])
	}
	add("created", moment(k.CreateTime))
	add("updated", moment(k.UpdateTime))
	add("last used", orNever(k.LastUsedTime))
	add("expires", orNever(k.ExpireTime))
	if k.RevokeTime != nil {
		add("revoked", moment(*k.RevokeTime))
	}
	if k.PreviousSecretExpireTime != nil {
		add("old secret", "good until "+moment(*k.PreviousSecretExpireTime))
	}
	out.table([]string{"key ID", k.AccessKeyID}, rows)
}

func orNever(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return moment(*t)
}

// printSecret shows a secret, alone on its line, and how to use it without
// having it on the command line of one's shell history.
func printSecret(out printer, k api.AccessKey, secret string) {
	out.line("key ID  %s", clean(k.AccessKeyID))
	out.line("The secret is shown this once:\n")
	out.line("%s\n", clean(secret))
	out.line("To use it, paste it into a variable first:")
	out.line("  read -rs SECRET")
	switch {
	case k.ServicePlanID != "":
		out.line(`  curl -H "Authorization: Bearer $SECRET" URL/xms/v1/%s/batches`, clean(k.ServicePlanID))
	case k.Binding != "":
		out.line("It opens nothing by itself: get a token that is bound by %s at /oauth2/token.", clean(k.Binding))
	default:
		out.line(`  curl -u "%s:$SECRET" URL`, clean(k.AccessKeyID))
	}
}
