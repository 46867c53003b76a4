package console

import (
	"errors"
	"strings"
	"time"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
)

func (c *Console) registerKeys() {
	c.page("GET /p/{project}/keys", c.keys)
	c.page("GET /p/{project}/keys/new", c.newKey)
	c.page("POST /p/{project}/keys/new", c.makeKey)
	c.page("GET /p/{project}/keys/{key}", c.key)
	c.page("GET /p/{project}/keys/{key}/edit", ofLiveKey(c.editKey))
	c.page("POST /p/{project}/keys/{key}/edit", ofLiveKey(c.changeKey))
	c.page("GET /p/{project}/keys/{key}/rotate", ofLiveKey(c.askRotate))
	c.page("POST /p/{project}/keys/{key}/rotate", ofLiveKey(c.rotateKey))
	c.page("GET /p/{project}/keys/{key}/revoke", ofLiveKey(c.askRevoke))
	c.page("POST /p/{project}/keys/{key}/revoke", c.revokeKey)
}

// How many of each a page shows.
const (
	keysListed     = 25
	projectsListed = 5
)

// keysPage is what the page of access keys shows.
type keysPage struct {
	Query, State string
	Functions    bool // the keys that functions were given, too
	Keys         []api.AccessKey
	Total        *api.Total
	Next, First  string
	New          string // the ID of the key that was just made
	Projects     []api.Subproject
	MoreProjects bool
}

// Narrowed says that not all keys are asked for.
func (p keysPage) Narrowed() bool { return p.Query != "" || p.State != "" || p.Functions }

func (c *Console) keys(v *visit) error {
	q := v.r.URL.Query()
	body := keysPage{Query: strings.TrimSpace(q.Get("q")), State: q.Get("state"), Functions: q.Get("functions") != "", New: q.Get("new")}
	found, err := v.api.FindKeys(v.r.Context(), api.KeyQuery{Query: body.Query, State: body.State, Functions: body.Functions, Order: "newest", WithTotal: true, PageSize: keysListed, PageToken: q.Get("page")})
	if fault.KindOf(err) == fault.Invalid { // what is searched for, or an address that somebody made up
		return v.mistaken(err, "keys", "keys", "Access keys", body)
	}
	if err != nil {
		return err
	}
	subprojects, err := v.api.FindSubprojects(v.r.Context(), "", projectsListed)
	if err != nil {
		return err
	}
	body.Keys, body.Total, body.Projects, body.MoreProjects = found.AccessKeys, found.Total, subprojects.Subprojects, subprojects.NextPageToken != ""
	body.Next, body.First = v.pager("page", found.NextPageToken)
	return v.show("keys", "keys", "Access keys", body)
}

// keyPage is what the page of one key shows, and those that ask about it.
type keyPage struct {
	Key   api.AccessKey
	Reach api.KeyReach
	More  int  // routes that it opens beyond those that are listed
	Mine  bool // it is what this session was signed in with
	Asks  bool // the page asks whether to end it
	Grace string
}

// errKeyEnded says that a page is about a key that was revoked, to which nothing can
// be done.
var errKeyEnded = errors.New("the key was revoked")

// ofLiveKey is a page that does something to a key. Of one that was revoked, as in a
// tab that was left open, it leads to what there is to see.
func ofLiveKey(h func(*visit) error) func(*visit) error {
	return func(v *visit) error {
		err := h(v)
		if errors.Is(err, errKeyEnded) {
			v.said(v.keyPath(v.r.PathValue("key")), "key-ended")
			return nil
		}
		return err
	}
}

// liveKey reads the key of a page.
func (v *visit) liveKey() (api.AccessKey, error) {
	k, err := v.api.Key(v.r.Context(), v.r.PathValue("key"))
	if err == nil && k.State == "revoked" {
		err = errKeyEnded
	}
	return k, err
}

// loadKey reads a key and what it opens.
func (v *visit) loadKey() (p keyPage, err error) {
	if p.Key, err = v.liveKey(); err != nil {
		return p, err
	}
	if p.Reach, err = v.api.KeyReach(v.r.Context(), p.Key.AccessKeyID, ""); err != nil {
		return p, err
	}
	p.More, p.Mine = p.Reach.RouteCount-len(p.Reach.Routes), v.session.KeyID == p.Key.AccessKeyID
	return p, nil
}

// keyPath is the address of one key's page, below [Dir].
func (v *visit) keyPath(id string) string { return v.in("keys/" + id) }

func (c *Console) key(v *visit) error {
	p, err := v.loadKey()
	if errors.Is(err, errKeyEnded) {
		return v.showEnded(p.Key)
	}
	if err != nil {
		return err
	}
	return v.show("key", "keys", p.Key.DisplayName, p)
}

// Function is the name of the function that was given the key; empty: people made it.
func (p keyPage) Function() string {
	if p.Key.FunctionID == "" {
		return ""
	}
	return strings.TrimPrefix(p.Key.DisplayName, "function:")
}

// endedPage is what there is to see of a key that was revoked.
type endedPage struct {
	keyPage
	By *event // who revoked it; nil: it ended otherwise, or the audit log has it no more
}

// The event of a revocation has the time of the request, which is that of its end but
// for what the one waited and the clocks of nodes differ.
const aboutThen = time.Minute

func (v *visit) showEnded(k api.AccessKey) error {
	p := endedPage{keyPage: keyPage{Key: k}}
	if k.RevokeTime != nil {
		events, err := v.api.Audit(v.r.Context(), api.AuditQuery{Action: "revokeAccessKey", Outcome: "allowed", Query: "accessKeys/" + k.AccessKeyID, Since: k.RevokeTime.Add(-aboutThen), Until: k.RevokeTime.Add(aboutThen), PageSize: 1000})
		if err != nil {
			return err
		}
		if told := tellEvents(events); len(told) > 0 {
			p.By = &told[len(told)-1] // the first: to end it again changes nothing
		}
	}
	return v.show("key-ended", "keys", k.DisplayName, p)
}

func (c *Console) askRevoke(v *visit) error {
	p, err := v.loadKey()
	if err != nil {
		return err
	}
	p.Asks = true
	return v.show("key-revoke", "keys", "Revoke "+p.Key.DisplayName, p)
}

func (c *Console) revokeKey(v *visit) error {
	if err := v.api.RevokeKey(v.r.Context(), v.r.PathValue("key")); err != nil {
		return err
	}
	v.said(v.in("keys"), "key-revoked")
	return nil
}
