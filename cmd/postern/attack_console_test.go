package main_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// rawAnswers sends bytes on a connection of their own and returns the answers
// to so many requests, as far as there are any.
func (o *office) rawAnswers(request string, n int) (answers []*http.Response) {
	o.Helper()
	u, err := url.Parse(o.gateway)
	if err != nil {
		o.Fatal(err)
	}
	conn, err := net.DialTimeout("tcp", u.Host, 5*time.Second)
	if err != nil {
		o.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	go io.WriteString(conn, request)
	r := bufio.NewReader(conn)
	for range n {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return answers
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		answers = append(answers, res)
	}
	return answers
}

// The pages and the session against bytes that no browser sends: what runs, and
// what sets a session, is counted.
func TestAttack_Console(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	cookie := o.logIn(ledgerUser, ledgerPassword)
	if cookie == "" {
		t.Fatal("no session")
	}
	value := strings.TrimPrefix(cookie, "Cookie: postern-session=")
	host := strings.TrimPrefix(o.base, "http://")
	get := func(target string, lines ...string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n" + strings.Join(append(lines, "\r\n"), "\r\n")
	}
	post := func(target, body string, lines ...string) string {
		head := append(lines, "Content-Type: application/x-www-form-urlencoded", "Content-Length: "+strconv.Itoa(len(body)))
		return "POST " + target + " HTTP/1.1\r\nHost: " + host + "\r\n" + strings.Join(append(head, "\r\n"), "\r\n") + body
	}
	const form = "username=ada&password=correct+horse"
	const own, cross = "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"
	for _, a := range []struct {
		name, request string
		want          []int // of each answer
		ran, sessions int
	}{
		{"a page", get("/entries", cookie, own), []int{200}, 1, 0},
		{"a cookie in two lines", get("/entries", "Cookie: theme=dark", cookie, own), []int{200}, 1, 0},
		{"the session twice", get("/entries", cookie, cookie, own), []int{401}, 0, 0},
		{"the session twice in a line", get("/entries", cookie+"; postern-session="+value, own), []int{401}, 0, 0},
		{"the session after another's", get("/entries", "Cookie: postern-session=x; postern-session="+value, own), []int{401}, 0, 0},
		{"the session in another case", get("/entries", "Cookie: Postern-Session="+value, own), []int{401}, 0, 0},
		{"the session in quotes", get("/entries", `Cookie: postern-session="`+value+`"`, own), []int{401}, 0, 0},
		{"the session, escaped", get("/entries", "Cookie: postern-session=%"+value, own), []int{401}, 0, 0},
		{"the session under the name of HTTPS", get("/entries", "Cookie: __Host-postern-session="+value, own), []int{401}, 0, 0},
		{"the session as a bearer", get("/entries", "Authorization: Bearer "+value, own), []int{401}, 0, 0},
		{"the session in the query", get("/entries?postern-session="+value, own), []int{401}, 0, 0},
		{"the session in a header of its own", get("/entries", "Postern-Session: "+value, "X-Postern-Session: "+value, own), []int{401}, 0, 0},
		{"the session as Cookie2", get("/entries", "Cookie2: postern-session="+value, own), []int{401}, 0, 0},
		{"a folded cookie", get("/entries", "Cookie: a=1;\r\n postern-session="+value, own), []int{400}, 0, 0},
		{"a cookie that is hop-by-hop", get("/entries", cookie, "Connection: cookie", own), []int{200}, 1, 0},
		{"another function's host", strings.Replace(get("/entries", cookie, own), "Host: ledger.", "Host: other.", 1), []int{404}, 0, 0},
		{"the bare address", strings.Replace(get("/entries", cookie, own), host, strings.TrimPrefix(o.gateway, "http://"), 1), []int{404}, 0, 0},
		{"below /fn", strings.Replace(get("/fn/ledger/entries", cookie, own), host, strings.TrimPrefix(o.gateway, "http://"), 1), []int{401}, 0, 0},
		{"below /fn at the host name", get("/fn/ledger/entries", cookie, "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: cors"), []int{401}, 0, 0},
		{"a host from a proxy that is none", post("/entries", "a=1", cookie, "Origin: http://evil.localhost", "X-Forwarded-Host: evil.localhost", "Forwarded: host=evil.localhost"), []int{401}, 0, 0},
		{"an origin with a path", post("/entries", "a=1", cookie, "Origin: "+o.base+"/"), []int{401}, 0, 0},
		{"an origin with a user", post("/entries", "a=1", cookie, "Origin: http://a@"+host), []int{401}, 0, 0},
		{"an origin beside its site", post("/entries", "a=1", cookie, "Origin: "+o.base, cross), []int{401}, 0, 0},
		{"a referrer alone", post("/entries", "a=1", cookie, "Referer: "+o.base+"/"), []int{401}, 0, 0},
		{"the origin", post("/entries", "a=1", cookie, "Origin: "+o.base), []int{200}, 1, 0},
		{"a form in the body of a GET", get("/entries?_method=POST", cookie, cross, "Sec-Fetch-Mode: no-cors", "X-HTTP-Method-Override: POST"), []int{401}, 0, 0},
		{"two principals on one connection", get("/entries", cookie, own) + get("/entries", own) + get("/entries", cookie, own), []int{200, 401, 200}, 2, 0},
		{"a sign-in and a page behind it", post("/login", form, own) + get("/entries", own), []int{303, 401}, 0, 1},
		{"a sign-out and a page behind it, of another", post("/logout", "", own) + get("/entries", cookie, own), []int{303, 200}, 1, 0},
		{"a sign-in", post("/login", form, own), []int{303}, 0, 1},
		{"a sign-in from elsewhere", post("/login", form, cross), []int{403}, 0, 0},
		{"a sign-in that tells nothing", post("/login", form), []int{403}, 0, 0},
		{"a sign-in with a token of none", post("/login", form+"&form=x", "Cookie: postern-form=x"), []int{403}, 0, 0},
		{"a sign-in by GET", get("/login?"+form, own), []int{200}, 0, 0},
		{"a sign-in by PUT", strings.Replace(post("/login", form, own), "POST", "PUT", 1), []int{405}, 0, 0},
		{"a sign-in at another path", post("/x/login", form, own), []int{404}, 0, 0},
		{"a sign-in below the page", post("/login/x", form, own), []int{404}, 0, 0},
		{"a sign-in by an encoded path", post("/%6Cogin", form, own), []int{303}, 0, 1}, // one canonical path
		{"a sign-in with a parameter in the path", post("/login;x=1", form, own), []int{404}, 0, 0},
		{"a sign-in below /fn", strings.Replace(post("/fn/ledger/login", form, own), host, strings.TrimPrefix(o.gateway, "http://"), 1), []int{404}, 0, 0},
		{"a sign-in with a longer length", strings.Replace(post("/login", form+"&x=", own), "Content-Length: "+strconv.Itoa(len(form)+3), "Content-Length: "+strconv.Itoa(len(form)), 1), []int{303}, 0, 1},
		{"a session of the attacker's choice", post("/login", form, own, "Cookie: postern-session="+strings.Repeat("A", len(value))), []int{303}, 0, 1},
		{"a place elsewhere", post("/login", form+"&next=//evil", own), []int{303}, 0, 1},
		{"a place with a line break", post("/login", form+"&next=/%0d%0aSet-Cookie:+a=b", own), []int{303}, 0, 1},
		{"a sign-out from elsewhere", post("/logout", "", cookie, cross), []int{403}, 0, 0},
		{"a sign-out by GET", get("/logout", cookie, own), []int{200}, 0, 0},
		{"still signed in", get("/entries", cookie, own), []int{200}, 1, 0},
		{"a sign-out", post("/logout", "", cookie, own), []int{303}, 0, 0},
		{"signed out", get("/entries", cookie, own), []int{401}, 0, 0},
	} {
		tried(t, a.name, a.request)
		before, _ := o.told()
		answers := o.rawAnswers(a.request, len(a.want))
		after, _ := o.told()
		if after-before != a.ran {
			t.Errorf("%s: %d ran, want %d", a.name, after-before, a.ran)
		}
		sessions := 0
		for i, want := range a.want {
			if i >= len(answers) || answers[i].StatusCode != want {
				t.Errorf("%s: answer %d is missing or not %d: %v", a.name, i+1, want, answers)
				break
			}
			for _, c := range answers[i].Cookies() {
				if c.Name == "a" || strings.HasSuffix(c.Name, "postern-session") && c.Value == strings.Repeat("A", len(value)) {
					t.Errorf("%s: sets %v", a.name, c)
				}
				if strings.HasSuffix(c.Name, "postern-session") && c.MaxAge > 0 {
					sessions++
				}
			}
			if to := answers[i].Header.Get("Location"); to != "" && to != "/" && to != "/login?out" {
				t.Errorf("%s: leads to %q", a.name, to)
			}
		}
		if sessions != a.sessions {
			t.Errorf("%s: %d sessions, want %d", a.name, sessions, a.sessions)
		}
	}
}
