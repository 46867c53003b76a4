package oauth

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/httpx"
)

// call is one POST to one of the three endpoints, parsed once.
type call struct {
	Decision
	r      *http.Request
	now    time.Time
	form   url.Values
	client *auth.Key // who calls
	secret int       // the generation of the secret that it showed
}

const maxForm = 16 << 10

// answer does what the endpoints have in common: method, type and size, one
// form, one client; and writes what the endpoint returns.
func (s *Server) answer(w http.ResponseWriter, c *call, endpoint func(*call) (any, error)) {
	body, err := s.ask(c, endpoint)
	if err != nil {
		s.refuse(w, c, err)
		return
	}
	c.Status = http.StatusOK
	s.write(w, c, body)
}

func (s *Server) ask(c *call, endpoint func(*call) (any, error)) (any, error) {
	if c.r.Method != http.MethodPost {
		return nil, errMethod
	}
	if err := c.parse(); err != nil {
		return nil, err
	}
	if err := s.authenticate(c); err != nil {
		return nil, err
	}
	return endpoint(c)
}

// parse reads the form. A parameter that comes twice is refused (RFC 6749
// §3.2), and one without a value is as if it were not there (§3.1).
func (c *call) parse() error {
	if kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return invalidRequest("the body must be a form: application/x-www-form-urlencoded")
	}
	if c.r.URL.RawQuery != "" {
		return invalidRequest("parameters belong into the body, not into the address")
	}
	data, err := io.ReadAll(http.MaxBytesReader(nil, c.r.Body, maxForm))
	if err != nil {
		return invalidRequest("the body is cut off, or larger than 16 KiB")
	}
	if c.form, err = url.ParseQuery(string(data)); err != nil {
		return invalidRequest("the body is no form")
	}
	for name, values := range c.form {
		// RFC 8707 §2 lets resource come several times.
		if len(values) > 1 && name != "resource" && name != "audience" {
			return invalidRequest("a parameter is there more than once")
		}
	}
	return nil
}

// authenticate recognises the client by HTTP Basic or by the form (RFC 6749
// §2.3.1), never by both.
func (s *Server) authenticate(c *call) error {
	if auth.CheckDuplicates(c.r.Header) != nil {
		return invalidRequest("credentials are there more than once")
	}
	id, secret, err := c.credentials()
	if err != nil {
		return err
	}
	if accesskey.ValidID(id) { // what is no ID may be a secret in its place
		c.KeyID = id
	}
	d := s.o.Directory()
	c.client, c.secret = auth.Client(d, id, secret, c.now)
	if c.client == nil && strings.ContainsAny(id+secret, "%+") {
		// RFC 6749 has both form-encoded before Basic, and most clients do not.
		// Nothing of ours changes when it is decoded, so there is one reading.
		rawID, idErr := url.QueryUnescape(id)
		rawSecret, secretErr := url.QueryUnescape(secret)
		if idErr == nil && secretErr == nil {
			c.client, c.secret = auth.Client(d, rawID, rawSecret, c.now)
			if c.r.Header.Get("Authorization") != "" {
				id, secret = rawID, rawSecret // as a second try by the form has them
			}
		}
	}
	if c.client != nil {
		c.KeyID, c.ProjectID = c.client.ID(), c.client.ProjectID()
		return s.allowedFrom(c)
	}
	// Some clients try a wrong secret twice, by Basic and then by the form:
	// that is one mistake, and takes one from the limit.
	if c.Repeated = s.failures.again(id, secret, c.now); c.Repeated {
		return errClient
	}
	if wait, ok := s.failed.Allow(httpx.PeerIP(c.Remote), c.now); !ok {
		return tooMany(wait)
	}
	return errClient
}

func (c *call) credentials() (id, secret string, err error) {
	formID, formSecret := c.form.Get("client_id"), c.form.Get("client_secret")
	if c.r.Header.Get("Authorization") == "" {
		if formID == "" || formSecret == "" {
			return "", "", errClient
		}
		return formID, formSecret, nil
	}
	id, secret, ok := c.r.BasicAuth()
	if !ok {
		return "", "", errClient
	}
	// A client may name itself in the form besides, as long as it is the same.
	if formSecret != "" || formID != "" && formID != id {
		return "", "", invalidRequest("credentials are both in the header and in the body")
	}
	return id, secret, nil
}

// allowedFrom applies the key's list of addresses to getting tokens as well.
func (s *Server) allowedFrom(c *call) error {
	if !c.client.AllowedFrom(c.Remote) {
		return badRequest("unauthorized_client", "this key may not be used from this address", "call from an address of the key's list, or change the list: postern keys update")
	}
	return nil
}

func (s *Server) write(w http.ResponseWriter, c *call, body any) {
	h := w.Header()
	h["Content-Type"] = []string{"application/json"}
	h["Cache-Control"] = []string{"no-store"} // RFC 6749 §5.1
	h["Pragma"] = []string{"no-cache"}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	s.o.Record(c.Decision)
	w.WriteHeader(c.Status)
	if body != nil {
		json.NewEncoder(w).Encode(body)
	}
}

// document answers with something public.
func (s *Server) document(w http.ResponseWriter, r *http.Request, body []byte) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}
	h := w.Header()
	h["Content-Type"] = []string{"application/json"}
	h["Cache-Control"] = []string{"public, max-age=300"}
	h["Access-Control-Allow-Origin"] = []string{"*"}
	w.Write(body)
}
