package cli

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
)

func newUsers(std Stdio) *cobra.Command {
	cmd := group("users", "List, add and remove who may sign in to the console",
		newUsersList(std),
		newUsersAdd(std),
		newUsersPassword(std),
		newUsersCodeOff(std),
		newUsersRemove(std),
	)
	cmd.Long = "A user signs in to the console with a name and a password, and may do in the project\n" +
		"and its subprojects what a key without limits can. The first one may be made on the\n" +
		"console's own page, with the administrator's key."
	return cmd
}

// allUsers lists the project's users, page by page.
func allUsers(ctx context.Context, client *api.Client) ([]api.User, error) {
	return everyPage(func(token string) ([]api.User, string, error) {
		page, err := client.Users(ctx, token)
		return page.Users, page.NextPageToken, err
	})
}

// findUser finds a user by name or ID.
func findUser(ctx context.Context, client *api.Client, nameOrID string) (api.User, error) {
	if strings.HasPrefix(nameOrID, "usr_") {
		return client.User(ctx, nameOrID)
	}
	all, err := allUsers(ctx, client)
	if err != nil {
		return api.User{}, err
	}
	all = slices.DeleteFunc(all, func(u api.User) bool { return !strings.EqualFold(u.Name, nameOrID) })
	ids := make([]string, len(all))
	for i, u := range all {
		ids[i] = u.UserID
	}
	if err := theOne("user", nameOrID, ids, "list them with: postern users list"); err != nil {
		return api.User{}, err
	}
	return all[0], nil
}

// namedUser is the user whom a command is about, and the client that found them.
func namedUser(cmd *cobra.Command, nameOrID string) (*api.Client, api.User, error) {
	client, err := signedIn(cmd)
	if err != nil {
		return nil, api.User{}, err
	}
	u, err := findUser(cmd.Context(), client, nameOrID)
	return client, u, err
}

const maxPasswordInput = 4 << 10

// newPassword is a password that is typed twice at a terminal, or read from
// standard input, of which one newline at the end is dropped. No flag takes it:
// others can read a command line.
func newPassword(ctx context.Context, std Stdio, of string) (string, error) {
	person := terminalOf(std)
	if person == nil {
		data, err := io.ReadAll(io.LimitReader(std.In, maxPasswordInput))
		text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
		if err == nil && text == "" {
			err = usageError{"the password is missing, and standard input is no terminal to ask at", "pipe it in: … | postern users password " + of}
		}
		return text, err
	}
	text, err := person.secret(ctx, "Password of "+of+" (12 characters or more, not shown)")
	if err != nil {
		return "", err
	}
	again, err := person.secret(ctx, "The same once more")
	if err == nil && again != text {
		err = usageError{"the two passwords differ; nothing was changed", "try again"}
	}
	return text, err
}

// tellUser prints one user as it was asked for.
func tellUser(out printer, u api.User, asJSON bool) error {
	if asJSON {
		return out.json(u)
	}
	code, last := signsIn(u)
	out.table([]string{"user", u.Name}, [][]string{{"user ID", u.UserID}, {"project", u.ProjectID}, {"second factor", code}, {"signed in last", last}, {"created", moment(u.CreateTime)}})
	return nil
}

// signsIn says whether a user needs a code, and when they signed in last.
func signsIn(u api.User) (code, last string) {
	code, last = "off", "never"
	if u.SecondFactor {
		code = "on"
	}
	if u.SignInTime != nil {
		last = moment(*u.SignInTime)
	}
	return code, last
}
