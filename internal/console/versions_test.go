package console_test

import (
	"net/url"
	"strings"
	"testing"

	"postern.dev/postern/internal/api"
)

const talking = `export const auth = ['guarded'];
export const open = (_: unknown, req: any) => { console.log('said ' + req.query.n); return { method: req.method, said: req.headers['x-said'], body: String(req.body ?? ''), how: req.identity?.method }; };
export const guarded = open;
export const fails = () => { throw new Error('it <b>broke</b>'); };
`

func TestVersions_RefusalsSayWhatToDo(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.want(s.get("functions/nosuch/versions"), 404, "there is no such function")
	s.deploy("shop", talking)
	change := "functions/shop/versions/change"
	s.want(s.get(change+"?version=1&percent=x"), 400, "a whole number from 0 to 100")
	s.want(s.get(change+"?version=1&percent=101"), 400, "a whole number from 0 to 100")
	s.want(s.get(change+"?version=a&percent=1"), 400, "the version is no number")
	s.want(s.post(change, url.Values{"csrf": {"forged"}, "version": {"1"}, "percent": {"100"}}), 403, "did not come from this page")
	s.want(s.post(change, url.Values{"do": {"rollback"}, "percent": {"100"}}), 409, "none has served before it", "Roll back")
	s.want(s.post(change, url.Values{"version": {"1"}, "percent": {"100"}}), 409, "version 1 is the active one already")
	s.want(s.post(change, url.Values{"version": {"7"}, "percent": {"100"}}), 404)
	s.want(s.post("functions/nosuch/versions/change", url.Values{"version": {"1"}, "percent": {"100"}}), 404)
	p := s.get("functions/shop/versions")
	s.want(p, 200, "Version 1 is active", "100 % ", "postern functions deploy --percent 10")
	s.no(p, "Roll back…", "is the candidate")
}

func TestVersions_PromoteAndRollBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.deploy("shop", talking)
	s.deployPart("shop", talking+"// two\n", 10)
	page := "functions/shop/versions"
	s.want(s.get(page), 200, "Version 1 is active", "90 % ", "Version 2 is the candidate", "10 % ", "End it…", "Make it active…")
	change := page + "/change"
	s.want(s.get(change+"?version=2&percent=40"), 200, "Version 2 gets 40 % of the calls, and version 1, the active one, 60 %. It has 10 % now.", "Give version 2 40 %", "Leave it as it is")
	s.leads(s.post(change, url.Values{"version": {"2"}, "percent": {"40"}}), page+"?said=promoted")
	s.want(s.get(page+"?said=promoted"), 200, "The calls go to the versions as you said.", "60 % ", "40 % ")
	s.want(s.get(change+"?version=2&percent=0"), 200, "Version 2, the candidate, gets no more calls. Version 1 gets all of them.", `class="danger"`)
	s.want(s.get(change+"?version=2&percent=100"), 200, "Version 2 becomes the active one and gets all calls. Version 1, which is active now, gets none.")
	s.leads(s.post(change, url.Values{"version": {"2"}, "percent": {"100"}}), page+"?said=promoted")
	s.want(s.get(page), 200, "Version 2 is active", "Roll back…", "Deploy again…")
	s.want(s.get(change+"?do=rollback"), 200, "What served before version 2 is deployed again", "A worker of it is started first", "No call fails")
	s.leads(s.post(change, url.Values{"do": {"rollback"}, "percent": {"100"}}), page+"?said=rolled-back")
	s.want(s.get(page), 200, "Version 3 is active", "version 1 again")
	s.deployPart("shop", talking+"// four\n", 20)
	s.want(s.get(change+"?version=2&percent=100"), 200, "Version 4, the candidate, is ended.")
	s.leads(s.post(change, url.Values{"version": {"4"}, "percent": {"0"}}), page+"?said=ended")
	s.no(s.get(page), "is the candidate")
}

// deployPart deploys a version that gets a part of the calls.
func (s *site) deployPart(name, source string, percent int) {
	s.Helper()
	s.deployWith(name, source, "", api.DeployRequest{Percent: percent})
}

// leads fails unless an answer leads to another page of the project.
func (s *site) leads(p page, path string) {
	s.Helper()
	if to := p.header.Get("Location"); p.status != 303 || to != "/console/p/"+s.project+"/"+strings.TrimPrefix(path, "/") {
		s.Fatalf("status %d, Location %q, want %q:\n%s", p.status, to, path, p.text())
	}
}
